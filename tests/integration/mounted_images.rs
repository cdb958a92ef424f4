//! Images that containers mount beside their root file systems.

use std::path::{Path, PathBuf};

use peapod_tests::{ContainerBuilder, Daemon, METADATA, SHELL, fixture, on_each_runtime, peapod, v1, wait_for};
use tonic::Code;

/// Two layers below and one that takes away what they have.
const WHITEOUT: &str = "peapod/test-whiteout:1";
/// 61 layers.
const MANY: &str = "peapod/test-many:1";
/// Symbolic links, of which some lead out of it.
const LINKS: &str = "peapod/test-links:1";
/// One layer without a shell.
const ATTACK: &str = "peapod/test-attack:1";

/// Files that are no image.
const ARTIFACT: &str = "peapod/test-artifact:1";

/// A mount of an image, as the kubelet asks for it.
fn image_mount(image: &str, path: &str, sub_path: &str) -> v1::Mount {
    v1::Mount {
        container_path: path.to_owned(),
        image: Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() }),
        image_sub_path: sub_path.to_owned(),
        readonly: true,
        ..Default::default()
    }
}

fn mounting<'a>(container: ContainerBuilder<'a>, mounts: &[v1::Mount]) -> ContainerBuilder<'a> {
    container.config(|config| config.mounts.extend_from_slice(mounts))
}

/// Mount points below the run root.
fn mounted(daemon: &Daemon) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = daemon.run_root().to_string_lossy().into_owned();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| point.starts_with(&root) && point.contains("/volumes/")).map(str::to_owned).collect()
}

fn layers(daemon: &Daemon) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(daemon.state_root().join("layers")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().is_some_and(|name| name != "empty")).collect()
}

async fn remove_image(daemon: &Daemon, image: &str) {
    let image = Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() });
    daemon.images().remove_image(v1::RemoveImageRequest { image }).await.unwrap();
}

#[test]
fn images_are_seen_whole_or_in_part_and_told_in_the_status() {
    on_each_runtime(async |daemon| {
        let mut ids = Vec::new();
        for image in [WHITEOUT, MANY, ATTACK] {
            ids.push(daemon.pull(&fixture(image)).await.unwrap());
        }
        let [whiteout, many, attack] = &*ids else { panic!("{ids:?}") };
        let pod = daemon.pod("images").run().await;
        let script = "ls /all/opaque /all/replaced; cat /all/opaque/new /part/new; ls -A /part; cat /many/many/59
            echo; ls /attack; cat /file; /all/bin/busybox echo run
            for at in /all /part /many/many /attack /file; do touch $at/x 2>/dev/null || echo refused; done
            grep -E ' /(all|part|many|attack) ' /proc/self/mountinfo | cut -d' ' -f5,6 | sed 's/,relatime//' | sort";
        let mounts = [
            image_mount(whiteout, "/all", ""),
            image_mount(&fixture(WHITEOUT), "/part", "/opaque/"),
            image_mount(many, "/many", "."),
            image_mount(attack, "/attack", ""),
            image_mount(many, "/file", "etc/group"),
        ];
        let container = mounting(pod.container("main").sh(script), &mounts).start().await;
        assert_eq!(container.wait_exit().await.exit_code, 0, "{}", container.stderr());
        let group = "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnobody:x:65534:\n";
        let expected = format!(
            "/all/replaced\n\n/all/opaque:\nnew\nupperuppernew\n59\nattack\ndev\netc\nlib64\nprobe\nproc\nsys\ntmp\n\
             {group}run\nrefused\nrefused\nrefused\nrefused\nrefused\n\
             /all ro,nosuid,nodev\n/attack ro,nosuid,nodev\n/many ro,nosuid,nodev\n/part ro,nosuid,nodev\n"
        );
        assert_eq!(container.stdout(), expected);
        let shown = container.status().await.mounts;
        for (shown, (asked, id)) in shown.iter().zip(mounts.iter().zip([whiteout, whiteout, many, attack, many])) {
            let (told, wanted) = (shown.image.clone().unwrap(), asked.image.clone().unwrap());
            assert_eq!((&told.image, &told.image_ref), (&wanted.image, id), "{shown:?}");
            assert_eq!((&shown.container_path, shown.readonly), (&asked.container_path, true));
            assert_eq!(shown.image_sub_path, asked.image_sub_path.trim_matches(['/', '.']));
        }
        assert_eq!(shown.len(), mounts.len());
        container.remove().await.unwrap();
        assert_eq!(mounted(daemon), Vec::<String>::new());
    });
}

