//! What is changed while it runs, and what ends in other ways than it should.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{
    Daemon, Options, SHELL, client, default_timeout, done, end, fixture, peapod, peapod_with, v1, wait_for,
};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Of a container.
const NEVER_READY: &str = ", readinessProbe: {exec: {command: ['false']}, periodSeconds: 1}";

fn save(path: &Path, text: &str) {
    let own = path.with_extension("new");
    fs::write(&own, text).unwrap();
    fs::rename(own, path).unwrap();
}

/// The ids of the pods that are ready.
async fn ready(daemon: &Daemon) -> Vec<String> {
    let pods = daemon.pods().await.into_iter().filter(|pod| pod.state() == v1::PodSandboxState::SandboxReady);
    pods.map(|pod| pod.id).collect()
}

fn deployment(word: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 25%, maxUnavailable: 25%}}}}
  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      terminationGracePeriodSeconds: 1
      containers:\n      - {{name: main, image: '{}', command: [sh, -c, 'echo {word}; exec sleep 1000']{more}}}\n",
        fixture(SHELL)
    )
}

#[test]
fn a_rollout_is_changed_in_the_middle_and_a_slip_of_the_pen_ends_nothing() {
    peapod(async |daemon| {
        let path = daemon.path("web.yaml");
        let file = path.to_string_lossy().into_owned();
        let logs = async || client(daemon, &["logs", "--no-prefix", &file]).await.1;
        save(&path, &deployment("one", ""));
        done(daemon, &["run", "-d", &file]).await;
        wait_for("its words", async || logs().await == "one\none\n").await;
        // The second one never gets ready; the third one takes its place, and then that of the first.
        save(&path, &deployment("two", NEVER_READY));
        let mut waiting = daemon.client(&["apply", &file]).spawn().unwrap();
        let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
        let why = async {
            loop {
                let line = said.next_line().await.unwrap().expect("it waits, and says why");
                if line.starts_with("peapod: waiting for pod web-") && line.contains("main: its readiness probe failed")
                {
                    return;
                }
            }
        };
        tokio::time::timeout(default_timeout(), why).await.expect("it says why it waits");
        assert!(logs().await.contains("two"));
        save(&path, &deployment("three", ""));
        assert!(done(daemon, &["apply", &file]).await.contains("deployment default/web changed"));
        wait_for("their words", async || logs().await == "three\nthree\n").await;
        let (code, out, err) = end(waiting).await;
        assert_eq!(code, 0, "{out}{err}");

        let before = ready(daemon).await;
        save(&path, &deployment("four", "").replace(&fixture(SHELL), &format!("{}-nope", fixture(SHELL))));
        let (code, _, said) = client(daemon, &["apply", &file]).await;
        assert!(code == 125 && said.contains("what runs stays as it is") && said.contains("-nope"), "{code}: {said}");
        assert_eq!(ready(daemon).await, before);

        // The same pods of another file are another run's.
        save(&path, &deployment("three", ""));
        let other = daemon.path("other.yaml");
        fs::copy(&path, &other).unwrap();
        let (code, _, said) = client(daemon, &["run", "-d", &other.to_string_lossy()]).await;
        assert!(code == 125 && said.contains(&format!("`peapod down {file}`")), "{code}: {said}");
        assert_eq!(ready(daemon).await, before);
        done(daemon, &["down", &file]).await;
        assert!(daemon.pods().await.is_empty());
    });
}

/// What somebody reads who follows logs.
struct Followed(Child, Lines<BufReader<ChildStdout>>);

impl Followed {
    fn begin(daemon: &Daemon, what: &str) -> Self {
        let mut child = daemon.client(&["logs", "-f", "--no-prefix", what]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, lines)
    }

    async fn next(&mut self) -> Option<String> {
        tokio::time::timeout(default_timeout(), self.1.next_line()).await.expect("a line comes, or the end").unwrap()
    }

    /// With nothing more to read.
    async fn end(mut self) {
        assert_eq!(self.next().await, None);
        let (code, _, err) = end(self.0).await;
        assert_eq!(code, 0, "{err}");
    }
}

