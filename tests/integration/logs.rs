//! Containers' log files, as the kubelet reads and rotates them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use peapod_tests::{Container, Options, on_each_runtime, peapod, peapod_with, v1, wait_for};

async fn reopen(container: &Container<'_>) -> Result<(), tonic::Status> {
    let request = v1::ReopenContainerLogRequest { container_id: container.id.clone() };
    container.pod.daemon.runtime().reopen_container_log(request).await.map(drop)
}

#[test]
fn both_streams_line_by_line() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("lines").run().await;
        let script = "echo one; echo two >&2; echo; printf 'tab\\t end '; echo; printf last";
        let container = pod.container("main").sh(script).start().await;
        assert!(container.log_file().exists(), "no log file when StartContainer returns");
        assert_eq!(fs::metadata(container.log_file()).unwrap().mode() & 0o777, 0o640);
        container.wait_exit().await;
        let log = container.log();
        let of = |stream: &str| -> Vec<(String, bool)> {
            log.iter().filter(|line| line.stream == stream).map(|line| (line.text.clone(), line.partial)).collect()
        };
        let full = |text: &str| (text.to_owned(), false);
        assert_eq!(of("stdout"), [full("one"), full(""), full("tab\t end "), ("last".to_owned(), true)]);
        assert_eq!(of("stderr"), [full("two")]);
        assert!(log.is_sorted_by(|one, two| one.time <= two.time));
    });
}

#[test]
fn long_lines_are_split() {
    peapod(async |daemon| {
        let pod = daemon.pod("long").run().await;
        let container = pod.container("main").sh("head -c 40000 /dev/zero | tr '\\0' x; echo").start().await;
        container.wait_exit().await;
        let parts: Vec<_> = container.log().iter().map(|line| (line.text.len(), line.partial)).collect();
        assert_eq!(parts.iter().map(|(length, _)| length).sum::<usize>(), 40000);
        assert!(parts.iter().all(|(length, _)| *length <= 16384), "{parts:?}");
        let (last, others) = parts.split_last().unwrap();
        assert!(!last.1 && others.iter().all(|(_, partial)| *partial), "{parts:?}");
    });
}

#[test]
fn nothing_of_a_flood_is_lost() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("flood").run().await;
        let container = pod.container("main").sh("seq 1 60000; seq 1 20000 >&2").start().await;
        container.wait_exit().await;
        let seq = |count: u32| (1..=count).map(|number| format!("{number}\n")).collect::<String>();
        assert!(container.stdout() == seq(60000), "stdout is not complete");
        assert!(container.stderr() == seq(20000), "stderr is not complete");
    });
}

#[test]
fn rotation() {
    peapod(async |daemon| {
        let pod = daemon.pod("rotate").run().await;
        let script = "echo $$ >/pid; trap 'echo after' USR1; echo before; while :; do sleep 0.05; done";
        let container = pod.container("main").sh(script).start().await;
        container.wait_log("before").await;
        let (file, old) = (container.log_file(), container.log_file().with_extension("log.1"));
        fs::rename(&file, &old).unwrap();
        reopen(&container).await.unwrap();
        assert!(file.exists());
        container.exec("kill -USR1 $(cat /pid)").await;
        container.wait_log("after").await;
        assert!(!fs::read_to_string(&old).unwrap().contains("after"));
    });
}

#[test]
fn a_failed_reopen_changes_nothing() {
    peapod(async |daemon| {
        let pod = daemon.pod("stay").run().await;
        let script = "echo $$ >/pid; trap 'echo after' USR1; echo before; while :; do sleep 0.05; done";
        let container = pod.container("main").sh(script).start().await;
        container.wait_log("before").await;
        let folder = std::path::PathBuf::from(&pod.config.log_directory);
        let moved = folder.with_extension("moved");
        fs::rename(&folder, &moved).unwrap();
        reopen(&container).await.unwrap_err();
        assert!(!folder.exists(), "the failed reopen made something");
        fs::rename(&moved, &folder).unwrap();
        container.exec("kill -USR1 $(cat /pid)").await;
        container.wait_log("after").await;

        container.stop(0).await.unwrap();
        let refused = reopen(&container).await.unwrap_err();
        assert!(refused.message().contains("running"), "{refused}");
    });
}

