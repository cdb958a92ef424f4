//! Runtimes are run from a sealed copy, which is used as long as it is one of the runtime's file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use peapod_tests::{Options, Programs, peapod_with};

/// Whether a process has the copy of the runtime open.
fn has_copy(pid: i32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file.starts_with("/memfd:runtime (deleted)"))
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
    let place = tempfile::tempdir().unwrap();
    let (runtime, calls) = (place.path().join("runtime"), place.path().join("calls"));
    fs::copy(&Programs::get().crun, &runtime).unwrap();
    let options = Options::new().set(format!("runtimes.handlers.replaced.path={runtime:?}"));
    peapod_with(&options, async |daemon| {
        let pod = daemon.pod("before").handler("replaced").run().await;
        assert!(has_copy(pod.shim_pid()));
        let old = pod.container("old").sh("sleep 1000").start().await;
        assert_eq!(old.exec("echo one").await, "one\n");

        replace(&runtime, &calls);
        let called = |word: &str| fs::read_to_string(&calls).is_ok_and(|calls| calls.contains(&format!(" {word} ")));
        assert_eq!(old.exec("echo two").await, "two\n");
        assert!(called("exec") && !called("create"));
        let new = pod.container("new").sh("sleep 1000").start().await;
        assert!(called("create") && called("start"));
        let other = daemon.pod("after").handler("replaced").run().await;
        assert!(!has_copy(other.shim_pid()), "a script can't be run from memory");
        let late = other.container("late").sh("sleep 1000").start().await;
        for container in [old, new, late] {
            container.stop(0).await.unwrap();
            container.remove().await.unwrap();
        }
        assert!(called("delete"));
    });
}
