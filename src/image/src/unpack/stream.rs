//! One pass over a compressed layer: digest of what comes in, decompression, digest of what comes out, unpacking.

use super::apply::apply;
use super::decompress::{Decompressor, Window};
use super::error::ArchiveError;
use super::implicit::Writer;
use super::meter::{Meter, from_reader, through_reader};
use crate::digest::{Digest, Hasher};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

/// What one pass found.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Of the bytes as they came.
    pub(crate) blob: Digest,
    /// Of the archive in them.
    pub(crate) diff_id: Digest,
    /// Inodes made.
    pub(crate) inodes: u64,
    /// Bytes on disk, in whole blocks.
    pub(crate) bytes: u64,
}

const BUFFER: usize = 128 << 10;

/// Unpacks a plain, gzip or zstd layer into `dir`, which is empty: to `diff`, and beside it what
/// [`inherit_attributes`](super::inherit_attributes) needs.
pub(crate) fn unpack(layer: impl Read, dir: &Path, window: Window, meter: Meter) -> Result<Unpacked, ArchiveError> {
    let meter = Rc::new(meter);
    let root = make_root(dir).map_err(|source| ArchiveError::Disk { name: String::new(), source })?;
    let blob = Rc::new(RefCell::new(Hasher::default()));
    let compressed = BufReader::with_capacity(BUFFER, Hashed { inner: layer, hasher: Rc::clone(&blob) });
    let decompressor = Decompressor::new(compressed, window).map_err(from_reader)?;

    let diff = Rc::new(RefCell::new(Hasher::default()));
    let metered = Metered { inner: decompressor, meter: Rc::clone(&meter) };
    let archive = Hashed { inner: metered, hasher: Rc::clone(&diff) };
    let mut rest = apply(archive, root, Writer::new(dir), &meter)?;
    // What stands behind the archive's end belongs to the diff id too.
    meter.archive_ended();
    io::copy(&mut rest, &mut io::sink()).map_err(from_reader)?;
    rest.inner.inner.finish().map_err(from_reader)?;
    let (inodes, bytes) = meter.finish();
    Ok(Unpacked { blob: blob.take().finish(), diff_id: diff.take().finish(), inodes, bytes })
}

/// The layer's root, with the mode that it keeps where no layer describes it, whatever the umask.
pub(super) fn make_root(dir: &Path) -> io::Result<OwnedFd> {
    let diff = dir.join("diff");
    std::fs::create_dir(&diff)?;
    let root = File::open(&diff)?;
    root.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(root.into())
}

struct Hashed<R> {
    inner: R,
    hasher: Rc<RefCell<Hasher>>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.borrow_mut().update(&buffer[..count]);
        Ok(count)
    }
}

/// Lets bytes pass as long as they are within bounds and somebody waits for them.
struct Metered<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.streamed(count).map_err(through_reader)?;
        Ok(count)
    }
}