#[test]
fn logs_are_followed_over_a_rollout() {
    peapod(async |daemon| {
        let path = daemon.path("web.yaml");
        let file = path.to_string_lossy().into_owned();
        save(&path, &deployment("one", ""));
        done(daemon, &["run", "-d", &file]).await;
        let mut followed = Followed::begin(daemon, "deployment/web");
        for word in ["one", "two", "three"] {
            if word != "one" {
                save(&path, &deployment(word, ""));
                done(daemon, &["apply", &file]).await;
            }
            for _ in 0..2 {
                assert_eq!(followed.next().await.as_deref(), Some(word));
            }
        }
        done(daemon, &["down", &file]).await;
        followed.end().await;
        assert!(daemon.pods().await.is_empty());
    });
}

fn pod(word: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: pea}}\nspec:\n  terminationGracePeriodSeconds: 1
  containers:\n  - {{name: main, image: '{}', command: [sh, -c, 'echo {word}; exec sleep 1000']}}\n",
        fixture(SHELL)
    )
}

#[test]
fn the_end_of_the_terminal_is_that_of_the_pods() {
    peapod(async |daemon| {
        let path = daemon.path("pea.yaml");
        save(&path, &pod("word"));
        for (signal, status) in [(Signal::SIGHUP, 129), (Signal::SIGQUIT, 131)] {
            let child = daemon.client(&["run", &path.to_string_lossy()]).spawn().unwrap();
            wait_for("its word", async || client(daemon, &["logs", "pea", "--no-prefix"]).await.1 == "word\n").await;
            kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), signal).unwrap();
            let (code, out, err) = end(child).await;
            assert_eq!(code, status, "{out}{err}");
            assert!(daemon.pods().await.is_empty());
        }
    });
}

