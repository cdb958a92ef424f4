//! The node was restarted: simulated by another boot id, and by killing what a restart would have ended.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use peapod_tests::{Daemon, Options, Programs, SHELL, WEB, cgroups, kill, peapod_with, v1, wait_for};
use v1::ContainerState::{ContainerCreated, ContainerExited};

/// Runs pods, then lets the node restart; the run root is gone afterwards, or not.
fn restart(keep_run_root: bool) {
    let tmp = tempfile::tempdir().unwrap();
    let boot_id = tmp.path().join("boot_id");
    std::fs::write(&boot_id, "first\n").unwrap();
    let options = Options::new().set(format!("boot_id_file={:?}", boot_id.to_str().unwrap()));
    peapod_with(&options, async |daemon| {
        let one = daemon.pod("one").port(80, 31234).run().await;
        let two = daemon.pod("two").pid(v1::NamespaceMode::Container).run().await;
        let running = one.container("running").sh("sleep 1000").start().await;
        let other = two.container("other").sh("sleep 1000").start().await;
        let waiting = one.container("waiting").sh("true").create().await;
        let ended = one.container("ended").sh("exit 4").start().await;
        let ended_before = ended.wait_exit().await;
        let image = running.status().await.image_id;

        daemon.kill().await;
        for pod in [&one, &two] {
            kill(pod.shim_pid());
        }
        end_processes(daemon).await;
        if !keep_run_root {
            forget_mounts(daemon);
        }
        std::fs::write(&boot_id, "second\n").unwrap();
        daemon.start_again().await;

        // The first list.
        for pod in daemon.pods().await {
            assert_eq!(pod.state(), v1::PodSandboxState::SandboxNotready);
        }
        let mut ends = Vec::new();
        for container in [&running, &other] {
            let status = container.status().await;
            assert_eq!(status.state(), ContainerExited);
            assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"));
            assert!(status.started_at > 0 && status.finished_at > status.started_at);
            ends.push(status.finished_at);
        }
        assert_eq!(waiting.state().await, ContainerCreated);
        assert_eq!(ended.status().await, ended_before);
        assert_eq!(daemon.image(SHELL).await.unwrap().id, image);
        // Nobody asked for it.
        wait_for("networks are given back", async || std::fs::read_dir(daemon.path("netns")).unwrap().count() == 0)
            .await;

        // Its next start says the same.
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!([running.status().await.finished_at, other.status().await.finished_at], ends[..]);

        // As the kubelet goes on: the old one is stopped, a new one takes its address and port.
        one.stop().await.unwrap();
        let next = daemon.pod("one").config(|config| config.metadata.as_mut().unwrap().attempt = 1);
        let next = next.port(80, 31234).run().await;
        let container = next.container("main").sh("echo new").start().await;
        assert_eq!(container.wait_exit().await.exit_code, 0);
    });
}

/// A plugin that passes on what the one before it made, and gives a pod named `stuck` back only once there is a file
/// `open`.
fn make_slow_plugin(dir: &Path) {
    let script = format!(
        r#"#!/bin/sh
case $CNI_COMMAND in
ADD) exec jq -c '.prevResult + {{cniVersion: .cniVersion}}' ;;
DEL)
    case $CNI_ARGS in *K8S_POD_NAME=stuck*)
        touch {dir}/waiting
        while [ ! -e {dir}/open ]; do sleep 0.05; done ;;
    esac ;;
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}}' ;;
esac
"#,
        dir = dir.display()
    );
    std::fs::write(dir.join("slow"), script).unwrap();
    std::fs::set_permissions(dir.join("slow"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_slow_network_plugin_holds_up_only_its_own_pod() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    make_slow_plugin(dir);
    let boot_id = dir.join("boot_id");
    std::fs::write(&boot_id, "first\n").unwrap();
    let options = Options::new().set(format!("boot_id_file={:?}", boot_id.to_str().unwrap())).set(format!(
        "network.cni_bin_dirs=[{:?}, {:?}]",
        Programs::get().cni,
        dir
    ));
    peapod_with(&options, async |daemon| {
        let leases = daemon.path("leases");
        std::fs::create_dir_all(daemon.path("cni")).unwrap();
        let list = format!(
            r#"{{"cniVersion":"1.0.0","name":"slow","plugins":[
            {{"type":"bridge","bridge":"ptslow0","isGateway":true,
              "ipam":{{"type":"host-local","dataDir":{leases:?},"ranges":[[{{"subnet":"10.198.0.0/24"}}]]}}}},
            {{"type":"slow"}}]}}"#
        );
        std::fs::write(daemon.path("cni/10-slow.conflist"), list).unwrap();
        // The directory is looked at now and then.
        let network = async || daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner();
        wait_for("the plugins are used", async || format!("{:?}", network().await).contains("CNI network slow")).await;
        let stuck = daemon.pod("stuck").run().await;
        let mut quick = Vec::new();
        for name in ["quick-1", "quick-2", "quick-3"] {
            quick.push(daemon.pod(name).run().await);
        }
        let container = stuck.container("main").sh("sleep 1000").start().await;

        daemon.kill().await;
        for pod in quick.iter().chain([&stuck]) {
            kill(pod.shim_pid());
        }
        end_processes(daemon).await;
        forget_mounts(daemon);
        for namespace in std::fs::read_dir(daemon.path("netns")).unwrap().flatten() {
            nix::mount::umount2(&namespace.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
            std::fs::remove_file(namespace.path()).unwrap();
        }
        std::fs::write(&boot_id, "second\n").unwrap();
        daemon.start_again().await;
        for pod in daemon.pods().await {
            assert_eq!(pod.state(), v1::PodSandboxState::SandboxNotready);
        }
        assert_eq!(container.state().await, ContainerExited);
        wait_for("the plugin hangs", async || dir.join("waiting").exists()).await;
        // The others are stopped and removed, new ones start, of the same name too.
        for pod in &quick {
            pod.stop().await.unwrap();
            pod.remove().await.unwrap();
        }
        let next = daemon.pod("stuck").config(|config| config.metadata.as_mut().unwrap().attempt = 1).run().await;
        assert!(next.ip().await.starts_with("10.198.0."));
        let waits = tokio::time::timeout(Duration::from_millis(300), stuck.stop()).await;
        assert!(waits.is_err(), "{waits:?}");
        assert!(!dir.join("open").exists());
        std::fs::write(dir.join("open"), "").unwrap();
        stuck.stop().await.unwrap();
        for pod in [stuck, next] {
            pod.remove().await.unwrap();
        }
        let kept = std::fs::read_dir(leases.join("slow")).unwrap().flatten();
        let kept: Vec<_> =
            kept.map(|file| file.file_name()).filter(|n| n.to_string_lossy().starts_with("10.")).collect();
        assert!(kept.is_empty(), "{kept:?}");
    });
    // The bridge is its plugin's, which leaves it.
    std::process::Command::new("ip").args(["link", "delete", "ptslow0"]).status().unwrap();
}

