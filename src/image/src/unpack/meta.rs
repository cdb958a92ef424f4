//! Owner, mode, times and extended attributes of an entry, and putting them on a file.

use super::error::Problem;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::AsFd;
use tar::Entry;

/// What an archive says about an entry besides its content.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) mode: Mode,
    pub(super) times: Timestamps,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Meta {
    pub(super) fn read<R: Read>(entry: &mut Entry<'_, R>) -> Result<Self, Problem> {
        let header = entry.header();
        let number = |value: std::io::Result<u64>| -> Result<u32, Problem> {
            value.ok().and_then(|value| u32::try_from(value).ok()).filter(|id| *id != u32::MAX).ok_or(Problem::Number)
        };
        let (uid, gid) = (number(header.uid())?, number(header.gid())?);
        let mode = header.mode().map_err(|_| Problem::Number)?;
        let seconds = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        let mut modified = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let mut accessed = None;
        let mut xattrs = Vec::new();
        if let Ok(Some(extensions)) = entry.pax_extensions() {
            for extension in extensions {
                let Ok(extension) = extension else { return Err(Problem::Number) };
                match extension.key_bytes() {
                    b"mtime" => modified = timespec(extension.value_bytes()).ok_or(Problem::Number)?,
                    b"atime" => accessed = timespec(extension.value_bytes()),
                    key => {
                        if let Some(name) = key.strip_prefix(XATTR).filter(|name| wanted(name)) {
                            xattrs.push((name.to_vec(), extension.value_bytes().to_vec()));
                        }
                    }
                }
            }
        }
        Ok(Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            mode: Mode::from_raw_mode(mode & 0o7777),
            times: Timestamps { last_access: accessed.unwrap_or(modified), last_modification: modified },
            xattrs,
        })
    }

    /// Owner first: a change of owner clears set-user-id bits and capabilities. The times are the caller's to set,
    /// last of all.
    pub(super) fn apply(&self, file: impl AsFd) -> rustix::io::Result<()> {
        let file = file.as_fd();
        rustix::fs::fchown(file, Some(self.uid), Some(self.gid))?;
        rustix::fs::fchmod(file, self.mode)?;
        for (name, value) in &self.xattrs {
            ignore_unsupported(rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()))?;
        }
        Ok(())
    }

    /// The same for what can't be opened (links, devices, FIFOs): by its name in an open directory.
    pub(super) fn apply_at(&self, dir: impl AsFd, name: &[u8], link: bool) -> rustix::io::Result<()> {
        use std::os::fd::AsRawFd;
        let dir = dir.as_fd();
        rustix::fs::chownat(dir, name, Some(self.uid), Some(self.gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !link {
            // Just made by us and not a link, so following means nothing.
            rustix::fs::chmodat(dir, name, self.mode, AtFlags::empty())?;
        }
        if !self.xattrs.is_empty() {
            let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
            path.extend_from_slice(name);
            for (name, value) in &self.xattrs {
                let set = rustix::fs::lsetxattr(path.as_slice(), name.as_slice(), value, XattrFlags::empty());
                // user.* attributes are for files and directories alone.
                match ignore_unsupported(set) {
                    Err(Errno::PERM) if name.starts_with(b"user.") => {}
                    other => other?,
                }
            }
        }
        rustix::fs::utimensat(dir, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// `trusted.*` is the kernel's: a layer that could bring `trusted.overlay.*` would redirect names of the overlay.
/// SELinux labels are the node's policy, not the image's.
fn wanted(name: &[u8]) -> bool {
    let taken = name.starts_with(b"user.") || name.starts_with(b"security.") || name.starts_with(b"system.posix_acl");
    taken && name != b"security.selinux" && !name.starts_with(b"user.overlay.") && !name.contains(&0)
}

/// A file system without such attributes holds the image all the same.
fn ignore_unsupported(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Reads `seconds[.fraction]`, as pax writes times.
fn timespec(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    if seconds.starts_with('-') && nanoseconds > 0 {
        return Some(Timespec { tv_sec: whole.checked_sub(1)?, tv_nsec: 1_000_000_000 - nanoseconds });
    }
    Some(Timespec { tv_sec: whole, tv_nsec: nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::{timespec, wanted};

    #[test]
    fn pax_times_are_read() {
        let read = |text: &str| timespec(text.as_bytes()).map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(read("12"), Some((12, 0)));
        assert_eq!(read("12.5"), Some((12, 500_000_000)));
        assert_eq!(read("12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(read("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(read("x"), None);
        assert_eq!(read("1.x"), None);
    }

    #[test]
    fn attributes_that_steer_the_kernel_are_dropped() {
        for name in ["user.a", "security.capability", "system.posix_acl_access"] {
            assert!(wanted(name.as_bytes()), "{name}");
        }
        for name in ["trusted.overlay.redirect", "user.overlay.opaque", "security.selinux", "trusted.x", "a"] {
            assert!(!wanted(name.as_bytes()), "{name}");
        }
    }
}
