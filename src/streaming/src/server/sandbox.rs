//! What the server gives up before anybody can talk to it. It reads what strangers send, so it is to have nothing: no
//! file, no way to make a socket, no process, no user.

use std::io;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::bounds::DESCRIPTORS;

/// Nobody's: that of files whose owner does not exist.
const NOBODY: u32 = 65_534;

/// System calls that remain: to read, write and close what it has, to accept connections, to wait, for memory and
/// random bytes.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_accept4,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_pipe2,
    libc::SYS_splice,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[error("the streaming server can't give up {what}: {source}")]
pub(super) struct SandboxError {
    what: &'static str,
    source: io::Error,
}

fn giving_up<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SandboxError {
    move |source| SandboxError { what, source: source.into() }
}

/// Gives all of it up but the system calls. The process has one thread.
pub(super) fn enter() -> Result<(), SandboxError> {
    let failed = |name: &'static str, _: io::Error| {
        // Attributes that a pod must not get; here nothing depends on them.
        let _ = name;
    };
    peapod_sys::reset_attributes(failed);
    let namespaces =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    unshare(namespaces).map_err(giving_up("the node's namespaces"))?;
    leave_files().map_err(giving_up("the node's files"))?;
    limit().map_err(giving_up("limits"))?;
    become_nobody().map_err(giving_up("privileges"))
}

/// Gives up all system calls that are not needed from here on.
pub(super) fn seal() -> Result<(), SandboxError> {
    peapod_sys::allow_only(CALLS).map_err(giving_up("system calls"))
}

/// The root is empty, and nothing can be made in it.
fn leave_files() -> io::Result<()> {
    /// Where the new root is mounted: a directory that every node has.
    const PLACE: &str = "/proc";
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("peapod"), PLACE, Some("tmpfs"), flags, Some("size=4k,nr_inodes=1,mode=0555"))?;
    rustix::process::chdir(PLACE)?;
    match rustix::process::pivot_root(".", ".") {
        // The old root lies over the new one.
        Ok(()) => umount2(".", MntFlags::MNT_DETACH)?,
        // A root that can't be left, as in an initramfs, is covered.
        Err(rustix::io::Errno::INVAL) => {
            mount(Some("."), "/", none, MsFlags::MS_MOVE, none)?;
            rustix::process::chroot(".")?;
        }
        Err(error) => return Err(error.into()),
    }
    rustix::process::chdir("/")?;
    Ok(())
}

fn limit() -> io::Result<()> {
    let limits = [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nproc, 0), (Resource::Nofile, DESCRIPTORS)];
    for (resource, limit) in limits {
        // What was lowered for us may not be ours to raise.
        let limit = Some(getrlimit(resource).maximum.map_or(limit, |most| most.min(limit)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    Ok(())
}

fn become_nobody() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        // One that this kernel does not know nobody can have.
        let _ = remove_capability_from_bounding_set(capability);
    }
    set_thread_groups(&[])?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    // Others of that user, as in pods that see the node's processes, can't look into it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
