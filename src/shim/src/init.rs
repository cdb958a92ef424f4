//! Pod init: PID 1 of a shared PID namespace. Reaps orphans, ends on TERM and INT.
//!
//! Containers in the namespace can look at it, and one with the right to trace processes can reach whatever it holds.
//! So it holds nothing: its root is an empty read-only file system, it has no descriptors, no capabilities, no
//! environment, and may make a handful of system calls.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Its first argument, by which the binary knows what to be.
pub(crate) const NAME: &str = "peapod-init";
/// What it answers when it is in place.
pub(crate) const READY: &str = "ready";

/// Waiting for signals and children, and leaving.
const CALLS: &[libc::c_long] = &[
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_wait4,
    libc::SYS_restart_syscall,
    libc::SYS_exit_group,
    libc::SYS_exit,
];

/// Who pod init is.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Who it is to be, as the shim tells it: numbers between spaces, and behind a line feed the path of the user namespace
/// that its PID namespace is to belong to, if that is not the node's.
pub(crate) struct InitOrder(String);

impl InitOrder {
    pub(crate) fn of(user: &User, namespace: Option<String>) -> Self {
        let numbers = [user.uid, user.gid].into_iter().chain(user.groups.iter().copied());
        let numbers = numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        Self(numbers + &namespace.map(|path| format!("\n{path}")).unwrap_or_default())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn parse(text: &str) -> Option<(User, Option<&Path>)> {
        let (text, namespace) = match text.split_once('\n') {
            Some((numbers, path)) => (numbers, Some(Path::new(path))),
            None => (text, None),
        };
        let numbers: Option<Vec<u32>> = text.split(' ').map(|word| word.parse().ok()).collect();
        match numbers?.as_slice() {
            [uid, gid, groups @ ..] => Some((User { uid: *uid, gid: *gid, groups: groups.to_vec() }, namespace)),
            _ => None,
        }
    }
}

/// What it answers of the process that it has made to be pod init in its place.
const BORN: &str = "born ";

/// Whether an answer says that pod init is in place. It is written by two processes if one has made the other.
pub(crate) fn is_ready(answer: &str) -> bool {
    answer.contains(READY) && answer.lines().all(|line| line == READY || line.starts_with(BORN))
}

/// What an answer says for a person, if it says anything.
pub(crate) fn complaint(answer: &str) -> Option<String> {
    let lines: Vec<&str> = answer.lines().filter(|line| !line.starts_with(BORN) && !line.is_empty()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// The number of the process that was made to be pod init, as its maker sees it.
pub(crate) fn born(answer: &str) -> Option<u32> {
    answer.lines().find_map(|line| line.strip_prefix(BORN)?.parse().ok())
}

/// Its whole life.
pub(crate) fn run() -> ExitCode {
    match begin() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(signals)) => {
            // Whom nobody hears is not waited for any more, and perhaps not known.
            if say(READY).is_err() {
                return ExitCode::FAILURE;
            }
            // The pipe that the answer went through is the last descriptor.
            match peapod_sys::close_all(|| last_step(&signals)) {
                Ok(never) => match never {},
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err((step, error)) => {
            // Whoever does not hear it sees the end.
            let _ = say(&format!("can't {step}: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Failure = (&'static str, std::io::Error);

fn step<T, E: Into<std::io::Error>>(name: &'static str, outcome: Result<T, E>) -> Result<T, Failure> {
    outcome.map_err(|error| (name, error.into()))
}

/// One line, in one call.
fn say(line: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(format!("{line}\n").as_bytes())?;
    std::io::stdout().flush()
}

/// Reads the order and carries it out; `None` in a process that has made another one for that.
fn begin() -> Result<Option<SigSet>, Failure> {
    let mut order = String::new();
    step("read the order", std::io::stdin().take(64 * 1024).read_to_string(&mut order))?;
    let (user, namespace) = InitOrder::parse(&order)
        .ok_or_else(|| ("read the order", std::io::Error::other("it is no list of numbers")))?;
    if let Some(namespace) = namespace {
        let namespace = step("open the pod's user namespace", std::fs::File::open(namespace))?;
        step("enter the pod's user namespace", peapod_sys::enter_user_namespace(namespace))?;
        step("make a PID namespace", unshare(CloneFlags::CLONE_NEWPID))?;
        if let Some(pid) = step("make pod init", peapod_sys::fork_beside())? {
            step("say who pod init is", say(&format!("{BORN}{pid}")))?;
            return Ok(None);
        }
    }
    lock_in(&user).map(Some)
}

/// Gives everything up but the pipe for the answer.
fn lock_in(user: &User) -> Result<SigSet, Failure> {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        return Err((
            "be pod init",
            std::io::Error::other("this mode of the shim is for itself, as PID 1 of a new namespace"),
        ));
    }
    // Blocked signals are queued even for PID 1, whose default is to ignore them.
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    step("block signals", signals.thread_block())?;
    empty_root()?;
    become_user(user)?;
    // After the change of user, which would clear it.
    step("die with the shim", rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)))?;
    // It was started by the number of a descriptor, which tells nobody who it is.
    step("take its name", rustix::thread::set_name(c"peapod-init"))?;
    step("be undumpable", rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    Ok(signals)
}

/// A root of its own with nothing in it and nothing to be put into it.
fn empty_root() -> Result<(), Failure> {
    let none: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    step("leave the mount namespace", unshare(CloneFlags::CLONE_NEWNS))?;
    step("make mounts private", mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))?;
    // The working directory is the pod's bundle.
    step("mount an empty root", mount(Some("none"), ".", Some("tmpfs"), flags, Some("size=4k,nr_inodes=2,mode=555")))?;
    // What is mounted at the directory is above it, so the directory has to be entered once more.
    let cwd = step("find the empty root", std::env::current_dir())?;
    step("enter the empty root", std::env::set_current_dir(&cwd))?;
    step("pivot into the empty root", rustix::process::pivot_root(".", "."))?;
    step("leave the old root", umount2(".", MntFlags::MNT_DETACH))?;
    step("enter the new root", std::env::set_current_dir("/"))?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | flags;
    step("make the root read-only", mount(none, "/", none, read_only, none))
}

fn become_user(user: &User) -> Result<(), Failure> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    // The kernel tells where its list of capabilities ends; ones that this binary does not know go too.
    for capability in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << capability);
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Err(rustix::io::Errno::INVAL) => break,
            other => step("drop a capability", other)?,
        }
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    step("set groups", setgroups(&groups))?;
    step("set the group", setresgid(gid, gid, gid))?;
    step("set the user", setresuid(uid, uid, uid))?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    step("drop capabilities", rustix::thread::set_capabilities(None, sets))?;
    step("clear ambient capabilities", rustix::thread::clear_ambient_capability_set())?;
    step("gain no new privileges", rustix::thread::set_no_new_privs(true))
}

/// With no descriptor left.
fn last_step(signals: &SigSet) -> std::convert::Infallible {
    if peapod_sys::allow_only(CALLS).is_err() {
        peapod_sys::exit_now(1);
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGTERM | Signal::SIGINT) => peapod_sys::exit_now(0),
            // A child, or an interruption: look for children.
            _ => while matches!(rustix::process::wait(WaitOptions::NOHANG), Ok(Some(_))) {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives() {
        let user = User { uid: 65_535, gid: 7, groups: vec![1, 2] };
        for namespace in [None, Some("/proc/7/fd/8")] {
            let order = InitOrder::of(&user, namespace.map(str::to_owned)).0;
            let (read, path) = InitOrder::parse(&order).unwrap();
            assert_eq!((read.uid, read.gid, read.groups), (65_535, 7, vec![1, 2]));
            assert_eq!(path, namespace.map(Path::new));
        }
        for bad in ["", "1", "1 x", "1 2 -3", "\n/x"] {
            assert!(InitOrder::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_answer_may_come_in_any_order() {
        for (answer, ready, pid, said) in [
            ("ready\n", true, None, Some("ready")),
            ("born 7\nready\n", true, Some(7), Some("ready")),
            ("ready\nborn 7\n", true, Some(7), Some("ready")),
            ("born 7\n", false, Some(7), None),
            ("born 7\ncan't be ready\n", false, Some(7), Some("can't be ready")),
            ("", false, None, None),
        ] {
            assert_eq!((is_ready(answer), born(answer)), (ready, pid), "{answer:?}");
            assert_eq!(complaint(answer).as_deref(), said, "{answer:?}");
        }
    }
}
