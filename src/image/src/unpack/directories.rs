//! The directories that a layer makes: how deep each lies, whether the archive described it, and with which times.
//!
//! Each has its own name here and its parent, no path: memory grows with the names and not with the depth.

use super::error::{EntryError, LimitError};
use crate::bounds::{DIRECTORY_NAMES, LEVELS, PATH};
use rustix::fs::Timestamps;
use std::collections::HashMap;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory(u32);

pub(super) struct Directories {
    all: Vec<DirectoryNode>,
    names: Vec<u8>,
    by_inode: HashMap<u64, u32>,
}

struct DirectoryNode {
    inode: u64,
    parent: u32,
    /// Where its name begins; it ends where the next one's begins.
    name: u32,
    levels: u16,
    /// Length of its path.
    path: u16,
    /// Set last of all: everything made in a directory changes its times.
    times: Option<Timestamps>,
}

impl Directories {
    pub(super) fn new(root: u64) -> Self {
        let node = DirectoryNode { inode: root, parent: 0, name: 0, levels: 0, path: 0, times: None };
        Self { all: vec![node], names: Vec::new(), by_inode: HashMap::from([(root, 0)]) }
    }

    pub(super) fn root() -> Directory {
        Directory(0)
    }

    /// The one that has this inode. `None` would be a directory that this unpacking did not make.
    pub(super) fn of_inode(&self, inode: u64) -> Option<Directory> {
        self.by_inode.get(&inode).copied().map(Directory)
    }

    /// Whether a directory `name` may be made in `parent`.
    pub(super) fn check(&self, parent: Directory, name: &[u8]) -> Result<(), DirectoryError> {
        let Some(parent) = self.all.get(parent.0 as usize) else { return Err(DirectoryError::Entry(EntryError::Deep)) };
        if usize::from(parent.levels) >= LEVELS {
            return Err(DirectoryError::Entry(EntryError::Deep));
        }
        if usize::from(parent.path) + 1 + name.len() > PATH {
            return Err(DirectoryError::Entry(EntryError::Long));
        }
        if self.names.len() + name.len() > DIRECTORY_NAMES {
            return Err(DirectoryError::Limit(LimitError::Names(DIRECTORY_NAMES)));
        }
        Ok(())
    }

    /// The directory `name` was made in `parent`, after [`Directories::check`]. An inode that was freed may come again:
    /// then this is whose it is.
    pub(super) fn made(&mut self, parent: Directory, name: &[u8], inode: u64) -> Directory {
        let above = self.all.get(parent.0 as usize).map_or((0, 0), |above| (above.levels, above.path));
        let position = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let own = position(self.all.len());
        let separator = u16::from(above.1 != 0);
        self.all.push(DirectoryNode {
            inode,
            parent: parent.0,
            name: position(self.names.len()),
            levels: above.0 + 1,
            path: above.1 + separator + u16::try_from(name.len()).unwrap_or(u16::MAX),
            times: None,
        });
        self.names.extend_from_slice(name);
        self.by_inode.insert(inode, own);
        Directory(own)
    }

    /// The archive describes this one.
    pub(super) fn described(&mut self, directory: Directory, times: Timestamps) {
        if let Some(node) = self.all.get_mut(directory.0 as usize) {
            node.times = Some(times);
        }
    }