#[test]
fn links_of_an_image_lead_nowhere_outside_of_it() {
    on_each_runtime(async |daemon| {
        let id = daemon.pull(&fixture(LINKS)).await.unwrap();
        std::fs::create_dir_all("/peapod-outside").unwrap();
        std::fs::write("/peapod-outside/secret", "of the node").unwrap();
        let pod = daemon.pod("links").run().await;
        // The image's own, whatever the node has there.
        let inside = [("/a", "up"), ("/b", "absolute"), ("/c", "chain/deeper"), ("/d", "kept/../kept")];
        let mounts = inside.map(|(path, part)| image_mount(&id, path, part));
        let script = "head -n 1 /a/passwd; cat /b/file /c/file";
        let output = mounting(pod.container("inside").sh(script), &mounts[..3]);
        assert_eq!(output.output().await, "root:x:0:0:root:/root:/bin/sh\nkept\ndeep\n");
        let refused = mounting(pod.container("dots").sh("true"), &mounts[3..]).try_create().await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        for part in ["outside", "out/secret", "node", "round", "none", "kept/file/x", "fifo"] {
            let container = mounting(pod.container("out").sh("true"), &[image_mount(&id, "/x", part)]);
            let refused = container.try_create().await.err().unwrap_or_else(|| panic!("{part}: accepted"));
            assert_eq!(refused.code(), Code::FailedPrecondition, "{part}: {refused}");
            let text = refused.message();
            assert!(text.starts_with("ImageVolumeMountFailed: mounts[0].image_sub_path: "), "{text}");
        }
        std::fs::remove_file("/peapod-outside/secret").unwrap();
        std::fs::remove_dir("/peapod-outside").unwrap();
        let missing = mounting(pod.container("gone").sh("true"), &[image_mount("peapod/none:1", "/x", "")]);
        let refused = missing.try_create().await.err().unwrap();
        assert!(refused.message().starts_with("ImageVolumeMountFailed: mounts[0].image: "), "{refused}");
        assert!(daemon.containers().await.len() == 1, "a refused container is there");
    });
}

/// Also for who may mount: an overlay without a layer to write to is none that could be written to.
#[test]
fn nobody_writes_to_a_layer() {
    on_each_runtime(async |daemon| {
        let id = daemon.pull(&fixture(ATTACK)).await.unwrap();
        let pod = daemon.pod("strong").config(|config| {
            let security = v1::LinuxSandboxSecurityContext { privileged: true, ..Default::default() };
            config.linux.get_or_insert_default().security_context = Some(security);
        });
        let pod = pod.run().await;
        let script =
            "mount -o remount,rw,bind /x; touch /x/new 2>&1; mount -o remount,rw /x 2>/dev/null; touch /x/new 2>&1
            chmod 777 /x/attack 2>&1; ls /x | wc -l";
        let container = mounting(pod.container("main").sh(script), &[image_mount(&id, "/x", "")])
            .security(|security| security.privileged = true);
        let expected = "touch: /x/new: Read-only file system\ntouch: /x/new: Read-only file system\n\
                        chmod: /x/attack: Read-only file system\n8\n";
        assert_eq!(container.output().await, expected);
    });
}

