//! What a process has from its parent beside what cgroups and namespaces describe, and how to be as if from the kernel
//! itself.

use std::io;

/// Processors that a mask has room for; the kernel takes no more than it was built for.
const PROCESSORS: usize = 8192;
/// Nanoseconds: the kernel's own default.
const TIMER_SLACK: libc::c_ulong = 50_000;
/// From linux/sched.h and linux/sched/types.h.
const SCHED_FLAG_KEEP_POLICY: u64 = 0x08;
const SCHED_FLAG_KEEP_PARAMS: u64 = 0x10;
const SCHED_FLAG_UTIL_CLAMP: u64 = 0x60;
/// From linux/keyctl.h.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
/// To setresuid: as it is.
const KEEP: libc::uid_t = libc::uid_t::MAX;
/// The first of 2^28 user numbers that neither people nor subordinate ranges of user namespaces are given.
const UNASSIGNED_USERS: libc::uid_t = 0xe000_0000;
/// From linux/ioprio.h.
const IOPRIO_WHO_PROCESS: libc::c_long = 1;
/// From linux/prctl.h; libc has no name for it.
const PR_SET_MEMORY_MERGE: libc::c_int = 67;

/// The kernel's `struct sched_attr`.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Room for the kernel's `struct sigaction` of any architecture, which begins with the handler; zero is "none, and not
/// ignored".
#[repr(C)]
#[derive(Default)]
struct KernelSigaction([u64; 4]);

const IGNORED: u64 = libc::SIG_IGN as u64;

/// Gives the process the attributes that the first process has, in place of its parent's: signals neither blocked nor
/// ignored (but SIGPIPE, which is the Rust runtime's to decide), every processor, the ordinary scheduler without
/// niceness, latency or clamps, no I/O priority, the ordinary personality, timer slack, memory policy and huge pages,
/// no security bits, a session keyring of its own.
///
/// What can't be had is told to `failed` by its name, and the rest goes on. Meant for a process's first thread, before
/// it starts others: what belongs to a thread is set for the calling one, and inherited.
pub fn reset_attributes(mut failed: impl FnMut(&'static str, io::Error)) {
    let mut tell = |name, outcome: io::Result<()>| {
        if let Err(error) = outcome {
            failed(name, error);
        }
    };
    tell("signals", default_signals());
    tell("CPU affinity", all_processors());
    tell("scheduling policy and nice value", default_scheduling());
    // The kernel may know nothing of clamps.
    let _ = default_clamps();
    // SAFETY: numbers alone.
    tell("I/O priority", done(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) }));
    // SAFETY: a number alone.
    tell("personality", done(libc::c_long::from(unsafe { libc::personality(0) })));
    tell("timer slack", prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK));
    tell("transparent huge pages", prctl(libc::PR_SET_THP_DISABLE, 0));
    // Before Linux 6.4 there is none to be off.
    let _ = prctl(PR_SET_MEMORY_MERGE, 0);
    // SAFETY: no memory is passed: a null mask goes with the default policy.
    let policy = unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_DEFAULT, std::ptr::null::<u8>(), 0) };
    tell("memory policy", absent_is_fine(done(policy)));
    tell("security bits", prctl(libc::PR_SET_SECUREBITS, 0));
    tell("session keyring", absent_is_fine(own_session_keyring()));
}

/// A keyring counts for the real user. Containers of the node's root user can use up all that root may have of keys:
/// then it is made for a user whose number nobody guesses, and so has nothing yet. Who may use it does not depend on
/// that.
fn own_session_keyring() -> io::Result<()> {
    let joined = join_new_session_keyring();
    if !joined.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EDQUOT)) {
        return joined;
    }
    let mut random = [0; 4];
    // SAFETY: the bytes outlive the call, which writes no more of them than there are.
    done(unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) } as libc::c_long)?;
    let strange = UNASSIGNED_USERS | (u32::from_ne_bytes(random) >> 4);
    // SAFETY: asks for a number.
    let real = unsafe { libc::getuid() };
    set_real_user(strange)?;
    let joined = join_new_session_keyring();
    set_real_user(real)?;
    joined
}

fn join_new_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for a new keyring without one.
    done(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) })
}

/// Of the calling thread. The effective user stays, and all capabilities with it.
fn set_real_user(user: u32) -> io::Result<()> {
    // SAFETY: numbers alone.
    done(unsafe { libc::syscall(libc::SYS_setresuid, user, KEEP, KEEP) })
}

/// Unblocks every signal for the calling thread, and takes back that it is ignored by the process, but for SIGPIPE: see
/// [`reset_attributes`].
///
/// # Errors
/// What the kernel says.
pub fn default_signals() -> io::Result<()> {
    let default = KernelSigaction::default();
    for signal in (1..=64).filter(|signal| *signal != libc::SIGPIPE) {
        let mut is = KernelSigaction::default();
        // SAFETY: the structure has room for the kernel's and outlives the call; nothing is set.
        let looked = unsafe {
            let none = std::ptr::null::<KernelSigaction>();
            libc::syscall(libc::SYS_rt_sigaction, signal, none, &raw mut is, size_of::<u64>())
        };
        done(looked)?;
        if is.0[0] != IGNORED {
            continue;
        }
        // SAFETY: as above, and nothing is written back; that a signal has its default effect breaks no memory.
        let set = unsafe {
            let none = std::ptr::null_mut::<KernelSigaction>();
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, none, size_of::<u64>())
        };
        done(set)?;
    }
    let none = 0_u64;
    // SAFETY: a set of 64 signals, which outlives the call; nothing is written back.
    let set = unsafe {
        let old = std::ptr::null::<u64>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, old, size_of::<u64>())
    };
    done(set)
}

/// Makes what the process was started with, beside the standard streams, close in the programs that it runs.
///
/// # Errors
/// What the kernel says.
pub fn keep_descriptors_from_children() -> io::Result<()> {
    close_range(libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes what the process was started with beside the standard streams, and takes the rest of the program, which may
/// open others. Only for the begin of a process: who had opened one before would hold a number that is not his any
/// more.
///
/// # Errors
/// What the kernel says; then `rest` is not called.
pub fn without_inherited_descriptors<T>(rest: impl FnOnce() -> T) -> io::Result<T> {
    close_range(0)?;
    Ok(rest())
}

fn close_range(flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: closing and marking break no memory.
    done(unsafe { libc::syscall(libc::SYS_close_range, libc::STDERR_FILENO + 1, libc::c_uint::MAX, flags) })
}

fn all_processors() -> io::Result<()> {
    let all = [u8::MAX; PROCESSORS / 8];
    // SAFETY: the mask outlives the call, which reads as much of it as it is said to have.
    done(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, all.len(), all.as_ptr()) })
}

fn default_scheduling() -> io::Result<()> {
    set_scheduling(&SchedAttr::default())
}

fn default_clamps() -> io::Result<()> {
    // -1 takes a clamp away.
    set_scheduling(&SchedAttr {
        flags: SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS | SCHED_FLAG_UTIL_CLAMP,
        util_min: u32::MAX,
        util_max: u32::MAX,
        ..SchedAttr::default()
    })
}

fn set_scheduling(attr: &SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: the structure is the kernel's, says its size and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: the options that are used here take numbers alone.
    done(libc::c_long::from(unsafe { libc::prctl(option, value, NONE, NONE, NONE) }))
}

/// A kernel that was built without it has none to be reset.
fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if error.raw_os_error() == Some(libc::ENOSYS) { Ok(()) } else { Err(error) })
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
