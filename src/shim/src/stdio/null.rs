//! What a process gets for a stream that leads nowhere. The OCI runtime replaces the node's `/dev/null` by the
//! container's when it makes a container, but not for a command in one: root in there could take the mode of the node's
//! own away. So it gets one on a read-only mount, which is written to all the same.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;

use peapod_shim_protocol::sealed::{NULL_ENV, is_sealed_null};

use crate::log;
use crate::read_only;

/// `/dev/null`, sealed.
#[derive(Debug)]
pub(crate) struct Null(File);

impl Null {
    /// The one that the environment names, else one made here.
    pub(crate) fn open() -> io::Result<Self> {
        let given = std::env::var_os(NULL_ENV).and_then(|path| File::open(path).ok()).filter(is_sealed_null);
        if let Some(given) = given {
            return Ok(Self(given));
        }
        log::info("makes a /dev/null for containers by itself", &[]);
        read_only::open(Path::new("/dev/null")).map(Self)
    }

    /// For one stream of one process: opened anew, so that it shares no flags and no position with another's.
    pub(crate) fn stream(&self) -> io::Result<Stdio> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(File::options().read(true).write(true).open(path)?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{Mode, fchmod};
    use rustix::io::Errno;

    use super::*;

    /// Needs root.
    #[test]
    #[ignore = "needs root"]
    fn nobody_changes_it() {
        let null = Null::open().unwrap();
        assert!(is_sealed_null(&null.0));
        assert_eq!(fchmod(null.0.as_fd(), Mode::from_raw_mode(0o667)), Err(Errno::ROFS));
        let mut echo = std::process::Command::new("sh");
        echo.args(["-c", "cat; echo gone"]).stdin(null.stream().unwrap());
        assert!(echo.stdout(null.stream().unwrap()).status().unwrap().success());
    }
}
