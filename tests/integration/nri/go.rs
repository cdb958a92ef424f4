//! Plugins as others write them: on the official stub, in Go.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use peapod_tests::{Daemon, Programs, SHELL, on_each_runtime, peapod, wait_for};
use serde_json::{Value, json};

/// A plugin that runs; it is killed when this is dropped.
pub(super) struct GoPlugin {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl GoPlugin {
    fn start(daemon: &Daemon, name: &str, adjust: &Value) -> Self {
        Self::start_with(daemon, name, ["-adjust", &adjust.to_string()])
    }

    pub(super) fn start_with(daemon: &Daemon, name: &str, adjust: [&str; 2]) -> Self {
        let mut child = Command::new(&Programs::get().nri_plugin)
            .arg("-socket")
            .arg(daemon.run_root().join("nri.sock"))
            .args(["-idx", "10", "-name", name])
            .args(adjust)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Ends with the plugin.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    /// The next line about this event.
    pub(super) async fn next(&self, event: &str) -> Value {
        let mut found = None;
        wait_for(event, async || {
            found = self.lines.try_iter().find(|line| line["event"] == event);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

impl Drop for GoPlugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_logger_hears_everything() {
    on_each_runtime(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let before = daemon.pod("before").run().await;
        before.container("old").sh("exec sleep 1000").start().await;
        let plugin = GoPlugin::start(daemon, "logger", &json!({}));
        let told = plugin.next("Synchronize").await;
        assert_eq!((&told["pods"], &told["containers"]), (&json!(["before"]), &json!(["old"])));
        let pod = daemon.pod("after").run().await;
        let main = pod.container("main").sh("exit 4").start().await;
        for event in ["RunPodSandbox", "CreateContainer", "PostCreateContainer", "StartContainer", "PostStartContainer"]
        {
            assert_eq!(plugin.next(event).await["pod"], "after");
        }
        assert_eq!(plugin.next("StopContainer").await["exit_code"], 4);
        main.remove().await.unwrap();
        assert_eq!(plugin.next("RemoveContainer").await["container"], "main");
        pod.stop().await.unwrap();
        pod.remove().await.unwrap();
        for event in ["StopPodSandbox", "RemovePodSandbox"] {
            assert_eq!(plugin.next(event).await["pod"], "after");
        }
    });
}

#[test]
fn injectors_of_devices_hooks_and_limits_work() {
    on_each_runtime(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook");
        let hook = json!({
            "path": "/bin/sh", "args": ["sh", "-c", "cat >\"$TO\""], "env": [format!("TO={}", file.display()), "PATH=/bin"]
        });
        let adjust = json!({
            "hooks": {"createRuntime": [hook]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": "300", "soft": "200"}],
            "linux": {"devices": [{"path": "/dev/mine", "type": "c", "major": "1", "minor": "3"}]},
        });
        let plugin = GoPlugin::start(daemon, "injector", &adjust);
        plugin.next("Synchronize").await;
        let pod = daemon.pod("injected").run().await;
        let main = pod.container("main").sh("exec sleep 1000").start().await;
        let found = main.exec("stat -c %t:%T /dev/mine; echo x >/dev/mine; ulimit -Sn; ulimit -Hn").await;
        assert_eq!(found, "1:3\n200\n300\n");
        let state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(state["id"], main.id.as_str());
    });
}

#[test]
fn a_large_state_is_told_to_the_official_stub() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("large").run().await;
        // Three messages of what there is, each longer than what a reader takes at once.
        let long = "x".repeat(100_000);
        for number in 0..30 {
            let mut builder = pod.container(&format!("c{number}")).sh("true");
            for variable in 0..4 {
                builder = builder.env(&format!("LONG{variable}"), &long);
            }
            builder.create().await;
        }
        let plugin = GoPlugin::start(daemon, "large", &json!({}));
        let told = plugin.next("Synchronize").await;
        assert_eq!(told["containers"].as_array().unwrap().len(), 30);
    });
}
