//! Runs that nobody looks after any more, as they were killed or are over: `peapod apply` goes on with them as what
//! they were.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, SHELL, client, done, fixture, peapod, wait_for};
use serde_json::Value;

fn written(daemon: &Daemon, name: &str, text: &str) -> String {
    let path = daemon.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn spec(indent: &str, image: &str, rest: &str, script: &str) -> String {
    format!(
        "{indent}terminationGracePeriodSeconds: 1\n{rest}{indent}containers:\n{indent}- {{name: main, image: '{image}', command: [sh, -c, '{script}']}}\n"
    )
}

fn pod(name: &str, image: &str) -> String {
    let spec = spec("  ", image, "", "echo word; exec sleep 1000");
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

async fn listed(daemon: &Daemon, all: bool) -> Vec<Value> {
    let arguments: &[&str] = if all { &["ps", "-a", "-o", "json"] } else { &["ps", "-o", "json"] };
    serde_json::from_str(&done(daemon, arguments).await).unwrap()
}

/// Kills who looks after a pod.
async fn forsake(daemon: &Daemon, pod: &Value) {
    let pid = Pid::from_raw(i32::try_from(pod["run"]["pid"].as_i64().unwrap()).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    wait_for("that is seen", async || done(daemon, &["ps"]).await.contains("(killed)")).await;
}

fn assert_nothing_kept(daemon: &Daemon) {
    let left: Vec<_> = fs::read_dir(daemon.path("run-dir")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_run_that_was_killed_is_gone_on_with_as_what_it_was() {
    peapod(async |daemon| {
        let image = fixture(SHELL);
        let (a, folder) = (written(daemon, "ab/a.yaml", &pod("a", &image)), daemon.path("ab"));
        let template = spec("      ", &image, "", "exec sleep 1000");
        let many = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: many}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}\n    spec:\n{template}"
        );
        written(daemon, "ab/many.yaml", &many);
        let folder = folder.to_string_lossy().into_owned();
        done(daemon, &["run", "-d", "--keep", &folder]).await;
        let before = listed(daemon, false).await;
        assert_eq!(before.len(), 3);
        forsake(daemon, &before[0]).await;

        // A slip of the pen ends nothing that serves.
        written(daemon, "ab/a.yaml", &pod("a", "127.0.0.1:1/none:1"));
        let (code, out, err) = client(daemon, &["apply", &a]).await;
        assert!(code == 125 && err.contains("what runs stays as it is: ") && out.is_empty(), "{code}: {out}{err}");
        let ids = |pods: &[Value]| pods.iter().map(|pod| pod["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&listed(daemon, false).await), ids(&before));

        // All its files are of it, whichever is named, and its options.
        written(daemon, "ab/a.yaml", &pod("a", &image));
        done(daemon, &["apply", &a]).await;
        let after = listed(daemon, false).await;
        assert_eq!(after.len(), 3, "{after:?}");
        let is_new = |pod: &Value| !ids(&before).contains(&pod["id"]) && pod["run"]["lives"] == true;
        assert!(after.iter().all(|pod| is_new(pod) && pod["run"]["id"] == before[0]["run"]["id"]), "{after:?}");
        let same = done(daemon, &["apply", &a]).await;
        let lines = ["default/a unchanged", "deployment default/many unchanged"];
        assert!(same.lines().count() == 2 && lines.iter().all(|line| same.lines().any(|said| said == *line)), "{same}");
        done(daemon, &["stop", "a"]).await;
        wait_for("it is kept", async || listed(daemon, true).await.iter().any(|pod| pod["ready"] == false)).await;

        // What was stopped meanwhile makes room for its successor, where nobody has said that it is to stay.
        done(daemon, &["down", "--all"]).await;
        assert_nothing_kept(daemon);
        done(daemon, &["run", "-d", &a]).await;
        forsake(daemon, &listed(daemon, false).await[0]).await;
        done(daemon, &["stop", "a"]).await;
        done(daemon, &["run", "-d", &a]).await;
        assert_eq!(listed(daemon, true).await.len(), 1);
        done(daemon, &["down", &folder]).await;
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
    });
}

#[test]
fn a_job_that_is_over_is_not_run_again_until_it_is_taken_down() {
    peapod(async |daemon| {
        let out = daemon.path("out");
        fs::create_dir(&out).unwrap();
        let mount = format!(
            "      restartPolicy: Never\n      volumes: [{{name: out, hostPath: {{path: {}}}}}]\n",
            out.display()
        );
        let template = spec("      ", &fixture(SHELL), &mount, "echo did it; echo x >> /out/times")
            .replace("]}\n", "], volumeMounts: [{name: out, mountPath: /out}]}\n");
        let job = |more: &str| {
            format!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: work}}\nspec:\n  completions: 2\n{more}  template:\n    spec:\n{template}"
            )
        };
        let file = written(daemon, "work.yaml", &job(""));
        let times = || fs::read_to_string(Path::new(&out).join("times")).unwrap_or_default().lines().count();
        let is_over = async || {
            let table = done(daemon, &["ps", "-a"]).await;
            table.contains("Completed") && daemon.pods().await.len() == 1 && !table.contains("Running")
        };
        done(daemon, &["run", "-d", &file]).await;
        wait_for("it is over", async || times() == 2 && is_over().await).await;
        // It tells what it did, and that it did.
        assert_eq!(done(daemon, &["logs", "job/work", "--no-prefix"]).await, "did it\n");
        for more in ["", "  backoffLimit: 3\n"] {
            written(daemon, "work.yaml", &job(more));
            assert_eq!(done(daemon, &["apply", &file]).await, "job default/work unchanged; it has ended\n");
        }
        assert_eq!(times(), 2);
        done(daemon, &["down", "job/work"]).await;
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
        done(daemon, &["apply", &file]).await;
        wait_for("it ran once more", async || times() == 4 && is_over().await).await;
        done(daemon, &["down", &file]).await;
        assert_nothing_kept(daemon);

        // Nobody saw its end: its last pod tells.
        written(
            daemon,
            "work.yaml",
            &job("").replace("completions: 2", "completions: 1").replace("did it", "did it; sleep 2"),
        );
        done(daemon, &["run", "-d", &file]).await;
        forsake(daemon, &listed(daemon, false).await[0]).await;
        wait_for("it has ended", async || times() == 5).await;
        wait_for("that is seen", async || done(daemon, &["ps", "-a"]).await.contains("Completed")).await;
        for _ in 0..2 {
            assert_eq!(done(daemon, &["apply", &file]).await, "job default/work unchanged; it has ended\n");
        }
        assert_eq!((times(), done(daemon, &["logs", "job/work", "--no-prefix"]).await.as_str()), (5, "did it\n"));
        assert!(done(daemon, &["ps", "-a"]).await.contains("Completed"));
        done(daemon, &["down", &file]).await;
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
    });
}
