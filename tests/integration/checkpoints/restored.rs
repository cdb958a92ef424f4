//! Containers that are made of a checkpoint.

use std::path::{Path, PathBuf};
use std::process::Command;

use peapod_tests::{Container, Daemon, Pod, Programs, SHELL, fixture, peapod_with, v1, wait_for};
use tonic::Code;
use v1::ContainerState::ContainerRunning;

use super::stand_in::StandIn;
use super::{checkpoint, folder, goes_on, running};

/// What a restored container shows: the stand-in begins the program anew, but not the files.
const LOOK: &str =
    "cat /home/file; ls /home/old; ls /bin/nc 2>/dev/null; [ -s /count ] && echo counted; exec sleep 1000";

fn restore_folder(container: &Container<'_>) -> PathBuf {
    container.pod.daemon.state_root().join("containers").join(&container.id).join("restore")
}

async fn made<'a>(pod: &Pod<'a>, name: &str, image: &str) -> Container<'a> {
    pod.container(name).image(image).sh(LOOK).try_create_of_what_is_there().await.unwrap()
}

async fn looks_like_the_first(container: &Container<'_>) {
    assert!(restore_folder(container).exists());
    container.start().await.unwrap();
    // It may have begun under a daemon that died before it had said so, and then begins again.
    wait_for("its words", async || container.stdout().ends_with("changed\nnew\ncounted\n")).await;
    assert_eq!(container.state().await, ContainerRunning);
    // The checkpoint takes no room any more.
    wait_for("what it was made of is gone", async || !restore_folder(container).exists()).await;
    let status = container.status().await;
    assert!(status.image.unwrap().image.ends_with("peapod/shell:1"));
}

#[test]
fn of_an_archive_and_of_an_image() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, container) = running(daemon, "first", "standin").await;
        let archive = folder(daemon).join("a.tar");
        checkpoint(&container, &archive, 0).await.unwrap();
        pod.remove().await.unwrap();

        let pod = daemon.pod("second").handler("standin").run().await;
        let restored = made(&pod, "archive", &archive.to_string_lossy()).await;
        // It may go as soon as the container is made.
        std::fs::rename(&archive, daemon.path("kept.tar")).unwrap();
        looks_like_the_first(&restored).await;
        assert!(runtime.calls().contains("restore "), "{}", runtime.calls());
        // A checkpoint of one that was made of a checkpoint.
        checkpoint(&restored, &archive, 0).await.unwrap();

        let image = push(&daemon.path("kept.tar"), "restored");
        daemon.pull(&image).await.unwrap();
        let restored = made(&pod, "image", &fixture(&image)).await;
        looks_like_the_first(&restored).await;

        // Of neither it becomes its plain image without a word.
        for (name, of) in [("lost", archive.to_string_lossy().into_owned()), ("lost-image", fixture(&image))] {
            let lost = made(&pod, name, &of).await;
            std::fs::rename(restore_folder(&lost), daemon.path(name)).unwrap();
            let refused = lost.start().await.unwrap_err();
            assert!(refused.message().contains("find the checkpoint that it is made of"), "{refused}");
        }
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

