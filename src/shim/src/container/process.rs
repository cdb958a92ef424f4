//! Processes by number.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::Error;

/// Where the runtime writes a container's process number.
pub(crate) fn pid_file(bundle: &Path) -> PathBuf {
    bundle.join("pid")
}

/// A handle that keeps meaning this process.
pub(crate) fn open(pid: u32) -> Result<OwnedFd, Error> {
    let path = PathBuf::from(format!("/proc/{pid}"));
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH);
    pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())).map_err(Error::errno("open", &path))
}

/// The session of a process; `None` when it is gone.
pub(crate) fn session(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(3)?.parse().ok()
}

/// What the kernel says a process waits in; for naming one that won't die.
pub(crate) fn wait_channel(pid: u32) -> String {
    let wchan = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} ({pid}) in {}", name.trim(), if wchan.is_empty() { "?" } else { &wchan })
}

/// The fields of `/proc/<pid>/stat` after the name, which may itself look like fields.
fn stat(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

/// Gives a process the out-of-memory score of another. crun leaves an exec'd process with the score of whoever called
/// crun, which is the shim's: the kernel would kill almost anything else first.
///
/// A process that is gone, or a score that may not be lowered, stays as it is.
pub(crate) fn share_oom_score(from: u32, to: u32) {
    let path = |pid: u32| format!("/proc/{pid}/oom_score_adj");
    let (Ok(wanted), Ok(found)) = (std::fs::read_to_string(path(from)), std::fs::read_to_string(path(to))) else {
        return;
    };
    if wanted != found {
        let _ = std::fs::write(path(to), wanted.trim());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn knows_sessions() {
        let own = nix::unistd::getsid(None).unwrap().as_raw().unsigned_abs();
        assert_eq!(super::session(std::process::id()), Some(own));
        assert_eq!(super::session(u32::MAX), None);
    }
}
