//! Which OCI runtime made a container, as its shim wrote down: the one that goes on with it, whatever the pod's handler
//! is today.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use peapod_shim_protocol::RUNTIME_FILE;

use crate::read;

/// Far more than its three lines have.
const LONGEST: u64 = 64 << 10;

/// The program of the container with that bundle; none if that can't be read.
pub(crate) async fn program(bundle: &Path) -> Option<PathBuf> {
    let file = bundle.join(RUNTIME_FILE);
    let text = tokio::task::spawn_blocking(move || read::whole(&file, LONGEST)).await.ok()?.ok()?;
    parse(text)
}

fn parse(mut text: Vec<u8>) -> Option<PathBuf> {
    text.truncate(text.iter().position(|byte| *byte == b'\n')?);
    Some(PathBuf::from(OsString::from_vec(text))).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(program(dir.path()).await, None);
        std::fs::write(dir.path().join(RUNTIME_FILE), "/usr/bin/runc\n/run/r\ncgroupfs\n").unwrap();
        assert_eq!(program(dir.path()).await, Some("/usr/bin/runc".into()));
        for other in ["", "/usr/bin/runc", "runc\n/run/r\n", "\n/run/r\n"] {
            assert_eq!(parse(other.as_bytes().to_vec()), None, "{other}");
        }
    }
}
