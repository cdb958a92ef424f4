//! The table of mounts, proc_pid_mountinfo(5), in one pass.
//!
//! The kernel writes each line when it is read, and a node with many containers has hundreds of them: who stops early,
//! pays only for what came before. A line takes a bounded amount of memory, the table as a whole takes none.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::bounds::MOUNT_LINE_BYTES;

/// The mounts that the calling thread sees.
pub const TABLE: &str = "/proc/thread-self/mountinfo";

/// A table that is being read.
#[derive(Debug)]
pub struct Mounts<R> {
    lines: R,
    line: Vec<u8>,
}

/// One mount: a line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Its number, unique among the mounts that exist; as `statx` tells it for a path (`STATX_MNT_ID`).
    pub id: u64,
    root: &'a [u8],
    target: &'a [u8],
    optional: &'a [u8],
    options: &'a [u8],
}

impl Mounts<BufReader<File>> {
    /// Opens [`TABLE`].
    ///
    /// # Errors
    /// What the system says; they name the file.
    pub fn open() -> io::Result<Self> {
        let file = File::open(TABLE).map_err(|error| io::Error::new(error.kind(), format!("open {TABLE}: {error}")))?;
        Ok(Self::new(BufReader::new(file)))
    }
}

impl<R: BufRead> Mounts<R> {
    /// A table by its text.
    pub fn new(lines: R) -> Self {
        Self { lines, line: Vec::new() }
    }

    /// The next mount; no further line is read. `None` at the end of the table. Lines that are none of mounts are
    /// passed over.
    ///
    /// # Errors
    /// When the table can't be read.
    pub fn next_mount(&mut self) -> io::Result<Option<Mount<'_>>> {
        // An empty line is none of a mount, so this is `None` at the end.
        while self.next_line()? && parse(&self.line).is_none() {}
        Ok(parse(&self.line))
    }

    /// Of a line beyond the bound the beginning is kept: only the options of a file system can be so long.
    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let bound = u64::try_from(MOUNT_LINE_BYTES).unwrap_or(u64::MAX);
        self.lines.by_ref().take(bound).read_until(b'\n', &mut self.line)?;
        if self.line.len() == MOUNT_LINE_BYTES && !self.line.ends_with(b"\n") {
            self.lines.skip_until(b'\n')?;
        }
        Ok(!self.line.is_empty())
    }
}

impl<'a> Mount<'a> {
    /// Which directory of its file system is mounted: `/` for all of it.
    #[must_use]
    pub fn root(&self) -> Cow<'a, Path> {
        path(self.root)
    }

    /// Where it is mounted, as the reader's root directory sees it.
    #[must_use]
    pub fn target(&self) -> Cow<'a, Path> {
        path(self.target)
    }

    /// Whether mounts made below it appear elsewhere too (`MS_SHARED`).
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.has(b"shared:")
    }

    /// Whether mounts made elsewhere appear below it too (`MS_SLAVE`).
    #[must_use]
    pub fn is_slave(&self) -> bool {
        self.has(b"master:")
    }

    /// What its file system was mounted with, as that shows it: of an overlay the directories of its layers.
    #[must_use]
    pub fn file_system_options(&self) -> Cow<'a, Path> {
        path(self.options)
    }

    fn has(&self, tag: &[u8]) -> bool {
        self.optional.split(|byte| *byte == b' ').any(|field| field.starts_with(tag))
    }
}

/// `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS OPTIONAL… - TYPE SOURCE OPTIONS`. Paths may be any bytes.
fn parse(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.splitn(7, |byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let (root, target) = (fields.nth(2)?, fields.next()?);
    let rest = fields.nth(1)?;
    let end = rest.windows(3).position(|three| three == b" - ");
    let (optional, behind) = if rest.starts_with(b"- ") { (&[][..], rest) } else { rest.split_at(end?) };
    let behind = behind.trim_ascii_end().splitn(4 + usize::from(behind.starts_with(b" ")), |byte| *byte == b' ');
    Some(Mount { id, root, target, optional, options: behind.last().unwrap_or_default() })
}

/// Blanks, tabs, line feeds, backslashes and `#` stand there as a backslash and three octal digits.
fn path(field: &[u8]) -> Cow<'_, Path> {
    if !field.contains(&b'\\') {
        return Path::new(OsStr::from_bytes(field)).into();
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        match (first, octal(behind)) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                rest = &behind[3..];
            }
            _ => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(plain)).into()
}