#[test]
fn no_log_path_no_log() {
    peapod(async |daemon| {
        let pod = daemon.pod("silent").run().await;
        let container =
            pod.container("main").sh("seq 1 50000; exit 6").config(|config| config.log_path.clear()).start().await;
        assert_eq!(container.wait_exit().await.exit_code, 6);
        assert_eq!(container.status().await.log_path, "");
        assert_eq!(fs::read_dir(&pod.config.log_directory).unwrap().count(), 0);
    });
}

#[test]
fn a_log_in_a_folder_of_its_own() {
    peapod(async |daemon| {
        let pod = daemon.pod("nested").run().await;
        let folder = std::path::PathBuf::from(&pod.config.log_directory).join("main");
        fs::create_dir_all(&folder).unwrap();
        let container =
            pod.container("main").sh("echo here").config(|config| config.log_path = "main/0.log".to_owned());
        let container = container.start().await;
        container.wait_exit().await;
        assert!(fs::read_to_string(folder.join("0.log")).unwrap().ends_with(" stdout F here\n"));
    });
}

#[test]
fn no_symbolic_link_leads_a_log_astray() {
    peapod(async |daemon| {
        let pod = daemon.pod("link").run().await;
        let victim = daemon.path("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, std::path::Path::new(&pod.config.log_directory).join("main.log")).unwrap();
        let container = pod.container("main").sh("echo overwritten").create().await;
        let refused = container.start().await.unwrap_err();
        assert!(refused.message().contains("main.log"), "{refused}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    });
}

#[test]
fn a_full_disk_stops_no_container() {
    peapod(async |daemon| {
        let pod = daemon.pod("full").run().await;
        let folder = std::path::PathBuf::from(&pod.config.log_directory);
        nix::mount::mount(Some("tmpfs"), &folder, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=64k"))
            .unwrap();
        let done = daemon.path("done");
        fs::create_dir(&done).unwrap();
        let script = "seq 1 50000; touch /done/flood; while [ ! -e /done/room ]; do sleep 0.05; done; echo again; echo and again";
        let container = pod.container("main").sh(script).mount(&done, "/done").start().await;
        wait_for("the flood is over", async || done.join("flood").exists()).await;
        // A rotation makes room, as the kubelet's would.
        fs::remove_file(container.log_file()).unwrap();
        reopen(&container).await.unwrap();
        fs::write(done.join("room"), "").unwrap();
        assert_eq!(container.wait_exit().await.exit_code, 0);
        let log = container.log();
        assert!(log.last().unwrap().text == "and again", "{log:?}");
        assert!(
            log.iter().any(|line| line.text.chars().any(|c| c.is_ascii_digit()) && line.text.contains("lost")),
            "says nothing of lost lines"
        );
        pod.remove().await.unwrap();
        nix::mount::umount(&folder).unwrap();
    });
}

#[test]
fn a_log_grows_no_faster_than_allowed() {
    peapod_with(&Options::new().set("container_log.rate=100000"), async |daemon| {
        let pod = daemon.pod("fast").run().await;
        // A byte each for the program, 46 on disk.
        let script = "yes '' | head -n 100000; sleep 2; echo after; yes '' | head -n 20000; seq 1 3";
        let container = pod.container("main").sh(script).start().await;
        assert_eq!(container.wait_exit().await.exit_code, 0);
        let size = fs::metadata(container.log_file()).unwrap().len();
        assert!((400_000..2_000_000).contains(&size), "{size}");
        let (mut kept, mut lost) = (0, 0);
        let log = container.log();
        for line in &log {
            match line.text.strip_prefix("peapod: ").and_then(|rest| rest.strip_suffix(" log lines were lost here")) {
                Some(count) => lost += count.parse::<u64>().unwrap(),
                None => kept += 1,
            }
        }
        assert_eq!(kept + lost, 120_004);
        let after = log.iter().position(|line| line.text == "after").expect("what comes after a pause");
        assert!(log[after - 1].text.contains("lost here") && log.last().unwrap().text.contains("lost here"));
    });
}
