//! The configuration changes under a running daemon, and the daemon ends or does not begin.

use std::process::Command;
use std::time::{Duration, Instant};

use peapod_tests::{Daemon, Options, Programs, at_most, peapod, peapod_with, v1, wait_for};

/// A drop-in beside the daemon's configuration.
fn drop_in(daemon: &Daemon, text: &str) {
    let dir = daemon.path("config.d");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("test.toml"), text).unwrap();
}

async fn said(daemon: &Daemon, words: &[&str]) {
    let has = |line: &str| words.iter().all(|word| line.contains(word));
    wait_for(&format!("a line with {words:?}"), async || daemon.log_tail(1000).lines().any(has)).await;
}

#[test]
fn a_changed_configuration_is_taken_over_or_refused() {
    peapod(async |daemon| {
        let pod = daemon.pod("stays").run().await;
        drop_in(daemon, "[log]\nlevel = \"debug\"\n[timeouts]\noperation = \"77s\"\n[network]\nmtu = 1400\n");
        daemon.reload();
        said(daemon, &["timeouts.operation", "110s", "77s", "SIGHUP"]).await;
        said(daemon, &["log.level", "debug"]).await;
        said(daemon, &["WARN", "network.mtu", "next start"]).await;

        // A mistake, found without being told to look; what is right beside it is not taken over either.
        drop_in(daemon, "[log]\nformat = \"json\"\nlevel = \"loud=?\"\n");
        said(daemon, &["ERROR", "config.d/test.toml:3: log.level", "error, warn, info, debug, trace"]).await;
        assert!(!daemon.log_tail(1000).contains("log.format"));

        drop_in(daemon, "[log]\nformat = \"json\"\n");
        said(daemon, &["log.format", "Text", "Json"]).await;
        wait_for("lines are JSON", async || {
            daemon.pods().await;
            daemon.log_tail(1).starts_with("{\"timestamp\"")
        })
        .await;
        // Its driver's span is older than the form in which the line is written.
        assert!(pod.is_ready().await);
        pod.stop().await.unwrap();
        said(daemon, &["{\"timestamp\"", "\"name\":\"pod\"", &pod.id[..12]]).await;
    });
}

#[test]
fn registry_settings_reach_the_next_pull() {
    let options = Options::new().set("image.retries=0");
    peapod_with(&options, async |daemon| {
        let nowhere = daemon.path("certs.e").join("registry.test");
        std::fs::create_dir_all(&nowhere).unwrap();
        std::fs::write(nowhere.join("hosts.toml"), "[host.\"http://127.0.0.1:1\"]\n").unwrap();
        drop_in(daemon, &format!("[image]\nhosts_dirs = [{:?}]\n", daemon.path("certs.e")));
        daemon.reload();
        said(daemon, &["image.hosts_dirs", "certs.e"]).await;
        let error = daemon.pull("registry.test/some:1").await.unwrap_err();
        assert!(error.message().contains("127.0.0.1:1"), "{error}");
    });
}

#[test]
fn the_daemon_ends_within_a_second() {
    peapod(async |daemon| {
        let pod = daemon.pod("left").run().await;
        let container =
            pod.container("main").sh("trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done").start().await;
        container.wait_log("up").await;
        // A call that would wait for much longer does not hold it up.
        let stop = container.stop(600);
        let end = async {
            container.wait_log("asked").await;
            let start = Instant::now();
            daemon.end_gracefully().await;
            start.elapsed()
        };
        let (stopped, took) = tokio::join!(stop, end);
        stopped.unwrap_err();
        // The promise is one second; the rest is for a machine with other work.
        assert!(took < at_most(Duration::from_secs(2)), "{took:?}");
        daemon.start_again().await;
        assert_eq!(container.state().await, v1::ContainerState::ContainerRunning);
        assert!(pod.is_ready().await);
        container.stop(0).await.unwrap();
    });
}

#[test]
fn a_second_daemon_is_refused() {
    peapod(async |daemon| {
        let config = daemon.path("config.toml");
        let mut second = Command::new(&Programs::get().peapod);
        let log = daemon.path("log");
        second.arg("serve").arg("--config").arg(&config).arg("--log-file").arg(&log);
        let output = second.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.contains("another peapod (pid ") && text.contains("--state-root"), "{text}");
        assert!(!log.exists(), "it may be the first one's");

        // The same with a state root of its own: sockets and mounts are the first one's.
        second.arg("--state-root").arg(daemon.path("other"));
        let output = second.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.contains("another peapod (pid ") && text.contains("--run-root"), "{text}");
        assert!(daemon.is_alive());
        let pod = daemon.pod("still").run().await;
        assert!(pod.is_ready().await);
    });
}
