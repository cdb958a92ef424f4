//! `peapod why`: what hangs is named while it does, what failed is told afterwards, and the stages explain the wait.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use peapod_nri::stand_in::{HeardCall, StandIn};
use peapod_tests::{Daemon, Fault, FaultyRuntime, Options, Pod, Programs, SHELL, at_most, peapod, peapod_with, v1};
use peapod_tests::{wait_for, wait_some};
use serde_json::Value;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::Command;

/// A hang is named so soon after it began.
const SOON: Duration = Duration::from_secs(1);

async fn why(daemon: &Daemon, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(&Programs::get().peapod);
    command.arg("why").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env("PEAPOD_ENDPOINT", format!("unix://{}", daemon.socket().display()));
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// From now on it takes no longer than [`SOON`] until that is said.
async fn says_soon(daemon: &Daemon, what: &str, words: &str) -> String {
    let began = Instant::now();
    let text = wait_some(words, async || Some(why(daemon, &[what]).await.1).filter(|text| text.contains(words))).await;
    assert!(began.elapsed() <= at_most(SOON), "{words} is said after {:?}", began.elapsed());
    text
}

/// A plugin that is a shell script.
fn write_plugin(daemon: &Daemon, dir: &Path, add: &str) {
    let script = format!(
        r#"#!/bin/sh
case $CNI_COMMAND in
ADD) {add} ;;
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}}' ;;
esac
"#
    );
    fs::write(dir.join("scripted"), script).unwrap();
    fs::set_permissions(dir.join("scripted"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(daemon.path("cni")).unwrap();
    let list = r#"{"cniVersion":"1.0.0","name":"scripted","plugins":[{"type":"scripted"}]}"#;
    fs::write(daemon.path("new"), list).unwrap();
    fs::rename(daemon.path("new"), daemon.path("cni/10-scripted.conflist")).unwrap();
}

#[test]
fn a_plugin_that_hangs_is_named_and_one_that_failed_is_remembered() {
    let tmp = tempfile::tempdir().unwrap();
    let (waits, open) = (tmp.path().join("waits"), tmp.path().join("open"));
    let result = r#"{"cniVersion":"1.0.0","ips":[{"address":"10.196.0.2/24"}]}"#;
    let hang =
        format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done; echo '{result}'", waits.display(), open.display());
    peapod_with(&Options::new().set(format!("network.cni_bin_dirs=[{:?}]", tmp.path())), async |daemon| {
        write_plugin(daemon, tmp.path(), &hang);
        let (pod, ()) = tokio::join!(daemon.pod("hangs").try_run(), async {
            wait_for("the plugin runs", async || waits.exists()).await;
            let text = says_soon(daemon, "hangs", "waiting for CNI plugin scripted (ADD)").await;
            // It is in no list yet.
            assert!(daemon.pods().await.is_empty(), "{text}");
            assert!(text.starts_with("RunPodSandbox default/hangs ") && text.contains("shim"), "{text}");
            fs::write(&open, "").unwrap();
        });
        let pod = pod.unwrap();
        let (_, text) = why(daemon, &[&pod.id[..12]]).await;
        assert!(text.contains("RunPodSandbox default/hangs") && !text.contains("running"), "{text}");
        assert!(text.contains("CNI plugin scripted (ADD)  <- the longest"), "{text}");

        write_plugin(daemon, tmp.path(), r#"echo '{"code":99,"msg":"no address is left"}'; exit 1"#);
        daemon.pod("fails").try_run().await.err().expect("its network refuses");
        let (_, text) = why(daemon, &["default/fails"]).await;
        assert!(text.contains("RunPodSandbox default/fails") && text.contains("failed after"), "{text}");
        assert!(text.contains("no address is left"), "{text}");
        let plugin = text.lines().find(|line| line.contains("CNI plugin scripted (ADD)")).unwrap();
        assert!(plugin.contains("failed"), "{text}");
        // One that no status is about is told by Status.
        let status = daemon.runtime().status(v1::StatusRequest { verbose: true }).await.unwrap().into_inner();
        assert!(status.info["operations"].contains("no address is left"));
        assert!(!why(daemon, &["nobody"]).await.0);
    });
}

#[test]
fn a_plugin_of_the_node_that_hangs_is_named() {
    peapod_with(&Options::new().set("nri.request_timeout=\"60s\""), async |daemon| {
        let (open, gate) = tokio::sync::watch::channel(false);
        let answer = move |heard: HeardCall| {
            let mut gate = gate.clone();
            async move {
                if heard.method == "RunPodSandbox" {
                    gate.wait_for(|open| *open).await.unwrap();
                }
                None
            }
        };
        let socket = daemon.run_root().join("nri.sock");
        let stream = wait_some("the socket", async || UnixStream::connect(&socket).await.ok()).await;
        let mut plugin = StandIn::connect(stream, ("10", "gate"), 1, answer).await.unwrap();
        plugin.next("Synchronize").await.unwrap();
        let (pod, ()) = tokio::join!(daemon.pod("waits").try_run(), async {
            plugin.next("RunPodSandbox").await.unwrap();
            says_soon(daemon, "waits", "waiting for the NRI plugin 10-gate to answer").await;
            open.send_replace(true);
        });
        pod.unwrap();
    });
}

#[test]
fn a_registry_that_hangs_is_named() {
    peapod(async |daemon| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let image = format!("{host}/peapod/shell:1");
        let held = async {
            let mut connections = Vec::new();
            loop {
                connections.push(listener.accept().await.unwrap());
            }
        };
        let asked = async {
            let words = format!("waiting for registry {host}: manifest");
            wait_for("the pull asks", async || why(daemon, &[&image]).await.0).await;
            let text = says_soon(daemon, &image, &words).await;
            assert!(text.starts_with(&format!("PullImage {image}: running for")), "{text}");
        };
        tokio::select! {
            pulled = daemon.pull(&image) => panic!("nobody answered: {pulled:?}"),
            never = held => never,
            () = asked => {}
        }
        // Its client has left.
        let text = says_soon(daemon, &image, "its client left after").await;
        assert!(text.contains(&format!("registry {host}: manifest  <- failed")), "{text}");
    });
}

#[test]
fn an_oci_runtime_that_hangs_is_named_and_one_that_failed_is_remembered() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    peapod_with(&Options::new().set(runtime.setting()), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let (known, text) = why(daemon, &["peapod/shell:1"]).await;
        assert!(known && text.starts_with("PullImage") && text.contains("ms  "), "{text}");
        let pod = daemon.pod("slow").handler("faulty").run().await;
        let container = pod.container("hangs").sh("sleep 1000").create().await;
        runtime.on("create", Fault::Hang);
        let (started, ()) = tokio::join!(container.start(), async {
            runtime.wait_hanging("create", 1).await;
            let text = says_soon(daemon, "slow", "waiting for the OCI runtime faulty to create it").await;
            assert!(text.contains("StartContainer default/slow") && text.contains(" hangs "), "{text}");
            says_soon(daemon, &container.id, "runtime create faulty  <- running").await;
            runtime.heal("create");
        });
        started.unwrap();
        runtime.on("create", Fault::Fail);
        let fails = pod.container("fails").sh("sleep 1000").create().await;
        fails.start().await.unwrap_err();
        runtime.heal("create");
        let text = says_soon(daemon, "fails", "made to fail by its test").await;
        assert!(text.contains("failed after") && text.contains("runtime create faulty  <- failed"), "{text}");
        let (_, json) = why(daemon, &["--json", &container.id]).await;
        let operations: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert!(operations.iter().any(|one| one["name"] == "StartContainer" && one["state"] == "done"), "{json}");
    });
}

