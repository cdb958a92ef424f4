//! A container's configuration is made once: what changes between create and start is noticed, or of no account.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use peapod_tests::{Container, Daemon, METADATA, derived, on_each_runtime, peapod, v1, wait_for};
use serde_json::{Value, json};
use tonic::Code;
use v1::ContainerState::ContainerExited;

fn bundle(container: &Container<'_>) -> PathBuf {
    let pods = container.pod.daemon.run_root().join("pods");
    pods.join(&container.pod.id).join("containers").join(&container.id)
}

/// What the verbose status shows.
async fn shown(container: &Container<'_>) -> Value {
    let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: true };
    let answer = container.pod.daemon.runtime().container_status(request).await.unwrap().into_inner();
    serde_json::from_str::<Value>(&answer.info["info"]).unwrap()["runtimeSpec"].take()
}

fn folder(daemon: &Daemon, name: &str, content: &str) -> PathBuf {
    let folder = daemon.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), content).unwrap();
    folder
}

#[test]
fn a_created_container_shows_its_configuration_and_starts_with_it() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("shown").run().await;
        let volume = folder(daemon, "volume", "mounted\n");
        let limited = pod
            .container("main")
            .sh("cat /mnt/file; exec sleep 1000")
            .env("KEPT", "yes")
            .mount(&volume, "/mnt")
            .resources(|limits| limits.memory_limit_in_bytes = 64 << 20)
            .security(|security| {
                let profile = v1::security_profile::ProfileType::RuntimeDefault;
                security.seccomp = Some(v1::SecurityProfile { profile_type: profile.into(), ..Default::default() });
            });
        let container = limited.create().await;
        let created = shown(&container).await;
        assert_eq!(created["process"]["args"], json!(["/bin/sh", "-c", "cat /mnt/file; exec sleep 1000"]));
        assert_eq!(created["linux"]["resources"]["memory"]["limit"], json!(64 << 20));
        let mounts = created["mounts"].as_array().unwrap();
        assert!(mounts.iter().any(|mount| mount["source"] == json!(volume)), "{mounts:?}");

        container.update(|limits| limits.memory_limit_in_bytes = 96 << 20).await.unwrap();
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(shown(&container).await["linux"]["resources"]["memory"]["limit"], json!(96 << 20));
        container.start().await.unwrap();
        container.wait_log("mounted").await;
        let started = shown(&container).await;
        for same in ["/process/env", "/process/user", "/mounts", "/linux/seccomp", "/linux/maskedPaths", "/root"] {
            assert_eq!(started.pointer(same), created.pointer(same), "{same}");
        }
        assert_eq!(limit(&started, pid(&container).await), 96 << 20);
        assert_eq!(container.exec("echo $KEPT").await, "yes\n");
    });
}

async fn pid(container: &Container<'_>) -> u64 {
    let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: true };
    let answer = container.pod.daemon.runtime().container_status(request).await.unwrap().into_inner();
    serde_json::from_str::<Value>(&answer.info["info"]).unwrap()["pid"].as_u64().unwrap()
}

/// The memory limit that is in force.
fn limit(spec: &Value, pid: u64) -> u64 {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let v1 = groups.lines().find_map(|line| line.split_once(":memory:"));
    let file = match v1 {
        Some((_, group)) => format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"),
        None => format!("/sys/fs/cgroup{}/memory.max", groups.trim().trim_start_matches("0::")),
    };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}; {spec}"));
    text.trim().parse().unwrap()
}

#[test]
fn what_was_there_at_create_is_mounted() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("links").run().await;
        let (first, second) = (folder(daemon, "first", "first\n"), folder(daemon, "second", "second\n"));
        let link = daemon.path("link");
        symlink(&first, &link).unwrap();
        let container = pod.container("main").sh("cat /mnt/file").mount(&link, "/mnt").create().await;
        // As an update of a program does it, whose newest version has a link of its own.
        std::fs::remove_file(&link).unwrap();
        symlink(&second, &link).unwrap();
        container.start().await.unwrap();
        container.wait_log("first").await;
        std::fs::remove_file(&link).unwrap();
    });
}

#[allow(clippy::disallowed_methods, reason = "the test's own folder")]
fn remove(folder: impl AsRef<Path>) {
    std::fs::remove_dir_all(folder).unwrap();
}

/// Starts a container after a change to what it mounts; the refusal, and that it is over then.
async fn refused(container: &Container<'_>, word: &str) {
    let refused = container.start().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    for word in [word, &container.id, "create it again"] {
        assert!(refused.message().contains(word), "{word}: {refused}");
    }
    let status = container.status().await;
    assert_eq!((status.state(), status.exit_code), (ContainerExited, 128));
    assert_eq!(status.reason, "StartError");
    container.remove().await.unwrap();
}

