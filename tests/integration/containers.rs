//! What a container's process gets: program, environment, files, terminal.

use peapod_tests::{on_each_runtime, peapod, v1};

const ENTRYPOINT: &str = "peapod/test-entrypoint:1";

#[test]
fn the_image_says_what_the_request_does_not() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("image").run().await;
        let bare = pod.container("bare").image(ENTRYPOINT).start().await;
        assert_eq!(bare.wait_exit().await.exit_code, 0, "{}", bare.stderr());
        assert_eq!(bare.stdout(), "image-cmd\nyes image /srv/work\n");

        let script = "echo \"$FROM_IMAGE $BOTH $(id -u):$(id -g) $(pwd)\"";
        // Arguments replace the image's command and keep its entrypoint (a shell with -c).
        let args = pod.container("args").image(ENTRYPOINT).config(|config| config.args = vec![script.to_owned()]);
        assert_eq!(args.env("BOTH", "request").output().await, "yes request 1000:1001 /srv/work\n");
        // A command replaces both.
        let command = pod.container("command").image(ENTRYPOINT).command(&["/bin/echo", "mine"]);
        assert_eq!(command.output().await, "mine\n");
    });
}

#[test]
fn the_last_of_equal_variables_wins_and_bytes_survive() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("env").run().await;
        let plain = pod.container("plain").sh("echo \"$A|$EMPTY|$LINES\"; echo $HOSTNAME; echo $PATH");
        let text = plain.env("A", "1").env("A", "2").env("EMPTY", "").env("LINES", "a\nb").output().await;
        assert!(text.starts_with("2||a\nb\nenv\n/"), "{text}");

        let bytes = pod.container("bytes").sh("printf %s \"$B\" | od -An -tx1").env("B", [0xff, 0x61, 0xc3, 0x28]);
        match bytes.clone().try_create().await {
            Ok(container) => {
                container.start().await.unwrap();
                container.wait_exit().await;
                assert_eq!(container.stdout().trim(), "ff 61 c3 28");
            }
            // An OCI runtime that can't carry it: said by name, never changed silently.
            Err(refused) => {
                assert!(refused.message().contains("\"B\"") || refused.message().contains(" B"), "{refused}");
            }
        }
    });
}

#[test]
fn working_directory_and_a_terminal() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("tty").run().await;
        let place = pod.container("cwd").sh("pwd").config(|config| config.working_dir = "/tmp/made/here".to_owned());
        assert_eq!(place.output().await, "/tmp/made/here\n");
        let tty = pod.container("tty").sh("test -t 0 && test -t 1 && test -t 2 && echo terminal $TERM");
        let text = tty.config(|config| config.tty = true).output().await;
        assert_eq!(text.trim_end(), "terminal xterm");
        let none = pod.container("none").sh("test ! -t 1 && cat && echo 'stdin ended'");
        assert_eq!(none.output().await, "stdin ended\n");
    });
}

#[test]
fn mounts_are_read_write_or_read_only() {
    on_each_runtime(async |daemon| {
        let folder = daemon.path("shared");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("from-node"), "node\n").unwrap();
        std::os::unix::fs::symlink(&folder, daemon.path("link")).unwrap();
        let pod = daemon.pod("mounts").run().await;
        let writing = pod.container("rw").sh("cat /mnt/from-node; echo pod >/mnt/from-pod").mount(&folder, "/mnt");
        assert_eq!(writing.output().await, "node\n");
        assert_eq!(std::fs::read_to_string(folder.join("from-pod")).unwrap(), "pod\n");
        let reading = pod
            .container("ro")
            .sh("cat /mnt/from-pod; touch /mnt/no 2>/dev/null || echo refused")
            .mount_with(daemon.path("link"), "/mnt", |mount| mount.readonly = true);
        assert_eq!(reading.output().await, "pod\nrefused\n");
        let file = pod.container("file").sh("cat /etc/one").mount(folder.join("from-node"), "/etc/one");
        assert_eq!(file.output().await, "node\n");
    });
}

#[test]
fn mounts_propagate_as_asked() {
    on_each_runtime(async |daemon| {
        let folder = daemon.path("propagate");
        for name in ["later", "bidirectional"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let pod = daemon.pod("propagate").run().await;
        let private = pod.container("private").sh("sleep 1000").mount(&folder, "/mnt").start().await;
        let slave = pod
            .container("slave")
            .sh("sleep 1000")
            .mount_with(&folder, "/mnt", |mount| {
                mount.propagation = v1::MountPropagation::PropagationHostToContainer.into();
            })
            .start()
            .await;
        let shared = pod
            .container("shared")
            .sh("sleep 1000")
            .security(|security| security.privileged = true)
            .mount_with(&folder, "/mnt", |mount| {
                mount.propagation = v1::MountPropagation::PropagationBidirectional.into();
            })
            .start()
            .await;
        mount_tmpfs(&folder.join("later"));
        let seen = "grep -c ' /mnt/later ' /proc/self/mountinfo || true";
        assert_eq!(private.exec(seen).await, "0\n");
        assert_eq!(slave.exec(seen).await, "1\n");
        shared.exec("mount -t tmpfs tmpfs /mnt/bidirectional").await;
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(table.contains(folder.join("bidirectional").to_str().unwrap()), "not seen on the node");
        for name in ["later", "bidirectional"] {
            nix::mount::umount(&folder.join(name)).unwrap();
        }
    });
}

#[test]
fn mounts_of_a_private_source_cannot_propagate() {
    peapod(async |daemon| {
        let folder = daemon.path("private");
        std::fs::create_dir(&folder).unwrap();
        mount_tmpfs(&folder);
        let private = nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, &folder, None::<&str>, private, None::<&str>).unwrap();
        let pod = daemon.pod("private").run().await;
        let container = pod.container("main").sh("true").security(|security| security.privileged = true).mount_with(
            &folder,
            "/mnt",
            |mount| mount.propagation = v1::MountPropagation::PropagationBidirectional.into(),
        );
        let refused = match container.try_create().await {
            Ok(container) => container.start().await.unwrap_err(),
            Err(refused) => refused,
        };
        assert!(refused.message().contains(folder.to_str().unwrap()), "does not name the mount: {refused}");
        pod.remove().await.unwrap();
        nix::mount::umount(&folder).unwrap();
    });
}

#[test]
fn devices_are_handed_in() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("devices").run().await;
        let device = v1::Device {
            host_path: "/dev/loop-control".to_owned(),
            container_path: "/dev/peapod-loop".to_owned(),
            permissions: "r".to_owned(),
        };
        let container = pod
            .container("main")
            .sh("test -c /dev/peapod-loop && : </dev/peapod-loop && echo reads; (: >>/dev/peapod-loop) 2>/dev/null || echo refused; ls /dev/fd/0 >/dev/null && echo fd")
            .config(|config| config.devices.push(device));
        assert_eq!(container.output().await, "reads\nrefused\nfd\n");
    });
}

#[test]
fn writable_layers_are_each_containers_own() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("layers").run().await;
        let first = pod.container("first").sh("echo first >/etc/own; rm /bin/vi; sleep 1000").start().await;
        first.exec("while [ -e /bin/vi ]; do :; done").await;
        let second = pod.container("second").sh("ls /etc/own 2>&1 | grep -c 'No such'; ls /bin/vi");
        assert_eq!(second.output().await, "1\n/bin/vi\n");
    });
}

fn mount_tmpfs(path: &std::path::Path) {
    nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>).unwrap();
}
