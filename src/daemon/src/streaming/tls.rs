//! The server's certificate: read here, as the server can open no file, and handed over in memory.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use peapod_streaming_protocol::TLS_FILE_BYTES;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use tokio::task::spawn_blocking;

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
    /// `None` while one of them is missing. Takes as long as the disk does, which may be for ever.
    pub(super) async fn look(files: &TlsFiles) -> Option<Self> {
        let wanted = files.clone();
        spawn_blocking(move || Self::of(&wanted)).await.ok().flatten()
    }

    fn of(files: &TlsFiles) -> Option<Self> {
        let stamp = |path: &Path| std::fs::metadata(path).ok().as_ref().map(FileStamp::of);
        Some(Self([stamp(&files.certificate)?, stamp(&files.key)?]))
    }
}

impl FileStamp {
    fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino(), bytes: file.len(), changed: (file.ctime(), file.ctime_nsec()) }
    }
}

/// The contents of the certificate's file and the key's, and what the files looked like. An error says what could not
/// be done. Takes as long as the disk does.
pub(super) async fn read(files: &TlsFiles) -> Result<(TlsStamp, [OwnedFd; 2]), (String, io::Error)> {
    let wanted = files.clone();
    let read = spawn_blocking(move || read_now(&wanted)).await;
    read.unwrap_or_else(|panic| Err(("read the certificate".to_owned(), panic.into())))
}

fn read_now(files: &TlsFiles) -> Result<(TlsStamp, [OwnedFd; 2]), (String, io::Error)> {
    let copy = |path: &Path| copy(path).map_err(|error| (format!("read {}", path.display()), error));
    let ((certificate, chain), (key_file, key)) = (copy(&files.certificate)?, copy(&files.key)?);
    Ok((TlsStamp([certificate, key_file]), [chain, key]))
}

/// A file in memory that nobody can change. Who opens a FIFO would wait for somebody to write to it.
fn copy(path: &Path) -> io::Result<(FileStamp, OwnedFd)> {
    let file = File::from(open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(TLS_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > TLS_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {TLS_FILE_BYTES} bytes")));
    }
    let mut memory = File::from(memfd_create("tls", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    memory.write_all(&bytes)?;
    memory.rewind()?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok((FileStamp::of(&metadata), memory.into()))
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
        let (what, _) = read_now(&files).unwrap_err();
        assert!(what.ends_with("/key"), "{what}");
        std::fs::write(&files.key, "key").unwrap();
        let (read, [chain, _]) = read_now(&files).unwrap();
        let mut chain = File::from(chain);
        let mut text = String::new();
        chain.read_to_string(&mut text).unwrap();
        assert_eq!(text, "chain");
        assert!(chain.write_all(b"x").is_err());
        let before = TlsStamp::of(&files).unwrap();
        assert_eq!(read, before);
        std::fs::write(&files.key, "other").unwrap();
        assert_ne!(TlsStamp::of(&files), Some(before));
        std::fs::write(&files.key, vec![b'x'; usize::try_from(TLS_FILE_BYTES).unwrap() + 1]).unwrap();
        assert!(read_now(&files).is_err());
        // Nobody writes to it.
        std::fs::remove_file(&files.key).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &files.key, Mode::RUSR).unwrap();
        let (what, error) = read_now(&files).unwrap_err();
        assert!(what.ends_with("/key") && error.to_string().contains("no regular file"), "{what}: {error}");
    }
}
