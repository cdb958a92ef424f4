//! Reading files whose content, or kind, something may have damaged.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// All of a regular file. Never waits: a FIFO in its place is an error.
pub(crate) fn whole(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // The flags are few bits.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_that_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(whole(&path, 5).unwrap(), b"12345");
        assert_eq!(whole(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(whole(&path, 5).unwrap_err().kind(), io::ErrorKind::NotFound);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(whole(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(whole(dir.path(), 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
