//! A newer daemon drives the shims that an older one started.

use std::path::Path;

use peapod_tests::{Options, Programs, peapod_with, v1};

/// As a package does it: the old file lives on only in the processes that run it.
fn install(from: &Path, to: &Path) {
    let new = to.with_extension("new");
    std::fs::copy(from, &new).unwrap();
    std::fs::rename(new, to).unwrap();
}

#[test]
fn an_older_shim_serves_a_newer_daemon() {
    let place = tempfile::tempdir().unwrap();
    let shim = place.path().join("containerd-shim-peapod-v1");
    install(&Programs::get().shim, &shim);
    let options = Options::new().set(format!("shim.path={:?}", shim.to_str().unwrap()));
    peapod_with(&options, async |daemon| {
        // Each of them is asked for something else afterwards.
        let shared = daemon.pod("shared").run().await;
        let late = daemon.pod("late").pid(v1::NamespaceMode::Container).run().await;
        let first = shared.container("first").sh("echo up; sleep 1000").start().await;
        first.wait_log("up").await;
        daemon.kill().await;
        install(&Programs::get().shim, &shim);
        daemon.start_again().await;
        assert!(
            std::fs::read_link(format!("/proc/{}/exe", shared.shim_pid()))
                .unwrap()
                .ends_with("containerd-shim-peapod-v1 (deleted)")
        );

        assert_eq!(first.exec("echo hi").await, "hi\n");
        let second = shared.container("second").sh("exit 6").start().await;
        assert_eq!(second.wait_exit().await.exit_code, 6);
        // Pod init comes only now, from a binary that is not there any more.
        let wants_init = late.container("shares").sh("sleep 1000").security(|security| {
            security.namespace_options.get_or_insert_default().pid = v1::NamespaceMode::Pod.into();
        });
        let wants_init = wants_init.start().await;
        assert_eq!(wants_init.exec("echo hi").await, "hi\n");
        first.stop(0).await.unwrap();
        shared.remove().await.unwrap();
        // The newer one cleans up after the older one.
        peapod_tests::kill(late.shim_pid());
        assert_eq!(wants_init.wait_exit().await.exit_code, 255);
        late.remove().await.unwrap();
    });
}
