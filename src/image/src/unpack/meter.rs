//! What a layer costs while it is unpacked, against what it may; and what is written to be unpacked later.

use super::error::{ArchiveError, LimitError};
use crate::bounds::{DIRECTORY_NAMES, LAYER_DIRECTORIES, LAYER_NAMES, TRAILER};
use crate::config::UnpackLimits;
use crate::space::has_space;
use crate::wanted::Cancelled;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the layers that one pull unpacks have cost so far.
#[derive(Debug)]
pub(crate) struct ImageCost {
    limits: UnpackLimits,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl ImageCost {
    pub(crate) fn new(limits: UnpackLimits) -> Arc<Self> {
        Arc::new(Self { limits, entries: AtomicU64::new(0), bytes: AtomicU64::new(0) })
    }
}

/// The cost of one layer. What it took of the image's share is given back when it is dropped, unless it was unpacked.
pub(crate) struct Meter {
    image: Arc<ImageCost>,
    cancelled: Cancelled,
    entries: Cell<u64>,
    /// Bytes that came out of the decompressor, and of those what stood behind the archive's end.
    streamed: Cell<u64>,
    trailer: Cell<Option<u64>>,
    /// Bytes on disk, in whole blocks, and inodes.
    made: Cell<u64>,
    inodes: Cell<u64>,
    directories: Cell<usize>,
    directory_names: Cell<usize>,
    names: Cell<usize>,
    /// Bytes and inodes made since the disk was last asked.
    unseen: Cell<(u64, u64)>,
    unpacked: Cell<bool>,
}

/// Bytes and inodes after which the disk is asked again how much is left.
const ASK_DISK: (u64, u64) = (16 << 20, 4096);
/// What the file systems in use give out at once.
pub(super) const BLOCK: u64 = 4096;

impl Meter {
    pub(crate) fn new(image: Arc<ImageCost>, cancelled: Cancelled) -> Self {
        Self {
            image,
            cancelled,
            entries: Cell::new(0),
            streamed: Cell::new(0),
            trailer: Cell::new(None),
            made: Cell::new(0),
            inodes: Cell::new(0),
            directories: Cell::new(0),
            directory_names: Cell::new(0),
            names: Cell::new(0),
            // Asked at once.
            unseen: Cell::new(ASK_DISK),
            unpacked: Cell::new(false),
        }
    }

    /// Whether somebody still waits.
    pub(crate) fn wanted(&self) -> Result<(), ArchiveError> {
        if self.cancelled.is_set() { Err(ArchiveError::Cancelled) } else { Ok(()) }
    }

    /// Another entry came.
    pub(crate) fn entry(&self) -> Result<(), LimitError> {
        let limits = &self.image.limits;
        let before = self.image.entries.fetch_add(1, Ordering::Relaxed);
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() > limits.layer_entries {
            return Err(LimitError::LayerEntries(limits.layer_entries));
        }
        if before >= limits.image_entries {
            return Err(LimitError::ImageEntries(limits.image_entries));
        }
        Ok(())
    }

    /// So many bytes came out of the decompressor. Answers also whether somebody still waits.
    pub(crate) fn streamed(&self, bytes: usize) -> Result<(), ArchiveError> {
        self.wanted()?;
        let (limits, bytes) = (&self.image.limits, bytes as u64);
        self.streamed.set(self.streamed.get() + bytes);
        let of_image = self.image.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.streamed.get() > limits.layer_bytes {
            return Err(LimitError::LayerBytes(limits.layer_bytes).into());
        }
        if of_image > limits.image_bytes {
            return Err(LimitError::ImageBytes(limits.image_bytes).into());
        }
        if let Some(before) = self.trailer.get() {
            self.trailer.set(Some(before + bytes));
            if before + bytes > TRAILER {
                return Err(LimitError::Trailer(TRAILER).into());
            }
        }
        Ok(())
    }

    /// The archive has ended; what still comes is behind it.
    pub(super) fn archive_ended(&self) {
        self.trailer.set(Some(0));
    }

    /// Something gets a name of so many bytes.
    pub(crate) fn name(&self, bytes: usize) -> Result<(), LimitError> {
        self.names.set(self.names.get() + bytes);
        if self.names.get() > LAYER_NAMES {
            return Err(LimitError::Names(LAYER_NAMES));
        }
        Ok(())
    }

