//! What images are made of, and what may come out of them.

use std::fs;
use std::path::Path;

use peapod_tests::{METADATA, peapod, v1};

#[test]
fn every_format_runs() {
    peapod(async |daemon| {
        let pod = daemon.pod("formats").run().await;
        for (image, script, expected) in [
            ("docker", "cat /format", "docker schema 2\n"),
            ("zstd", "cat /format", "zstd\n"),
            ("plain", "cat /format", "plain\n"),
            ("index", "cat /arch", "amd64\n"),
            ("many", "ls /many | wc -l; cat /many/59", "60\n59"),
        ] {
            let container = pod.container(image).image(&format!("peapod/test-{image}:1")).sh(script).start().await;
            assert_eq!(container.wait_exit().await.exit_code, 0, "{image}: {}", container.stderr());
            assert_eq!(container.stdout(), expected, "{image}");
        }
    });
}

#[test]
fn later_layers_take_away() {
    peapod(async |daemon| {
        let pod = daemon.pod("whiteout").run().await;
        let script = "ls -A /gone; ls -A /opaque; cat /replaced /dir-to-file /kept; ls -A / | grep -c wh || true";
        let container = pod.container("main").image("peapod/test-whiteout:1").sh(script);
        assert_eq!(container.output().await, "new\nupperupperlower0\n");
    });
}

#[test]
fn owners_modes_links_devices_and_times_are_kept() {
    peapod(async |daemon| {
        let pod = daemon.pod("metadata").run().await;
        let script = "cd /meta; for f in setuid sticky dir one two fifo; do stat -c '%n %a %u:%g %F %h %Y' $f; done
            stat -c '%n %F %t:%T' null; readlink absolute; test one -ef two && echo linked";
        let container = pod.container("main").image(METADATA).sh(script);
        let expected = "setuid 4755 1000:1001 regular file 1 1700000000\n\
                        sticky 1644 0:0 regular file 1 1700000000\n\
                        dir 2750 33:33 directory 2 1700000000\n\
                        one 644 0:0 regular file 2 1700000000\n\
                        two 644 0:0 regular file 2 1700000000\n\
                        fifo 600 0:0 fifo 1 1700000000\n\
                        null character special file 1:3\n\
                        /etc/passwd\n\
                        linked\n";
        assert_eq!(container.output().await, expected);
    });
}

#[test]
fn extended_attributes_are_kept() {
    peapod(async |daemon| {
        daemon.pull(METADATA).await.unwrap();
        let found =
            layers(&daemon.state_root()).into_iter().find(|diff| diff.join("meta/name").exists()).expect("the layer");
        assert_eq!(attribute(&found.join("meta/name"), "user.peapod"), b"seen");
    });
}

/// An extended attribute, read by python: no crate of this package can.
fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let script = "import os, sys; sys.stdout.buffer.write(os.getxattr(sys.argv[1], sys.argv[2]))";
    let output =
        std::process::Command::new("/usr/bin/python3").args(["-c", script]).arg(path).arg(name).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn layers(state: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(state.join("layers")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path().join("diff")).collect()
}

#[test]
fn archives_that_try_to_leave_stay_inside() {
    peapod(async |daemon| {
        let shadow = fs::metadata("/etc/shadow").unwrap();
        for (trick, words) in [("hardlink", "\"stolen\": its hard link"), ("deep", "d/d/d")] {
            let refused = daemon.pull(&format!("peapod/test-escape-{trick}:1")).await.unwrap_err();
            assert!(refused.message().contains(words), "{trick}: {refused}");
        }
        // A name or a link that climbs too far ends in the image.
        let pod = daemon.pod("inside").run().await;
        for (trick, path) in [("dotdot", "/peapod-escaped"), ("symlink", "/out/peapod-escaped")] {
            let container = pod.container(trick).image(&format!("peapod/test-escape-{trick}:1"));
            assert_eq!(container.sh(&format!("cat {path}")).output().await, "x", "{trick}");
        }
        for path in ["/peapod-escaped", "/tmp/peapod-escaped"] {
            assert!(!Path::new(path).exists(), "{path} was written");
        }
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata("/etc/shadow").unwrap().nlink(), shadow.nlink());
        let images = daemon.images().list_images(v1::ListImagesRequest::default()).await.unwrap().into_inner().images;
        assert!(
            images
                .iter()
                .all(|image| image.repo_tags.iter().all(|tag| tag.contains("symlink") || tag.contains("dotdot"))),
            "{images:?}"
        );
        let ingest = daemon.state_root().join("ingest");
        let left: Vec<_> = fs::read_dir(&ingest)
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        assert!(left.iter().all(|path: &std::path::PathBuf| path.is_file()), "half an archive is left: {left:?}");
    });
}
