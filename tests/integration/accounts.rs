//! What a pod fills is its own.

use peapod_tests::{Daemon, Options, Pod, SHELL, on_each_runtime, peapod, peapod_with, v1, wait_for};

const ATTACK: &str = "peapod/test-attack:1";

/// Free KiB and inodes of the file system of a path.
fn free(path: &std::path::Path) -> (u64, u64) {
    let found = nix::sys::statvfs::statvfs(path).unwrap();
    (found.blocks_available() * found.fragment_size() / 1024, found.files_available())
}

#[test]
fn files_that_a_pod_gets_fill_nothing_of_the_nodes() {
    peapod_with(&Options::new(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let (before, _) = free(&daemon.run_root());
        let fill = "for file in /etc/hostname /etc/hosts /etc/resolv.conf; do
                        dd if=/dev/zero of=$file bs=1M count=200 2>&1 | grep -o 'No space left' || echo $file grew
                    done";
        let ipc_of_node = daemon.pod("ipc-of-node").config(|config| {
            let options = config.linux.get_or_insert_default().security_context.get_or_insert_default();
            options.namespace_options.get_or_insert_default().ipc = v1::NamespaceMode::Node.into();
        });
        for (pod, most) in [(daemon.pod("fills").run().await, 70 << 10), (ipc_of_node.run().await, 6 << 10)] {
            let container = pod.container("fills").sh(fill).start().await;
            container.wait_exit().await;
            assert_eq!(container.stdout().matches("No space left").count(), 3, "{}", container.stdout());
            let size = pod.container("size").sh("stat -f -c '%b %S' /etc/hosts").output().await;
            let words: Vec<u64> = size.split_whitespace().map(|word| word.parse().unwrap()).collect();
            assert!(words[0] * words[1] / 1024 <= most, "{size}");
            // Full as it is, it goes on.
            assert_eq!(pod.container("next").sh("echo here").output().await, "here\n");
        }
        let (after, _) = free(&daemon.run_root());
        assert!(before - after < 4 << 10, "the run root lost {} KiB", before - after);
    });
}

#[test]
fn shared_memory_has_a_size_and_a_number_of_files() {
    peapod(async |daemon| {
        let pod = daemon.pod("shm").run().await;
        let fill = "dd if=/dev/zero of=/dev/shm/x bs=1M 2>/dev/null; rm /dev/shm/x; seq 70000 >/tmp/names; cd /dev/shm
                    xargs touch </tmp/names 2>&1 | grep -o 'No space left' | head -n 1; ls / >/dev/null && echo lives";
        assert_eq!(pod.container("fills").sh(fill).output().await, "No space left\nlives\n");
        assert_eq!(pod.container("next").sh("hostname").output().await, "shm\n");
    });
}

#[test]
fn devices_have_room_for_a_number_of_files() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("dev").run().await;
        let fill = "seq 20000 >/tmp/names; cd /dev
                    xargs mkdir </tmp/names 2>&1 | grep -o 'No space left' | head -n 1; ls / >/dev/null && echo lives";
        assert_eq!(pod.container("fills").sh(fill).output().await, "No space left\nlives\n");
    });
}

#[test]
fn statistics_tell_of_the_pods_interfaces_and_of_some() {
    peapod(async |daemon| {
        let pod = daemon.pod("interfaces").run().await;
        let make = "i=0; while [ $i -lt 100 ]; do ip link add v$i type veth || exit; i=$((i + 1)); done
                    echo made; sleep 1000";
        // In a network namespace of its own, and in the pod's.
        let left = pod.container("left").sh(&format!("exec unshare -r -n sh -c '{make}'")).start().await;
        left.wait_log("made").await;
        let interfaces = async || {
            let request = v1::PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
            let stats = daemon.runtime().pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap();
            let network = stats.linux.unwrap().network;
            network.map(|network| (network.default_interface.map(|own| own.name), network.interfaces.len()))
        };
        assert_eq!(interfaces().await, None);
        let stays = pod.container("stays").sh("sleep 1000").start().await;
        assert_eq!(interfaces().await, Some((Some("eth0".to_owned()), 0)));
        let admin = pod.container("admin").sh(make).security(|security| {
            let add_capabilities = vec!["NET_ADMIN".to_owned()];
            security.capabilities = Some(v1::Capability { add_capabilities, ..Default::default() });
        });
        let admin = admin.start().await;
        admin.wait_log("made").await;
        assert_eq!(interfaces().await, Some((Some("eth0".to_owned()), 64)));
        for container in [left, stays, admin] {
            container.stop(0).await.unwrap();
        }
    });
}

#[test]
fn a_container_opens_some_terminals_and_leaves_some() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("hostile").run().await;
        let hostile = pod.container("hostile").image(ATTACK).command(&["/attack", "terminals", "hold"]).start().await;
        hostile.wait_log("all tried").await;
        // ENOSPC, and not EMFILE.
        assert!(hostile.stdout().contains("terminals last 28"), "{}", hostile.stdout());
        let other = daemon.pod("other").run().await;
        let with_one =
            other.container("main").sh("test -t 0 && echo terminal").config(|config| config.tty = true).start().await;
        with_one.wait_log("terminal").await;
        let opened = pod.container("count").sh("cat /proc/sys/kernel/pty/nr").output().await;
        assert!(opened.trim().parse::<u32>().unwrap() < 3072, "{opened}");
    });
}

