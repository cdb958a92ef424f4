//! What `peapod run`s leave that are killed: it goes with the next command, but for what still runs.

use std::fs;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, SHELL, at_most, fixture, peapod, v1, wait_for};
use tokio::net::TcpListener;
use tokio::process::Child;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

const POD: &str = "apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: hidden}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: login, secret: {secretName: login}}]
  containers:
  - name: main
    image: IMAGE
    volumeMounts: [{name: login, mountPath: /login}]
    command: [sh, -c, 'cat /login/password; echo; SCRIPT']
";

fn manifest(daemon: &Daemon, name: &str, image: &str, script: &str) -> String {
    let path = daemon.path(format!("{name}.yaml"));
    fs::write(&path, POD.replace("NAME", name).replace("IMAGE", image).replace("SCRIPT", script)).unwrap();
    path.to_string_lossy().into_owned()
}

async fn client(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    ended(daemon.client(arguments).output()).await
}

/// The exit status of a client that ends, and what it said.
async fn ended(output: impl Future<Output = io::Result<Output>>) -> (i32, String) {
    let output = tokio::time::timeout(at_most(LIMIT), output).await.expect("it ends").unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.code().unwrap_or(-1), text)
}

async fn done(daemon: &Daemon, arguments: &[&str]) -> String {
    let (code, said) = client(daemon, arguments).await;
    assert_eq!(code, 0, "peapod {arguments:?}: {said}");
    said
}

/// The folders of pods, by their uids.
fn folders(daemon: &Daemon) -> Vec<String> {
    let entries = fs::read_dir(daemon.path("run-dir")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name != "runs" && name != "names").collect()
}

fn table() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Whether the kernel keeps a tmpfs out of swap: since 6.4.
fn has_noswap() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 4)
}

/// How many mounts there are below a pod's folder, or below those of all.
fn mounts(daemon: &Daemon, uid: &str) -> usize {
    let below = daemon.path("run-dir").join(uid);
    table().lines().filter(|line| line.contains(&*below.to_string_lossy())).count()
}

fn runs(daemon: &Daemon) -> usize {
    fs::read_dir(daemon.path("run-dir").join("runs")).map(Iterator::count).unwrap_or_default()
}

async fn end(mut child: Child) {
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    child.wait().await.unwrap();
}

/// A new folder, once it is there and has a Secret in it or not.
async fn new_folder(daemon: &Daemon, before: &[String], has_secret: bool) -> String {
    let new = || folders(daemon).into_iter().find(|name| !before.contains(name));
    wait_for("a folder", async || new().is_some_and(|uid| (mounts(daemon, &uid) > 0) == has_secret)).await;
    new().unwrap()
}

#[test]
fn secrets_do_not_outlive_a_run_that_was_killed() {
    peapod(async |daemon| {
        let shell = fixture(SHELL);
        let lives = manifest(daemon, "lives", &shell, "exec sleep 1000");
        done(daemon, &["run", "-d", &lives]).await;
        let known = folders(daemon);
        assert_eq!((known.len(), mounts(daemon, &known[0]), runs(daemon)), (1, 1, 1));
        let mount = table().lines().find(|line| line.contains(&known[0])).map(str::to_owned).unwrap();
        assert_eq!(mount.contains("noswap"), has_noswap(), "{mount}");
        let short = manifest(daemon, "short", &shell, "exit 0");

        // While it pulls of a registry that says nothing: its Secret is nowhere yet.
        let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let image = format!("127.0.0.1:{}/none:1", registry.local_addr().unwrap().port());
        let pulls = manifest(daemon, "pulls", &image, "exit 0");
        let child = daemon.client(&["run", &pulls]).spawn().unwrap();
        let (_stream, _) = tokio::time::timeout(at_most(LIMIT), registry.accept()).await.expect("a pull").unwrap();
        new_folder(daemon, &known, false).await;
        end(child).await;
        assert_eq!((folders(daemon).len(), runs(daemon)), (2, 2));
        assert!(done(daemon, &["run", &short]).await.contains("hidden"));
        assert_eq!((folders(daemon), runs(daemon)), (known.clone(), 1));
        assert!(!daemon.path("run-dir").join("names").exists(), "nobody makes a pod of its name");

        // Its pod runs: it keeps what it has, as long as the runtime has it.
        let stays = manifest(daemon, "stays", &shell, "exec sleep 1000");
        let child = daemon.client(&["run", &stays]).spawn().unwrap();
        let left = new_folder(daemon, &known, true).await;
        wait_for("it runs", async || done(daemon, &["ps"]).await.contains("stays")).await;
        end(child).await;
        done(daemon, &["run", &short]).await;
        assert_eq!((folders(daemon).len(), mounts(daemon, &left), runs(daemon)), (2, 1, 2));
        assert!(done(daemon, &["ps"]).await.contains("(killed)"));
        let pods = daemon.pods().await;
        let pod = pods.iter().find(|pod| pod.metadata.as_ref().unwrap().uid == left).unwrap();
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        daemon.runtime().remove_pod_sandbox(request).await.unwrap();
        // Whatever the next command is about.
        done(daemon, &["down", &short]).await;
        assert_eq!((folders(daemon), mounts(daemon, &left), runs(daemon)), (known.clone(), 0, 1));

        // What a living run has was never touched.
        assert_eq!(done(daemon, &["exec", "lives", "--", "cat", "/login/password"]).await, "hidden");
        done(daemon, &["down", &lives]).await;
        assert_eq!((folders(daemon).len(), mounts(daemon, ""), runs(daemon)), (0, 0, 0));
    });
}

/// A run whose daemon has died while it made the pod.
async fn forsaken(daemon: &Daemon, file: &str) -> Child {
    daemon.kill().await;
    daemon.start_again_to_die_at("pod-ready").await;
    let child = daemon.client(&["run", file]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the daemon's end", async || !daemon.is_alive()).await;
    let left = (folders(daemon).len(), mounts(daemon, ""));
    assert_eq!(left, (1, 1), "nobody can be asked whether the pod is there");
    child
}

#[test]
fn secrets_do_not_outlive_a_daemon_that_died_while_it_made_the_pod() {
    peapod(async |daemon| {
        let file = manifest(daemon, "web", &fixture(SHELL), "exit 0");
        done(daemon, &["run", &file]).await;

        // Who ran it waits for a daemon, and removes all.
        let waits = forsaken(daemon, &file).await;
        daemon.start_again().await;
        let (code, said) = ended(waits.wait_with_output()).await;
        assert!(code == 125 && said.contains("RunPodSandbox"), "{code}: {said}");
        assert_eq!((folders(daemon).len(), mounts(daemon, "")), (0, 0));
        assert!(daemon.pods().await.is_empty());

        // Or was killed as well: then the next command does.
        let killed = forsaken(daemon, &file).await;
        end(killed).await;
        assert_eq!((folders(daemon).len(), mounts(daemon, "")), (1, 1));
        daemon.start_again().await;
        done(daemon, &["rm", "--all", "--force"]).await;
        assert_eq!((folders(daemon).len(), mounts(daemon, "")), (0, 0));
        assert!(daemon.pods().await.is_empty());
    });
}
