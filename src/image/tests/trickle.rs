//! Registries that send next to nothing, for ever: others are served meanwhile, and nothing stays when the pull is
//! given up.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::image::{Built, Packing, Tar};
use common::stub::{Asked, Reply, Stub};
use common::{Lab, names, request, wait_for};
use peapod_image::Images;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn layers(seed: &str, count: usize) -> Built {
    let layer = |number: usize| {
        let content = format!("{seed} {number}").repeat(500);
        (Tar::new().file(&format!("{seed}{number}"), 0o644, content.as_bytes()).finish(), Packing::Plain)
    };
    Built::new(&(0..count).map(layer).collect::<Vec<_>>(), false)
}

/// Lets blobs of one repository trickle.
fn trickling(built: &Built, at_once: usize, every: Duration) -> impl Fn(u16, &Asked) -> Option<Reply> + use<> {
    let layers = built.layers.clone();
    move |_, asked| {
        let layer = layers.iter().find(|layer| asked.path.contains(&layer.digest))?;
        Some(Reply::new(200, layer.bytes.clone()).trickling(at_once, every))
    }
}

fn begin(images: &Images, name: String) -> tokio::task::JoinHandle<()> {
    let images = images.clone();
    tokio::spawn(async move { drop(images.pull(request(&name)).await) })
}

async fn served(lab: &Lab, name: &str, within: Duration) {
    let pulled = tokio::time::timeout(within, lab.images.pull(request(name))).await;
    pulled.unwrap_or_else(|_| panic!("{name} starves")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn others_are_served_meanwhile() {
    let (evil, good) = (layers("evil", 12), layers("good", 3));
    let lab = Lab::with(|config| (config.max_downloads, config.max_unpacks) = (2, 1)).await;
    // Some bytes at once, so that unpacking begins.
    let images = [("evil:1", &evil), ("good:1", &good)];
    let stub = Stub::serving(&images, trickling(&evil, 1000, Duration::from_millis(100))).await;
    let other = Stub::serving(&[("good:2", &layers("other", 3))], |_, _| None).await;
    let pull = begin(&lab.images, format!("{}/evil:1", stub.host()));
    wait_for("two transfers", || stub.count("/evil/blobs/") >= 3).await;
    served(&lab, &format!("{}/good:2", other.host()), Duration::from_secs(2)).await;
    served(&lab, &format!("{}/good:1", stub.host()), Duration::from_secs(14)).await;
    assert!(stub.open.load(Ordering::SeqCst) <= 4, "connections are bounded");

    assert!(!pull.is_finished());
    pull.abort();
    wait_for("the connections to end", || stub.open.load(Ordering::SeqCst) == 0).await;
    let only_parts = || names(&lab.root("ingest")).iter().all(|name| name.ends_with(".part"));
    wait_for("unpacks to end", only_parts).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_slow_transfer_goes_on_where_it_was() {
    let (slow, good) = (layers("slow", 2), layers("good", 1));
    let lab = Lab::with(|config| config.max_downloads = 1).await;
    let size = slow.layers[0].bytes.len();
    // Half of it comes at once and the rest too slowly, so it makes way and is asked for again from there.
    let stub =
        Stub::serving(&[("slow:1", &slow), ("good:1", &good)], trickling(&slow, size / 2, Duration::from_secs(1)))
            .await;
    let pull = begin(&lab.images, format!("{}/slow:1", stub.host()));
    wait_for("a transfer", || stub.count("/slow/blobs/") >= 2).await;
    served(&lab, &format!("{}/good:1", stub.host()), Duration::from_secs(8)).await;
    wait_for("it to be resumed", || {
        stub.about("/slow/blobs/").iter().any(|asked| asked.header("range").starts_with("bytes="))
    })
    .await;
    pull.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn many_slow_registries_keep_nobody_from_another() {
    let lab = Lab::with(|config| config.max_downloads = 2).await;
    let mut stubs = Vec::new();
    for number in 0..20 {
        let evil = layers(&format!("evil{number}-"), 2);
        let stub = Stub::serving(&[("evil:1", &evil)], trickling(&evil, 0, Duration::from_millis(500))).await;
        stubs.push((begin(&lab.images, format!("{}/evil:1", stub.host())), stub));
    }
    let transfers = || stubs.iter().map(|(_, stub)| stub.count("/evil/blobs/") - stub.count("config")).sum::<usize>();
    wait_for("all slots to be taken", || transfers() >= 32 + 16).await;
    let good = Stub::serving(&[("good:1", &layers("good", 3))], |_, _| None).await;
    served(&lab, &format!("{}/good:1", good.host()), Duration::from_secs(10)).await;
    for (pull, _) in &stubs {
        pull.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_layer_that_trickles_is_fetched_from_another_registry_beside_it() {
    let (image, lab) = (layers("shared", 2), Lab::new().await);
    let evil = Stub::serving(&[("a:1", &image)], trickling(&image, 10, Duration::from_millis(500))).await;
    let good = Stub::serving(&[("a:1", &image)], |_, _| None).await;
    let pull = begin(&lab.images, format!("{}/a:1", evil.host()));
    let parts = || names(&lab.root("ingest")).iter().filter(|name| name.ends_with(".part")).count();
    wait_for("both layers to begin", || parts() == 2).await;
    served(&lab, &format!("{}/a:1", good.host()), Duration::from_secs(10)).await;
    // What is here is no longer waited for by the next one, whoever trickles.
    served(&lab, &format!("{}/a:1", good.host()), Duration::from_secs(10)).await;
    assert!(!pull.is_finished() && parts() == 2, "the slow one goes on");
    pull.abort();
    wait_for("the connections to end", || evil.open.load(Ordering::SeqCst) == 0).await;
}
