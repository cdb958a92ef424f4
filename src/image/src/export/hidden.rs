//! What a writable layer hides of the layers below it.

use crate::bounds::{DELETED_BYTES, DELETED_PATHS, PATH};
use crate::unpack::{ArchiveError, EntryError, check_name, through_reader};
use std::io;

/// Bytes of a path in a list as JSON, beside its own.
const QUOTES: usize = 3;
/// Bytes that the name of a whiteout has in an archive, beside the path's.
const MARK: usize = 4;

/// What a layer hides of those below it, by paths from its root, each of which can be a whiteout again.
#[derive(Debug, Default)]
pub(crate) struct HiddenPaths {
    /// What is not there any more.
    whiteouts: Vec<Vec<u8>>,
    /// Directories that show nothing of the same ones below, none of them within another.
    opaque: Vec<Vec<u8>>,
    /// Bytes of all these, in a list.
    bytes: usize,
}

impl HiddenPaths {
    /// What is not there any more.
    pub(crate) fn whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        let refused = |error| Err(through_reader(error));
        if path.len() + MARK > PATH {
            return refused(ArchiveError::entry(path, EntryError::Long));
        }
        check_name(path).or_else(refused)?;
        self.count(path)?;
        self.whiteouts.push(path.to_vec());
        Ok(())
    }

    /// A directory that shows nothing of the same one below. What comes within it comes next.
    pub(super) fn opaque(&mut self, path: &[u8]) -> io::Result<()> {
        let within = |above: &Vec<u8>| path.strip_prefix(&above[..]).is_some_and(|rest| rest.starts_with(b"/"));
        if self.opaque.last().is_some_and(within) {
            return Ok(());
        }
        self.count(path)?;
        self.opaque.push(path.to_vec());
        Ok(())
    }

    fn count(&mut self, path: &[u8]) -> io::Result<()> {
        self.bytes += path.len() + QUOTES;
        if self.bytes > DELETED_BYTES || self.whiteouts.len() + self.opaque.len() >= DELETED_PATHS {
            let most = format!("{DELETED_PATHS} files of the image, or {DELETED_BYTES} bytes of their paths");
            return Err(io::Error::other(format!("more than {most} are hidden or deleted")));
        }
        Ok(())
    }

    /// Takes the directories out.
    pub(crate) fn take_opaque(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.opaque)
    }

    /// Paths that are not there any more.
    pub(crate) fn into_whiteouts(self) -> Vec<Vec<u8>> {
        self.whiteouts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_bounds_that_its_reader_has() {
        let mut hidden = HiddenPaths::default();
        // Paths that can't be whiteouts again.
        for bad in ["a".repeat(PATH - MARK + 1), "a/".repeat(257), "a/.wh.b".to_owned(), String::new()] {
            hidden.whiteout(bad.as_bytes()).unwrap_err();
        }
        assert_eq!((hidden.bytes, hidden.whiteouts.len()), (0, 0));
        let long = "a".repeat(PATH - MARK);
        let refused = (0..DELETED_PATHS).find_map(|_| hidden.whiteout(long.as_bytes()).err()).unwrap();
        assert!(refused.to_string().contains("deleted"), "{refused}");
        assert!(hidden.whiteouts.len() <= DELETED_BYTES / long.len());
        let mut hidden = HiddenPaths::default();
        let refused = (0..=DELETED_PATHS).find_map(|_| hidden.whiteout(b"a").err()).unwrap();
        assert!(refused.to_string().contains("deleted"), "{refused}");
        assert_eq!(hidden.into_whiteouts().len(), DELETED_PATHS);
    }

    #[test]
    fn what_is_within_an_opaque_directory_is_hidden_with_it() {
        let mut hidden = HiddenPaths::default();
        for path in ["a", "a/b", "a/b/c", "ab", "ab/c", "b"] {
            hidden.opaque(path.as_bytes()).unwrap();
        }
        assert_eq!(hidden.take_opaque(), ["a", "ab", "b"].map(|path| path.as_bytes().to_vec()));
    }
}
