//! File systems that do not answer: of volumes, of a folder that is looked at.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use peapod_tests::{Daemon, SHELL, peapod, v1, wait_for};

/// A file system that answers nothing until it is dropped, and then with errors.
struct Dead {
    _server: File,
    path: PathBuf,
}

impl Dead {
    fn mount(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("dead"), path, Some("fuse.dead"), flags, Some(options.as_str())).unwrap();
        Self { _server: server, path: path.to_owned() }
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        // Without its server it answers again, whether it is mounted or not.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

/// Threads of the daemon that wait in the kernel and can't be called back.
fn stuck(daemon: &Daemon) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('D'))).count()
}

#[test]
fn they_keep_few_threads_and_no_other_pod() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let other = daemon.pod("other").run().await;
        let shell = other.container("shell").sh("sleep 1000").start().await;
        let dead = Dead::mount(&daemon.path("dead"));
        let pods = [daemon.pod("one").run().await, daemon.pod("two").run().await];
        let asked = (0..60).map(async |number: usize| {
            let mounted = pods[number % 2].container(&format!("c{number}")).sh("true");
            mounted.mount(dead.path.join("x"), "/x").try_create().await
        });
        let others_work = async {
            wait_for("as many wait as may", async || stuck(daemon) >= 2 * 4).await;
            assert_eq!(shell.exec("echo alive").await, "alive\n");
            let late = daemon.pod("late").run().await;
            assert_eq!(late.container("main").sh("echo here").output().await, "here\n");
            late.remove().await.unwrap();
            // Each pod's four, and whoever waits for the disk just now.
            let now = stuck(daemon);
            assert!(now <= 2 * 4 + 4, "{now} threads wait for dead volumes");
        };
        tokio::select! {
            answers = join_all(asked) => panic!("the dead volume answers: {:?}", answers[0].as_ref().err()),
            () = others_work => {}
        }
        // Theirs end as soon as it answers, be it with an error.
        drop(dead);
        for pod in pods {
            assert_eq!(pod.container("again").sh("echo here").output().await, "here\n");
            pod.remove().await.unwrap();
        }
        other.remove().await.unwrap();
    });
}

async fn network(daemon: &Daemon) -> v1::RuntimeCondition {
    let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner().status.unwrap();
    status.conditions.into_iter().find(|condition| condition.r#type == "NetworkReady").unwrap()
}

#[test]
fn a_start_with_a_dead_folder_of_cni_configurations_is_told_of() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("before").run().await;
        let shell = pod.container("shell").sh("sleep 1000").start().await;
        daemon.end(Signal::SIGKILL).await;
        let dead = Dead::mount(&daemon.path("cni"));
        daemon.start_again().await;
        // What runs needs no network that is made.
        assert_eq!(shell.exec("echo alive").await, "alive\n");
        for _ in 0..2 {
            let network = network(daemon).await;
            assert!(!network.status, "{network:?}");
            let folder = daemon.path("cni").display().to_string();
            assert!(network.reason == "NetworkNotLookedAt" && network.message.contains(&folder), "{network:?}");
        }
        drop(dead);
        wait_for("a network", async || network(daemon).await.status).await;
        daemon.pod("after").run().await.remove().await.unwrap();
        pod.remove().await.unwrap();
    });
}
