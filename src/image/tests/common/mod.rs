//! What the tests of this crate share: a real registry, images made on the spot, a store in a directory of its own.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of it")]

pub mod front;
pub mod image;
pub mod registry;
pub mod stub;

use peapod_image::{Config, Images, MIGRATIONS, PullRequest};
use peapod_store::{Database, Durability};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A store that goes with its directory.
pub struct Lab {
    pub images: Images,
    pub config: Config,
    pub dir: tempfile::TempDir,
}

impl Lab {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("state"));
        config.hosts_dirs = vec![dir.path().join("certs.d")];
        config.connect_timeout = Duration::from_secs(2);
        config.stall_timeout = Duration::from_secs(3);
        config.request_timeout = Duration::from_secs(5);
        config.retries = 2;
        change(&mut config);
        std::fs::create_dir_all(&config.state_root).unwrap();
        let images = open(&config).await;
        Self { images, config, dir }
    }

    /// As a restarted daemon would see it.
    pub async fn reopen(&mut self) {
        self.images = open(&self.config).await;
    }

    pub fn hosts_toml(&self, registry: &str, text: &str) {
        let folder = self.dir.path().join("certs.d").join(registry);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    }

    pub fn root(&self, part: &str) -> PathBuf {
        self.config.state_root.join(part)
    }

    pub fn names_in(&self, part: &str) -> Vec<String> {
        names(&self.root(part))
    }

    /// Nothing half made is left: no layer but the empty one, nothing in ingest.
    pub async fn assert_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let (layers, ingest) = (self.names_in("layers"), self.names_in("ingest"));
            if layers == ["empty"] && ingest.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left: {layers:?} {ingest:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn open(config: &Config) -> Images {
    let db = Database::open(&config.state_root.join("image.db"), Durability::Full, MIGRATIONS).unwrap();
    Images::open(config.clone(), db).await.unwrap()
}

pub fn request(reference: &str) -> PullRequest {
    PullRequest { reference: reference.to_owned(), credentials: None }
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
