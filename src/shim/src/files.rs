//! Small files in a bundle, which somebody may have replaced by something else.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::bounds::RECORD_FILE;

/// A regular file of a size that such a file may have. Never waits: a FIFO in its place is none.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(RECORD_FILE + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= RECORD_FILE).then_some(bytes)
}

/// The same as text.
pub(crate) fn text(path: &Path) -> Option<String> {
    String::from_utf8(read(path)?).ok()
}

/// Writes a file whole, or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    File::create(&part)?.write_all(bytes)?;
    match fs::rename(&part, path) {
        // The master has removed the bundle: nobody wants to know.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