#[test]
fn a_source_that_became_a_link_is_not_followed() {
    peapod(async |daemon| {
        let pod = daemon.pod("swapped").run().await;
        let secret = folder(daemon, "secret", "secret\n");
        let shared = daemon.path("shared");
        // What a container with this volume can do while another one waits for its start.
        for (swapped, mounted) in [("deep", "deep/er"), ("last", "last")] {
            let mounted = shared.join(mounted);
            std::fs::create_dir_all(&mounted).unwrap();
            let container = pod.container("main").sh("cat /mnt/file").mount(&mounted, "/mnt").create().await;
            let swapped = shared.join(swapped);
            remove(&swapped);
            std::fs::create_dir_all(secret.join("er")).unwrap();
            symlink(&secret, &swapped).unwrap();
            refused(&container, "symbolic link").await;
            std::fs::remove_file(&swapped).unwrap();
        }
        // Nothing is made through a link either.
        let absent = shared.join("below/absent");
        let container = pod.container("main").sh("true").mount(&absent, "/mnt").create().await;
        remove(shared.join("below"));
        symlink(&secret, shared.join("below")).unwrap();
        refused(&container, "symbolic link").await;
        assert!(!secret.join("absent").exists());
    });
}

#[test]
fn a_source_that_vanished_is_made_again() {
    peapod(async |daemon| {
        let pod = daemon.pod("vanished").run().await;
        let volume = folder(daemon, "volume", "old\n");
        let container = pod.container("main").sh("ls -A /mnt; echo listed").mount(&volume, "/mnt").create().await;
        remove(&volume);
        container.start().await.unwrap();
        container.wait_log("listed").await;
        assert_eq!(container.stdout(), "listed\n");
    });
}

fn make_device(path: &Path, minor: u64) {
    mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, minor)).unwrap();
}

#[test]
fn another_device_of_that_name_is_not_given() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("device").run().await;
        let folder = daemon.path("devices");
        std::fs::create_dir(&folder).unwrap();
        let node = folder.join("mine");
        make_device(&node, 5);
        let asking = |name: &str, host: &Path, inside: &str| {
            let device = v1::Device {
                host_path: host.to_str().unwrap().to_owned(),
                container_path: inside.to_owned(),
                permissions: "r".to_owned(),
            };
            pod.container(name).sh("head -c 1 /dev/mine | od -An -tx1").config(|config| config.devices.push(device))
        };
        assert_eq!(asking("same", &node, "/dev/mine").output().await, " 00\n");
        for (name, host, inside) in [("alone", &node, "/dev/mine"), ("folder", &folder, "/dev")] {
            let container = asking(name, host, inside).create().await;
            std::fs::remove_file(&node).unwrap();
            make_device(&node, 11);
            refused(&container, "1:11").await;
            std::fs::remove_file(&node).unwrap();
            make_device(&node, 5);
        }
        let container = asking("gone", &node, "/dev/mine").create().await;
        std::fs::remove_file(&node).unwrap();
        refused(&container, "No such file").await;
        std::fs::remove_dir(&folder).unwrap();
    });
}

#[test]
fn a_container_without_a_kept_configuration_starts() {
    let image = derived(METADATA, "unkept", &json!({ "User": "33:33", "Volumes": { "/data": {} } }));
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("unkept").run().await;
        for (name, damage) in [("older", 0), ("torn", 1), ("fifo", 2), ("other", 3)] {
            let main =
                pod.container(name).image(&image).sh("echo x >/data/new && cat /data/new; id -u; exec sleep 1000");
            let container = main.security(|security| security.readonly_rootfs = true).create().await;
            daemon.kill().await;
            let (bundle, config) = (bundle(&container), bundle(&container).join("config.json"));
            match damage {
                // A release that kept none made no bundle before the start.
                0 => remove(&bundle),
                1 => {
                    let whole = std::fs::read(&config).unwrap();
                    std::fs::write(&config, &whole[..whole.len() / 2]).unwrap();
                }
                2 => {
                    std::fs::remove_file(&config).unwrap();
                    nix::unistd::mkfifo(&config, Mode::S_IRUSR).unwrap();
                }
                _ => std::fs::write(&config, "[]").unwrap(),
            }
            daemon.start_again().await;
            container.start().await.unwrap();
            container.wait_log("33").await;
            assert_eq!(container.stdout(), "x\n33\n", "{name}");
            assert_eq!(container.exec("id -u").await, "33\n", "{name}");
        }
    });
}

#[test]
fn what_nobody_recorded_is_removed() {
    peapod(async |daemon| {
        let pod = daemon.pod("unrecorded").run().await;
        let container = pod.container("main").sh("sleep 1000").create().await;
        let refused = pod.container("refused").sh("true").config(|config| config.working_dir = "relative".to_owned());
        assert!(refused.try_create().await.is_err());
        let containers = bundle(&container).parent().unwrap().to_owned();
        let count = || std::fs::read_dir(&containers).unwrap().count();
        assert_eq!(count(), 1, "a refused container leaves nothing");
        let left = containers.join("e".repeat(64));
        daemon.kill().await;
        std::fs::create_dir(&left).unwrap();
        std::fs::copy(bundle(&container).join("config.json"), left.join("config.json")).unwrap();
        daemon.start_again().await;
        wait_for("the folder of no container is removed", async || count() == 1).await;
        container.start().await.unwrap();
        container.remove().await.unwrap();
        assert_eq!(count(), 0);
    });
}
