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
        problem: EntryError,
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
    /// The layer, or the image that it belongs to, costs more than it may.
    #[error(transparent)]
    TooMuch(#[from] LimitError),
    /// Nobody waits for it any more.
    #[error("unpacking was broken off")]
    Cancelled,
}

impl ArchiveError {
    /// About the entry of that name.
    pub(crate) fn entry(name: &[u8], problem: EntryError) -> Self {
        Self::Entry { name: printable(name), problem }
    }
}

/// What there is too much of, and how much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Entries of one layer.
    #[error("has more than {0} entries; image.max_layer_entries can allow more")]
    LayerEntries(u64),
    /// Bytes of one layer.
    #[error("takes more than {0} bytes unpacked; image.max_layer_bytes can allow more")]
    LayerBytes(u64),
    /// Entries of all layers of an image.
    #[error("the image's layers have more than {0} entries together; image.max_image_entries can allow more")]
    ImageEntries(u64),
    /// Bytes of all layers of an image.
    #[error("the image's layers take more than {0} bytes unpacked; image.max_image_bytes can allow more")]
    ImageBytes(u64),
    /// Directories of one layer.
    #[error("has more than {0} directories")]
    Directories(usize),
    /// Bytes of names.
    #[error("its names have more than {0} bytes together")]
    Names(usize),
    /// Bytes behind the archive's end.
    #[error("has more than {0} bytes behind the archive's end")]
    Trailer(u64),
    /// Files in an archive of images.
    #[error("has more than {0} files: is this an archive of images?")]
    ArchiveEntries(usize),
    /// Bytes of the names in an archive of images.
    #[error("the names of its files have more than {0} bytes together: is this an archive of images?")]
    ArchiveNames(usize),
    /// Bytes of an archive of images.
    #[error("has more than {0} bytes, decompressed; image.max_image_bytes can allow more")]
    ArchiveBytes(u64),
    /// Memory that a zstd frame asks for.
    #[error("needs more than {0} bytes of memory to be decompressed (the window of a zstd frame)")]
    Window(u64),
    /// The disk has to keep some room.
    #[error("No space left for layers: {0} % of the file system are kept free (image.disk_reserve_percent)")]
    Reserve(u64),
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The name passes through a symbolic link that leads to nothing in the layer. Links are read from its root.
    #[error("its name passes through a link that leads to nothing in this layer")]
    LinkOut,
    /// The name, or what its link leads to, is longer than the kernel takes.
    #[error("its name, or what it links to, is longer than 4095 bytes")]
    Long,
    /// The name has more levels than any real tree, or leads to so many through links.
    #[error("it is more than 256 levels deep")]
    Deep,
    /// The name has a NUL byte, or nothing in it.
    #[error("its name is empty or has a NUL byte in it")]
    Name,
    /// A hard link to something that is not in this layer.
    #[error("its hard link leads to something that this layer does not have")]
    HardLinkMissing,
    /// A whiteout for `.`, `..` or nothing.
    #[error("it is a whiteout that names nothing")]
    Whiteout,
    /// A name that archives have for what is deleted, of something that is there.
    #[error("its name begins with .wh., as archives call what is deleted: it could not be unpacked again")]
    Reserved,
    /// A kind of entry that layers don't have.
    #[error("it is of a kind that layers don't have")]
    Kind,
    /// A part of the name is a file.
    #[error("its name passes through something that is not a directory")]
    NotDirectory,
    /// A number in the header can't be used.
    #[error("a number in its header is out of range")]
    Number,
    /// A PAX record whose length is wrong.
    #[error("its PAX records are damaged")]
    Record,
    /// The map of a file with holes contradicts itself, or is of an unknown version.
    #[error("its map of a sparse file is damaged or of an unknown version")]
    Sparse,
    /// More extended attributes, or longer ones, than are held.
    #[error("it has more than 128 extended attributes, or more than 128 KiB of them")]
    Attributes,
    /// An extended attribute that the kernel refuses, such as a capability of the wrong length, or one that is larger
    /// than this file system takes.
    #[error("the kernel or the file system refuses one of its extended attributes")]
    Attribute,
}

/// A name as errors show it.
pub(super) fn printable(name: &[u8]) -> String {
    // A character has at most 4 bytes.
    String::from_utf8_lossy(&name[..name.len().min(1024)]).chars().take(256).collect()
}
