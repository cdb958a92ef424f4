//! Namespaces that belong to a user namespace. A process with threads can't enter one, so a child does.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Has a child in new namespaces of these kinds, of which a user namespace comes before all others, and calls `look`
/// with its number. The child does nothing and is gone when this returns: what is to last has to be opened meanwhile.
/// Threads other than the caller go on; but nobody else is to wait for children of all kinds (`__WALL`).
///
/// # Errors
/// What the kernel says, and those of `look`.
pub fn in_new_namespaces<T>(kinds: CloneFlags, look: impl FnOnce(u32) -> io::Result<T>) -> io::Result<T> {
    let parent = nix::unistd::getpid();
    let Some(child) = clone(kinds)? else { stand_still(parent) };
    let outcome = u32::try_from(child.as_raw()).map_err(|_| Errno::ESRCH.into()).and_then(look);
    // Both fail only for one that is gone.
    let _ = kill(child, Signal::SIGKILL);
    while waitpid(child, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
    outcome
}

/// Makes another process like this one, with the same parent, in what namespaces children of this one are born. Its
/// number here, and `None` there.
///
/// # Errors
/// This process has more than one thread, and the other one would have whatever locks these hold; else what the kernel
/// says.
pub fn fork_beside() -> io::Result<Option<u32>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with threads can't be made twice"));
    }
    let child = clone(CloneFlags::CLONE_PARENT)?;
    child.map(|child| u32::try_from(child.as_raw()).map_err(|_| Errno::ESRCH.into())).transpose()
}

/// Moves this process, which has a single thread, into a user namespace, in which it may do everything.
///
/// # Errors
/// What the kernel says.
pub fn enter_user_namespace(namespace: impl AsFd) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWUSER)?)
}

/// `None` in the child.
fn clone(flags: CloneFlags) -> nix::Result<Option<Pid>> {
    // SAFETY: a plain structure of numbers, for which zero is "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    // No signal at its end, or with CLONE_PARENT the one at ours.
    args.flags = u64::from(flags.bits().cast_unsigned());
    // SAFETY: without CLONE_VM and with no stack the child goes on in a copy of this process, as after fork(2). Of what
    // it does there, `stand_still` is system calls alone, and `fork_beside` has seen that there is no other thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    let pid = Errno::result(pid)?;
    Ok(Some(Pid::from_raw(i32::try_from(pid).unwrap_or(-1))).filter(|pid| pid.as_raw() != 0))
}

/// The child that only is there, as long as its parent is.
fn stand_still(parent: Pid) -> ! {
    // SAFETY: system calls that touch no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // In a PID namespace of its own it does not see its parent at all.
    let seen = nix::unistd::getppid();
    while seen == parent || seen.as_raw() == 0 {
        // SAFETY: as above.
        unsafe { libc::pause() };
    }
    super::exit_now(0)
}
