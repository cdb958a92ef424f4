//! Why an archive was refused.

use std::io;

/// An archive could not be unpacked; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An entry is damaged or tries something that no layer may do.
    #[error("entry {name:?}: {problem}")]
    Entry {
        /// The entry's name, cut at 256 characters.
        name: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The compressed stream or the archive's structure is damaged.
    #[error("the archive is damaged: {source}")]
    Damaged {
        /// What the reader said.
        source: io::Error,
    },
    /// An entry could not be made on disk.
    #[error("entry {name:?}: {source}")]
    Disk {
        /// The entry's name, cut at 256 characters.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The name begins with `/`.
    #[error("its name is absolute")]
    Absolute,
    /// The name has a `..` in it.
    #[error("its name leads out of the layer")]
    Parent,
    /// The name passes through a symbolic link that leads out of the layer.
    #[error("its name passes through a link that leads out of the layer")]
    LinkOut,
    /// The name is longer than the kernel takes.
    #[error("its name is longer than 4095 bytes")]
    Long,
    /// The name has more levels than any real tree.
    #[error("its name has more than 256 levels")]
    Deep,
    /// The name has a NUL byte, or nothing in it.
    #[error("its name is empty or has a NUL byte in it")]
    Name,
    /// A hard link to something outside the layer.
    #[error("its hard link leads out of the layer")]
    HardLinkOut,
    /// A hard link to something that is not in this layer.
    #[error("its hard link leads to something that this layer does not have")]
    HardLinkMissing,
    /// A whiteout for `.`, `..` or nothing.
    #[error("it is a whiteout that names nothing")]
    Whiteout,
    /// A kind of entry that layers don't have.
    #[error("it is of a kind that layers don't have")]
    Kind,
    /// A part of the name is a file.
    #[error("its name passes through something that is not a directory")]
    NotDirectory,
    /// A number in the header can't be used.
    #[error("a number in its header is out of range")]
    Number,
}