/// Milliseconds of the innermost stages that were waited for.
fn explained(stages: &Value) -> f64 {
    let stages = stages.as_array().map(Vec::as_slice).unwrap_or_default();
    let critical = stages.iter().filter(|stage| stage["isCritical"] == true);
    critical
        .map(
            |stage| if stage["stages"].is_null() { stage["ms"].as_f64().unwrap() } else { explained(&stage["stages"]) },
        )
        .sum()
}

/// What a client waited for, and how much of that the stages are: milliseconds.
#[derive(Default)]
struct Waited {
    count: usize,
    client: f64,
    daemon: f64,
    explained: f64,
    /// What calls that do nothing took beside them.
    way: f64,
}

impl Waited {
    fn add(&mut self, way: Duration, wait: Duration, operations: &str, name: &str) {
        let told: Value = serde_json::from_str(operations).unwrap();
        let own = told["operations"].as_array().unwrap().iter().rfind(|one| one["name"] == name).unwrap();
        let (client, explained) = (wait.as_secs_f64() * 1e3, explained(&own["stages"]));
        let took = own["ms"].as_f64().unwrap();
        assert!(explained <= took + 0.01, "{explained} ms of {took} ms: {own}");
        self.count += 1;
        self.client += client;
        self.daemon += took;
        self.explained += explained;
        self.way += way.as_secs_f64() * 1e3;
    }