/// A restart ends all processes, and with them their cgroups.
async fn end_processes(daemon: &Daemon) {
    for parent in cgroups::dirs(&daemon.cgroup()) {
        let groups = std::fs::read_dir(parent).into_iter().flatten().flatten();
        for group in groups.map(|entry| entry.path()).filter(|path| path.is_dir()) {
            let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            pids.lines().filter_map(|pid| pid.parse().ok()).for_each(kill);
            wait_for("its cgroup is empty", async || std::fs::remove_dir(&group).is_ok() || !group.exists()).await;
        }
    }
}

/// A restart ends all mounts, and with its tmpfs the run root is empty.
fn forget_mounts(daemon: &Daemon) {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut below: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    below.retain(|target| target.starts_with(daemon.run_root().to_str().unwrap()));
    for target in below.iter().rev() {
        nix::mount::umount2(*target, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn after_a_restart_pods_are_over() {
    restart(false);
}

#[test]
fn a_run_root_that_survived_a_restart_changes_nothing() {
    restart(true);
}

/// All layers, by the name of their folder.
fn layers(daemon: &Daemon) -> BTreeSet<String> {
    let folders = std::fs::read_dir(daemon.state_root().join("layers")).unwrap().flatten();
    folders.map(|folder| folder.file_name().into_string().unwrap()).collect()
}

#[test]
fn a_layer_that_a_crash_damaged_is_pulled_again_and_no_other() {
    let tmp = tempfile::tempdir().unwrap();
    let boot_id = tmp.path().join("boot_id");
    std::fs::write(&boot_id, "first\n").unwrap();
    let options = Options::new().set(format!("boot_id_file={:?}", boot_id.to_str().unwrap()));
    peapod_with(&options, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let of_shell = layers(daemon);
        let web = daemon.pull(WEB).await.unwrap();
        let before = layers(daemon);
        daemon.kill().await;
        // As a file system leaves it that lost what was not written: the file is there, its content is not.
        let busybox =
            of_shell.iter().map(|layer| daemon.state_root().join("layers").join(layer).join("diff/bin/busybox"));
        let busybox: Vec<_> = busybox.filter(|path| path.exists()).collect();
        assert_eq!(busybox.len(), 1, "{of_shell:?}");
        std::fs::File::create(&busybox[0]).unwrap();
        std::fs::write(&boot_id, "second\n").unwrap();
        daemon.start_again().await;
        wait_for("the image is not listed any more", async || daemon.image(SHELL).await.is_none()).await;
        // It lies on the same layer.
        assert!(daemon.image(WEB).await.is_none());
        let pod = daemon.pod("again").run().await;
        assert_eq!(pod.container("main").sh("echo whole").output().await, "whole\n");
        wait_for("the damaged layer is gone", async || layers(daemon).len() == before.len()).await;
        assert_eq!(layers(daemon).intersection(&before).count(), before.len() - 1);
        assert!(!busybox[0].exists());
        // Its own layers were never in question.
        assert_eq!(daemon.image(WEB).await.unwrap().id, web);
        daemon.kill().await;
        daemon.start_again().await;
        assert!(daemon.image(SHELL).await.is_some() && daemon.image(WEB).await.is_some());
    });
}