/// Its processes would be what the checkpoint says, not what their pod may be.
#[test]
fn of_no_checkpoint_unless_all_are_trusted() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options().set("checkpoint.restore=never"), async |daemon| {
        let (pod, container) = running(daemon, "first", "standin").await;
        let archive = folder(daemon).join("a.tar");
        checkpoint(&container, &archive, 0).await.unwrap();
        let image = push(&archive, "refused");
        daemon.pull(&image).await.unwrap();
        for name in [archive.to_string_lossy().into_owned(), fixture(&image)] {
            let asked = pod.container("second").image(&name).sh(LOOK).try_create_of_what_is_there().await;
            let refused = asked.err().unwrap();
            assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
            assert!(refused.message().contains("checkpoint.restore") && refused.message().contains(&name), "{refused}");
        }
        assert!(!runtime.calls().contains("restore "), "{}", runtime.calls());
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

/// An image of that checkpoint, under a tag that no other test moves meanwhile.
fn push(archive: &Path, tag: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/checkpoint.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-B").arg(script).args([Programs::get().registry.as_str(), "peapod/test-checkpoint", tag]);
    assert!(command.arg(archive).arg("main").status().unwrap().success());
    format!("peapod/test-checkpoint:{tag}")
}

#[test]
fn a_start_that_fails_says_what_criu_said() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, container) = running(daemon, "failing", "standin").await;
        let archive = folder(daemon).join("a.tar");
        checkpoint(&container, &archive, 0).await.unwrap();
        let restored = made(&pod, "restored", &archive.to_string_lossy()).await;
        runtime.fail("restore");
        let failed = restored.start().await.unwrap_err();
        assert!(failed.message().contains("CRIU said: (criu/made.c:1): made to fail by its test"), "{failed}");
        let status = restored.status().await;
        assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
        goes_on(&container).await;
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn the_daemon_dies_while_one_is_made_or_started() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, container) = running(daemon, "dying", "standin").await;
        let archive = folder(daemon).join("a.tar");
        checkpoint(&container, &archive, 0).await.unwrap();
        pod.remove().await.unwrap();
        for stage in ["restore-taken", "start-laid-out", "start-created"] {
            let pod = daemon.pod(stage).handler("standin").run().await;
            let builder = || pod.container("main").image(&archive.to_string_lossy()).sh(LOOK);
            let die = async || {
                daemon.kill().await;
                daemon.start_again_to_die_at(stage).await;
            };
            let restored = if stage == "restore-taken" {
                die().await;
                builder().try_create_of_what_is_there().await.err().expect("no daemon");
                None
            } else {
                let restored = builder().try_create_of_what_is_there().await.unwrap();
                die().await;
                let _ = restored.start().await;
                Some(restored)
            };
            wait_for(&format!("the daemon dies at {stage}"), async || !daemon.is_alive()).await;
            daemon.start_again().await;
            let restored = match restored {
                Some(restored) => restored,
                None => builder().try_create_of_what_is_there().await.unwrap(),
            };
            looks_like_the_first(&restored).await;
            pod.remove().await.unwrap();
            daemon.nothing_left().await;
        }
    });
}

/// An archive that a script writes: `add NAME TEXT`, and what Python's tarfile has.
fn archive(daemon: &Daemon, name: &str, script: &str) -> String {
    let path = daemon.path(name).to_string_lossy().into_owned();
    let head = "import io, sys, tarfile\nout = tarfile.open(sys.argv[1], 'w')\n\
        def add(name, text, **more):\n    entry = tarfile.TarInfo(name); entry.size = len(text)\n    \
        for key, value in more.items(): setattr(entry, key, value)\n    out.addfile(entry, io.BytesIO(text.encode()))\n";
    let script = format!("{head}{script}\nout.close()\n");
    assert!(Command::new("/usr/bin/python3").args(["-c", &script, &path]).status().unwrap().success());
    path
}

