//! A container's init process, and what the runtime and the kernel know the container by: signals go here.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use peapod_cgroup::Cgroup;
use peapod_sys::send_signal;
use tokio::sync::Notify;

use super::guest::{Guest, GuestName};
use crate::error::Error;
use crate::proc;
use crate::runtime::{ExecPlace, GuestProcess, Runtime, Target};

/// KILL.
pub(crate) const SIGKILL: i32 = libc::SIGKILL;
/// How often processes of an exec are looked for: they may fork meanwhile.
const ROUNDS: usize = 16;

/// The init process of a container that the OCI runtime has created. It may have ended.
#[derive(Debug)]
pub(crate) struct InitProcess {
    /// The container's.
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    /// Of a guest it is its sandbox's.
    pub(crate) pid: u32,
    pub(crate) reach: Reach,
}

/// How it is reached.
#[derive(Debug)]
pub(crate) enum Reach {
    /// It is a process of the node.
    Process {
        pidfd: OwnedFd,
        /// None: the runtime left it in the root, where nothing is killed as a whole.
        cgroup: Option<Cgroup>,
        /// The group below that in which its processes began, where it may divide its own: that one can't have any
        /// then.
        leaf: Option<String>,
    },
    /// It is in a sandbox of the runtime's.
    Guest(Guest),
}

/// The path of a process below a group, by what the kernel says of it (`0::/group/below`).
fn below<'a>(text: &'a str, group: &str) -> Option<&'a str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = path.strip_prefix(group)?.strip_prefix('/')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@".contains(&byte);
    (!below.is_empty() && below.bytes().all(is_plain)).then_some(below)
}

impl InitProcess {
    /// For calls of the runtime, which `interrupt` ends.
    pub(crate) fn target<'a>(&'a self, interrupt: &'a Notify) -> Target<'a> {
        Target { id: &self.id, bundle: &self.bundle, interrupt }
    }

    /// Where a command begins: in a group below the container's where that has such, the one in which the init process
    /// is now, as the container may have made others and removed the first. One with a name that runtimes take apart is
    /// left out.
    pub(super) fn place_of_execs(&self) -> ExecPlace {
        match &self.reach {
            Reach::Guest(_) => ExecPlace::Sandbox,
            Reach::Process { cgroup: Some(cgroup), leaf: Some(leaf), .. } => {
                let text = std::fs::read_to_string(proc::path(self.pid).join("cgroup")).unwrap_or_default();
                ExecPlace::Group(below(&text, cgroup.path()).unwrap_or(leaf).to_owned())
            }
            Reach::Process { .. } => ExecPlace::Container,
        }
    }

    /// The container's own group, if it is there that its processes are.
    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        match &self.reach {
            Reach::Process { cgroup, .. } => cgroup.as_ref(),
            Reach::Guest(_) => None,
        }
    }

    pub(crate) fn is_guest(&self) -> bool {
        matches!(self.reach, Reach::Guest(_))
    }

    /// As the runtime knows a guest.
    pub(super) fn guest_name(&self) -> GuestName {
        GuestName { id: self.id.clone(), bundle: self.bundle.clone(), runtime: self.runtime.clone(), sandbox: self.pid }
    }

    /// A signal to the init process. One that has just ended is fine: its supervisor tells.
    pub(crate) fn signal(&self, signal: i32) -> Result<(), Error> {
        let pidfd = match &self.reach {
            Reach::Process { pidfd, .. } => pidfd,
            Reach::Guest(guest) => return guest.signal(signal, GuestProcess::First),
        };
        match send_signal(pidfd, signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map_err(Error::io("signal", &proc::path(self.pid))),
        }
    }

    /// A signal to all processes of the container, as far as it has a cgroup of its own.
    pub(crate) fn signal_all(&self, signal: i32) -> Result<(), Error> {
        if let Reach::Guest(guest) = &self.reach {
            return if signal == SIGKILL { guest.kill_all() } else { guest.signal(signal, GuestProcess::All) };
        }
        match self.cgroup() {
            Some(cgroup) if signal == SIGKILL => Ok(cgroup.kill()?),
            Some(cgroup) => {
                cgroup.pids()?.into_iter().for_each(|pid| signal_process(pid, signal));
                Ok(())
            }
            None => self.signal(signal),
        }
    }

    /// A signal to every process of the container that belongs to a session. Of a guest it is one process, by its
    /// number in the sandbox.
    pub(crate) fn signal_session(&self, session: u32, signal: i32) -> Result<(), Error> {
        if let Reach::Guest(guest) = &self.reach {
            return guest.signal(signal, GuestProcess::One(session));
        }
        if self.cgroup().is_none() {
            signal_process(session, signal);
        }
        self.signal_those(signal, |pid| proc::session(pid) == Some(session))
    }

    /// KILL to every process of the container of which that holds, as far as it has a cgroup of its own.
    pub(super) fn kill_those(&self, is_one: impl Fn(u32) -> bool) -> Result<(), Error> {
        self.signal_those(SIGKILL, is_one)
    }

    /// New ones may be forked meanwhile: repeats until none is left when it is KILL.
    fn signal_those(&self, signal: i32, is_one: impl Fn(u32) -> bool) -> Result<(), Error> {
        let Some(cgroup) = self.cgroup() else { return Ok(()) };
        for _ in 0..ROUNDS {
            let pids = cgroup.pids()?;
            let ours: Vec<u32> = pids.into_iter().filter(|pid| is_one(*pid)).collect();
            ours.iter().for_each(|pid| signal_process(*pid, signal));
            if ours.is_empty() || signal != SIGKILL {
                break;
            }
        }
        Ok(())
    }

    /// All processes of the container.
    pub(crate) fn pids(&self) -> Result<Vec<u32>, Error> {
        match self.cgroup() {
            Some(cgroup) => Ok(cgroup.pids()?),
            None => Ok(vec![self.pid]),
        }
    }
}

/// The number of a signal in a request.
pub(crate) fn signal_number(signal: u32) -> Result<i32, Error> {
    match i32::try_from(signal) {
        Ok(signal @ 1..=64) => Ok(signal),
        _ => Err(Error::Invalid { field: "signal", why: format!("{signal} is none: 1 to 64 are") }),
    }
}

/// One that is gone meanwhile is fine.
fn signal_process(pid: u32, signal: i32) {
    if let Ok(pidfd) = proc::open(pid) {
        let _ = send_signal(&pidfd, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn where_a_process_is_below_its_container() {
        for (text, found) in [
            ("0::/pods/a/init\n", Some("init")),
            ("1:name=x:/\n0::/pods/a/deep/er.slice\n", Some("deep/er.slice")),
            ("0::/pods/a\n", None),
            ("0::/pods/ab/init\n", None),
            ("0::/other\n", None),
            ("0::/pods/a/with,comma\n", None),
            ("0::/pods/a/cpu:x\n", None),
            ("0::/pods/a/in it (deleted)\n", None),
            ("", None),
        ] {
            assert_eq!(below(text, "/pods/a"), found, "{text}");
        }
    }
}
