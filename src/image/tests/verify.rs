//! The node goes down while the store is open: layers are verified, and only those that are damaged are pulled again.
//! Needs root and Debian's docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::front::{Behaviour, Front};
use common::image::{Built, Packing, Tar};
use common::registry::Registry;
use common::{Lab, request, wait_for};
use peapod_image::{Image, LeaseError, Rootfs};
use std::path::Path;
use std::sync::Arc;

fn layer(name: &str) -> (Vec<u8>, Packing) {
    let tar = Tar::new()
        .dir(&format!("{name}/"), 0o755)
        .file(&format!("{name}/file"), 0o644, name.repeat(3000).as_bytes())
        .file(&format!("{name}/other"), 0o644, b"x")
        .symlink(&format!("{name}/link"), "file");
    (tar.finish(), Packing::Gzip)
}

struct Node {
    lab: Lab,
    front: Front,
    name: String,
    other: String,
    boot: u32,
    _registry: Registry,
}

impl Node {
    /// Two images are here that share their lowest layer, and a third that shares nothing.
    async fn new() -> Self {
        let registry = Registry::start().await;
        let low = layer("low");
        registry.push("a/b", "v1", &Built::new(&[low.clone(), layer("mid"), layer("top")], false)).await;
        registry.push("a/c", "v1", &Built::new(&[low, layer("else")], false)).await;
        registry.push("a/d", "v1", &Built::new(&[layer("alone")], false)).await;
        let front = Front::start(registry.url(), Behaviour::default()).await;
        let lab = Lab::with(|config| config.boot_id = "boot-1".to_owned()).await;
        let host = format!("127.0.0.1:{}", front.port);
        let name = |image: &str| format!("{host}/a/{image}:v1");
        for image in ["b", "c", "d"] {
            lab.images.pull(request(&name(image))).await.unwrap();
        }
        Self { name: name("b"), other: name("c"), lab, front, boot: 1, _registry: registry }
    }

    /// The node goes down and comes up.
    async fn reboot(&mut self) {
        self.boot += 1;
        self.lab.config.boot_id = format!("boot-{}", self.boot);
        self.lab.reopen().await;
    }

    fn image(&self, name: &str) -> Option<Arc<Image>> {
        self.lab.images.resolve(name)
    }

    async fn dirs(&self, name: &str) -> Rootfs {
        self.lab.images.lease(&self.image(name).unwrap().id, "c").await.unwrap()
    }

    fn blobs(&self) -> usize {
        let seen = self.front.seen.lock().unwrap();
        seen.iter().filter(|line| line.starts_with("GET") && line.contains("/blobs/")).count()
    }

    async fn is_whole(&self, name: &str) {
        let rootfs = self.dirs(name).await;
        for path in ["low", if name == self.name { "mid" } else { "else" }] {
            let found = rootfs.read_file(&format!("/{path}/link"), 1 << 20).unwrap().unwrap();
            assert_eq!(found, path.repeat(3000).as_bytes());
        }
    }
}

