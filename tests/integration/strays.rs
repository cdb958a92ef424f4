//! What no record leads to is ended under a running daemon, and nothing else is.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command};

use futures_util::future::join_all;
use peapod_tests::{Daemon, Programs, SHELL, cgroups, peapod, v1, wait_for};
use v1::ContainerState::ContainerRunning;

/// Nobody's id: its digits are those of `seed`, again and again.
fn id(seed: &str) -> String {
    seed.repeat(64 / seed.len())
}

fn leases(daemon: &Daemon, sql: &str) -> i64 {
    let db = rusqlite::Connection::open(daemon.state_root().join("image.db")).unwrap();
    db.busy_timeout(peapod_tests::default_timeout()).unwrap();
    if !sql.is_empty() {
        db.execute_batch(sql).unwrap();
    }
    db.query_row("SELECT count(*) FROM leases WHERE holder LIKE 'f0%' OR holder = 'nobody'", [], |row| row.get(0))
        .unwrap()
}

/// A shim as the daemon starts it, whose pod nobody knows.
fn shim(daemon: &Daemon, id: &str) -> Child {
    let bundle = daemon.run_root().join("pods").join(id);
    fs::create_dir_all(bundle.join("containers")).unwrap();
    let listener = UnixListener::bind(daemon.run_root().join("s").join(&id[..16])).unwrap();
    let child = Command::new(&Programs::get().shim)
        .args(["-namespace", "peapod", "-id", id, "-bundle"])
        .arg(&bundle)
        .current_dir(&bundle)
        .stdin(std::os::fd::OwnedFd::from(listener))
        .spawn()
        .unwrap();
    for group in cgroups::dirs(&daemon.shims_cgroup()).into_iter().filter(|group| group.exists()) {
        // The extra tree of a hybrid node has no such group.
        let _ = fs::write(group.join("cgroup.procs"), child.id().to_string());
    }
    child
}

/// Files and folders of nobody.
fn files(daemon: &Daemon, seed: &str) -> Vec<PathBuf> {
    let (run, state, id) = (daemon.run_root(), daemon.state_root(), id(seed));
    let made = [
        run.join("pods").join(&id),
        run.join("pods/rubbish"),
        run.join("s").join(&id[..16]),
        run.join("s/rubbish"),
        run.join("runtimes/crun").join(&id),
        state.join("containers").join(&id),
        state.join("containers/rubbish"),
    ];
    for path in &made {
        fs::create_dir_all(path.join("with/something")).unwrap();
    }
    made.into()
}

/// A pod's life, with all that leaves something anywhere.
async fn life(daemon: &Daemon, name: &str) {
    let pod = daemon.pod(name).run().await;
    let container = pod.container("main").sh("echo whole; sleep 1000").start().await;
    let waiting = pod.container("waiting").sh("echo late").create().await;
    wait_for("it says something", async || container.stdout() == "whole\n").await;
    assert_eq!(container.exec("echo here").await, "here\n");
    waiting.start().await.unwrap();
    waiting.wait_exit().await;
    assert_eq!(waiting.stdout(), "late\n");
    pod.stop().await.unwrap();
    pod.remove().await.unwrap();
}

#[test]
fn what_no_record_knows_is_ended_beside_pods_that_come_and_go() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let stays = daemon.pod("stays").run().await;
        let running = stays.container("running").sh("sleep 1000").start().await;
        let waiting = stays.container("waiting").sh("sleep 1000").create().await;

        let strays = async {
            // Twice: the second ones meet looks that remember the first.
            for seed in ["f0", "f012"] {
                let mut shim = shim(daemon, &id("f0ab"));
                let files = files(daemon, seed);
                let of = "SELECT image_id, chain_id FROM leases LIMIT 1";
                let sql = format!(
                    "INSERT INTO leases SELECT '{}', 'rootfs', * FROM ({of}); INSERT INTO leases SELECT 'nobody', 'x', * FROM ({of})",
                    id(seed)
                );
                assert_eq!(leases(daemon, &sql), 2);
                wait_for("the shim ends", async || shim.try_wait().unwrap().is_some()).await;
                wait_for("files and folders go", async || !files.iter().any(|path| path.exists())).await;
                wait_for("leases are given back", async || leases(daemon, "") == 0).await;
                assert!(!daemon.run_root().join("pods").join(id("f0ab")).exists());
            }
        };
        let over = std::cell::Cell::new(false);
        let lives = join_all((0..3).map(async |number| {
            let mut round = 0;
            while !over.get() {
                life(daemon, &format!("life-{number}-{round}")).await;
                round += 1;
            }
            assert!(round > 1);
        }));
        let strays = async {
            strays.await;
            over.set(true);
        };
        tokio::join!(lives, strays);

        assert!(stays.is_ready().await);
        assert_eq!(running.state().await, ContainerRunning);
        assert_eq!(running.exec("echo here").await, "here\n");
        // What it holds since long before is still there.
        daemon.images().remove_image(v1::RemoveImageRequest { image: Some(spec()) }).await.unwrap();
        waiting.start().await.unwrap();
        assert_eq!(waiting.exec("echo here").await, "here\n");
    });
}

fn spec() -> v1::ImageSpec {
    v1::ImageSpec { image: peapod_tests::fixture(SHELL), ..Default::default() }
}
