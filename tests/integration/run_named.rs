//! What commands find by a name, and what `peapod ps` says of it: Deployments under other paths, runs that still pull,
//! containers that crash, two runs at once.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, SHELL, at_most, client, done, end, ended, fixture, peapod, wait_for};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

async fn listed(daemon: &Daemon) -> Vec<Value> {
    serde_json::from_str(&done(daemon, &["ps", "-o", "json"]).await).unwrap()
}

fn written(daemon: &Daemon, name: &str, text: &str) -> String {
    let path = daemon.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn pod(name: &str, image: &str, script: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {{name: main, image: '{image}', command: [sh, -c, '{script}']}}\n"
    )
}

fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {{name: main, image: '{}', command: [sh, -c, 'exec sleep 1000']}}\n",
        fixture(SHELL)
    )
}

#[test]
fn a_deployment_is_found_by_whatever_names_it_and_stays_ended() {
    peapod(async |daemon| {
        let file = written(daemon, "one/many.yaml", &deployment("many", 2));
        let beside = written(daemon, "one/web.yaml", &pod("web", &fixture(SHELL), "exec sleep 1000"));
        let names = async || {
            let mut names: Vec<String> =
                listed(daemon).await.iter().map(|pod| pod["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let renamed = written(daemon, "two/renamed.yaml", &deployment("many", 2));
        let linked = daemon.path("two/link.yaml").to_string_lossy().into_owned();
        std::os::unix::fs::symlink(&file, &linked).unwrap();
        let around = daemon.path("two/../one/many.yaml").to_string_lossy().into_owned();
        for word in ["many", "default/many", &renamed, &linked, &around] {
            done(daemon, &["run", "-d", &file, &beside]).await;
            assert_eq!(names().await.len(), 3);
            let out = done(daemon, &["down", word]).await;
            assert_eq!(out.lines().filter(|line| line.starts_with("default/many-")).count(), 2, "{word}: {out}");
            assert_eq!(names().await, ["web"], "down {word}");
            // What goes on is looked after by the same run.
            let run = listed(daemon).await[0]["run"].clone();
            assert_eq!(run["lives"], true, "{run}");
            assert_eq!(done(daemon, &["down", run["id"].as_str().unwrap()]).await, "default/web\n");
            assert_eq!(listed(daemon).await, Vec::<Value>::new());
        }
        done(daemon, &["run", "-d", &file]).await;
        let one = names().await[0].clone();
        let (code, _, err) = client(daemon, &["stop", &one]).await;
        assert!(code == 0 && err.contains("deployment default/many makes another pod in its place"), "{code}: {err}");
        wait_for("it does", async || listed(daemon).await.iter().filter(|pod| pod["ready"] == true).count() == 2).await;
        let pid = i32::try_from(listed(daemon).await[0]["run"]["pid"].as_i64().unwrap()).unwrap();
        done(daemon, &["stop", &file]).await;
        wait_for("its run ends", async || kill(Pid::from_raw(pid), None).is_err()).await;
        assert_eq!(listed(daemon).await, Vec::<Value>::new());
        let (code, out, err) = client(daemon, &["down", "many"]).await;
        assert!(code == 1 && out.is_empty() && err.contains("no pod, Job, Deployment or run `many`"), "{code}: {err}");
    });
}

#[test]
fn what_still_pulls_is_seen_and_can_be_called_off() {
    peapod(async |daemon| {
        // A registry that takes connections and never says anything.
        let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let image = format!("{}/slow:1", registry.local_addr().unwrap());
        let file = written(daemon, "slow.yaml", &pod("slow", &image, "true"));
        for words in [["down", &file], ["down", "slow"], ["down", "--all"], ["stop", "slow"]] {
            let mut run = daemon.client(&["run", "-d", &file]).spawn().unwrap();
            wait_for("it is seen", async || {
                let pods = listed(daemon).await;
                pods.len() == 1 && pods[0]["status"] == "Pending" && pods[0]["ready"] == false
            })
            .await;
            let table = done(daemon, &["ps"]).await;
            assert!(table.contains("slow") && table.contains("0/1") && table.contains("Pending"), "{table}");
            assert_eq!(done(daemon, &words).await, "default/slow\n", "{words:?}");
            assert_eq!(listed(daemon).await, Vec::<Value>::new(), "{words:?}");
            tokio::time::timeout(at_most(LIMIT), run.wait()).await.expect("the run ends").unwrap();
        }
        // Before there is anything to be seen.
        let mut run = daemon.client(&["run", "-d", &file]).spawn().unwrap();
        wait_for("its run begins", async || {
            fs::read_dir(daemon.path("run-dir/runs")).is_ok_and(|mut runs| runs.next().is_some())
        })
        .await;
        done(daemon, &["down", &file]).await;
        tokio::time::timeout(at_most(LIMIT), run.wait()).await.expect("the run ends").unwrap();
        assert_eq!(fs::read_dir(daemon.path("run-dir")).unwrap().count(), 0);
    });
}

#[test]
fn a_pod_is_shown_as_it_is_and_one_of_two_runs_has_it() {
    peapod(async |daemon| {
        let crash = written(daemon, "crash.yaml", &pod("crash", &fixture(SHELL), "exit 9"));
        let mut run = daemon.client(&["run", &crash]).spawn().unwrap();
        wait_for("it crashes again and again", async || {
            let pods = listed(daemon).await;
            pods.first().is_some_and(|pod| pod["status"] == "CrashLoopBackOff" && pod["containers"][0]["exitCode"] == 9)
        })
        .await;
        let table = done(daemon, &["ps"]).await;
        assert!(table.contains("0/1") && table.contains("CrashLoopBackOff (9)") && !table.contains("yes"), "{table}");
        done(daemon, &["down", "crash"]).await;
        tokio::time::timeout(at_most(LIMIT), run.wait()).await.expect("the run ends").unwrap();

        let file = written(daemon, "twin.yaml", &pod("twin", &fixture(SHELL), "exec sleep 1000"));
        let both = [daemon.client(&["run", "-d", &file]), daemon.client(&["run", "-d", &file])];
        let [one, other] = both.map(|command| tokio::spawn(ended(command)));
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        let mut codes = [one.0, other.0];
        codes.sort_unstable();
        assert_eq!(codes, [0, 125], "{one:?} {other:?}");
        let pods = listed(daemon).await;
        assert!(pods.len() == 1 && pods[0]["ready"] == true && pods[0]["status"] == "Running", "{pods:?}");
        let holder = Pid::from_raw(i32::try_from(pods[0]["run"]["pid"].as_i64().unwrap()).unwrap());
        kill(holder, Signal::SIGSTOP).unwrap();
        let mut command = daemon.client(&["down", &file, "--grace", "60"]);
        let mut down = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(down.stderr.take().unwrap()).lines();
        let line = tokio::time::timeout(at_most(LIMIT), said.next_line()).await;
        kill(holder, Signal::SIGCONT).unwrap();
        let line = line.expect("it says for whom it waits").unwrap().unwrap_or_default();
        assert!(line.contains(&format!("process {holder}")) && line.contains("is suspended"), "{line}");
        let code = tokio::time::timeout(at_most(LIMIT), down.wait()).await.expect("it ends").unwrap();
        assert!(code.success() && listed(daemon).await.is_empty(), "{code}");
    });
}

#[test]
fn what_is_removed_by_force_does_not_come_back() {
    peapod(async |daemon| {
        let many = written(daemon, "many.yaml", &deployment("many", 2));
        let web = written(daemon, "web.yaml", &pod("web", &fixture(SHELL), "exec sleep 1000"));
        for words in [&["rm", "-f", "deployment/many"][..], &["rm", "-f", &many], &["rm", "-fa"]] {
            done(daemon, &["run", "-d", &many, &web]).await;
            let pods = listed(daemon).await;
            let pid = i32::try_from(pods[0]["run"]["pid"].as_i64().unwrap()).unwrap();
            let (code, _, err) = client(daemon, &["rm", "many"]).await;
            assert!(code == 1 && err.contains("is running: stop it with"), "{code}: {err}");
            let out = done(daemon, words).await;
            assert_eq!(out.lines().filter(|line| line.starts_with("default/many-")).count(), 2, "{words:?}: {out}");
            if !words.contains(&"-fa") {
                assert_eq!(done(daemon, &["rm", "-f", "web"]).await, "default/web\n");
            }
            // It would not, if others had come.
            wait_for("its run ends", async || kill(Pid::from_raw(pid), None).is_err()).await;
            assert_eq!(listed(daemon).await, Vec::<Value>::new(), "{words:?}");
        }
        let work = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: work}}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {{name: main, image: '{}', command: [sh, -c, 'exit 1']}}\n",
            fixture(SHELL)
        );
        let run = daemon.client(&["run", &written(daemon, "work.yaml", &work)]).spawn().unwrap();
        wait_for("it is between two pods", async || {
            let (code, _, err) = client(daemon, &["rm", "work"]).await;
            code == 1 && err.contains("the run of job default/work lives: end it with `peapod down job/work`")
        })
        .await;
        done(daemon, &["rm", "-f", "work"]).await;
        let (code, out, err) = end(run).await;
        assert!(code != 0 && daemon.pods().await.is_empty(), "{code}: {out}{err}");
    });
}