#[test]
fn a_mounted_image_outlives_its_removal_and_the_daemon() {
    on_each_runtime(async |daemon| {
        let id = daemon.pull(&fixture(WHITEOUT)).await.unwrap();
        daemon.pull(&fixture(SHELL)).await.unwrap();
        let before = layers(daemon).len();
        let pod = daemon.pod("kept").run().await;
        let script = "while ! [ -e /go ]; do sleep 0.05; done; cat /x/opaque/new; echo; exec sleep 1000";
        let mount = [image_mount(&id, "/x", "")];
        let running = mounting(pod.container("running").sh(script), &mount).start().await;
        let created = mounting(pod.container("created").sh("cat /x/opaque/new"), &mount).create().await;
        remove_image(daemon, &id).await;
        assert!(daemon.image(&id).await.is_none());
        daemon.kill().await;
        daemon.start_again().await;
        running.exec("touch /go").await;
        running.wait_log("upper").await;
        created.start().await.unwrap();
        assert_eq!(created.wait_exit().await.exit_code, 0);
        assert_eq!(created.stdout(), "upper");
        let told = running.status().await.mounts[0].image.clone().unwrap();
        assert_eq!(told.image_ref, id);
        assert_eq!(layers(daemon).len(), before, "a layer is gone that is in use");
        // Who has ended needs it no more.
        wait_for("one mount to be left", async || mounted(daemon).len() == 1).await;
        for container in [&running, &created] {
            container.stop(0).await.unwrap();
            container.remove().await.unwrap();
        }
        assert_eq!(mounted(daemon), Vec::<String>::new());
        // One that the shell's image has stays.
        wait_for("the image's layers to go", async || layers(daemon).len() == 1).await;
    });
}

/// What a daemon that dies has leased, or has the shim mount, is given back.
#[test]
fn a_daemon_that_dies_leaves_no_image_mounted() {
    for point in ["container-leased", "container-kept", "start-laid-out", "start-created", "container-deleted"] {
        peapod(async |daemon| {
            let id = daemon.pull(&fixture(WHITEOUT)).await.unwrap();
            let pod = daemon.pod("dies").run().await;
            daemon.pull(&fixture(SHELL)).await.unwrap();
            daemon.kill().await;
            daemon.start_again_to_die_at(point).await;
            let request = mounting(pod.container("main").sh("exec sleep 1000"), &[image_mount(&id, "/x", "etc")]);
            if let Ok(container) = request.try_create().await
                && container.start().await.is_ok()
            {
                let _ = container.stop(0).await;
                let _ = container.remove().await;
            }
            wait_for("the daemon to die", async || !daemon.is_alive()).await;
            daemon.start_again().await;
            pod.stop().await.unwrap();
            pod.remove().await.unwrap();
            assert_eq!(mounted(daemon), Vec::<String>::new(), "{point}");
            for image in [&id, &fixture(SHELL)] {
                remove_image(daemon, image).await;
            }
            wait_for("all layers to go", async || layers(daemon).is_empty()).await;
        });
    }
}

#[test]
fn one_that_can_not_be_started_leaves_no_image_mounted() {
    on_each_runtime(async |daemon| {
        let id = daemon.pull(&fixture(WHITEOUT)).await.unwrap();
        let pod = daemon.pod("fails").run().await;
        let mount = [image_mount(&id, "/x", "")];
        let container = mounting(pod.container("main").command(&["/none"]), &mount).create().await;
        container.start().await.unwrap_err();
        assert_eq!(mounted(daemon), Vec::<String>::new());
        container.remove().await.unwrap();
    });
}

/// Where a read-only image has no place for the pod's files the container goes without.
#[test]
fn an_image_over_etc_is_what_the_container_has_there() {
    on_each_runtime(async |daemon| {
        let id = daemon.pull(&fixture(METADATA)).await.unwrap();
        let pod = daemon.pod("etc").run().await;
        let container = mounting(pod.container("main").sh("ls /etc"), &[image_mount(&id, "/etc", "etc")]);
        assert_eq!(container.output().await, "group\npasswd\n");
    });
}