    /// The stages are nearly all that the daemon took. The rest of the client's wait is the way there and back, of
    /// which a call that does nothing tells how long it is: in a debug build a millisecond, a tenth of a pod's start.
    fn check(&self, name: &str) {
        let Self { count, client, daemon, explained, way } = *self;
        let told = format!("{count} {name}: {explained:.0} of {daemon:.0} of {client:.0} ms, {way:.0} for the way");
        assert!(explained >= 0.97 * daemon, "{told}");
        assert!(explained + way >= 0.95 * client, "{told}");
    }
}

/// How long a call takes that does nothing.
async fn way(daemon: &Daemon) -> Duration {
    let began = Instant::now();
    daemon.runtime().version(v1::VersionRequest::default()).await.unwrap();
    began.elapsed()
}

async fn one_start(pod: &Pod<'_>, number: usize, starts: &mut Waited) {
    let container = pod.container(&format!("c{number}")).command(&["true"]).create().await;
    let (way, began) = (way(pod.daemon).await, Instant::now());
    container.start().await.unwrap();
    let wait = began.elapsed();
    let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: true };
    let status = pod.daemon.runtime().container_status(request).await.unwrap().into_inner();
    starts.add(way, wait, &status.info["operations"], "StartContainer");
    container.remove().await.unwrap();
}

#[test]
fn the_stages_of_a_thousand_starts_explain_what_the_client_waited() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let mut pods = Waited::default();
        let mut made = Vec::new();
        for number in 0..50 {
            let pod = daemon.pod(&format!("p{number}"));
            let (way, began) = (way(daemon).await, Instant::now());
            let pod = pod.run().await;
            let wait = began.elapsed();
            let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: true };
            let status = daemon.runtime().pod_sandbox_status(request).await.unwrap().into_inner();
            pods.add(way, wait, &status.info["operations"], "RunPodSandbox");
            if number < 2 {
                made.push(pod);
            } else {
                pod.remove().await.unwrap();
            }
        }
        let starts = join_all(made.iter().map(async |pod| {
            let mut starts = Waited::default();
            for number in 0..475 {
                one_start(pod, number, &mut starts).await;
            }
            starts
        }))
        .await;
        let all = starts.into_iter().fold(Waited::default(), |all, one| Waited {
            count: all.count + one.count,
            client: all.client + one.client,
            daemon: all.daemon + one.daemon,
            explained: all.explained + one.explained,
            way: all.way + one.way,
        });
        pods.check("RunPodSandbox");
        all.check("StartContainer");
    });
}
