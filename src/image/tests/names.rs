//! What is done with the names of images. Needs root (owners, devices).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Lab;
use common::archive::{blobs, entry, layout, named, sent};
use common::image::{Built, Packing, Tar};
use peapod_image::{ImportRequest, ImportedImage};
use serde_json::json;

fn image(text: &str) -> Built {
    Built::new(&[(Tar::new().file("text", 0o640, text.as_bytes()).finish(), Packing::Gzip)], false)
}

async fn import(lab: &Lab, archive: &[u8]) -> Vec<ImportedImage> {
    lab.images.import(ImportRequest::default(), sent(archive, 10_000)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn pins_belong_to_names() {
    let mut lab = Lab::new().await;
    let (one, two) = (image("one"), image("two"));
    let archive = |built: &Built| layout(&[named(built, "a:1")], &blobs(built));
    let id = import(&lab, &archive(&one)).await[0].image.id.clone();
    assert!(!lab.images.resolve("a:1").unwrap().pinned);
    assert!(lab.images.names().pin("a:1").await.unwrap().pinned);
    lab.reopen().await;
    assert!(lab.images.resolve(id.as_str()).unwrap().pinned);
    // The name goes to another image, and its pin with it.
    let moved = import(&lab, &archive(&two)).await;
    assert!(moved[0].image.pinned && !lab.images.resolve(id.as_str()).unwrap().pinned);
    assert!(!lab.images.names().unpin("a:1").await.unwrap().pinned);
    // By its id, by all its names.
    assert!(lab.images.names().pin(id.as_str()).await.unwrap().pinned);
    assert!(lab.images.names().pin("none:1").await.unwrap_err().to_string().contains("not here"));
    assert!(lab.images.names().unpin("none:1").await.unwrap_err().to_string().contains("not here"));
    let bare = entry(&one.manifest_type, &one.manifest, &json!({}));
    lab.images.remove(id.as_str()).await.unwrap();
    let unnamed = import(&lab, &layout(&[bare], &blobs(&one))).await;
    let refused = lab.images.names().pin(unnamed[0].image.id.as_str()).await.unwrap_err();
    assert!(refused.to_string().contains("no name"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn of_several_names_one_can_be_taken_away() {
    let lab = Lab::new().await;
    let built = image("one");
    import(&lab, &layout(&[named(&built, "a:1"), named(&built, "b:1")], &blobs(&built))).await;
    let id = lab.images.resolve("a:1").unwrap().id.to_string();
    for none in ["none:1", &id] {
        assert_eq!(lab.images.names().untag(none).await.unwrap(), None, "{none}");
    }
    let untagged = lab.images.names().untag("a:1").await.unwrap();
    assert_eq!(untagged.as_deref(), Some("docker.io/library/a:1"));
    assert!(lab.images.resolve("a:1").is_none() && lab.images.resolve("b:1").is_some());
    assert_eq!(lab.images.names().untag("b:1").await.unwrap(), None, "its only one");
}
