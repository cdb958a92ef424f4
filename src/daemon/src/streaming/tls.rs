//! The server's certificate: read here, as the server can open no file, and handed over in memory.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use peapod_streaming_protocol::TLS_FILE_BYTES;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::config::TlsFiles;

/// What the two files looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TlsStamp([FileStamp; 2]);

/// A file that was written, or replaced, has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl TlsStamp {
    /// `None` while one of them is missing.
    pub(super) fn of(files: &TlsFiles) -> Option<Self> {
        let stamp = |path: &Path| std::fs::metadata(path).ok().as_ref().map(FileStamp::of);
        Some(Self([stamp(&files.certificate)?, stamp(&files.key)?]))
    }
}

impl FileStamp {
    fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino(), bytes: file.len(), changed: (file.ctime(), file.ctime_nsec()) }
    }
}

/// The contents of the certificate's file and the key's. An error says what could not be done.
pub(super) fn read(files: &TlsFiles) -> Result<[OwnedFd; 2], (String, io::Error)> {
    let copy = |path: &Path| copy(path).map_err(|error| (format!("read {}", path.display()), error));
    Ok([copy(&files.certificate)?, copy(&files.key)?])
}

/// A file in memory that nobody can change.
fn copy(path: &Path) -> io::Result<OwnedFd> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TLS_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > TLS_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {TLS_FILE_BYTES} bytes")));
    }
    let mut memory = File::from(memfd_create("tls", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    memory.write_all(&bytes)?;
    memory.rewind()?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: dir.path().join("cert"), key: dir.path().join("key") };
        assert_eq!(TlsStamp::of(&files), None);
        std::fs::write(&files.certificate, "chain").unwrap();
        let (what, _) = read(&files).unwrap_err();
        assert!(what.ends_with("/key"), "{what}");
        std::fs::write(&files.key, "key").unwrap();
        let [chain, _] = read(&files).unwrap();
        let mut chain = File::from(chain);
        let mut text = String::new();
        chain.read_to_string(&mut text).unwrap();
        assert_eq!(text, "chain");
        assert!(chain.write_all(b"x").is_err());
        let before = TlsStamp::of(&files).unwrap();
        std::fs::write(&files.key, "other").unwrap();
        assert_ne!(TlsStamp::of(&files), Some(before));
        std::fs::write(&files.key, vec![b'x'; usize::try_from(TLS_FILE_BYTES).unwrap() + 1]).unwrap();
        assert!(read(&files).is_err());
    }
}
