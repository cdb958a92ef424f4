//! Entry names: what may be written where. Pure.

use super::error::{ArchiveError, EntryError};
use crate::bounds::{LEVELS, PATH};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const RESERVED: &[u8] = b".wh..wh.";

/// A checked name: relative, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    bytes: Vec<u8>,
}

impl Name {
    /// Reads a name as it stands in an archive. `./` and repeated slashes mean nothing, and a slash at the beginning is
    /// the layer's root, for tar, Docker and containerd alike. A `..` takes away the part before it, as a text: so
    /// Docker and containerd read it. (GNU tar passes over the entry and fails.) There is nothing above the root, as
    /// with containerd; Docker refuses such a name. What is left has no `..`, and is resolved beneath the root.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, EntryError> {
        if raw.is_empty() || raw.contains(&0) {
            return Err(EntryError::Name);
        }
        if raw.len() > PATH {
            return Err(EntryError::Long);
        }
        let mut bytes = Vec::with_capacity(raw.len());
        let mut levels = 0;
        for part in raw.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    bytes.truncate(bytes.iter().rposition(|b| *b == b'/').unwrap_or(0));
                    levels = usize::saturating_sub(levels, 1);
                }
                part => {
                    if !bytes.is_empty() {
                        bytes.push(b'/');
                    }
                    bytes.extend_from_slice(part);
                    levels += 1;
                }
            }
        }
        if levels > LEVELS {
            return Err(EntryError::Deep);
        }
        Ok(Self { bytes })
    }

    /// The directory it stands in and its last part; `None` for the root itself.
    pub(super) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.bytes.is_empty() {
            return None;
        }
        Some(match self.bytes.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&self.bytes[..slash], &self.bytes[slash + 1..]),
            None => (&[], &self.bytes),
        })
    }
}

/// What the last part of a name says about the layers below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhiteoutMark<'a> {
    /// Nothing: an ordinary entry.
    None,
    /// Hides this sibling.
    Whiteout(&'a [u8]),
    /// Hides everything in this directory.
    Opaque,
    /// Reserved by the format's origin and without a meaning here.
    Ignored,
}

/// Reads the whiteout convention of the image specification. One that names the directory it stands in, or the one
/// above, is refused, as by containerd: a layer can't hide its own root, and `.wh..wh..opq` is how a directory's
/// content goes.
pub(super) fn mark(last: &[u8]) -> Result<WhiteoutMark<'_>, EntryError> {
    if last == OPAQUE {
        return Ok(WhiteoutMark::Opaque);
    }
    if last.starts_with(RESERVED) {
        return Ok(WhiteoutMark::Ignored);
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(WhiteoutMark::None),
        Some(b"" | b"." | b"..") => Err(EntryError::Whiteout),
        Some(hidden) => Ok(WhiteoutMark::Whiteout(hidden)),
    }
}

/// Refuses the name of something that would be unpacked as something else, or not at all.
pub(crate) fn check(path: &[u8]) -> Result<(), ArchiveError> {
    let refused = |problem| ArchiveError::entry(path, problem);
    let name = Name::parse(path).map_err(refused)?;
    match name.split().map(|(_, last)| mark(last)) {
        None | Some(Ok(WhiteoutMark::None)) => Ok(()),
        Some(_) => Err(refused(EntryError::Reserved)),
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryError, Name, WhiteoutMark, mark};
    use crate::unpack::ArchiveError;

    fn check(raw: &str, expected: Result<&str, EntryError>) {
        let found = Name::parse(raw.as_bytes()).map(|name| String::from_utf8(name.bytes).unwrap());
        assert_eq!(found.as_deref().map_err(|problem| *problem), expected, "{raw:?}");
    }

    #[test]
    fn names_that_stay_inside_are_cleaned() {
        check("./", Ok(""));
        check("/", Ok(""));
        check("a", Ok("a"));
        check("./a//b/./c/", Ok("a/b/c"));
        check("a/...", Ok("a/..."));
        check("/etc/passwd", Ok("etc/passwd"));
        check("//./etc//passwd/", Ok("etc/passwd"));
        check(&"a/".repeat(256), Ok("a/".repeat(256).trim_end_matches('/')));
    }

    #[test]
    fn a_parent_takes_away_what_is_before_it() {
        for root in ["..", "/..", "/a/..", "a/b/../..", "../../..", "a/../.."] {
            check(root, Ok(""));
        }
        check("a/../b", Ok("b"));
        check("../../b", Ok("b"));
        check("a/b/../c/d/../../e", Ok("a/e"));
        check("a/b/./..//c", Ok("a/c"));
        check(&"a/../".repeat(800), Ok(""));
    }

    #[test]
    fn names_that_are_none_are_refused() {
        check("", Err(EntryError::Name));
        check("a\0b", Err(EntryError::Name));
        check(&"a/".repeat(257), Err(EntryError::Deep));
        check(&"a/".repeat(10_000), Err(EntryError::Long));
        check(&"a".repeat(5000), Err(EntryError::Long));
    }

    #[test]
    fn whiteouts_are_read() {
        assert_eq!(mark(b"a"), Ok(WhiteoutMark::None));
        assert_eq!(mark(b".wh.a"), Ok(WhiteoutMark::Whiteout(b"a")));
        assert_eq!(mark(b".wh..wh..opq"), Ok(WhiteoutMark::Opaque));
        assert_eq!(mark(b".wh..wh.plnk"), Ok(WhiteoutMark::Ignored));
        for bad in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(mark(bad), Err(EntryError::Whiteout));
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let refused = |name: &str| match super::check(name.as_bytes()) {
            Err(ArchiveError::Entry { problem, .. }) => Some(problem),
            other => other.err().map(|_| EntryError::Kind),
        };
        for good in ["./", "a", "a/.wh", "a/b/"] {
            assert_eq!(refused(good), None, "{good}");
        }
        for reserved in [".wh.a", "a/.wh.", ".wh..wh..opq", "a/.wh..wh.plnk", "a/.wh.b/"] {
            assert_eq!(refused(reserved), Some(EntryError::Reserved), "{reserved}");
        }
        assert_eq!(refused(&"a/".repeat(257)), Some(EntryError::Deep));
        assert_eq!(refused(&"a".repeat(5000)), Some(EntryError::Long));
    }

    #[test]
    fn a_name_is_split_at_its_last_slash() {
        assert_eq!(Name::parse(b"a/b/c").unwrap().split(), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(Name::parse(b"a").unwrap().split(), Some((&b""[..], &b"a"[..])));
        assert_eq!(Name::parse(b".").unwrap().split(), None);
    }
}
