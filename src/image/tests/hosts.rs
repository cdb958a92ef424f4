//! Registries as they are: credentials, certificates, mirrors, failures, interruptions. Needs Debian's docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::front::{Behaviour, Front};
use common::image::{Built, Packing, Tar};
use common::registry::{Options, PASSWORD, Registry, USER};
use common::{Lab, request, wait_for};
use peapod_image::{Credentials, PullError, PullRequest};
use peapod_trace::Span;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// An image with a layer that does not get small by packing.
fn built(size: usize) -> Built {
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..size)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let layer = Tar::new().dir("./", 0o755).file("noise", 0o644, &noise).finish();
    Built::new(&[(layer, Packing::Gzip), (Tar::new().file("second", 0o644, b"2").finish(), Packing::Zstd)], false)
}

fn with(reference: &str, credentials: Credentials) -> PullRequest {
    PullRequest { reference: reference.to_owned(), credentials: Some(credentials), span: Span::default() }
}

fn user(password: &str) -> Credentials {
    Credentials { username: USER.to_owned(), password: password.to_owned(), ..Credentials::default() }
}

/// A certificate of its own making, for 127.0.0.1.
fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn basic_authentication() {
    let registry = Registry::with(Options { password: true, ..Options::default() }).await;
    let lab = Lab::new().await;
    registry.push("a", "1", &built(1000)).await;
    let name = format!("{}/a:1", registry.host());

    let none = lab.images.pull(request(&name)).await.unwrap_err();
    assert!(matches!(none, PullError::Unauthorised { .. }) && none.to_string().contains("wants credentials"), "{none}");
    let wrong = lab.images.pull(with(&name, user("wrong"))).await.unwrap_err();
    assert!(matches!(wrong, PullError::Unauthorised { .. }), "{wrong}");
    assert!(!format!("{wrong:?}{wrong} {:?}", user("wrong")).contains("\"wrong"));
    let elsewhere = Credentials { server_address: "https://other.example/v1/".to_owned(), ..user(PASSWORD) };
    assert!(matches!(lab.images.pull(with(&name, elsewhere)).await, Err(PullError::Unauthorised { .. })));
    let here = Credentials { server_address: format!("http://{}", registry.host()), ..user(PASSWORD) };
    let image = lab.images.pull(with(&name, here)).await.unwrap();

    // The image is here; the right to use it is asked for all the same.
    assert!(matches!(lab.images.pull(request(&name)).await, Err(PullError::Unauthorised { .. })));
    assert!(matches!(lab.images.pull(with(&name, user("wrong"))).await, Err(PullError::Unauthorised { .. })));
    assert_eq!(lab.images.pull(with(&name, user(PASSWORD))).await.unwrap(), image);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn bearer_tokens() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    registry.push("a", "1", &built(1000)).await;

    let public = Front::start(registry.url(), Behaviour { bearer: Some(String::new()), ..Behaviour::default() }).await;
    let name = format!("127.0.0.1:{}/a:1", public.port);
    let image = lab.images.pull(request(&name)).await.unwrap();
    assert_eq!(public.count("/token"), 1, "one token serves the whole pull");
    // Here already: asked for, not transferred.
    let before = public.count("/blobs/");
    assert_eq!(lab.images.pull(request(&name)).await.unwrap().id, image.id);
    assert_eq!((public.count("/blobs/"), public.count("HEAD")), (before, 2));

    let basic = "Basic dXNlcjpzZWNyZXQ=".to_owned();
    let private = Front::start(registry.url(), Behaviour { bearer: Some(basic), ..Behaviour::default() }).await;
    let name = format!("127.0.0.1:{}/a:1", private.port);
    assert!(matches!(lab.images.pull(request(&name)).await, Err(PullError::Unauthorised { .. })));
    assert!(matches!(lab.images.pull(with(&name, user("wrong"))).await, Err(PullError::Unauthorised { .. })));
    lab.images.pull(with(&name, user(PASSWORD))).await.unwrap();
    let token = Credentials { registry_token: "a-token-of-the-test".to_owned(), ..Credentials::default() };
    lab.images.pull(with(&name, token)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn https_with_a_certificate_of_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(dir.path());
    let registry = Registry::with(Options { tls: Some((certificate.clone(), key)), ..Options::default() }).await;
    registry.push("a", "1", &built(1000)).await;
    let name = format!("{}/a:1", registry.host());

    let lab = Lab::new().await;
    let distrusted = lab.images.pull(request(&name)).await.unwrap_err();
    assert!(distrusted.is_unavailable() && distrusted.to_string().contains("certificate"), "{distrusted}");
    lab.hosts_toml(&registry.host(), &format!("server = \"{}\"\nca = \"{}\"", registry.url(), certificate.display()));
    lab.images.pull(request(&name)).await.unwrap();

    let lab = Lab::new().await;
    lab.hosts_toml("_default", "skip_verify = true");
    lab.images.pull(request(&name)).await.unwrap();

    let lab = Lab::new().await;
    lab.hosts_toml(&registry.host(), "ca = \"missing.crt\"");
    let missing = lab.images.pull(request(&name)).await.unwrap_err();
    assert!(missing.to_string().contains("missing.crt"), "{missing}");
    lab.hosts_toml(&registry.host(), "certificate = 1");
    assert!(matches!(lab.images.pull(request(&name)).await, Err(PullError::Hosts { .. })));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn mirrors_stand_in_for_a_registry() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    registry.push("pause", "3.9", &built(1000)).await;
    let failing =
        Front::start(registry.url(), Behaviour { failing: AtomicUsize::new(1000), ..Behaviour::default() }).await;
    let blobs_only = Front::start(registry.url(), Behaviour::default()).await;
    lab.hosts_toml(
        "registry.k8s.io",
        &format!(
            "server = \"http://127.0.0.1:1\"\n[host.\"{}\"]\n[host.\"{}\"]\ncapabilities = [\"pull\"]\n[host.\"http://127.0.0.1:2\"]\n[host.\"{}\"]\n",
            failing.url(), blobs_only.url(), registry.url()
        ),
    );
    let image = lab.images.pull(request("registry.k8s.io/pause:3.9")).await.unwrap();
    assert_eq!(image.repo_tags, ["registry.k8s.io/pause:3.9"]);
    assert!(failing.count("?ns=registry.k8s.io") > 0, "a mirror is told for whom it stands");
    assert_eq!(blobs_only.count("/manifests/3.9"), 0, "a host that may not resolve is not asked for a tag");
    assert_eq!(blobs_only.count("/blobs/"), 3);

    let missing = lab.images.pull(request("registry.k8s.io/nothing:1")).await.unwrap_err();
    // One of them has no answer, so nobody knows.
    assert!(missing.is_unavailable() && missing.to_string().contains("503"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn interrupted_transfers_go_on_where_they_were() {
    let registry = Registry::start().await;
    let image = built(300_000);
    registry.push("a", "1", &image).await;
    for no_ranges in [false, true] {
        let lab = Lab::with(|config| config.requests.retries = 6).await;
        let cut = if no_ranges { None } else { Some(60_000) };
        let front = Front::start(
            registry.url(),
            Behaviour { cut, no_ranges, failing: AtomicUsize::new(2), ..Behaviour::default() },
        )
        .await;
        lab.images.pull(request(&format!("127.0.0.1:{}/a:1", front.port))).await.unwrap();
        assert_eq!(front.count("bytes=60000-") > 0, !no_ranges, "{:?}", front.seen.lock().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_pull_that_nobody_wants_ends_and_its_bytes_stay() {
    let registry = Registry::start().await;
    let image = built(3_000_000);
    registry.push("a", "1", &image).await;
    for no_ranges in [false, true] {
        let lab = Lab::new().await;
        let front =
            Front::start(registry.url(), Behaviour { hang: AtomicUsize::new(1), no_ranges, ..Behaviour::default() })
                .await;
        let name = format!("127.0.0.1:{}/a:1", front.port);
        let part = lab.root(&format!("ingest/{}.part", image.layers[0].digest.strip_prefix("sha256:").unwrap()));
        let grown = || part.metadata().is_ok_and(|metadata| metadata.len() > 1_000_000);

        // Two wait for the same pull; one goes, then the other.
        let (first, second) = (
            tokio::spawn({
                let (images, name) = (lab.images.clone(), name.clone());
                async move { images.pull(request(&name)).await }
            }),
            tokio::spawn({
                let (images, name) = (lab.images.clone(), name.clone());
                async move { images.pull(request(&name)).await }
            }),
        );
        wait_for("half of the layer", grown).await;
        assert_eq!(front.count(&image.layers[0].digest), 1, "equal pulls are one");
        first.abort();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!second.is_finished());
        second.abort();
        wait_for("the half-made layer to go", || lab.names_in("ingest").iter().all(|name| name.ends_with(".part")))
            .await;
        assert!(grown() && lab.images.list().is_empty());
        assert_eq!(lab.names_in("layers"), ["empty"]);

        front.behaviour.hang.store(0, Ordering::SeqCst);
        lab.images.pull(request(&name)).await.unwrap();
        let resumed = front
            .seen
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(&image.layers[0].digest) && line.contains("bytes="));
        assert!(resumed, "{:?}", front.seen.lock().unwrap());
        assert!(lab.names_in("ingest").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_damaged_partial_blob_is_fetched_again() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let image = built(100_000);
    registry.push("a", "1", &image).await;
    let hex = image.layers[0].digest.strip_prefix("sha256:").unwrap();
    std::fs::write(lab.root(&format!("ingest/{hex}.part")), vec![b'x'; 50_000]).unwrap();
    let front = Front::start(registry.url(), Behaviour::default()).await;
    lab.images.pull(request(&format!("127.0.0.1:{}/a:1", front.port))).await.unwrap();
    // It is taken for the beginning of the blob, and when that has the wrong digest, for nothing.
    let asked = || front.seen.lock().unwrap().clone();
    assert_eq!(front.count("bytes=50000-"), 1, "{:?}", asked());
    assert_eq!(front.count(&format!("/blobs/sha256:{hex}")), 2, "{:?}", asked());
    assert!(lab.names_in("ingest").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_registry_that_stalls_is_left() {
    let registry = Registry::start().await;
    registry.push("a", "1", &built(1_000_000)).await;
    let front = Front::start(registry.url(), Behaviour { hang: AtomicUsize::new(1), ..Behaviour::default() }).await;
    let lab = Lab::with(|config| {
        config.requests.stall_timeout = Duration::from_millis(300);
        config.requests.retries = 0;
    })
    .await;
    lab.hosts_toml("r.example", &format!("server = \"{}\"\n[host.\"{}\"]\n", registry.url(), front.url()));
    lab.images.pull(request("r.example/a:1")).await.unwrap();
    lab.images.remove("r.example/a:1").await.unwrap();
    lab.hosts_toml("r.example", &format!("server = \"{}\"\n", front.url()));
    let stalled = lab.images.pull(request("r.example/a:1")).await.unwrap_err();
    assert!(stalled.is_unavailable() && stalled.to_string().contains("stalled"), "{stalled}");
}

/// The other half of the next test: pulls, in a process that will be killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_killed_pull_leaves_nothing_visible"]
async fn helper_that_pulls_and_is_killed() {
    let (Ok(root), Ok(name)) = (std::env::var("PULL_ROOT"), std::env::var("PULL_NAME")) else { return };
    let config = peapod_image::Config::new(PathBuf::from(root));
    let db = peapod_store::Database::open(
        &config.state_root.join("image.db"),
        peapod_store::Durability::Full,
        peapod_image::MIGRATIONS,
    );
    let trash = common::trash(&config);
    let images = peapod_image::Images::open(config, db.unwrap(), trash).await.unwrap();
    let _ = images.pull(request(&name)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_killed_pull_leaves_nothing_visible() {
    let registry = Registry::start().await;
    let image = built(3_000_000);
    registry.push("a", "1", &image).await;
    let front = Front::start(registry.url(), Behaviour { hang: AtomicUsize::new(1), ..Behaviour::default() }).await;
    let mut lab = Lab::new().await;
    let name = format!("127.0.0.1:{}/a:1", front.port);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "helper_that_pulls_and_is_killed"])
        .env("PULL_ROOT", &lab.config.state_root)
        .env("PULL_NAME", &name)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let part = lab.root(&format!("ingest/{}.part", image.layers[0].digest.strip_prefix("sha256:").unwrap()));
    wait_for("half of the layer", || part.metadata().is_ok_and(|metadata| metadata.len() > 1_000_000)).await;
    wait_for("an unpack under way", || lab.names_in("ingest").iter().any(|name| !name.ends_with(".part"))).await;
    child.kill().unwrap();
    child.wait().unwrap();

    lab.reopen().await;
    assert!(lab.images.list().is_empty() && lab.names_in("layers") == ["empty"]);
    wait_for("the half-made layer to go", || lab.names_in("ingest").iter().all(|name| name.ends_with(".part"))).await;
    front.behaviour.hang.store(0, Ordering::SeqCst);
    lab.images.pull(request(&name)).await.unwrap();
    assert!(front.seen.lock().unwrap().iter().any(|line| line.contains("bytes=")), "it goes on where it was killed");
    // A directory without a record does not exist.
    std::fs::create_dir_all(lab.root("layers/unknown/diff")).unwrap();
    lab.reopen().await;
    wait_for("the unknown layer to go", || !lab.root("layers/unknown").exists()).await;
    assert_eq!(lab.images.list().len(), 1);
}
