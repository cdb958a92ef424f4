//! Pods with users of their own.

mod networks;
mod refusals;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use peapod_tests::{
    Container, ContainerBuilder, Daemon, METADATA, Options, Pod, PodBuilder, SHELL, at_most, derived, fixture,
    peapod_with, v1, wait_for,
};
use tonic::Code;
use v1::NamespaceMode;

use crate::info;

/// The node's user who is root in the pods of these tests, and how many a pod has.
const FIRST: u32 = 200_000;
const COUNT: u32 = 65_536;

fn mapping(container_id: u32, host_id: u32, length: u32) -> v1::IdMapping {
    v1::IdMapping { host_id, container_id, length }
}

fn users(mode: NamespaceMode, ids: &[v1::IdMapping]) -> v1::UserNamespace {
    v1::UserNamespace { mode: mode.into(), uids: ids.to_vec(), gids: ids.to_vec() }
}

fn own() -> v1::UserNamespace {
    users(NamespaceMode::Pod, &[mapping(0, FIRST, COUNT)])
}

fn with_own(builder: PodBuilder<'_>) -> PodBuilder<'_> {
    builder.namespaces(|options| options.userns_options = Some(own()))
}

/// As a kubelet does: a container says the same as its pod, and each of its mounts is mapped.
fn mapped<'a>(pod: &Pod<'a>, name: &str) -> ContainerBuilder<'a> {
    let options = pod.config.linux.clone().unwrap_or_default().security_context.unwrap_or_default().namespace_options;
    pod.container(name).security(|security| security.namespace_options = options)
}

fn map(mount: &mut v1::Mount) {
    let ids = vec![mapping(0, FIRST, COUNT)];
    (mount.uid_mappings, mount.gid_mappings) = (ids.clone(), ids);
}

fn runc(test: impl AsyncFnOnce(&Daemon)) {
    peapod_with(&Options::new().handler("runc"), test);
}

fn upper(daemon: &Daemon, container: &Container<'_>) -> PathBuf {
    daemon.state_root().join("containers").join(&container.id).join("upper")
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (found.uid(), found.gid())
}

#[test]
fn root_inside_is_nobody_on_the_node_and_files_are_its_own() {
    runc(async |daemon| {
        let volume = daemon.path("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("given"), "given").unwrap();
        chown(volume.join("given"), Some(33), Some(44)).unwrap();
        let pod = with_own(daemon.pod("own")).run().await;
        let main = mapped(&pod, "main").mount_with(&volume, "/data", map).sh("sleep 1000").start().await;
        for map in ["uid_map", "gid_map"] {
            let shown = main.exec(&format!("cat /proc/self/{map}")).await;
            assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), ["0", "200000", "65536"], "{map}");
        }
        // The image's files are root's by a mapping alone, and what is changed of them is copied as root's.
        assert_eq!(main.exec("stat -c %u:%g / /bin /etc/passwd | sort -u").await, "0:0\n");
        main.exec("echo x >/new && chown 7:8 /new && echo y >>/etc/passwd && mkdir /etc/made && rm /bin/ls").await;
        let upper = upper(daemon, &main);
        assert_eq!(owner(&upper), (FIRST, FIRST));
        assert_eq!(owner(&upper.join("new")), (FIRST + 7, FIRST + 8));
        assert_eq!(owner(&upper.join("etc/passwd")), (FIRST, FIRST));
        assert_eq!(main.exec("stat -c %u:%g /etc /etc/passwd /etc/made | sort -u").await, "0:0\n");
        // In a volume they have the owners that they have inside.
        assert_eq!(main.exec("stat -c %u:%g /data/given").await, "33:44\n");
        main.exec("echo x >/data/made && chown 5:6 /data/made").await;
        assert_eq!(owner(&volume.join("made")), (5, 6));
        // What the pod has for its containers is its root's.
        let files = "/etc/hostname /etc/hosts /etc/resolv.conf /dev/shm";
        assert_eq!(main.exec(&format!("stat -c %u:%g {files} | sort -u")).await, "0:0\n");
        main.exec("echo 127.0.0.9 added >>/etc/hosts && touch /dev/shm/x").await;
        let second = mapped(&pod, "second").sh("grep -c added /etc/hosts; stat -c %u:%g /dev/shm/x").output().await;
        assert_eq!(second, "1\n0:0\n");
        // On the node they are somebody without rights.
        let process = fs::metadata(format!("/proc/{}", info::of_container(&main).await["pid"])).unwrap();
        assert_eq!((process.uid(), process.gid()), (FIRST, FIRST));
        let shown = pod.status().await.linux.unwrap().namespaces.unwrap().options.unwrap().userns_options;
        assert_eq!(shown, Some(own()));
    });
}