fn octal(text: &[u8]) -> Option<u8> {
    let digits = text.get(..3)?;
    let value = digits.iter().try_fold(0_u16, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u16::from(digit - b'0')),
        _ => None,
    })?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 1 0:1 / / rw shared:1 - ext4 /dev/vda rw\n\
        no mount\n\
        30 22 0:2 /a\\134b /mnt/a\\040b rw - tmpfs t rw\n\
        31 22 0:3 / /srv rw,nosuid master:3 propagate_from:2 - tmpfs t rw\n\
        32 22 0:3 / /both rw shared:7 master:3 - tmpfs t rw\n\
        33 22 0:4 /odd\xff\\999\\04 /x\\011\\012\\043 rw - tmpfs t rw\n";

    fn all(text: &[u8]) -> Vec<(u64, PathBuf, PathBuf, bool, bool)> {
        let mut mounts = Mounts::new(text);
        let mut found = Vec::new();
        while let Some(mount) = mounts.next_mount().unwrap() {
            let (root, target) = (mount.root().into_owned(), mount.target().into_owned());
            found.push((mount.id, root, target, mount.is_shared(), mount.is_slave()));
        }
        found
    }

    #[test]
    fn every_mount_is_read() {
        let odd = OsStr::from_bytes(b"/odd\xff\\999\\04");
        let expected = [
            (22, "/".as_ref(), "/", true, false),
            (30, "/a\\b".as_ref(), "/mnt/a b", false, false),
            (31, "/".as_ref(), "/srv", false, true),
            (32, "/".as_ref(), "/both", true, true),
            (33, odd, "/x\t\n#", false, false),
        ]
        .map(|(id, root, target, shared, slave)| (id, PathBuf::from(root), PathBuf::from(target), shared, slave));
        assert_eq!(all(TEXT), expected);
    }

    #[test]
    fn options_of_the_file_system_are_the_last_field() {
        let options = |line: &str| {
            let mut mounts = Mounts::new(line.as_bytes());
            mounts.next_mount().unwrap().map(|mount| mount.file_system_options().display().to_string())
        };
        let overlay = "1 0 0:1 / /a rw master:1 shared:2 - overlay o ro,lowerdir=/l/a\\040b/diff:/l/c/diff\n";
        assert_eq!(options(overlay).as_deref(), Some("ro,lowerdir=/l/a b/diff:/l/c/diff"));
        assert_eq!(options("1 0 0:1 / /a rw - tmpfs t rw,size=1k\n").as_deref(), Some("rw,size=1k"));
    }

    #[test]
    fn no_line_is_read_before_it_is_asked_for() {
        let mut mounts = Mounts::new(TEXT);
        assert_eq!(mounts.next_mount().unwrap().map(|mount| mount.id), Some(22));
        assert!(mounts.lines.starts_with(b"no mount\n30 "));
        assert_eq!(mounts.next_mount().unwrap().map(|mount| mount.id), Some(30));
        assert!(mounts.lines.starts_with(b"31 "));
    }

    #[test]
    fn a_line_takes_bounded_memory() {
        let long = "x".repeat(3 * MOUNT_LINE_BYTES);
        let text = format!(
            "1 0 0:1 / /a rw shared:1 - overlay {long} rw\n2 0 0:1 / /{long} rw - t t rw\n3 0 0:1 / /c rw - t t rw"
        );
        let found = all(text.as_bytes());
        assert_eq!(found.iter().map(|mount| (mount.0, mount.3)).collect::<Vec<_>>(), [(1, true), (3, false)]);
        let mut mounts = Mounts::new(text.as_bytes());
        while mounts.next_mount().unwrap().is_some() {}
        assert!(mounts.line.capacity() <= 2 * MOUNT_LINE_BYTES, "{}", mounts.line.capacity());
    }

    #[test]
    fn the_threads_own_table_is_there() {
        let mut mounts = Mounts::open().unwrap();
        let first = mounts.next_mount().unwrap().unwrap();
        assert!(first.target().is_absolute());
    }
}
