//! PAX records: `length key=value\n`, where the length counts all of it. Pure.

use super::number::{decimal, owner};
use super::sparse::SparseRecords;
use crate::bounds::{XATTR_BYTES, XATTRS};
use crate::unpack::error::EntryError;
use rustix::fs::Timespec;

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What records say about an entry, or (global ones) about all entries that follow.
///
/// An empty value takes back what a global record said. Keys that mean nothing here are passed over, whatever their
/// value: comments, times of creation, names of users, vendors' own.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) modified: Option<Timespec>,
    pub(super) accessed: Option<Timespec>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparseRecords,
}

impl Pax {
    /// Takes over what `records` say.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), EntryError> {
        while !records.is_empty() {
            let (key, value, rest) = split(records).ok_or(EntryError::Record)?;
            self.record(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), EntryError> {
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = given.map(<[u8]>::to_vec),
            b"linkpath" => self.link = given.map(<[u8]>::to_vec),
            b"size" => self.size = given.map(number).transpose()?,
            b"uid" => self.uid = given.map(id).transpose()?,
            b"gid" => self.gid = given.map(id).transpose()?,
            b"mtime" => self.modified = given.map(time).transpose()?,
            b"atime" => self.accessed = given.map(time).transpose()?,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    return self.xattr(name, value);
                }
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.record(key, value);
                }
            }
        }
        Ok(())
    }

    /// A later record of the same name takes the earlier one's place.
    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), EntryError> {
        let name = unescape(name);
        if !wanted(&name) {
            return Ok(());
        }
        self.xattrs.retain(|(before, _)| *before != name);
        self.xattrs.push((name, value.to_vec()));
        let bytes: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.xattrs.len() > XATTRS || bytes > XATTR_BYTES {
            return Err(EntryError::Attributes);
        }
        Ok(())
    }
}

/// Takes the first record off: its key, its value, what follows. The value may hold any byte, line feeds too: only the
/// length tells where it ends.
fn split(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // No record is longer than all headers of an entry may be, so no length has more than 8 digits.
    let space = records.iter().take(9).position(|byte| *byte == b' ')?;
    let length: usize = decimal(&records[..space])?;
    let (record, rest) = records.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

fn number(text: &[u8]) -> Result<u64, EntryError> {
    decimal(text).ok_or(EntryError::Number)
}

fn id(text: &[u8]) -> Result<u32, EntryError> {
    decimal(text).and_then(owner).ok_or(EntryError::Number)
}

fn time(text: &[u8]) -> Result<Timespec, EntryError> {
    timespec(text).ok_or(EntryError::Number)
}

/// GNU tar writes `=` and `%` in an attribute's name as `%3D` and `%25`: a key ends at the first `=`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match rest.get(..3) {
            Some(b"%3D") => (b'=', &rest[3..]),
            Some(b"%25") => (b'%', &rest[3..]),
            _ => (*first, after),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

/// `trusted.*` is the kernel's: a layer that could bring `trusted.overlay.*` would redirect names of the overlay.
/// SELinux labels are the node's policy, not the image's.
fn wanted(name: &[u8]) -> bool {
    let taken = name.starts_with(b"user.") || name.starts_with(b"security.") || name.starts_with(b"system.posix_acl");
    taken && name != b"security.selinux" && !name.starts_with(b"user.overlay.") && !name.contains(&0)
}

/// Reads `seconds[.fraction]`, as pax writes times. What is finer than a nanosecond is cut.
fn timespec(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    if seconds.starts_with('-') && nanoseconds > 0 {
        return Some(Timespec { tv_sec: whole.checked_sub(1)?, tv_nsec: 1_000_000_000 - nanoseconds });
    }
    Some(Timespec { tv_sec: whole, tv_nsec: nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::{EntryError, Pax, timespec, wanted};

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let mut length = rest.len() + 1;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        [length.to_string().as_bytes(), &rest].concat()
    }

    fn read(records: &[Vec<u8>]) -> Result<Pax, EntryError> {
        let mut pax = Pax::default();
        pax.read(&records.concat()).map(|()| pax)
    }

    #[test]
    fn pax_times_are_read() {
        let read = |text: &str| timespec(text.as_bytes()).map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(read("12"), Some((12, 0)));
        assert_eq!(read("12."), Some((12, 0)));
        assert_eq!(read("12.5"), Some((12, 500_000_000)));
        assert_eq!(read("12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(read("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(read("-0.25"), Some((-1, 750_000_000)));
        for bad in ["", "x", "1.x", "1.+5", ".5", "1e3", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
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

    #[test]
    fn records_go_by_their_length() {
        let capability = [1, 0, 0, 2, 10, 0, 0, 0, b'=', b'\n', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let pax = read(&[
            record("comment", b"two\nlines\n99 path=no\n"),
            record("SCHILY.xattr.security.capability", &capability),
            record("path", b"a\nb=c"),
            record("VENDOR.key", b"\xff\xfe"),
            record("mtime", b"5.5"),
        ])
        .unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(pax.xattrs, [(b"security.capability".to_vec(), capability.to_vec())]);
        assert_eq!(pax.modified.unwrap().tv_sec, 5);
        let cleared = read(&[record("path", b"a"), record("path", b""), record("mtime", b"")]).unwrap();
        assert_eq!((cleared.path, cleared.modified.is_none()), (None, true));
    }

    #[test]
    fn names_of_attributes_are_read_as_gnu_tar_writes_them() {
        let pax = read(&[record("SCHILY.xattr.user.a%3Db%25%3", b"v"), record("SCHILY.xattr.user.x", b"")]).unwrap();
        assert_eq!(pax.xattrs, [(b"user.a=b%%3".to_vec(), b"v".to_vec()), (b"user.x".to_vec(), Vec::new())]);
        let again = read(&[record("SCHILY.xattr.user.x", b"1"), record("SCHILY.xattr.user.x", b"2")]).unwrap();
        assert_eq!(again.xattrs, [(b"user.x".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn records_that_are_none_are_refused() {
        for bad in
            [&b"x"[..], b"5 a=b\n", b"7 a=b\n", b"6 a=bc", b"0 a=b\n", b"6 a b\n", b"-6 a=b\n", b"99999999999 a=b\n"]
        {
            assert_eq!(
                Pax::default().read(bad).unwrap_err(),
                EntryError::Record,
                "{:?}",
                bad.escape_ascii().to_string()
            );
        }
        for (key, value) in [("size", "-1"), ("size", "1x"), ("uid", "abc"), ("gid", "4294967296"), ("mtime", "now")] {
            assert_eq!(read(&[record(key, value.as_bytes())]).unwrap_err(), EntryError::Number, "{key}={value}");
        }
        let many: Vec<_> = (0..200).map(|n| record(&format!("SCHILY.xattr.user.{n}"), b"v")).collect();
        assert_eq!(read(&many).unwrap_err(), EntryError::Attributes);
        assert_eq!(read(&[record("SCHILY.xattr.user.big", &[0; 300_000])]).unwrap_err(), EntryError::Attributes);
    }
}
