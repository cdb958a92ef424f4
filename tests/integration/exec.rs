//! Commands in running containers.

use std::time::{Duration, Instant};

use peapod_tests::{Container, at_most, default_timeout, on_each_runtime, peapod, processes, v1, wait_for};
use tonic::Code;

#[test]
fn output_and_code_come_back() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("exec").run().await;
        let container = pod.container("main").sh("sleep 1000").env("VAR", "seen").start().await;
        let output = container.try_exec(&["sh", "-c", "echo out $VAR; echo err >&2; exit 9"], 10).await.unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (9, "out seen\n", "err\n"));
        // No limit; a kubelet says 0 for it.
        let output = container.try_exec(&["sh", "-c", "kill -9 $$"], 0).await.unwrap();
        assert_eq!(output.code, 137);
        let nothing = container.try_exec(&["cat"], 10).await.unwrap();
        assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""));
    });
}

#[test]
fn it_runs_as_the_container_does() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("as").run().await;
        let container = pod
            .container("main")
            .sh("sleep 1000")
            .config(|config| config.working_dir = "/var".to_owned())
            .security(|security| {
                security.run_as_user = Some(v1::Int64Value { value: 1234 });
                security.supplemental_groups = vec![77];
                security.no_new_privs = true;
            })
            .start()
            .await;
        let text = container.exec("id -u; id -G; pwd; grep NoNewPrivs /proc/self/status | cut -f2; readlink /proc/self/ns/pid; readlink /proc/$$/ns/pid").await;
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[2], lines[3]), ("1234", "/var", "1"));
        assert!(lines[1].split(' ').any(|group| group == "77"), "{text}");
        assert_eq!(lines[4], lines[5]);
    });
}

/// No process of the container's pod has these words in its command line.
async fn none_left(container: &Container<'_>, words: &str) {
    let mut table = String::new();
    let gone = async {
        while {
            table = container.exec("ps -o pid,ppid,stat,args").await;
            table.contains(words)
        } {}
    };
    let gone = tokio::time::timeout(default_timeout(), gone).await;
    assert!(gone.is_ok(), "{words:?} is still there:\n{table}");
}

#[test]
fn a_timeout_kills_the_whole_command() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("late").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let start = Instant::now();
        let script = "(while :; do sleep 0.1234; done) & while :; do sleep 0.1234; done";
        let refused = container.try_exec(&["sh", "-c", script], 1).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
        assert!(start.elapsed() < at_most(Duration::from_secs(8)), "{:?}", start.elapsed());
        none_left(&container, "sleep 0.1234").await;
    });
}

#[test]
fn a_cancelled_command_is_killed() {
    peapod(async |daemon| {
        let pod = daemon.pod("cancel").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let command = ["sh", "-c", "sleep 43211 & while :; do sleep 0.4321; done"];
        tokio::select! {
            ended = container.try_exec(&command, 0) => panic!("it can't have ended: {ended:?}"),
            () = wait_for("the command runs", async || processes("sleep 43211") == 1) => {}
        }
        none_left(&container, "sleep 0.4321").await;
        assert_eq!(processes("sleep 43211"), 0);
    });
}

#[test]
fn what_holds_its_output_does_not_hold_the_answer() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("drain").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let start = Instant::now();
        let output = container.try_exec(&["sh", "-c", "sleep 300 & echo done"], 0).await.unwrap();
        assert_eq!(output.stdout, "done\n");
        assert!(start.elapsed() < at_most(Duration::from_secs(10)), "{:?}", start.elapsed());
    });
}

#[test]
fn much_output_arrives_as_far_as_a_message_holds_it() {
    peapod(async |daemon| {
        let pod = daemon.pod("much").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let output = container.try_exec(&["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], 20).await.unwrap();
        assert_eq!(output.stdout.len(), 3_000_000);
        // More than any message may hold: half a message for either stream, and the command ends as it would.
        let big =
            container.try_exec(&["sh", "-c", "head -c 40000000 /dev/zero | tr '\\0' x; exit 6"], 20).await.unwrap();
        assert_eq!(big.code, 6);
        assert!((8_380_000..=8 << 20).contains(&big.stdout.len()), "{} bytes", big.stdout.len());
        assert_eq!(container.exec("echo fine").await, "fine\n");
    });
}

#[test]
fn not_in_what_does_not_run() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("dead").run().await;
        let container = pod.container("main").sh("exit 0").create().await;
        assert_eq!(container.try_exec(&["true"], 5).await.unwrap_err().code(), Code::FailedPrecondition);
        container.start().await.unwrap();
        container.wait_exit().await;
        assert_eq!(container.try_exec(&["true"], 5).await.unwrap_err().code(), Code::FailedPrecondition);
        let running = pod.container("running").sh("sleep 1000").start().await;
        match running.try_exec(&["/no/such/program"], 5).await {
            Ok(output) => assert!(output.code != 0, "{output:?}"),
            Err(refused) => assert!(refused.message().contains("/no/such/program"), "{refused}"),
        }
        let refused = running.try_exec(&[], 5).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    });
}

#[test]
fn many_at_the_same_time() {
    peapod(async |daemon| {
        let pod = daemon.pod("crowd").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let runs = (0..20).map(|number| {
            let container = container.clone();
            async move {
                let text = container.exec(&format!("echo {number}; exit 0")).await;
                assert_eq!(text, format!("{number}\n"));
            }
        });
        futures_util::future::join_all(runs).await;
    });
}
