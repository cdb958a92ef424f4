//! Directories that a layer only implies inherit the attributes of the layer below.
//!
//! In an overlay the topmost layer that has a directory decides its owner, mode and attributes. A layer that brings
//! `tmp/x` without saying anything about `tmp` must not turn the `/tmp` below from 1777 into 0755.

use super::tree::{Present, present};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// Gives the directories that the layer in `dir` only implies what the first of `below` (top layer first) says about
/// them. To be called once, when the layer is unpacked and those below it are in their place.
pub(crate) fn inherit_attributes(dir: &Path, below: &[PathBuf]) -> std::io::Result<()> {
    let own = rustix::fs::open(dir.join("diff"), DIRECTORY, Mode::empty())?;
    let below: Vec<OwnedFd> =
        below.iter().map(|dir| rustix::fs::open(dir, DIRECTORY, Mode::empty())).collect::<Result<_, _>>()?;
    super::implicit::take(dir, |path| Ok(inherit_one(&own, path, &below)?))
}

fn inherit_one(own: &OwnedFd, path: &[u8], below: &[OwnedFd]) -> rustix::io::Result<()> {
    if hides(own, path)? {
        return Ok(());
    }
    let relative = if path.is_empty() { b"." } else { path };
    for lower in below {
        match rustix::fs::openat2(lower, relative, DIRECTORY, Mode::empty(), INSIDE) {
            Ok(model) => {
                let target = rustix::fs::openat2(own, relative, DIRECTORY, Mode::empty(), INSIDE)?;
                return copy(&model, &target);
            }
            // Hidden by this layer or a file in it: what lies deeper does not show.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(Errno::NOENT) if hides(lower, path)? => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Whether `path` in the layers below does not show through this one, because something on the way to it is no
/// directory or shows nothing from below.
fn hides(layer: &OwnedFd, path: &[u8]) -> rustix::io::Result<bool> {
    if path.is_empty() {
        return Ok(false);
    }
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
    for end in std::iter::once(0).chain(ends) {
        let above = if end == 0 { b"." } else { &path[..end] };
        match rustix::fs::openat2(layer, above, DIRECTORY, Mode::empty(), INSIDE) {
            Ok(dir) if is_opaque(&dir)? => return Ok(true),
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(_) => return Ok(true),
        }
    }
    Ok(present(layer, path)? == Present::Whiteout)
}

/// Whether a directory shows nothing of what is below it. The kernel asks that of every directory but a layer's root,
/// where all layers meet: for roots it is the caller's to leave out what is below.
pub(crate) fn is_opaque(dir: impl AsFd) -> rustix::io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value) {
        Ok(length) => Ok(length == 1 && value == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(other) => Err(other),
    }
}

fn copy(model: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(model)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(target, Some(uid), Some(gid))?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(model, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // Whether a directory is opaque is each layer's own matter; labels are the node's.
        if name.starts_with(b"trusted.") || name == b"security.selinux" {
            continue;
        }
        let mut value = vec![0_u8; 64 << 10];
        let length = rustix::fs::fgetxattr(model, name, value.as_mut_slice())?;
        rustix::fs::fsetxattr(target, name, &value[..length], XattrFlags::empty())?;
    }
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
    };
    rustix::fs::utimensat(target, ".", &times, AtFlags::empty())
}
