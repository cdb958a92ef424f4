//! What the tests of this crate share: a real registry, images made on the spot, a store in a directory of its own.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of it")]

pub mod archive;
pub mod corpus;
pub mod docker;
pub mod front;
pub mod headers;
pub mod image;
pub mod registry;
pub mod stub;

use peapod_image::{Config, Images, MIGRATIONS, PullRequest};
use peapod_store::{Database, Durability};
use peapod_trace::Span;
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
        config.requests.connect_timeout = Duration::from_secs(2);
        config.requests.stall_timeout = Duration::from_secs(3);
        config.requests.request_timeout = Duration::from_secs(5);
        config.requests.retries = 2;
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
    Images::open(config.clone(), db, trash(config)).await.unwrap()
}

pub fn trash(config: &Config) -> peapod_sys::Trash {
    peapod_sys::Trash::open(config.state_root.join("trash"), |_, _| {}).unwrap()
}

pub fn request(reference: &str) -> PullRequest {
    PullRequest { reference: reference.to_owned(), credentials: None, span: Span::default() }
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

/// Everything below `root`, a line each: path, kind, mode, owner, time, target or device, content, attributes.
///
/// Times of directories that no archive describes are those of the test, and so are left out: such are in no list.
pub fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, root, &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, dir: &Path, lines: &mut Vec<String>) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let kind = meta.file_type();
        let what = if kind.is_dir() {
            "dir".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", std::fs::read_link(&path).unwrap().display())
        } else if kind.is_char_device() || kind.is_block_device() {
            let kind = if kind.is_char_device() { "char" } else { "block" };
            format!("{kind} {}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()))
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            let digest = peapod_image::Digest::of(&std::fs::read(&path).unwrap());
            format!("file {} {}{}", meta.size(), &digest.hex()[..8], if meta.nlink() > 1 { " linked" } else { "" })
        };
        let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
        let time = if kind.is_dir() && meta.mtime() > 1_700_000_000 { "now".to_owned() } else { time };
        lines.push(format!(
            "{} {what} {:o} {}:{} {time}{}",
            path.strip_prefix(root).unwrap().display(),
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid(),
            attributes(&path),
        ));
        if kind.is_dir() {
            list(root, &path, lines);
        }
    }
}

fn attributes(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut found = String::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 70_000];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
        let digest = peapod_image::Digest::of(&value[..length]);
        found.push_str(&format!(" {}={}", String::from_utf8_lossy(name), &digest.hex()[..8]));
    }
    found
}