    /// Shows all of them, each before those in it, with its path from the root, its inode and, if the archive described
    /// it, its times. Below one for which `visit` answers `false`, which is gone, none is shown.
    pub(super) fn walk<E>(
        &self,
        mut visit: impl FnMut(&[u8], u64, Option<&Timestamps>) -> Result<bool, E>,
    ) -> Result<(), E> {
        const NONE: u32 = u32::MAX;
        let mut first_in = vec![NONE; self.all.len()];
        let mut next_beside = vec![NONE; self.all.len()];
        for (index, node) in self.all.iter().enumerate().skip(1).rev() {
            let own = u32::try_from(index).unwrap_or(NONE);
            next_beside[index] = std::mem::replace(&mut first_in[node.parent as usize], own);
        }
        let mut path = Vec::new();
        let mut waiting = vec![0_u32];
        while let Some(index) = waiting.pop() {
            let at = index as usize;
            let node = &self.all[at];
            if index != 0 {
                if next_beside[at] != NONE {
                    waiting.push(next_beside[at]);
                }
                path.truncate(usize::from(self.all[node.parent as usize].path));
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(self.name(at));
            }
            // Another has its inode now: this one is gone, and all that was in it.
            let is_here = self.by_inode.get(&node.inode) == Some(&index);
            if is_here && visit(&path, node.inode, node.times.as_ref())? && first_in[at] != NONE {
                waiting.push(first_in[at]);
            }
        }
        Ok(())
    }

    fn name(&self, index: usize) -> &[u8] {
        let end = self.all.get(index + 1).map_or(self.names.len(), |next| next.name as usize);
        &self.names[self.all[index].name as usize..end]
    }
}

/// Why a directory may not be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DirectoryError {
    Entry(EntryError),
    Limit(LimitError),
}

#[cfg(test)]
mod tests {
    use super::{Directories, DirectoryError, EntryError, LimitError};
    use rustix::fs::{Timespec, Timestamps};

    fn at(seconds: i64) -> Timestamps {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        Timestamps { last_access: time, last_modification: time }
    }

    #[test]
    fn they_are_shown_from_the_root_down_with_their_paths() {
        let mut all = Directories::new(1);
        let usr = all.made(Directories::root(), b"usr", 2);
        let etc = all.made(Directories::root(), b"etc", 3);
        all.made(etc, b"x", 5);
        // Made and gone again: its inode is that of usr/bin now.
        let gone = all.made(Directories::root(), b"gone", 4);
        all.made(gone, b"inner", 6);
        let bin = all.made(usr, b"bin", 4);
        all.described(bin, at(7));
        let mut shown = Vec::new();
        let visit = |path: &[u8], inode, times: Option<&Timestamps>| {
            let text = String::from_utf8(path.to_vec()).unwrap();
            shown.push((text, inode, times.map(|times| times.last_modification.tv_sec)));
            Ok::<_, ()>(path != b"etc")
        };
        all.walk(visit).unwrap();
        let expected = [("", 1, None), ("usr", 2, None), ("usr/bin", 4, Some(7)), ("etc", 3, None)];
        assert_eq!(shown, expected.map(|(path, inode, time)| (path.to_owned(), inode, time)));
        assert_eq!((all.of_inode(4), all.of_inode(9)), (Some(bin), None));
    }

    #[test]
    fn depth_length_and_names_have_bounds() {
        let mut all = Directories::new(1);
        let (mut deep, mut inode) = (Directories::root(), 1);
        while all.check(deep, b"a").is_ok() {
            inode += 1;
            deep = all.made(deep, b"a", inode);
        }
        assert_eq!((inode, all.check(deep, b"a")), (257, Err(DirectoryError::Entry(EntryError::Deep))));
        let (mut long, mut levels) = (Directories::root(), 0);
        while all.check(long, &[b'n'; 255]).is_ok() {
            (inode, levels) = (inode + 1, levels + 1);
            long = all.made(long, &[b'n'; 255], inode);
        }
        assert_eq!((levels, all.check(long, &[b'n'; 255])), (16, Err(DirectoryError::Entry(EntryError::Long))));
        while all.check(Directories::root(), &[b'n'; 255]).is_ok() {
            inode += 1;
            all.made(Directories::root(), &[b'n'; 255], inode);
        }
        let full = DirectoryError::Limit(LimitError::Names(crate::bounds::DIRECTORY_NAMES));
        assert_eq!(all.check(Directories::root(), &[b'n'; 255]), Err(full));
    }
}
