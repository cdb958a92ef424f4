//! Records and files of one image are spoiled in turn: it can be pulled again, and nobody else notices.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use peapod_tests::{Daemon, METADATA, SHELL, peapod, v1};
use v1::ContainerState::ContainerRunning;

fn database(daemon: &Daemon) -> rusqlite::Connection {
    rusqlite::Connection::open(daemon.state_root().join("image.db")).unwrap()
}

/// The image's id and its top layer's directory.
fn of_image(daemon: &Daemon) -> (String, PathBuf) {
    let query = "SELECT images.id, layers.short FROM names JOIN images ON images.id = names.image_id
         JOIN layers USING (chain_id) WHERE names.reference LIKE '%test-metadata:1'";
    let (id, short): (String, String) =
        database(daemon).query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    (id, daemon.state_root().join("layers").join(short))
}

fn remove(path: &std::path::Path) {
    assert!(std::process::Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
}

/// What is to be spoiled, by its name, and how.
type Poison = (&'static str, fn(&Daemon));

fn column(daemon: &Daemon, column: &str, value: &str) {
    let (id, _) = of_image(daemon);
    let sql = format!("UPDATE images SET {column} = {value} WHERE id = '{id}'");
    database(daemon).execute_batch(&format!("PRAGMA foreign_keys = off; {sql}")).unwrap();
}

fn of_layer(daemon: &Daemon, column: &str, value: &str) {
    let (_, layer) = of_image(daemon);
    let short = layer.file_name().unwrap().to_str().unwrap();
    let sql = format!("UPDATE layers SET {column} = {value} WHERE short = '{short}'");
    database(daemon).execute_batch(&sql).unwrap();
}

/// Pulls an image, spoils it under a dead daemon, and holds that all else goes on and the image can be pulled again.
#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
fn each(poisons: &[Poison]) {
    peapod(async |daemon| {
        let healthy = daemon.pod("healthy").run().await;
        let running = healthy.container("running").sh("sleep 1000").start().await;
        for (number, (name, poison)) in poisons.iter().enumerate() {
            eprintln!("{name}");
            daemon.pull(METADATA).await.unwrap();
            daemon.kill().await;
            poison(daemon);
            daemon.start_again().await;
            assert_eq!(running.state().await, ContainerRunning);
            assert_eq!(running.exec("echo here").await, "here\n");
            assert!(daemon.image(SHELL).await.is_some());
            let images = daemon.images().list_images(v1::ListImagesRequest::default()).await.unwrap().into_inner();
            for image in images.images {
                let spec = v1::ImageSpec { image: image.id, ..Default::default() };
                let request = v1::ImageStatusRequest { image: Some(spec), verbose: true };
                daemon.images().image_status(request).await.unwrap().into_inner().image.unwrap();
            }
            daemon.pull(METADATA).await.unwrap();
            let pod = daemon.pod(&format!("pod-{number}")).run().await;
            let container = pod.container("main").image(METADATA).sh("ls -d /meta").start().await;
            assert_eq!(container.wait_exit().await.exit_code, 0);
            assert_eq!(container.stdout(), "/meta\n");
            pod.remove().await.unwrap();
        }
        healthy.remove().await.unwrap();
        assert!(fs::read_dir("/etc").unwrap().next().is_some());
    });
}

#[test]
fn rows() {
    each(&[
        ("an image without an id", |daemon| column(daemon, "id", "'nobody'")),
        ("an image of a chain that is none", |daemon| column(daemon, "chain_id", "'sha256:00'")),
        ("a size that is none", |daemon| column(daemon, "size", "'big'")),
        ("a configuration that is no JSON", |daemon| column(daemon, "run", "'{{{'")),
        ("a huge configuration", |daemon| column(daemon, "run", "replace(hex(zeroblob(20000000)), '00', '[]')")),
        ("annotations that are none", |daemon| column(daemon, "annotations", "'[1]'")),
        ("documents that are none", |daemon| column(daemon, "config", "7")),
        ("a layer in a directory of the node's", |daemon| of_layer(daemon, "short", "'../../../../etc'")),
        ("a layer that lies on itself", |daemon| of_layer(daemon, "parent", "chain_id")),
        ("a layer without a diff id", |daemon| of_layer(daemon, "diff_id", "''")),
        ("a layer of no size", |daemon| of_layer(daemon, "bytes", "'x'")),
        ("a layer in an unknown state", |daemon| of_layer(daemon, "state", "99")),
        ("a name of bytes", |daemon| {
            let sql = "UPDATE names SET reference = CAST(x'ff00' AS TEXT) WHERE reference LIKE '%test-metadata:1'";
            database(daemon).execute_batch(sql).unwrap();
        }),
        ("a lease of nobody", |daemon| {
            database(daemon).execute_batch("INSERT INTO leases VALUES (x'ff', 'rootfs', 'x', 'y')").unwrap();
        }),
        ("leases that do not tell their images", |daemon| {
            database(daemon).execute_batch("UPDATE leases SET image_id = ''").unwrap();
        }),
        ("leases that do not tell their layers", |daemon| {
            database(daemon).execute_batch("UPDATE leases SET chain_id = ''").unwrap();
        }),
        ("marks that are none", |daemon| {
            database(daemon).execute_batch("UPDATE marks SET value = x'ff'").unwrap();
        }),
    ]);
}

#[test]
fn layers() {
    each(&[
        ("no directory", |daemon| remove(&of_image(daemon).1)),
        ("nothing in it", |daemon| remove(&of_image(daemon).1.join("diff"))),
        ("a file", |daemon| {
            let layer = of_image(daemon).1;
            remove(&layer);
            fs::write(layer, "").unwrap();
        }),
        ("a file in it", |daemon| {
            let diff = of_image(daemon).1.join("diff");
            remove(&diff);
            fs::write(diff, "").unwrap();
        }),
        ("a link to the node's", |daemon| {
            let layer = of_image(daemon).1;
            remove(&layer);
            symlink("/", layer).unwrap();
        }),
        ("a link in it", |daemon| {
            let diff = of_image(daemon).1.join("diff");
            remove(&diff);
            symlink("/etc", diff).unwrap();
        }),
        ("a link to itself", |daemon| {
            let layer = of_image(daemon).1;
            remove(&layer);
            symlink(&layer, &layer).unwrap();
        }),
        ("nobody may read it", |daemon| {
            fs::set_permissions(of_image(daemon).1, fs::Permissions::from_mode(0o000)).unwrap();
        }),
        ("rubbish beside it", |daemon| {
            let layers = daemon.state_root().join("layers");
            fs::create_dir_all(layers.join("rubbish/diff/usr")).unwrap();
            symlink("/etc", layers.join("0123456789ab")).unwrap();
            remove(&layers.join("empty"));
            fs::write(layers.join("empty"), "").unwrap();
        }),
    ]);
}