#[test]
fn streams_can_be_opened_anew_by_who_runs() {
    runc(async |daemon| {
        let pod = with_own(daemon.pod("streams")).run().await;
        let script = "echo one >/dev/stdout; echo two >/dev/stderr; cat /dev/null; sleep 1000";
        let main = mapped(&pod, "main").sh(script).start().await;
        main.wait_log("two").await;
        assert_eq!((main.stdout().as_str(), main.stderr().as_str()), ("one\n", "two\n"));
        assert_eq!(main.exec("echo three >/dev/stdout").await, "three\n");
        let terminal = mapped(&pod, "terminal").config(|config| config.tty = true);
        let terminal = terminal.sh("tty; echo up >/dev/tty; stat -c %u:%g /dev/pts/0").start().await;
        assert_eq!(terminal.wait_exit().await.exit_code, 0, "{}", terminal.stdout());
        assert_eq!(terminal.stdout().replace('\r', ""), "/dev/pts/0\nup\n0:5\n");
        let user = |security: &mut v1::LinuxContainerSecurityContext| {
            security.run_as_user = Some(v1::Int64Value { value: 1234 });
            security.run_as_group = Some(v1::Int64Value { value: 77 });
        };
        let other = mapped(&pod, "other").security(user).sh("id -u; id -g; echo x >/dev/stderr; touch /tmp/x");
        assert_eq!(other.output().await, "1234\n77\n");
        let beyond = |security: &mut v1::LinuxContainerSecurityContext| {
            security.run_as_user = Some(v1::Int64Value { value: i64::from(COUNT) });
        };
        let refused = mapped(&pod, "beyond").security(beyond).sh("true").try_create().await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("user 65536: the pod has users and groups of its own"), "{refused}");
    });
}

#[test]
fn all_namespaces_belong_to_the_pods_users() {
    runc(async |daemon| {
        let sysctls = [
            ("kernel.shm_rmid_forced", "1"),
            ("net.ipv4.ip_unprivileged_port_start", "5"),
            ("fs.mqueue.msg_max", "11"),
        ];
        let pod = with_own(daemon.pod("sysctls")).config(|config| {
            let sysctls = sysctls.map(|(name, value)| (name.to_owned(), value.to_owned()));
            config.linux.get_or_insert_default().sysctls = sysctls.into_iter().collect();
        });
        let pod = pod.run().await;
        let privileged = |security: &mut v1::LinuxContainerSecurityContext| security.privileged = true;
        let main = mapped(&pod, "main").security(privileged).sh("sleep 1000").start().await;
        for (name, value) in sysctls {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            assert_eq!(main.exec(&format!("cat {path}")).await.trim(), value, "{name}");
        }
        assert_eq!(main.exec("hostname").await, "sysctls\n");
        // Root of the pod may do there what root of the node may do outside.
        main.exec("echo 2 >/proc/sys/net/ipv4/ip_unprivileged_port_start").await;
        main.exec("hostname other && ip link add dummy0 type dummy 2>/dev/null || ip link set lo down").await;
        main.exec("touch /dev/mqueue/queue && umount /dev/mqueue && mount -t mqueue mqueue /dev/mqueue").await;
        main.exec("[ -e /dev/mqueue/queue ] && mount -t tmpfs none /tmp && mount -t proc proc /tmp").await;
        // And nothing outside of it.
        main.exec("! echo 1 >/proc/sys/vm/drop_caches && ! mount -o remount,rw /sys/fs/cgroup").await;
        let raised = "cat /sys/kernel/security/x /dev/mem 2>/dev/null; mknod /null c 1 3 2>/dev/null && cat /null";
        assert_ne!(main.try_exec(&["/bin/sh", "-c", raised], 20).await.unwrap().code, 0);
        let own = std::process::id();
        for kind in ["user", "net", "ipc", "uts", "pid"] {
            let inside = main.exec(&format!("readlink /proc/self/ns/{kind}")).await;
            let outside = fs::read_link(format!("/proc/{own}/ns/{kind}")).unwrap();
            assert_ne!(inside.trim(), outside.to_string_lossy(), "{kind}");
        }
    });
}

