//! Commands that the OCI runtime has made and of which nobody can learn the number: their processes are found by what
//! only they can have, and killed.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::termios::tcgetsid;

use super::init_process::{InitProcess, SIGKILL};
use crate::error::Error;
use crate::stdio::Uris;
use crate::stdio::console::ConsoleSocket;

/// Kills the processes of a command: those of its terminal's session, or those that hold one of these files open, which
/// nobody else was given.
pub(super) async fn kill(init: &InitProcess, files: &[PathBuf], socket: Option<&ConsoleSocket>) -> Result<(), Error> {
    if let Some(socket) = socket {
        let terminal = socket.receive()?;
        let session = tcgetsid(&terminal).map_err(Error::errno("tell the session of", "a terminal".as_ref()))?;
        return init.signal_session(session.as_raw_nonzero().get().unsigned_abs(), SIGKILL);
    }
    init.kill_those(|pid| holds(pid, files))
}

/// The FIFOs of a command's output.
pub(super) fn fifos(uris: &Uris) -> Vec<PathBuf> {
    [&uris.stdout, &uris.stderr].into_iter().filter_map(path_of).collect()
}

/// A stream's path as the kernel names it: without links. Whoever reads the stream may have removed it.
fn path_of(uri: impl AsRef<Path>) -> Option<PathBuf> {
    let path = uri.as_ref();
    Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?))
}

/// Whether a process has one of these files open. The files are not touched: others of its own may be on a disk that
/// does not answer.
fn holds(pid: u32, files: &[PathBuf]) -> bool {
    // One that is gone holds nothing.
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|open| {
        let open = open.as_os_str().as_bytes();
        let open = open.strip_suffix(b" (deleted)").unwrap_or(open);
        files.iter().any(|file| file.as_os_str().as_bytes() == open)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_holds_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let (held, other) = (path_of(link.join("held")).unwrap(), path_of(real.join("other")).unwrap());
        fs::write(&other, "").unwrap();
        let file = fs::File::create(&held).unwrap();
        let own = std::process::id();
        assert!(holds(own, &[other.clone(), held.clone()]) && !holds(own, &[other]));
        assert!(!holds(u32::MAX, std::slice::from_ref(&held)));
        fs::remove_file(&held).unwrap();
        assert!(holds(own, std::slice::from_ref(&held)), "removed, and still open");
        drop(file);
        assert!(!holds(own, &[held]));
        for none in ["", "none:///a/b", "/no/such/folder/file"] {
            assert_eq!(path_of(none), None, "{none}");
        }
    }
}
