//! One pass over a compressed layer: digest of what comes in, decompression, digest of what comes out, unpacking.

use super::apply::{Applied, apply};
use super::error::ArchiveError;
use crate::digest::{Digest, Hasher};
use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// What one pass found.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Of the bytes as they came.
    pub(crate) blob: Digest,
    /// Of the archive in them.
    pub(crate) diff_id: Digest,
    /// What was made of it.
    pub(crate) applied: Applied,
}

const BUFFER: usize = 128 << 10;

/// Unpacks a plain, gzip or zstd layer into the empty directory `root`. Which of them it is, its first bytes say: media
/// types in the wild do not always.
pub(crate) fn unpack(layer: impl Read, root: OwnedFd) -> Result<Unpacked, ArchiveError> {
    let damaged = |source| ArchiveError::Damaged { source };
    let blob = Rc::new(RefCell::new(Hasher::default()));
    let mut compressed = BufReader::with_capacity(BUFFER, Hashed { inner: layer, hasher: Rc::clone(&blob) });
    let first = first_bytes(&mut compressed).map_err(damaged)?;

    let diff = Rc::new(RefCell::new(Hasher::default()));
    let applied = match first {
        [0x1f, 0x8b, ..] => pass(flate2::bufread::MultiGzDecoder::new(&mut compressed), &diff, root),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&mut compressed).map_err(damaged)?;
            pass(decoder, &diff, root)
        }
        _ => pass(&mut compressed, &diff, root),
    }?;
    io::copy(&mut compressed, &mut io::sink()).map_err(damaged)?;
    Ok(Unpacked { blob: blob.take().finish(), diff_id: diff.take().finish(), applied })
}

fn pass(archive: impl Read, diff: &Rc<RefCell<Hasher>>, root: OwnedFd) -> Result<Applied, ArchiveError> {
    let mut archive = Hashed { inner: archive, hasher: Rc::clone(diff) };
    let applied = apply(&mut archive, root)?;
    // The padding after the archive's end belongs to the diff id too.
    io::copy(&mut archive, &mut io::sink()).map_err(|source| ArchiveError::Damaged { source })?;
    Ok(applied)
}

/// Looks at the first four bytes without taking them. A reader may bring fewer at once.
fn first_bytes(reader: &mut BufReader<impl Read>) -> io::Result<[u8; 4]> {
    let mut first = [0; 4];
    let seen = reader.fill_buf()?;
    let count = seen.len().min(4);
    first[..count].copy_from_slice(&seen[..count]);
    Ok(first)
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
