//! A part of a file, which is a blob as a whole.

use super::tail::{Interest, TailReader, tail_from};
use crate::digest::{Digest, Hasher};
use crate::unpack::is_plain;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of a file, from `start` on.
#[derive(Clone, Debug)]
pub(crate) struct FileRegion {
    pub(crate) file: Arc<File>,
    pub(crate) start: u64,
    /// No more than these; fewer where the file ends before.
    pub(crate) size: u64,
}

impl FileRegion {
    /// Reads it as long as the interest is kept.
    pub(super) fn reader(&self) -> (TailReader, Interest) {
        let (writer, reader, interest) =
            tail_from(Arc::clone(&self.file), self.start, self.start.saturating_add(self.size));
        writer.finish();
        (reader, interest)
    }

    /// The digest of these bytes. Reads all of them, on a thread of its own.
    pub(crate) async fn digest(&self) -> io::Result<Digest> {
        let region = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let (mut hasher, mut position, mut buffer) = (Hasher::default(), 0, vec![0; 128 << 10]);
            loop {
                let count = region.read_at(&mut buffer, position)?;
                if count == 0 {
                    return Ok(hasher.finish());
                }
                hasher.update(&buffer[..count]);
                position += count as u64;
            }
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Whether it does not begin as something compressed. Reads on a thread of its own.
    pub(crate) async fn is_plain(&self) -> io::Result<bool> {
        let region = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut first = [0; 6];
            let count = region.read_at(&mut first, 0)?;
            Ok(is_plain(&first[..count]))
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// All of it, which is at most `limit` bytes; `None` if it is more. Reads on a thread of its own.
    pub(crate) async fn read(&self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(size) = usize::try_from(self.size).ok().filter(|size| *size <= limit) else { return Ok(None) };
        let region = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; size];
            region.file.read_exact_at(&mut bytes, region.start)?;
            Ok(Some(bytes))
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read_at(&mut buffer[..left], self.start.saturating_add(position))
    }
}
