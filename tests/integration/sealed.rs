//! What a container reaches of the node's own files: the OCI runtime, run through a view that nobody can change, which
//! is used as long as it is one of the runtime's file; and `/dev/null`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use peapod_tests::{Container, Daemon, Options, Programs, on_each_runtime, peapod_with, v1};

const ATTACK: &str = "peapod/test-attack:1";
const READ_ONLY: &str = "30";
/// ENOSYS.
const NO_SUCH_CALL: &str = "38";

/// Whether a process has a read-only view of the runtime open: a file of that name on no mount of the node.
fn has_view(pid: i32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == Path::new("/runtime"))
}

/// Puts a script in the place of a runtime, as a package manager does. It runs crun and notes what for.
fn replace(runtime: &Path, calls: &Path) {
    let (new, crun) = (runtime.with_extension("new"), &Programs::get().crun);
    let script = format!("#!/bin/sh\necho \" $* \" >>{}\nexec {} \"$@\"\n", calls.display(), crun.display());
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, runtime).unwrap();
}

#[test]
fn a_runtime_that_is_replaced_under_running_pods_is_used_at_once() {
    let tmp = tempfile::tempdir().unwrap();
    let (runtime, calls) = (tmp.path().join("runtime"), tmp.path().join("calls"));
    fs::copy(&Programs::get().crun, &runtime).unwrap();
    let options = Options::new().set(format!("runtimes.handlers.replaced.path={runtime:?}"));
    peapod_with(&options, async |daemon| {
        let pod = daemon.pod("before").handler("replaced").run().await;
        assert!(has_view(pod.shim_pid()));
        let old = pod.container("old").sh("sleep 1000").start().await;
        assert_eq!(old.exec("echo one").await, "one\n");

        replace(&runtime, &calls);
        let called = |word: &str| fs::read_to_string(&calls).is_ok_and(|calls| calls.contains(&format!(" {word} ")));
        assert_eq!(old.exec("echo two").await, "two\n");
        assert!(called("exec") && !called("create"));
        let new = pod.container("new").sh("sleep 1000").start().await;
        assert!(called("create") && called("start"));
        let other = daemon.pod("after").handler("replaced").run().await;
        assert!(!has_view(other.shim_pid()), "a script does not look whether it is sealed");
        let late = other.container("late").sh("sleep 1000").start().await;
        for container in [old, new, late] {
            container.stop(0).await.unwrap();
            container.remove().await.unwrap();
        }
        assert!(called("delete"));
    });
}

/// Everything about a file that somebody may change, and that reading and running it does not.
fn looks(path: &Path) -> impl PartialEq + std::fmt::Debug + use<> {
    let is = fs::metadata(path).unwrap();
    (is.mode(), is.uid(), is.gid(), is.size(), is.mtime(), is.ctime(), is.ctime_nsec())
}

/// What the attack says: names of tries, and whether all of them failed because the file is on a read-only mount. The
/// kernel may lack `fchmodat2`.
fn outcome<'a>(lines: impl Iterator<Item = &'a str>, target: &str) -> BTreeSet<String> {
    let tries = lines.filter_map(|line| line.strip_prefix(target)?.trim().split_once(' '));
    let failed = |name: &str, errno: &str| errno == READ_ONLY || (name, errno) == ("fchmodat2", NO_SUCH_CALL);
    tries.map(|(name, errno)| if failed(name, errno) { name.to_owned() } else { format!("{name}: {errno}") }).collect()
}

fn tries(more: &[&str]) -> BTreeSet<String> {
    let names = ["fchmod", "chmod", "fchmodat2", "fchown", "chown", "fchownat", "futimens", "utimensat"];
    names.iter().chain(&["fsetxattr", "setxattr"]).chain(more).map(|name| (*name).to_owned()).collect()
}

/// Pods that were there and new ones.
async fn works(daemon: &Daemon, container: &Container<'_>, after: &str) {
    assert_eq!(container.exec("echo one").await, "one\n");
    let pod = daemon.pod(&format!("after-{after}")).run().await;
    assert_eq!(pod.container("new").sh("echo new").output().await, "new\n");
    pod.remove().await.unwrap();
}