#[test]
fn what_a_refused_change_leaves_out_runs_on() {
    peapod(async |daemon| {
        let stays = |name: &str, image: &str| pod(name, image, "exec sleep 1000");
        let (web, old) = (stays("web", &fixture(SHELL)), stays("old", &fixture(SHELL)));
        let file = written(daemon, "app.yaml", &format!("{web}---\n{old}"));
        done(daemon, &["run", "-d", &file]).await;
        let find = async |name: &str| listed(daemon).await.into_iter().find(|pod| pod["name"] == name);
        let before = find("old").await.unwrap();
        written(daemon, "app.yaml", &stays("web", "127.0.0.1:1/none:1"));
        let (code, out, err) = client(daemon, &["apply", &file]).await;
        assert!(code == 125 && err.contains("what runs stays as it is"), "{code}: {out}{err}");
        assert_eq!(done(daemon, &["down", "web"]).await, "default/web\n");
        let after = find("old").await.expect("nobody named it");
        assert_eq!((&after["id"], &after["run"]["lives"]), (&before["id"], &true.into()), "{after}");
        assert_eq!(done(daemon, &["down", "old"]).await, "default/old\n");
        let pid = i32::try_from(before["run"]["pid"].as_i64().unwrap()).unwrap();
        wait_for("its run ends", async || kill(Pid::from_raw(pid), None).is_err()).await;
        assert_eq!(listed(daemon).await, Vec::<Value>::new());
    });
}