#[test]
fn a_pod_whose_shim_was_killed_is_made_anew() {
    peapod(async |daemon| {
        let path = daemon.path("pea.yaml");
        let file = path.to_string_lossy().into_owned();
        save(&path, &pod("word"));
        done(daemon, &["run", "-d", &file]).await;
        let mut followed = Followed::begin(daemon, "pea");
        assert_eq!(followed.next().await.as_deref(), Some("word"));
        let before = ready(daemon).await.remove(0);
        let lost = peapod_tests::Pod { daemon, id: before.clone(), config: v1::PodSandboxConfig::default() };
        peapod_tests::kill(lost.shim_pid());
        wait_for("it is made anew", async || ready(daemon).await.first().is_some_and(|id| *id != before)).await;
        assert_eq!(followed.next().await.as_deref(), Some("word"), "who follows its logs reads on");
        done(daemon, &["down", &file]).await;
        followed.end().await;
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn a_pod_that_nobody_watches_and_that_fails_leaves_its_logs() {
    peapod(async |daemon| {
        let path = daemon.path("pea.yaml");
        let file = path.to_string_lossy().into_owned();
        let fails = |word: &str| {
            pod(word)
                .replace("exec sleep 1000", "sleep 1; exit 9")
                .replace("spec:\n", "spec:\n  restartPolicy: Never\n")
        };
        save(&path, &fails("first"));
        done(daemon, &["run", "-d", &file]).await;
        wait_for("it has ended", async || ready(daemon).await.is_empty()).await;
        wait_for("it is listed", async || done(daemon, &["ps", "-a"]).await.contains("Exited (9)")).await;
        assert_eq!(done(daemon, &["logs", "pea", "--no-prefix"]).await, "first\n");
        // Until another one takes its place.
        save(&path, &fails("second"));
        done(daemon, &["apply", &file]).await;
        wait_for("its word", async || client(daemon, &["logs", "pea", "--no-prefix"]).await.1 == "second\n").await;
        assert_eq!(daemon.pods().await.len(), 1);
        wait_for("it has ended", async || ready(daemon).await.is_empty()).await;
        done(daemon, &["down", &file]).await;
        assert!(daemon.pods().await.is_empty());
        assert_eq!(fs::read_dir(daemon.path("run-dir")).unwrap().count(), 0);
    });
}

#[test]
fn who_applies_hears_which_pod_has_failed() {
    peapod(async |daemon| {
        let (stays, fails) = (daemon.path("app/pea.yaml"), daemon.path("app/fails.yaml"));
        fs::create_dir(daemon.path("app")).unwrap();
        save(&stays, &pod("word"));
        let folder = daemon.path("app").to_string_lossy().into_owned();
        done(daemon, &["run", "-d", &folder]).await;
        let text = pod("fails").replace("name: pea", "name: fails").replace("exec sleep 1000']", "exit 9']");
        save(&fails, &text.replace("spec:\n", "spec:\n  restartPolicy: Never\n"));
        let (code, out, err) = client(daemon, &["apply", &folder]).await;
        assert!(code == 9 && out.is_empty() && err.contains("pod fails has failed with 9"), "{code}: {out}{err}");
        // An image that can't be had.
        save(&fails, &text.replace("name: fails", "name: missing").replace(&fixture(SHELL), "127.0.0.1:1/none:1"));
        let (code, out, err) = client(daemon, &["apply", &folder]).await;
        assert!(code == 125 && err.contains("missing: ") && err.contains("127.0.0.1:1/none:1"), "{code}: {out}{err}");
        done(daemon, &["down", &folder]).await;
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn a_job_that_nobody_watches_and_that_fails_leaves_why() {
    peapod(async |daemon| {
        let path = daemon.path("work.yaml");
        let file = path.to_string_lossy().into_owned();
        let job = |script: &str| {
            format!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: work}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:
      restartPolicy: Never\n      containers:\n      - {{name: main, image: '{}', command: [sh, -c, '{script}']}}\n",
                fixture(SHELL)
            )
        };
        save(&path, &job("echo tried; exit 3"));
        let (code, _, err) = client(daemon, &["run", "-d", &file]).await;
        assert!(code == 1 && err.contains("(backoffLimit: 0); pod work-0 has failed with 3"), "{code}: {err}");
        let table = done(daemon, &["ps", "-a"]).await;
        assert!(table.contains("BackoffLimitExceeded") && table.contains("Exited (3)"), "{table}");
        assert_eq!(done(daemon, &["logs", "job/work", "--no-prefix"]).await, "tried\n");
        // Until it is tried again.
        save(&path, &job("echo done"));
        done(daemon, &["run", "-d", &file]).await;
        wait_for("it is over", async || done(daemon, &["ps", "-a"]).await.contains("Completed")).await;
        assert_eq!(daemon.pods().await.len(), 1);
        save(&path, &job("exit 4"));
        assert_eq!(client(daemon, &["run", "-d", &file]).await.0, 1);
        assert_eq!(done(daemon, &["down", "job/work"]).await, "default/work-0\n");
        assert!(daemon.pods().await.is_empty());
        assert_eq!(fs::read_dir(daemon.path("run-dir")).unwrap().count(), 0);
    });
}

#[test]
fn who_starts_a_run_on_a_full_disk_hears_why_it_ends() {
    peapod_with(&Options::new().state_disk(24), async |daemon| {
        let path = daemon.path("pea.yaml");
        save(&path, &pod("word"));
        let (dir, filler) = (daemon.state_root().join("runs"), daemon.state_root().join("filler"));
        fs::create_dir(&dir).unwrap();
        let arguments = ["run", "-d", "--dir", dir.to_str().unwrap(), path.to_str().unwrap()];
        let fill = "while head -c 4096 /dev/zero; do :; done >";
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{fill} {}", filler.display())]).stderr(std::process::Stdio::null());
        command.status().await.unwrap();
        let (code, _, said) = client(daemon, &arguments).await;
        assert!(code == 125 && said.to_lowercase().contains("no space"), "{code}: {said}");
        fs::remove_file(filler).unwrap();
    });
}