/// They count for a user of the whole node, and an OCI runtime needs one of root's for each container.
#[test]
fn keys_that_a_container_uses_up_keep_no_other_from_starting() {
    on_each_runtime(async |daemon| {
        let session = async |pod: &Pod<'_>, name: &str| {
            let asks = pod.container(name).image(ATTACK).command(&["/attack", "session", "hold"]).start().await;
            asks.wait_log("session keyring").await;
            let exec = asks.try_exec(&["/attack", "session"], 20).await.unwrap().stdout;
            let line = |text: &str| text.lines().find(|line| line.starts_with("session")).unwrap().to_owned();
            (line(&asks.stdout()), line(&exec))
        };
        let before = daemon.pod("before").run().await;
        let first = session(&before, "first").await;
        let hostile = before.container("hostile").image(ATTACK).command(&["/attack", "keys", "hold"]).start().await;
        hostile.wait_log("all tried").await;
        // EDQUOT.
        assert!(hostile.stdout().contains("keys last 122"), "{}", hostile.stdout());
        let beside = session(&before, "beside").await;
        let after = daemon.pod("after").run().await;
        let late = session(&after, "late").await;
        let log = std::fs::read_to_string(daemon.run_root().join("pods").join(&after.id).join("shim.log")).unwrap();
        assert!(!log.contains("attribute stays"), "{log}");
        let shell = after.container("shell").sh("sleep 1000").start().await;
        assert_eq!(shell.exec("echo one").await, "one\n");
        hostile.stop(0).await.unwrap();
        // No pod has another's.
        let own = std::collections::BTreeSet::from([&first.0, &beside.0, &late.0]);
        assert_eq!(own.len(), 3, "{own:?}");
        assert!(first.1 != late.1 && beside.1 != late.1, "{first:?} {late:?}");
    });
}

#[test]
fn the_run_root_has_a_size() {
    peapod(async |daemon| {
        let size = |daemon: &Daemon| {
            let found = nix::sys::statvfs::statvfs(&daemon.run_root()).unwrap();
            (found.blocks() * found.fragment_size(), found.files())
        };
        let (bytes, inodes) = size(daemon);
        assert!(bytes <= 1 << 30 && inodes <= 1 << 20, "{bytes} bytes, {inodes} inodes");
        // Also one that an older daemon made.
        let none: Option<&str> = None;
        let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NODEV;
        nix::mount::mount(none, &daemon.run_root(), none, flags, Some("size=4g")).unwrap();
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(size(daemon), (bytes, inodes));
    });
}

/// Bytes and inodes of all writable layers.
async fn layers(daemon: &Daemon) -> (u64, u64) {
    let info = daemon.images().image_fs_info(v1::ImageFsInfoRequest {}).await.unwrap().into_inner();
    let of = |value: &Option<v1::UInt64Value>| value.as_ref().map_or(0, |value| value.value);
    info.container_filesystems.first().map_or((0, 0), |usage| (of(&usage.used_bytes), of(&usage.inodes_used)))
}

#[test]
fn what_lies_deep_in_a_layer_counts() {
    peapod_with(&Options::new().state_disk(64), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("deep").run().await;
        // Eight MiB below a path of 6000 bytes, and as many links to it as would be eight times as much.
        let script =
            "p=$(printf 'd/%.0s' $(seq 500)); mkdir tree; dd if=/dev/zero of=tree/file bs=1M count=8 2>/dev/null
                      for i in $(seq 7); do ln tree/file tree/link-$i; done
                      for i in $(seq 6); do mkdir -p new/$p && mv tree new/${p}tree && mv new tree || exit 1; done
                      ln -s / tree/root; sleep 1000";
        let container = pod.container("deep").sh(script).start().await;
        // Nobody asks for the container's statistics.
        let deep = |(bytes, inodes)| (8 << 20..9 << 20).contains(&bytes) && (3000..3100).contains(&inodes);
        wait_for("the layer is counted", async || deep(layers(daemon).await)).await;
        let request = v1::ContainerStatsRequest { container_id: container.id.clone() };
        let stats = daemon.runtime().container_stats(request).await.unwrap().into_inner().stats.unwrap();
        let layer = stats.writable_layer.unwrap();
        assert!(deep((layer.used_bytes.unwrap().value, layer.inodes_used.unwrap().value)));
        // Nor does the next daemon have to be asked.
        daemon.kill().await;
        daemon.start_again().await;
        wait_for("the layer is counted again", async || deep(layers(daemon).await)).await;
        container.remove().await.unwrap();
        wait_for("it is forgotten with its container", async || layers(daemon).await == (0, 0)).await;
    });
}
