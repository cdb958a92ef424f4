//! Pulling, showing and removing images.

use std::fs;

use peapod_tests::{Daemon, SHELL, WEB, fixture, peapod, v1, wait_for};
use tonic::Code;

async fn list(daemon: &Daemon, filter: Option<&str>) -> Vec<v1::Image> {
    let filter = filter
        .map(|name| v1::ImageFilter { image: Some(v1::ImageSpec { image: fixture(name), ..Default::default() }) });
    daemon.images().list_images(v1::ListImagesRequest { filter }).await.unwrap().into_inner().images
}

async fn remove(daemon: &Daemon, name: &str) {
    let image = Some(v1::ImageSpec { image: fixture(name), ..Default::default() });
    daemon.images().remove_image(v1::RemoveImageRequest { image }).await.unwrap();
}

#[test]
fn by_tag() {
    peapod(async |daemon| {
        assert!(daemon.image(SHELL).await.is_none());
        let id = daemon.pull(SHELL).await.unwrap();
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
        let image = daemon.image(SHELL).await.unwrap();
        assert_eq!((&image.id, &image.repo_tags), (&id, &vec![fixture(SHELL)]));
        assert_eq!(image.repo_digests.len(), 1);
        let repository = fixture("peapod/shell");
        assert!(image.repo_digests[0].starts_with(&format!("{repository}@sha256:")), "{:?}", image.repo_digests);
        assert!(image.size > 1_000_000);
        // By every name it has.
        for name in [&id, &id[7..], &id[7..19], &image.repo_digests[0], &repository] {
            let found = daemon.image(name).await;
            // Without a tag `latest` is meant, and this one has none.
            assert_eq!(found.is_some(), *name != repository, "{name}");
        }
        // Again: the same, and cheap.
        assert_eq!(daemon.pull(SHELL).await.unwrap(), id);
        assert_eq!(list(daemon, None).await.len(), 1);
    });
}

#[test]
fn by_digest() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let reference = daemon.image(SHELL).await.unwrap().repo_digests[0].clone();
        remove(daemon, SHELL).await;
        let id = daemon.pull(&reference).await.unwrap();
        let image = daemon.image(&reference).await.unwrap();
        assert_eq!((image.id, image.repo_digests, image.repo_tags), (id, vec![reference.clone()], vec![]));
        let wrong = format!("{}@sha256:{}", reference.split('@').next().unwrap(), "0".repeat(64));
        not_found(&daemon.pull(&wrong).await.unwrap_err());
    });
}

#[test]
fn tags_of_the_same_image_go_together() {
    peapod(async |daemon| {
        let tag = |number: u32| {
            format!("{}/k8s-staging-cri-tools/test-image-tags:{number}", peapod_tests::Programs::get().registry)
        };
        let first = daemon.pull(&tag(1)).await.unwrap();
        assert_eq!(daemon.pull(&tag(2)).await.unwrap(), first);
        let images = list(daemon, None).await;
        assert_eq!(images.len(), 1);
        let mut tags = images[0].repo_tags.clone();
        tags.sort();
        assert_eq!(tags, [tag(1), tag(2)]);
        remove(daemon, &tag(1)).await;
        assert!(list(daemon, None).await.is_empty());
    });
}

#[test]
fn lists_are_filtered_by_reference() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        daemon.pull(WEB).await.unwrap();
        assert_eq!(list(daemon, None).await.len(), 2);
        let web = list(daemon, Some(WEB)).await;
        assert_eq!((web.len(), &web[0].repo_tags[0]), (1, &fixture(WEB)));
        assert!(list(daemon, Some("peapod/none:1")).await.is_empty());
    });
}

#[test]
fn removing_is_final_and_idempotent() {
    peapod(async |daemon| {
        let before = stored(daemon);
        daemon.pull(SHELL).await.unwrap();
        assert!(stored(daemon) > before);
        remove(daemon, SHELL).await;
        remove(daemon, SHELL).await;
        assert!(daemon.image(SHELL).await.is_none());
        wait_for("its files are gone from the disk", async || stored(daemon) == before).await;
        daemon.pull(SHELL).await.unwrap();
    });
}

/// How many layers and blobs are on the disk.
fn stored(daemon: &Daemon) -> usize {
    let folders = ["layers", "content/sha256", "ingest"].map(|name| daemon.state_root().join(name));
    folders.iter().map(|folder| fs::read_dir(folder).map_or(0, Iterator::count)).sum()
}

#[test]
fn a_container_keeps_the_files_of_a_removed_image() {
    peapod(async |daemon| {
        let pod = daemon.pod("keeps").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        remove(daemon, SHELL).await;
        assert!(container.exec("ls /bin | wc -l").await.trim().parse::<u32>().unwrap() > 100);
        // A new one needs the image.
        let config = pod.container("new").sh("true").request();
        let refused = daemon.runtime().create_container(config).await.unwrap_err();
        assert!(refused.message().contains("peapod/shell:1"), "does not name the image: {refused}");
    });
}

/// The registry said so: not to be confused with one that did not answer.
fn not_found(refused: &tonic::Status) {
    assert!(refused.message().contains("not found"), "{refused}");
    assert!(!refused.message().starts_with("RegistryUnavailable"), "{refused}");
}

#[test]
fn what_is_not_there() {
    peapod(async |daemon| {
        for name in ["peapod/none:1", "peapod/shell:none"] {
            let refused = daemon.pull(name).await.unwrap_err();
            not_found(&refused);
            assert!(refused.message().contains(name), "does not name the image: {refused}");
        }
        for name in ["", "registry.example/UPPER/case", "a//b", "x:y:z", "name@sha256:short"] {
            let refused = daemon.pull(name).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{name:?}: {refused}");
        }
        let refused = daemon.pull("127.0.0.1:1/peapod/shell:1").await.unwrap_err();
        assert!(refused.message().starts_with("RegistryUnavailable"), "{refused}");
        let refused = daemon.pull("peapod/test-foreign:1").await.unwrap_err();
        assert!(refused.message().contains("amd64"), "does not name the platform: {refused}");
        assert!(list(daemon, None).await.is_empty());
    });
}

#[test]
fn the_disk_is_accounted_for() {
    peapod(async |daemon| {
        let usage = async || {
            let info = daemon.images().image_fs_info(v1::ImageFsInfoRequest::default()).await.unwrap().into_inner();
            let images = &info.image_filesystems[0];
            assert!(daemon.state_root().starts_with(&images.fs_id.as_ref().unwrap().mountpoint));
            assert!(images.timestamp > 0);
            images.used_bytes.unwrap().value
        };
        let before = usage().await;
        daemon.pull(SHELL).await.unwrap();
        assert!(usage().await > before + 1_000_000);
    });
}
