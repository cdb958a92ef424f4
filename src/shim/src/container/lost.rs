//! Commands that the OCI runtime has made and of which nobody can learn the number: their processes are found by what
//! only they can have, and killed.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::termios::tcgetsid;

use super::init_process::{InitProcess, SIGKILL};
use crate::error::Error;
use crate::stdio::Uris;
use crate::stdio::console::ConsoleSocket;

/// Kills the processes of a command that has these streams: those of its terminal's session, or those that hold a FIFO
/// of its output open.
pub(super) async fn kill(init: &InitProcess, uris: &Uris, socket: Option<&ConsoleSocket>) -> Result<(), Error> {
    if let Some(socket) = socket {
        let terminal = socket.receive().await?;
        let session = tcgetsid(&terminal).map_err(Error::errno("tell the session of", "a terminal".as_ref()))?;
        return init.signal_session(session.as_raw_nonzero().get().unsigned_abs(), SIGKILL);
    }
    let fifos: HashSet<_> = [&uris.stdout, &uris.stderr].into_iter().filter_map(identity).collect();
    init.kill_those(|pid| holds(pid, &fifos))
}

/// Device and number of a file.
fn identity(path: impl AsRef<std::path::Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether a process has one of these files open.
fn holds(pid: u32, files: &HashSet<(u64, u64)>) -> bool {
    // One that is gone holds nothing.
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| identity(entry.path())).any(|file| files.contains(&file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_holds_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = tempfile::tempdir().unwrap();
        let path = other.path().join("other");
        fs::write(&path, "").unwrap();
        let own = std::process::id();
        assert!(holds(own, &HashSet::from([identity(file.path()).unwrap()])));
        assert!(!holds(own, &HashSet::from([identity(&path).unwrap()])));
        assert!(!holds(u32::MAX, &HashSet::from([identity(file.path()).unwrap()])));
        assert_eq!(identity(other.path().join("none")), None);
    }
}