    /// An inode is made, with a name of so many bytes.
    pub(super) fn inode(&self, disk: &OwnedFd, name: usize) -> Result<(), ArchiveError> {
        self.name(name)?;
        self.inodes.set(self.inodes.get() + 1);
        let (bytes, inodes) = self.unseen.get();
        self.unseen.set((bytes, inodes + 1));
        self.ask(disk)
    }

    /// A directory is made, besides that it is an inode.
    pub(super) fn directory(&self, disk: &OwnedFd) -> Result<(), ArchiveError> {
        self.another_directory()?;
        self.bytes(disk, BLOCK)
    }

    /// Another directory came, with a name of so many bytes: for who writes what is unpacked later.
    pub(crate) fn named_directory(&self, name: usize) -> Result<(), LimitError> {
        self.another_directory()?;
        self.directory_names.set(self.directory_names.get() + name);
        if self.directory_names.get() > DIRECTORY_NAMES {
            return Err(LimitError::Names(DIRECTORY_NAMES));
        }
        Ok(())
    }

    fn another_directory(&self) -> Result<(), LimitError> {
        self.directories.set(self.directories.get() + 1);
        if self.directories.get() > LAYER_DIRECTORIES {
            return Err(LimitError::Directories(LAYER_DIRECTORIES));
        }
        Ok(())
    }

    /// So many bytes are about to come.
    pub(crate) fn ahead(&self, bytes: u64) -> Result<(), LimitError> {
        let limits = &self.image.limits;
        if self.streamed.get().saturating_add(bytes) > limits.layer_bytes {
            return Err(LimitError::LayerBytes(limits.layer_bytes));
        }
        if self.image.bytes.load(Ordering::Relaxed).saturating_add(bytes) > limits.image_bytes {
            return Err(LimitError::ImageBytes(limits.image_bytes));
        }
        Ok(())
    }

    /// So many bytes are about to be written.
    pub(super) fn bytes(&self, disk: &OwnedFd, bytes: u64) -> Result<(), ArchiveError> {
        self.made.set(self.made.get().saturating_add(bytes));
        self.size(self.made.get())?;
        let (unseen, inodes) = self.unseen.get();
        self.unseen.set((unseen.saturating_add(bytes), inodes));
        self.ask(disk)
    }

    /// Whether something may be so large.
    pub(super) fn size(&self, bytes: u64) -> Result<(), LimitError> {
        let limit = self.image.limits.layer_bytes;
        if bytes > limit { Err(LimitError::LayerBytes(limit)) } else { Ok(()) }
    }

    fn ask(&self, file: &OwnedFd) -> Result<(), ArchiveError> {
        let (bytes, inodes) = self.unseen.get();
        if bytes < ASK_DISK.0 && inodes < ASK_DISK.1 {
            return Ok(());
        }
        self.unseen.set((0, 0));
        let percent = self.image.limits.reserve_percent;
        let disk = |errno: rustix::io::Errno| ArchiveError::Disk { name: String::new(), source: errno.into() };
        if has_space(file, percent, 0).map_err(disk)? { Ok(()) } else { Err(LimitError::Reserve(percent).into()) }
    }

    /// The layer is there: it keeps its share. Answers with its inodes and bytes on disk.
    pub(super) fn finish(&self) -> (u64, u64) {
        self.unpacked.set(true);
        // With the layer's root.
        (self.inodes.get() + 1, self.made.get() + BLOCK)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.unpacked.get() {
            self.image.entries.fetch_sub(self.entries.get(), Ordering::Relaxed);
            self.image.bytes.fetch_sub(self.streamed.get(), Ordering::Relaxed);
        }
    }
}

/// An error of ours on its way through a chain of readers.
pub(crate) fn through_reader(error: ArchiveError) -> io::Error {
    io::Error::other(error)
}

/// What a chain of readers failed with: one of ours, or that the bytes are damaged.
pub(super) fn from_reader(error: io::Error) -> ArchiveError {
    match error.downcast::<ArchiveError>() {
        Ok(own) => own,
        Err(source) => ArchiveError::Damaged { source },
    }
}