#[test]
fn the_runtime_as_which_a_container_runs_can_not_be_changed() {
    on_each_runtime(async |daemon| {
        let programs = Programs::get();
        let crun = daemon.handler() == "crun";
        let before = [&programs.crun, &programs.runc, &programs.shim].map(|file| looks(file));
        let bystander = daemon.pod("bystander").run().await.container("main").sh("sleep 1000").start().await;
        let pod = daemon.pod("attacks").run().await;
        // As the image's program, as root and as another user; as a command, by itself and by a link.
        for (name, user) in [("root", 0), ("user", 1000)] {
            let container = pod
                .container(name)
                .image(ATTACK)
                .security(|security| security.run_as_user = Some(v1::Int64Value { value: user }))
                .config(|config| config.command.clear());
            let started = container.create().await;
            // runc has no loader that could be replaced: it runs, and finds no sense in the words.
            if started.start().await.is_ok() && crun {
                started.wait_log("all tried").await;
                check_exe(started.stdout().lines(), user);
                works(daemon, &bystander, name).await;
                started.stop(0).await.unwrap();
            }
            started.remove().await.unwrap();
            let stays = pod.container(&format!("{name}-stays")).image(ATTACK).command(&["/attack", "x", "hold"]);
            let stays = stays.security(|security| security.run_as_user = Some(v1::Int64Value { value: user }));
            let stays = stays.start().await;
            for (how, probe) in [("directly", "/proc/self/exe"), ("by-link", "/probe")] {
                let output = stays.try_exec(&[probe, "exe"], 20).await;
                if crun {
                    check_exe(output.unwrap().stdout.lines(), user);
                }
                works(daemon, &bystander, &format!("{name}-{how}")).await;
            }
        }
        assert_eq!([&programs.crun, &programs.runc, &programs.shim].map(|file| looks(file)), before);
        bystander.stop(0).await.unwrap();
        pod.remove().await.unwrap();
    });
}

fn check_exe<'a>(lines: impl Iterator<Item = &'a str>, user: i64) {
    let lines: Vec<&str> = lines.collect();
    let found = outcome(lines.iter().copied(), "exe ");
    if user == 0 {
        let mut wanted = tries(&["setflags", "write", "truncate"]);
        // Forbidden (EAGAIN) as others have it open.
        wanted.insert("lease: 11".to_owned());
        assert_eq!(found, wanted);
    } else {
        assert!(!lines.iter().any(|line| line.starts_with("exe ") && line.ends_with(" 0")), "{lines:?}");
    }
}

/// The commands of one container are seen by another one, while they are made.
#[test]
fn the_runtime_in_a_shared_pid_namespace_can_not_be_changed() {
    on_each_runtime(async |daemon| {
        let programs = Programs::get();
        let before = [&programs.crun, &programs.runc, &programs.shim].map(|file| looks(file));
        let pod = daemon.pod("hunt").run().await;
        let script =
            "while :; do for exe in /proc/[0-9]*/exe; do chmod 711 $exe; touch -d @1 $exe; done; done 2>/dev/null";
        let hunter = pod.container("hunter").sh(script).security(|security| {
            // So that what is not to be traced can be seen as well.
            let add_capabilities = vec!["SYS_PTRACE".to_owned()];
            security.capabilities = Some(v1::Capability { add_capabilities, ..Default::default() });
        });
        let hunter = hunter.start().await;
        let prey = pod.container("prey").sh("sleep 1000").start().await;
        for _ in 0..20 {
            assert_eq!(prey.exec("echo hi").await, "hi\n");
        }
        assert_eq!(pod.container("late").sh("echo late").output().await, "late\n");
        hunter.stop(0).await.unwrap();
        assert_eq!([&programs.crun, &programs.runc, &programs.shim].map(|file| looks(file)), before);
    });
}

/// A command's standard input leads nowhere: to a `/dev/null` that is not the node's to be changed, nor is any masked
/// path.
#[test]
fn the_nodes_null_can_not_be_changed() {
    on_each_runtime(async |daemon| {
        let null = || {
            let is = fs::metadata("/dev/null").unwrap();
            (is.mode(), is.uid(), is.gid())
        };
        let before = null();
        let pod = daemon.pod("null").run().await;
        let container = pod.container("main").image(ATTACK).command(&["/attack", "stdin", "hold"]).start().await;
        let output = container.try_exec(&["/attack", "stdin"], 20).await.unwrap();
        let mut found = outcome(output.stdout.lines(), "stdin ");
        // Not for devices.
        found.retain(|tried| !tried.starts_with("setflags") && !tried.starts_with("setxattr"));
        let mut wanted = tries(&[]);
        wanted.remove("setxattr");
        assert_eq!(found, wanted);
        container.wait_log("all tried").await;
        let masked = pod
            .container("masked")
            .sh("for at in /etc/passwd /dev/stdin; do chmod 667 $at; chown 1 $at; touch -d @1 $at; done; cat /dev/stdin >/dev/stdin")
            .security(|security| security.masked_paths = vec!["/etc/passwd".to_owned()])
            .start()
            .await;
        masked.wait_exit().await;
        assert_eq!(null(), before);
        // It is one all the same.
        let shell = pod.container("shell").sh("sleep 1000").start().await;
        assert_eq!(shell.exec("cat; test -c /dev/stdin && echo end").await, "end\n");
    });
}
