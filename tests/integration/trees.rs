//! What a container makes of its writable layer goes with it, whatever it is.

use peapod_tests::{Options, SHELL, peapod_with, wait_for};

/// Thirty thousand folders in each other, with a file in the last: no path reaches it.
/// A shell can't go there either, so they are put together from the end.
const DEEP: &str = "p=$(printf 'd/%.0s' $(seq 500)); mkdir tree; echo end >tree/file
                    for i in $(seq 60); do mkdir -p new/$p && mv tree new/${p}tree && mv new tree || exit 1; done; echo made";

#[test]
fn folders_in_each_other_are_removed() {
    // In memory: a disk takes a minute for what is a second there.
    peapod_with(&Options::new().state_disk(64), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("deep").run().await;
        let alone = pod.container("alone").sh(DEEP).start().await;
        let with_pod = pod.container("with-pod").sh(DEEP).start().await;
        for container in [&alone, &with_pod] {
            container.wait_exit().await;
            assert_eq!(container.stdout(), "made\n", "{}", container.stderr());
        }
        alone.remove().await.unwrap();
        assert_eq!(daemon.containers().await.len(), 1);
        // What no record leads to is found by the next daemon.
        let stray = daemon.state_root().join("containers/stray");
        std::fs::rename(daemon.state_root().join("containers").join(&with_pod.id), &stray).unwrap();
        daemon.kill().await;
        // What an earlier daemon did not come to the end of.
        let trash = daemon.state_root().join("trash");
        std::fs::create_dir_all(trash.join("0/left")).unwrap();
        daemon.start_again().await;
        wait_for("the trash is empty", async || std::fs::read_dir(&trash).unwrap().next().is_none()).await;
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}
