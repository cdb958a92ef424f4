//! One pass over a compressed layer: digest of what comes in, decompression, digest of what comes out, unpacking.

use super::apply::apply;
use super::decompress::{Decompressor, Window};
use super::error::ArchiveError;
use super::implicit::Writer;
use super::meter::{Meter, from_reader, through_reader};
use crate::digest::{Digest, Hasher};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
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

/// Unpacks an archive that has no whiteouts but a list of what is deleted, which may have been made anew. An archive
/// that is not there is an empty one.
pub(crate) fn unpack_over<R: Read>(
    deleted: &[Vec<u8>],
    archive: Option<R>,
    dir: &Path,
    meter: Meter,
) -> Result<(), ArchiveError> {
    let meter = Rc::new(meter);
    let disk = |source| ArchiveError::Disk { name: String::new(), source };
    let root = make_root(dir).map_err(disk)?;
    let whiteouts = Whiteouts::new(deleted);
    let Some(archive) = archive else {
        // A reader needs the archive's end.
        let rest = io::repeat(0).take(1024);
        apply(Metered { inner: whiteouts.chain(rest), meter: Rc::clone(&meter) }, root, Writer::new(dir), &meter)?;
        meter.finish();
        return Ok(());
    };
    let compressed = BufReader::with_capacity(BUFFER, archive);
    let decompressor = Decompressor::new(compressed, Window::Usual).map_err(from_reader)?;
    let metered = Metered { inner: whiteouts.chain(decompressor), meter: Rc::clone(&meter) };
    let mut rest = apply(metered, root, Writer::new(dir), &meter)?;
    meter.archive_ended();
    io::copy(&mut rest, &mut io::sink()).map_err(from_reader)?;
    meter.finish();
    Ok(())
}

/// The beginning of an archive, which goes on behind this: whiteouts for these paths, each made when it is read.
struct Whiteouts<'a> {
    paths: std::slice::Iter<'a, Vec<u8>>,
    entry: Cursor<Vec<u8>>,
}

impl<'a> Whiteouts<'a> {
    fn new(paths: &'a [Vec<u8>]) -> Self {
        Self { paths: paths.iter(), entry: Cursor::default() }
    }
}

impl Read for Whiteouts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.entry.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let Some(path) = self.paths.next() else { return Ok(0) };
        self.entry = Cursor::new(whiteout(path)?);
        self.entry.read(buffer)
    }
}

fn whiteout(path: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let (folder, name) = path.split_at(path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
    let path = [folder, b".wh.", name].concat();
    archive.append_pax_extensions([("path", path.as_slice())])?;
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(0);
    header.set_cksum();
    archive.append(&header, io::empty())?;
    // Without an archive's end.
    Ok(std::mem::take(archive.get_mut()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_are_made_one_by_one() {
        let paths: Vec<Vec<u8>> = (0..1 << 20).map(|_| b"a/b".to_vec()).collect();
        let mut whiteouts = Whiteouts::new(&paths);
        let (mut buffer, mut read) = ([0; 700], 0);
        for _ in 0..1000 {
            read += whiteouts.read(&mut buffer).unwrap();
            assert!(whiteouts.entry.get_ref().len() < 4096);
        }
        assert!(read > 100_000);
        let two = [b"a/b".to_vec(), b"c/".to_vec()];
        let mut archive = tar::Archive::new(Whiteouts::new(&two));
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned());
        assert_eq!(names.collect::<Vec<_>>(), [b"a/.wh.b".to_vec(), b".wh.c".to_vec()]);
    }
}
