//! The folder of archives that is imported at the start, beside pulls, imports and removals. Needs root (owners).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Lab;
use common::archive::{blobs, layout, named, sent};
use common::image::{Built, Packing, Tar};
use peapod_image::ImportRequest;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

fn image(text: &str) -> Built {
    let layer = Tar::new().file("text", 0o640, text.as_bytes()).finish();
    Built::new(&[(layer, Packing::Gzip)], false)
}

fn archive(images: &[(&Built, &str)]) -> Vec<u8> {
    let entries: Vec<_> = images.iter().map(|(image, name)| named(image, name)).collect();
    let all: Vec<&[u8]> = images.iter().flat_map(|(image, _)| blobs(image)).collect();
    layout(&entries, &all)
}

/// A node whose daemon starts again and again.
struct Node(Lab);

impl Node {
    async fn new() -> Self {
        let lab = Lab::with(|config| config.import_dir = config.state_root.join("images")).await;
        std::fs::create_dir(lab.root("images")).unwrap();
        Self(lab)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.root("images").join(name)
    }

    /// Answers what the start imported, and what it knew.
    async fn start(&mut self) -> (usize, usize) {
        self.0.reopen().await;
        self.0.images.import_folder().await;
        let report = self.0.images.folder_import();
        assert!(report.is_done && report.broken.is_empty(), "{report:?}");
        (report.imported, report.unchanged)
    }

    async fn import(&self, images: &[(&Built, &str)]) {
        self.0.images.import(ImportRequest::default(), sent(&archive(images), 10_000)).await.unwrap();
    }

    async fn remove(&self, image: &Built) {
        self.0.images.remove(&image.config.digest).await.unwrap();
    }

    fn leads(&self, name: &str) -> Option<String> {
        self.0.images.resolve(name).map(|image| image.id.as_str().to_owned())
    }

    fn is_here(&self, image: &Built) -> bool {
        self.0.images.resolve(&image.config.digest).is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_name_that_went_elsewhere_is_not_taken_back() {
    let mut node = Node::new().await;
    let (old, new) = (image("old"), image("new"));
    std::fs::write(node.file("app.tar"), archive(&[(&old, "app:1")])).unwrap();
    assert_eq!(node.start().await, (1, 0));
    assert!(node.0.images.resolve("app:1").unwrap().pinned);
    node.import(&[(&new, "app:1")]).await;
    // As long as the old image is here, and once it was collected.
    assert_eq!(node.start().await, (0, 1));
    assert_eq!(node.leads("app:1"), Some(new.config.digest.clone()));
    node.remove(&old).await;
    assert_eq!(node.start().await, (0, 1));
    assert_eq!((node.leads("app:1"), node.is_here(&old)), (Some(new.config.digest.clone()), false));
    // The file is copied to another disk: it is the same archive.
    let again = archive(&[(&old, "app:1")]);
    std::fs::remove_file(node.file("app.tar")).unwrap();
    std::fs::write(node.file("app.tar"), &again).unwrap();
    assert_eq!(node.start().await, (0, 1));
    assert_eq!(node.leads("app:1"), Some(new.config.digest.clone()));
    let touched = std::fs::File::options().write(true).open(node.file("app.tar")).unwrap();
    touched.set_modified(SystemTime::now() + Duration::from_secs(100)).unwrap();
    assert_eq!(node.start().await, (0, 1));
    assert_eq!(node.leads("app:1"), Some(new.config.digest.clone()));
    // Free again, the name and its image come back.
    node.remove(&new).await;
    assert_eq!(node.start().await, (1, 0));
    assert_eq!(node.leads("app:1"), Some(old.config.digest.clone()));
    assert!(node.0.images.resolve("app:1").unwrap().pinned);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_archive_that_is_new_moves_its_names() {
    let mut node = Node::new().await;
    let (one, two, other) = (image("one"), image("two"), image("other"));
    node.import(&[(&other, "app:1")]).await;
    std::fs::write(node.file("app.tar"), archive(&[(&one, "app:1"), (&two, "tool:1")])).unwrap();
    assert_eq!(node.start().await, (2, 0));
    assert_eq!(node.leads("app:1"), Some(one.config.digest.clone()), "it was never imported");
    // Changed, it has one image that is new and one that is not.
    node.import(&[(&other, "app:1"), (&other, "tool:1")]).await;
    let three = image("three");
    std::fs::write(node.file("app.tar"), archive(&[(&one, "app:1"), (&three, "tool:1")])).unwrap();
    assert_eq!(node.start().await, (1, 0));
    assert_eq!(node.leads("app:1"), Some(other.config.digest.clone()), "of that nothing has changed");
    assert_eq!(node.leads("tool:1"), Some(three.config.digest.clone()));
    assert_eq!(node.start().await, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn of_two_archives_with_one_name_the_last_has_it_and_keeps_it() {
    let mut node = Node::new().await;
    let (one, two) = (image("one"), image("two"));
    std::fs::write(node.file("1.tar"), archive(&[(&one, "app:1")])).unwrap();
    std::fs::write(node.file("2.tar"), archive(&[(&two, "app:1")])).unwrap();
    assert_eq!(node.start().await, (2, 0));
    node.remove(&one).await;
    for _ in 0..2 {
        assert_eq!(node.start().await, (0, 2));
        assert_eq!((node.leads("app:1"), node.is_here(&one)), (Some(two.config.digest.clone()), false));
    }
    // The name lost its image, which the other archive still has.
    node.remove(&two).await;
    assert_eq!(node.start().await, (1, 1));
    assert!(node.leads("app:1").is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_folder_that_is_not_there_for_once_is_not_forgotten() {
    let mut node = Node::new().await;
    let (old, new) = (image("old"), image("new"));
    std::fs::write(node.file("app.tar"), archive(&[(&old, "app:1")])).unwrap();
    assert_eq!(node.start().await, (1, 0));
    node.import(&[(&new, "app:1")]).await;
    let aside = node.0.root("aside");
    std::fs::rename(node.0.root("images"), &aside).unwrap();
    assert_eq!(node.start().await, (0, 0));
    std::fs::create_dir(node.0.root("images")).unwrap();
    assert_eq!(node.start().await, (0, 0));
    std::fs::remove_dir(node.0.root("images")).unwrap();
    std::fs::rename(aside, node.0.root("images")).unwrap();
    assert_eq!(node.start().await, (0, 1));
    assert_eq!(node.leads("app:1"), Some(new.config.digest.clone()));
    // An archive that was taken out is a new one when it is put in again.
    std::fs::rename(node.file("app.tar"), node.0.root("app.tar")).unwrap();
    std::fs::write(node.file("else.tar"), archive(&[(&image("else"), "else:1")])).unwrap();
    assert_eq!(node.start().await, (1, 0));
    std::fs::rename(node.0.root("app.tar"), node.file("app.tar")).unwrap();
    assert_eq!(node.start().await, (1, 1));
    assert_eq!(node.leads("app:1"), Some(old.config.digest.clone()));
}