/// Which layer, top layer first; what happens to it; and how.
type Damage = (usize, &'static str, fn(&Path));

fn damages() -> Vec<Damage> {
    vec![
        (0, "truncated", |dir| std::fs::write(dir.join("top/file"), "to").unwrap()),
        (1, "emptied", |dir| std::fs::write(dir.join("mid/file"), "").unwrap()),
        (1, "a file is gone", |dir| std::fs::remove_file(dir.join("mid/other")).unwrap()),
        (1, "all is gone", |dir| peapod_sys::remove_tree(dir).unwrap()),
        (0, "a link is a file", |dir| {
            std::fs::remove_file(dir.join("top/link")).unwrap();
            std::fs::write(dir.join("top/link"), "x").unwrap();
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn only_a_damaged_layer_is_pulled_again() {
    let mut node = Node::new().await;
    for (index, what, damage) in damages() {
        let before = node.dirs(&node.name).await;
        damage(&before.lower_dirs[index]);
        let id = node.image(&node.name).unwrap().id.clone();
        node.reboot().await;
        // Whoever wants it waits for the look, which the background may not have come to.
        let refused = node.lab.images.lease(&id, "new").await.unwrap_err();
        assert!(matches!(refused, LeaseError::NotFound { .. }), "{what}: {refused}");
        assert!(node.image(&node.name).is_none() && node.image(&node.other).is_some(), "{what}");
        let blobs = node.blobs();
        let image = node.lab.images.pull(request(&node.name)).await.unwrap();
        assert_eq!(image.id, id, "{what}");
        // The configuration and one layer.
        assert_eq!(node.blobs() - blobs, 2, "{what}: {:?}", node.front.seen.lock().unwrap());
        node.is_whole(&node.name).await;
        let after = node.dirs(&node.name).await;
        for (place, (old, new)) in before.lower_dirs.iter().zip(&after.lower_dirs).enumerate() {
            assert_eq!(old == new, place != index, "{what}");
        }
        wait_for("the damaged one is removed", || !before.lower_dirs[index].parent().unwrap().exists()).await;
    }
    assert_eq!(node.lab.names_in("layers").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_layer_of_two_images_is_lost_to_both_and_pulled_once() {
    let mut node = Node::new().await;
    let shared = node.dirs(&node.name).await.lower_dirs[2].clone();
    std::fs::remove_file(shared.join("low/other")).unwrap();
    node.reboot().await;
    // Asked for by name, as a kubelet does: that it is here is not believed. And two at once.
    let blobs = node.blobs();
    let images = &node.lab.images;
    let (one, two) = tokio::join!(images.pull(request(&node.name)), images.pull(request(&node.other)));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    // The layer once; of each image the configuration at most.
    assert!(node.blobs() - blobs <= 3, "{:?}", node.front.seen.lock().unwrap());
    for name in [&node.name, &node.other] {
        node.is_whole(name).await;
    }
    // The next daemon of this boot has nothing left to look at.
    node.lab.reopen().await;
    assert_eq!(node.lab.images.list().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn layers_are_looked_at_after_an_unclean_end_alone() {
    let mut node = Node::new().await;
    let top = node.dirs(&node.name).await.lower_dirs[0].clone();
    let id = node.image(&node.name).unwrap().id.clone();
    std::fs::write(top.join("top/file"), "").unwrap();
    // Only the daemon died.
    node.lab.reopen().await;
    node.lab.images.lease(&id, "c").await.unwrap();
    // The node was shut down in order.
    node.lab.images.close().await.unwrap();
    node.reboot().await;
    node.lab.images.lease(&id, "c").await.unwrap();
    // It went down; and the daemon that found that out died before it was through.
    node.boot += 1;
    node.lab.config.boot_id = format!("boot-{}", node.boot);
    node.lab.reopen().await;
    node.lab.reopen().await;
    assert!(node.lab.images.lease(&id, "c").await.is_err());
    wait_for("it is not listed any more", || node.lab.images.list().len() == 2).await;
    // Nobody pulls it again: in the end its other layers are freed.
    node.lab.images.release("c").await.unwrap();
    node.lab.config.partial.keep = std::time::Duration::ZERO;
    node.lab.reopen().await;
    let layers = || node.lab.names_in("layers").len();
    wait_for("its other layers are gone", || layers() == 4).await;
    node.is_whole(&node.other).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_is_whole_stays_and_costs_no_transfer() {
    let mut node = Node::new().await;
    let before = node.dirs(&node.name).await;
    let blobs = node.blobs();
    for _ in 0..3 {
        node.reboot().await;
        node.is_whole(&node.name).await;
        node.lab.images.pull(request(&node.other)).await.unwrap();
        assert_eq!((node.dirs(&node.name).await, node.lab.images.list().len()), (before.clone(), 3));
    }
    assert_eq!(node.blobs(), blobs);
}
