//! Processes by number.

use std::path::{Path, PathBuf};

pub(crate) use peapod_sys::proc::open;

/// Its folder; for naming it in errors.
pub(crate) fn path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// The parent of a process; `None` when it is gone.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
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

/// Gives a new container's first process the score that is wanted for it, if the runtime has left it with the shim's,
/// which is that of a daemon that must not be killed: crun takes 0 for "nothing said".
pub(crate) fn correct_oom_score(pid: u32, wanted: i32) {
    let path = path(pid).join("oom_score_adj");
    let score = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let is = score(&path);
    if is.trim() != wanted.to_string() && is == score(Path::new("/proc/self/oom_score_adj")) {
        let _ = std::fs::write(path, wanted.to_string());
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