#[test]
fn a_hostile_checkpoint_is_refused_by_name_and_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    let options = runtime.options().set("image.max_layer_bytes=4194304");
    peapod_with(&options, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("hostile").handler("standin").run().await;
        let of_image = |fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": \"{value}\"")).collect();
            let fields = fields.join(", ");
            format!("add('config.dump', '{{{fields}}}')\nadd('checkpoint/inventory.img', 'x')\n")
        };
        let (shell, other) = (fixture(SHELL), format!("sha256:{}", "0".repeat(64)));
        let id = daemon.image(SHELL).await.unwrap().id;
        let good = of_image(&[("rootfsImageName", &shell), ("rootfsImageRef", &id)]);
        for (index, (script, code, words)) in [
            (
                format!("{good}add('checkpoint/pages-1.img', '', type=tarfile.BLKTYPE)"),
                Code::InvalidArgument,
                "neither a file",
            ),
            (
                format!("{good}add('checkpoint/a.img', '', type=tarfile.SYMTYPE, linkname='/etc/shadow')"),
                Code::InvalidArgument,
                "neither a file",
            ),
            (format!("{good}add('checkpoint/a.img', 'x' * (8 << 20))"), Code::InvalidArgument, "image.max_layer_bytes"),
            ("add('checkpoint/inventory.img', 'x')".to_owned(), Code::InvalidArgument, "config.dump"),
            (
                "add('config.dump', '{}')\nadd('checkpoint/inventory.img', 'x')".to_owned(),
                Code::InvalidArgument,
                "names no image",
            ),
            (
                "add('config.dump', '{\"rootfsImageName\": \"no/such:1\"}')\nadd('checkpoint/inventory.img', 'x')"
                    .to_owned(),
                Code::NotFound,
                "no/such:1",
            ),
            ("add('config.dump', '{}')".to_owned(), Code::InvalidArgument, "inventory.img"),
            (of_image(&[("rootfsImageRef", &id)]), Code::InvalidArgument, "names no image"),
            (of_image(&[("rootfsImage", &id[7..])]), Code::InvalidArgument, "names no image"),
            // The beginning of an id, where requests may have one.
            (of_image(&[("rootfsImageName", &id[7..20])]), Code::NotFound, &id[7..20]),
            (of_image(&[("rootfsImageName", &shell), ("rootfsImageRef", &other)]), Code::InvalidArgument, &other),
        ]
        .into_iter()
        .enumerate()
        {
            let path = archive(daemon, &format!("{index}.tar"), &script);
            let refused = pod.container("bad").image(&path).sh(LOOK).try_create_of_what_is_there().await;
            let refused = refused.err().expect("a bad checkpoint");
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.message().contains(words), "{refused}");
        }
        let refused = pod.container("bad").image("/dev/zero").sh(LOOK).try_create_of_what_is_there().await;
        assert_eq!(refused.err().expect("a device").code(), Code::InvalidArgument);
        wait_for("nothing is left", async || {
            std::fs::read_dir(daemon.state_root().join("containers")).unwrap().count() == 0
        })
        .await;

        // What it deletes and brings stays in the container.
        std::fs::write(daemon.path("outside"), "kept").unwrap();
        let up = "../".repeat(20);
        let script = format!(
            "{good}inner = io.BytesIO(); diff = tarfile.open(fileobj=inner, mode='w')\n\
             for name in ('{up}escaped', '/rooted'):\n    e = tarfile.TarInfo(name); e.size = 1; diff.addfile(e, io.BytesIO(b'x'))\n\
             l = tarfile.TarInfo('out'); l.type = tarfile.SYMTYPE; l.linkname = '{up}'; diff.addfile(l)\n\
             diff.close()\nd = tarfile.TarInfo('rootfs-diff.tar'); d.size = len(inner.getvalue())\n\
             out.addfile(d, io.BytesIO(inner.getvalue()))\n\
             add('deleted.files', '[\"{up}{}\", \"bin/nc\"]')",
            daemon.path("outside").to_string_lossy().trim_start_matches('/'),
        );
        let path = archive(daemon, "inside.tar", &script);
        let container = made_looking(&pod, &path).await;
        container.start().await.unwrap();
        container.wait_log("end").await;
        assert_eq!(container.stdout(), "escaped\nrooted\nend\n");
        assert_eq!(std::fs::read_to_string(daemon.path("outside")).unwrap(), "kept");
        assert!(!Path::new("/escaped").exists() && !Path::new("/rooted").exists());
    });
}

async fn made_looking<'a>(pod: &Pod<'a>, path: &str) -> Container<'a> {
    let script = "cd /; ls escaped rooted; ls bin/nc 2>/dev/null; echo end; exec sleep 1000";
    pod.container("inside").image(path).sh(script).try_create_of_what_is_there().await.unwrap()
}
