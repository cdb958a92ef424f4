//! Processes by number.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A handle that keeps meaning this process.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

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

/// Gives a new container's first process the score 0 where the configuration asks for that: crun takes 0 for "nothing said" and
/// leaves it with the shim's, which is that of a daemon that must not be killed.
pub(crate) fn settle_oom_score(pid: u32, bundle: &Path) {
    let score = |of: &str| std::fs::read_to_string(format!("/proc/{of}/oom_score_adj")).unwrap_or_default();
    let process = pid.to_string();
    let own = score("self");
    if own.trim() == "0" || score(&process) != own {
        return;
    }
    let config = std::fs::read_to_string(bundle.join("config.json")).unwrap_or_default();
    if asks_for_zero(&config) {
        let _ = std::fs::write(format!("/proc/{process}/oom_score_adj"), "0");
    }
}

/// Whether a configuration has `"oomScoreAdj": 0`. Within a string its quotes would be escaped.
fn asks_for_zero(config: &str) -> bool {
    let values = config.split("\"oomScoreAdj\"").skip(1);
    values.filter_map(|rest| rest.trim_start().strip_prefix(':')).any(|value| {
        let value = value.trim_start();
        value.starts_with('0') && !value[1..].starts_with(|next: char| next.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_a_score_of_zero() {
        for (config, zero) in [
            (r#"{"process":{"oomScoreAdj":0,"args":[]}}"#, true),
            (r#"{"process":{"oomScoreAdj" : 0}}"#, true),
            (r#"{"process":{"oomScoreAdj":-999}}"#, false),
            (r#"{"process":{"oomScoreAdj":10}}"#, false),
            (r#"{"annotations":{"a":"\"oomScoreAdj\":0"}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(super::asks_for_zero(config), zero, "{config}");
        }
    }

    #[test]
    fn knows_sessions() {
        let own = nix::unistd::getsid(None).unwrap().as_raw().unsigned_abs();
        assert_eq!(super::session(std::process::id()), Some(own));
        assert_eq!(super::session(u32::MAX), None);
    }
}
