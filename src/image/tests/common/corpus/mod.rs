//! Layers of every form. Each says whether GNU tar reads it as we do, and why not where it doesn't.

mod entries;
mod extensions;

use super::headers::{Raw, archive};
use std::path::Path;

/// An archive and what is to come of it.
pub struct Case {
    pub name: &'static str,
    pub archive: Vec<u8>,
    pub expect: Expect,
}

#[derive(Debug)]
pub enum Expect {
    /// What GNU tar makes of it, without a complaint.
    Same,
    /// Just these entries (the beginnings of their lines), unlike GNU tar.
    Differs { entries: &'static [&'static str], why: &'static str },
    /// An error that has these words.
    Refused { says: &'static str, why: &'static str },
}

/// Whether a listing is just these entries.
pub fn holds(listing: &[String], entries: &[&str]) -> bool {
    listing.len() == entries.len() && entries.iter().all(|entry| listing.iter().any(|line| line.starts_with(entry)))
}

pub fn all() -> Vec<Case> {
    entries::all().into_iter().chain(extensions::all()).collect()
}

fn same(name: &'static str, entries: &[Raw]) -> Case {
    Case { name, archive: archive(entries), expect: Expect::Same }
}

fn differs(name: &'static str, entries: &[Raw], found: &'static [&'static str], why: &'static str) -> Case {
    Case { name, archive: archive(entries), expect: Expect::Differs { entries: found, why } }
}

fn refused(name: &'static str, entries: &[Raw], says: &'static str, why: &'static str) -> Case {
    Case { name, archive: archive(entries), expect: Expect::Refused { says, why } }
}

fn file(name: &str) -> Raw {
    Raw::new(b'0', name)
}

fn dir(name: &str) -> Raw {
    Raw::new(b'5', name)
}

fn link(kind: u8, name: &str, target: &str) -> Raw {
    Raw::new(kind, name).link(target)
}

fn device(kind: u8, name: &str) -> Raw {
    Raw::new(kind, name).field(329, b"0000010\0").field(337, b"0000003\0")
}

/// A tree with all that GNU tar can write.
pub fn tree(root: &Path) {
    use std::os::unix::fs::symlink;
    let long = "long-".repeat(30);
    std::fs::create_dir_all(root.join("d").join(&long)).unwrap();
    std::fs::write(root.join("d").join(&long).join("file"), "long").unwrap();
    std::fs::write(root.join("f"), "content").unwrap();
    std::fs::hard_link(root.join("f"), root.join("g")).unwrap();
    symlink("f", root.join("l")).unwrap();
    symlink("x".repeat(150), root.join("long-target")).unwrap();
    let holes = std::fs::File::create(root.join("holes")).unwrap();
    for at in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"data", at * 65_536).unwrap();
    }
    holes.set_len(5 << 20).unwrap();
    rustix::fs::setxattr(root.join("f"), "user.note", b"a\nb", rustix::fs::XattrFlags::empty()).unwrap();
    let device = rustix::fs::makedev(1, 3);
    let node = |name, kind, device| {
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(rustix::fs::CWD, root.join(name), kind, mode, device).unwrap();
    };
    node("null", rustix::fs::FileType::CharacterDevice, device);
    node("pipe", rustix::fs::FileType::Fifo, 0);
    std::fs::write(root.join("big-owner"), "").unwrap();
    std::os::unix::fs::chown(root.join("big-owner"), Some(3_000_000_000), Some(70_000)).unwrap();
    let old = std::fs::File::create(root.join("old")).unwrap();
    let before = std::time::UNIX_EPOCH - std::time::Duration::from_secs(86_400);
    old.set_modified(before).unwrap();
}
