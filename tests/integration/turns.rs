//! Containers start in turns, which nothing that hangs can keep.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::future::join_all;
use peapod_tests::{Options, Programs, SHELL, peapod_with, v1, wait_for};

/// An OCI runtime that hangs in each create until there is a file `go`.
fn hanging_runtime(dir: &Path) -> String {
    let (path, crun) = (dir.join("runtime"), &Programs::get().crun);
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' create '*)\n  : >{dir}/hangs.$$\n  until [ -e {dir}/go ]; do sleep 0.02; done ;;\nesac\nexec {crun} \"$@\"\n",
        dir = dir.display(),
        crun = crun.display(),
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("runtimes.handlers.hangs.path={path:?}")
}

#[test]
fn starts_that_hang_hold_up_no_other_and_end_well() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    // More than any turns there are on this machine.
    let many = 3 * std::thread::available_parallelism().map_or(1, usize::from) + 3;
    peapod_with(&Options::new().set(hanging_runtime(dir)), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let sick = daemon.pod("sick").handler("hangs").run().await;
        let well = daemon.pod("well").run().await;
        let names: Vec<_> = (0..many).map(|number| format!("hangs-{number}")).collect();
        let hanging = join_all(names.iter().map(|name| sick.container(name).sh("sleep 1000").start()));
        let beside = async {
            wait_for("all of them hang", async || {
                let found = fs::read_dir(dir).unwrap().flatten();
                found.filter(|entry| entry.file_name().to_string_lossy().starts_with("hangs.")).count() == many
            })
            .await;
            let other = well.container("main").sh("sleep 1000").start().await;
            assert_eq!(other.exec("echo here").await, "here\n");
            other.stop(0).await.unwrap();
            other.remove().await.unwrap();
            fs::write(dir.join("go"), "").unwrap();
        };
        let (started, ()) = futures_util::future::join(hanging, beside).await;
        for container in started {
            assert_eq!(container.try_status().await.unwrap().state(), v1::ContainerState::ContainerRunning);
        }
    });
}
