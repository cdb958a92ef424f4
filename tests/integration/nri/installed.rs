//! Plugins that are installed on the node: the daemon starts them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peapod_tests::{Daemon, Options, Programs, SHELL, at_most, peapod_with, v1, wait_for, wait_some};
use serde_json::{Value, json};

/// Folders of plugins, and a mark by which processes are known that come from them.
struct Installed {
    dir: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        let installed = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(installed.programs()).unwrap();
        fs::create_dir(installed.configurations()).unwrap();
        installed
    }

    fn programs(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    fn configurations(&self) -> PathBuf {
        self.dir.path().join("conf.d")
    }

    fn options(&self) -> Options {
        let (programs, configurations) = (self.programs(), self.configurations());
        Options::new()
            .set(format!("nri.plugin_dir=\"{}\"", programs.display()))
            .set(format!("nri.plugin_config_dir=\"{}\"", configurations.display()))
    }

    fn put(&self, name: &str, script: &str) {
        let path = self.programs().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// One on the official stub, which adds a variable to each container.
    fn put_adjuster(&self, name: &str, before: &str) {
        self.put(name, &format!("{before}\nexec {}", Programs::get().nri_plugin.display()));
        let adjust = json!({"env": [{"key": "INSTALLED", "value": name}]});
        fs::write(self.configurations().join(format!("{name}.conf")), adjust.to_string()).unwrap();
    }
}

async fn told(daemon: &Daemon) -> Value {
    let request = v1::StatusRequest { verbose: true };
    let info = daemon.runtime().status(request).await.unwrap().into_inner().info;
    serde_json::from_str(&info["nri"]).unwrap()
}

async fn names(daemon: &Daemon) -> Vec<String> {
    let told = told(daemon).await;
    let list = told["plugins"].as_array().unwrap();
    let ready = list.iter().filter(|plugin| plugin["ready"] == true && plugin["kind"] == "installed");
    ready.map(|plugin| plugin["name"].as_str().unwrap().to_owned()).collect()
}

/// Processes that have this in their environment.
fn processes(name: &str) -> Vec<i32> {
    let mark = format!("NRI_PLUGIN_NAME={name}\0");
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let read = |file| fs::read(Path::new("/proc").join(pid.to_string()).join(file)).unwrap_or_default();
        // A zombie has none.
        read("environ").windows(mark.len()).any(|part| part == mark.as_bytes())
    };
    all.filter(is_one).collect()
}

async fn gone(name: &str) {
    wait_for("the plugin's end", async || processes(name).is_empty()).await;
}

#[test]
fn one_is_started_configured_and_asked_before_anything_is_made() {
    let installed = Installed::new();
    // Slower than a client that comes at once.
    installed.put_adjuster("10-slow-start", "/bin/sleep 1");
    peapod_with(&installed.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("made").run().await;
        assert_eq!(names(daemon).await, ["10-slow-start"]);
        let main = pod.container("main").sh("echo $INSTALLED; exec sleep 1000").start().await;
        wait_for("the variable", async || main.stdout() == "10-slow-start\n").await;
        let told = told(daemon).await;
        let events = told["plugins"][0]["events"].as_array().unwrap();
        assert!(events.contains(&json!("CreateContainer")) && told["down"] == json!({}), "{told}");
        // What it writes is in the log.
        let log = daemon.log_tail(400);
        assert!(log.contains("an installed NRI plugin says") && log.contains("Synchronize"), "{log}");
        // The kernel takes it before the daemon.
        let [pid] = processes("slow-start")[..] else { panic!("{:?}", processes("slow-start")) };
        let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        assert_eq!(score.trim(), "0");
        daemon.kill().await;
        gone("slow-start").await;
        daemon.start_again().await;
        let again = daemon.pod("again").run().await;
        assert_eq!(again.container("main").sh("echo $INSTALLED").output().await, "10-slow-start\n");
    });
    assert!(processes("slow-start").is_empty(), "it has outlived its daemon");
}

#[test]
fn one_that_dies_is_told_and_started_again() {
    let installed = Installed::new();
    installed.put_adjuster("10-mortal", "");
    peapod_with(&installed.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("lasting").run().await;
        let before = processes("mortal");
        let pid = nix::unistd::Pid::from_raw(before[0]);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_for("another one", async || {
            let now = processes("mortal");
            !now.is_empty() && now != before && names(daemon).await == ["10-mortal"]
        })
        .await;
        assert_eq!(pod.container("main").sh("echo $INSTALLED").output().await, "10-mortal\n");
        let log = daemon.log_tail(400);
        assert!(log.contains("an installed NRI plugin has ended") && log.contains("signal: 9"), "{log}");
        // Without its file it is not started again.
        fs::remove_file(installed.programs().join("10-mortal")).unwrap();
        let pid = nix::unistd::Pid::from_raw(processes("mortal")[0]);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_for("the log", async || daemon.log_tail(400).contains("gone from its folder")).await;
        assert_eq!(pod.container("alone").sh("echo .$INSTALLED").output().await, ".\n");
    });
}

#[test]
fn those_that_do_not_work_cost_their_time_once_and_are_named() {
    let installed = Installed::new();
    // It says nothing to the runtime, and much to the log; what it has started goes with it.
    installed.put("10-hung", "/bin/sleep 1000 &\nwhile :; do echo nonsense; done");
    installed.put("20-dies", "echo cannot >&2; exit 3");
    installed.put("30-writable", "exit 0");
    fs::set_permissions(installed.programs().join("30-writable"), fs::Permissions::from_mode(0o777)).unwrap();
    installed.put("unnamed", "exit 0");
    let options = installed.options().set("nri.registration_timeout=\"1s\"");
    peapod_with(&options, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let began = Instant::now();
        let pod = daemon.pod("goes-on").run().await;
        assert!(began.elapsed() < at_most(Duration::from_secs(5)), "{:?}", began.elapsed());
        assert_eq!(pod.container("main").sh("echo fine").output().await, "fine\n");
        let down = wait_some("all of them", async || {
            let down = told(daemon).await["down"].clone();
            (down.as_object().unwrap().len() == 4).then_some(down)
        })
        .await;
        let reason = |name: &str| down[name].as_str().unwrap().to_owned();
        assert!(reason("10-hung").contains("closed"), "{down}");
        assert!(reason("20-dies").contains("exit status: 3"), "{down}");
        assert!(reason("30-writable").contains("not root's alone"), "{down}");
        assert!(reason("unnamed").contains("no index"), "{down}");
        let log = daemon.log_tail(4000);
        assert!(log.contains("cannot"), "what it said last is lost: {log}");
        assert!(log.matches("nonsense").count() < 1000, "the log is filled");
    });
    assert!(processes("hung").is_empty(), "{:?}", processes("hung"));
}