async fn run_manifest(daemon: &Daemon, text: &str) -> (i32, String, String) {
    let file = daemon.path("pod.yaml");
    std::fs::write(&file, text).unwrap();
    let output = daemon.client(&["run", &file.to_string_lossy()]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn peapod_run_mounts_images() {
    peapod(async |daemon| {
        let manifest = |part: &str| {
            format!(
                "apiVersion: v1
kind: Pod
metadata: {{name: model}}
spec:
  restartPolicy: Never
  volumes: [{{name: model, image: {{reference: {}}}}}]
  containers:
  - name: main
    image: {}
    command: [sh, -c, 'cat /model/new; /part/bin/busybox true 2>/dev/null || echo noexec']
    volumeMounts:
    - {{name: model, mountPath: /model, subPath: {part}}}
    - {{name: model, mountPath: /part, bindMountOptions: [noexec]}}
",
                fixture(WHITEOUT),
                fixture(SHELL)
            )
        };
        let (code, out, err) = run_manifest(daemon, &manifest("opaque")).await;
        assert!(code == 0 && out.contains("upper") && out.contains("noexec"), "{code}: {out}\n{err}");
        let (code, out, err) = run_manifest(daemon, &manifest("nothing")).await;
        assert!(code != 0 && err.contains("ImageVolumeMountFailed"), "{code}: {out}\n{err}");
        assert!(!Path::new("/model").exists());
    });
}

fn options(names: &[&str]) -> impl FnOnce(&mut v1::Mount) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    move |mount| mount.mount_options = names
}

#[test]
fn mount_options_are_in_force() {
    on_each_runtime(async |daemon| {
        let folder = daemon.path("shared");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("script"), "#!/bin/sh\necho executed\n").unwrap();
        std::fs::set_permissions(folder.join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let pod = daemon.pod("options").run().await;
        let script = "/free/script; /bound/script 2>/dev/null || echo refused; touch /bound/new && echo written
            grep ' /bound ' /proc/self/mountinfo | cut -d' ' -f6 | tr , '\\n' | grep -E '^no(exec|dev|suid)$' | sort";
        let container = pod
            .container("main")
            .sh(script)
            .mount(&folder, "/free")
            .mount_with(&folder, "/bound", options(&["noexec", "nodev", "nosuid"]))
            .start()
            .await;
        container.wait_exit().await;
        assert_eq!(container.stdout(), "executed\nrefused\nwritten\nnodev\nnoexec\nnosuid\n");
        let shown: Vec<_> = container.status().await.mounts.iter().map(|mount| mount.mount_options.clone()).collect();
        assert_eq!(shown, [vec![], vec!["noexec", "nodev", "nosuid"]]);
        let odd = pod.container("odd").sh("true").mount_with(&folder, "/x", options(&["suid"]));
        let refused = odd.try_create().await.err().unwrap();
        assert!(refused.code() == Code::InvalidArgument && refused.message().contains("suid"), "{refused}");
        let features = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner().features;
        assert!(features.unwrap().mount_options);
    });
}

#[test]
fn artifacts_are_mounted_as_files_and_stay_while_they_are() {
    on_each_runtime(async |daemon| {
        let id = daemon.pull(&fixture(ARTIFACT)).await.unwrap();
        let listed = daemon.image(&id).await.unwrap();
        assert_eq!((&listed.id, listed.repo_tags.as_slice()), (&id, [fixture(ARTIFACT)].as_slice()));
        assert!(listed.size > 0);
        let pod = daemon.pod("artifact").run().await;
        let script = "cd /model && cat model.bin conf/a.json; ls conf /part; touch x 2>/dev/null || echo refused";
        let mounts = [image_mount(&id, "/model", ""), image_mount(&fixture(ARTIFACT), "/part", "conf/b.json")];
        let container = mounting(pod.container("main").sh(script), &mounts).start().await;
        assert_eq!(container.wait_exit().await.exit_code, 0);
        assert_eq!(container.stdout(), "weights\n{}\n/part\n\nconf:\na.json\nb.json\nrefused\n");
        for mount in container.status().await.mounts {
            assert_eq!(mount.image.unwrap().image_ref, id);
        }
        let image = Some(v1::ImageSpec { image: id.clone(), ..Default::default() });
        let remove = v1::RemoveImageRequest { image };
        let refused = daemon.images().remove_image(remove.clone()).await.unwrap_err();
        assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("in use"), "{refused}");
        daemon.kill().await;
        daemon.start_again().await;
        daemon.images().remove_image(remove.clone()).await.unwrap_err();
        container.remove().await.unwrap();
        daemon.images().remove_image(remove).await.unwrap();
        assert!(daemon.image(&id).await.is_none());
        // Nor is there anything to run.
        daemon.pull(&fixture(ARTIFACT)).await.unwrap();
        let refused = pod.container("root").image(ARTIFACT).command(&["/model.bin"]).try_create().await.err().unwrap();
        assert!(refused.code() == Code::InvalidArgument && refused.message().contains("artifact"), "{refused}");
    });
}