#[test]
fn processes_are_seen_as_their_mode_says() {
    runc(async |daemon| {
        let shared = with_own(daemon.pod("shared")).run().await;
        let one = mapped(&shared, "one").sh("sleep 4321").start().await;
        let two = mapped(&shared, "two").sh("sleep 1000").start().await;
        assert_eq!(two.exec("cat /proc/1/comm").await, "peapod-init\n");
        assert!(two.exec("ps -o args").await.contains("sleep 4321"));
        // Pod init is nobody in there, and orphans have their parent in it.
        assert!(two.exec("grep ^Uid: /proc/1/status").await.contains("65534"));
        two.exec("(sleep 0.1 &); sleep 0.5; ! ps -o stat | grep Z").await;
        assert!(two.exec("ls /proc/1/root/ 2>&1 | head -1; ls /proc/1/fd 2>&1 | wc -l").await.contains("ermission"));
        one.stop(0).await.unwrap();
        let alone = with_own(daemon.pod("alone")).pid(NamespaceMode::Container).run().await;
        let main = mapped(&alone, "main").sh("sleep 1000").start().await;
        assert_eq!(main.exec("cat /proc/1/comm").await, "sleep\n");
        // Pod init is made when it is asked for first.
        let late = mapped(&alone, "late").sh("cat /proc/1/comm").security(|security| {
            security.namespace_options.get_or_insert_default().pid = NamespaceMode::Pod.into();
        });
        assert_eq!(late.output().await, "peapod-init\n");
        let target = mapped(&alone, "target").sh("cat /proc/1/comm").security(|security| {
            let options = security.namespace_options.get_or_insert_default();
            (options.pid, options.target_id) = (NamespaceMode::Target.into(), main.id.clone());
        });
        assert_eq!(target.output().await, "sleep\n");
    });
}

