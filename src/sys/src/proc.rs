//! Processes of this node, by what `/proc` tells about them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::bounds::PROCESS_TEXT_BYTES;

/// How long the end of a killed process is waited for before `/proc` is looked through again.
const PAUSE: Duration = Duration::from_millis(50);

/// The numbers of all processes that there are, in the order in which the kernel lists them.
pub fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A handle that keeps meaning this process (a pidfd), also once the number is another's.
///
/// # Errors
/// `ESRCH` when there is none; what else the kernel says.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Its program and arguments; empty when it is gone, or ended and not yet reaped.
#[must_use]
pub fn command_line(pid: u32) -> Vec<OsString> {
    texts(pid, "cmdline")
}

/// Its variables as it was started, `NAME=value`; empty when it is gone, or ended and not yet reaped.
#[must_use]
pub fn environment(pid: u32) -> Vec<OsString> {
    texts(pid, "environ")
}

/// Signals that this process ignores, each a bit: the lowest is that of signal 1. None where /proc does not tell
/// (proc_pid_status(5), `SigIgn`).
#[must_use]
pub fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Whether it is in the caller's PID namespace, and not in a container's below it. Only of such a process command line
/// and environment should be read: they come from its memory, and one that answers its page faults itself can hold up
/// its reader for ever.
#[must_use]
pub fn is_beside_us(pid: u32) -> bool {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/pid")).ok();
    namespace(&pid.to_string()).is_some_and(|theirs| namespace("self") == Some(theirs))
}

/// What [`kill_matching`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KillOutcome {
    /// Processes that got KILL.
    pub killed: BTreeSet<u32>,
    /// Those that were there all the same when the time was over: they hang in the kernel.
    pub left: Vec<u32>,
}

/// Kills all processes beside us ([`is_beside_us`]) of which `matches` is true, and those that they start meanwhile,
/// and waits until there is none, for at most `limit`. `matches` is asked again once a handle is open, as the number
/// may be another's by then; it must be false of a process that has ended, as everything is that goes by
/// [`command_line`] or [`environment`]. Blocks.
pub fn kill_matching(matches: impl Fn(u32) -> bool, limit: Duration) -> KillOutcome {
    let deadline = Instant::now() + limit;
    let mut ended = KillOutcome::default();
    loop {
        let found: Vec<u32> = pids().filter(|pid| is_beside_us(*pid) && matches(*pid)).collect();
        if found.is_empty() || Instant::now() > deadline {
            ended.left = found;
            return ended;
        }
        let mut dying = Vec::new();
        for pid in found {
            if let Ok(process) = open(pid)
                && matches(pid)
                && pidfd_send_signal(&process, Signal::KILL).is_ok()
            {
                ended.killed.insert(pid);
                dying.push(process);
            }
        }
        wait(&dying, Instant::now() + PAUSE);
    }
}

/// Waits until all have ended or the time is over.
fn wait(processes: &[OwnedFd], until: Instant) {
    for process in processes {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        // A pidfd is readable when its process has ended. An error can't be about the process.
        let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left));
    }
}

fn texts(pid: u32, file: &str) -> Vec<OsString> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/{file}")) {
        // A process that ends while it is read has no text.
        let _ = file.take(PROCESS_TEXT_BYTES).read_to_end(&mut bytes);
    }
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|text| OsStr::from_bytes(text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn marked(mark: &str) -> impl Fn(u32) -> bool {
        let variable = OsString::from(format!("PEAPOD_PROC_TEST={mark}"));
        move |pid| environment(pid).contains(&variable)
    }

    /// Started, and with its environment: the kernel says that a program has begun before it has laid that out.
    fn start(mark: &str, script: &str) -> Child {
        let child = Command::new("/bin/sh").args(["-c", script]).env("PEAPOD_PROC_TEST", mark).spawn().unwrap();
        // One that has ended has none any more.
        let has_begun = || marked(mark)(child.id()) || has_ended(child.id());
        let deadline = Instant::now() + Duration::from_secs(30);
        while !has_begun() {
            assert!(Instant::now() < deadline, "{mark}");
            std::thread::yield_now();
        }
        child
    }

    fn has_ended(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().rsplit(')').next().unwrap().starts_with(" Z")
    }

    #[test]
    fn what_rust_ignores_is_known() {
        let broken_pipe = 1 << (Signal::PIPE.as_raw() - 1);
        assert_eq!(ignored_signals() & broken_pipe, broken_pipe);
    }

    #[test]
    fn kills_what_matches_and_nothing_else() {
        let (mine, mut other) = (start("mine", "sleep 600 & wait"), start("other", "exec sleep 600"));
        let pid = mine.id();
        // Its shell may be about to start more: that is found as well.
        let reaper = std::thread::spawn(move || { mine }.wait().unwrap());
        let ended = kill_matching(marked("mine"), Duration::from_secs(30));
        assert!(ended.killed.contains(&pid) && ended.left.is_empty(), "{ended:?}");
        assert!(!reaper.join().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(kill_matching(marked("mine"), Duration::ZERO), KillOutcome::default());
    }

    #[test]
    fn what_matches_for_ever_is_named() {
        // An ended process that nobody reaps keeps its number.
        let mut child = start("zombie", "exit 0");
        let pid = child.id();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !command_line(pid).is_empty() {
            assert!(Instant::now() < deadline, "it runs on");
        }
        let ended = kill_matching(|found| found == pid, Duration::ZERO);
        assert_eq!(ended.left, [pid]);
        child.wait().unwrap();
        assert_eq!(kill_matching(|found| found == pid, Duration::ZERO), KillOutcome::default());
    }

    #[test]
    fn texts_of_a_process() {
        let this = std::process::id();
        assert!(pids().any(|pid| pid == this) && is_beside_us(this) && open(this).is_ok());
        assert_eq!(command_line(this).len(), std::env::args_os().len());
        assert_eq!(command_line(this)[0], std::env::args_os().next().unwrap());
        // Beyond every number that the kernel gives.
        assert!(command_line(1 << 30).is_empty() && environment(1 << 30).is_empty() && !is_beside_us(1 << 30));
        assert!(open(1 << 30).is_err());
    }
}