#[test]
fn volumes_that_an_image_declares_are_its_users() {
    runc(async |daemon| {
        let config = serde_json::json!({"Volumes": {"/meta/fresh/deep": {}, "/new/one": {}}});
        let image = derived(METADATA, "user-volumes", &config);
        let pod = with_own(daemon.pod("volumes")).run().await;
        let user = |security: &mut v1::LinuxContainerSecurityContext| {
            security.run_as_user = Some(v1::Int64Value { value: 1000 });
            security.readonly_rootfs = true;
        };
        let main = mapped(&pod, "main").image(&image).security(user).command(&["/bin/sh", "-c", "sleep 1000"]);
        let main = main.start().await;
        let upper = upper(daemon, &main);
        assert_eq!(owner(&upper.join("new/one")), (FIRST + 1000, FIRST));
        assert_eq!(owner(&upper.join("new")), (FIRST, FIRST));
        assert_eq!(owner(&upper.join("meta/fresh")), (FIRST, FIRST));
        // Copied up as it is seen through the mapping.
        let (uid, gid) = owner(&upper.join("meta"));
        assert!(uid >= FIRST && gid >= FIRST, "{uid}:{gid}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let left = mounts.lines().filter(|line| line.contains(".lower ") || line.contains("/layers "));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<&str>::new());
    });
}

/// Of one layer and of several, mapped by the client or not.
#[test]
fn images_and_artifacts_are_mounted_as_files_of_its_users() {
    runc(async |daemon| {
        let pod = with_own(daemon.pod("mounts")).run().await;
        let mut container = mapped(&pod, "main").sh(
            "stat -c %u:%g /one /one/etc /many/many/59 /artifact/conf/a.json | sort -u; cat /many/many/59 /artifact/model.bin
            touch /many/x 2>/dev/null || echo refused",
        );
        for (name, path) in [("attack", "/one"), ("many", "/many"), ("artifact", "/artifact")] {
            let image = fixture(&format!("peapod/test-{name}:1"));
            daemon.pull(&image).await.unwrap();
            let image = Some(v1::ImageSpec { image, ..Default::default() });
            let mut mount = v1::Mount { container_path: path.to_owned(), image, readonly: true, ..Default::default() };
            if name == "many" {
                map(&mut mount);
            }
            container = container.config(|config| config.mounts.push(mount));
        }
        let main = container.start().await;
        assert_eq!(main.wait_exit().await.exit_code, 0, "{}", main.stderr());
        assert_eq!(main.stdout(), "0:0\n59weights\nrefused\n");
        main.remove().await.unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let run = daemon.run_root().to_string_lossy().into_owned();
        let left = mounts.lines().filter(|line| line.contains(&run) && line.contains("/volumes/"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<&str>::new());
    });
}

#[test]
fn they_outlive_the_daemon_and_leave_nothing() {
    runc(async |daemon| {
        let volume = daemon.path("volume");
        fs::create_dir(&volume).unwrap();
        let pod = with_own(daemon.pod("kept")).run().await;
        let main = mapped(&pod, "main").mount_with(&volume, "/data", map).sh("sleep 1000").start().await;
        let created = mapped(&pod, "created").mount_with(&volume, "/data", map).sh("sleep 1000").create().await;
        let namespace = main.exec("readlink /proc/self/ns/user").await;
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(main.exec("readlink /proc/self/ns/user").await, namespace);
        created.start().await.unwrap();
        let late = mapped(&pod, "late").mount_with(&volume, "/data", map).sh("sleep 1000").start().await;
        for container in [&created, &late] {
            assert_eq!(container.exec("readlink /proc/self/ns/user").await, namespace);
            container.exec("touch /data/$(hostname)-$$ /x").await;
        }
        assert_eq!(owner(&upper(daemon, &late).join("x")), (FIRST, FIRST));
        assert!(fs::read_dir(&volume).unwrap().all(|entry| owner(&entry.unwrap().path()) == (0, 0)));
        let shown = pod.status().await.linux.unwrap().namespaces.unwrap().options.unwrap().userns_options;
        assert_eq!(shown, Some(own()));
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn a_daemon_that_dies_while_it_makes_one_leaves_nothing() {
    runc(async |daemon| {
        for place in ["pod-users", "network-linked", "pod-isolated"] {
            daemon.kill().await;
            daemon.start_again_to_die_at(place).await;
            with_own(daemon.pod("dies")).try_run().await.err().expect("its daemon dies");
            wait_for("the daemon dies", async || !daemon.is_alive()).await;
            daemon.start_again().await;
            daemon.nothing_left().await;
        }
        let pod = with_own(daemon.pod("dies")).run().await;
        assert_eq!(mapped(&pod, "main").sh("echo up").output().await, "up\n");
    });
}

/// While the image's layers are mounted in the bundle, of which the shim knows nothing.
#[test]
fn a_daemon_that_dies_while_it_makes_volumes_hinders_nobody() {
    runc(async |daemon| {
        let image = derived(METADATA, "killed-volumes", &serde_json::json!({"Volumes": {"/new/one": {}}}));
        let pod = with_own(daemon.pod("volumes")).run().await;
        let layers = |container: &Container<'_>| {
            let bundle = daemon.run_root().join("pods").join(&pod.id).join("containers").join(&container.id);
            fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&*bundle.join("layers").to_string_lossy())
        };
        let mut left = Vec::new();
        for name in ["again", "removed"] {
            let main = mapped(&pod, name).image(&image).command(&["/bin/sh", "-c", "sleep 1000"]).create().await;
            daemon.kill().await;
            daemon.start_again_to_die_at("volumes-layers").await;
            main.start().await.unwrap_err();
            wait_for("the daemon dies", async || !daemon.is_alive()).await;
            assert!(layers(&main));
            daemon.start_again().await;
            left.push(main);
        }
        left[0].start().await.unwrap();
        assert_eq!(left[0].exec("stat -c %u:%g /new/one").await, "0:0\n");
        left[1].remove().await.unwrap();
        assert!(left.iter().all(|container| !layers(container)));
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

/// A kubelet's way through a manifest, and a user's.
#[test]
fn host_users_false_in_a_manifest() {
    runc(async |daemon| {
        let manifest = daemon.path("pod.yaml");
        let image = fixture(SHELL);
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: own}}\nspec:\n  hostUsers: false\n  restartPolicy: Never\n  \
             securityContext: {{fsGroup: 4444}}\n  containers:\n  - name: main\n    image: {image}\n    \
             command: [sh, -c, 'echo x >/data/x; tr -s \" \" </proc/self/uid_map; stat -c %u:%g /data/x; \
             stat -c %g /data']\n    volumeMounts: [{{name: data, mountPath: /data}}]\n  \
             volumes: [{{name: data, emptyDir: {{}}}}]\n"
        );
        fs::write(&manifest, text).unwrap();
        let child = daemon.client(&["run", &manifest.to_string_lossy()]).spawn().unwrap();
        let limit = at_most(Duration::from_secs(60));
        let output = tokio::time::timeout(limit, child.wait_with_output()).await.expect("it ends").unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        let lines: Vec<&str> =
            out.lines().filter_map(|line| line.split_once("| ")).map(|(_, text)| text.trim()).collect();
        let [map, file, folder] = lines.as_slice() else { panic!("{out}{err}") };
        assert!(map.starts_with("0 ") && map.ends_with(" 65536") && !map.starts_with("0 0 "), "{map}");
        assert_eq!((*file, *folder), ("0:4444", "4444"));
    });
}
