//! Starting a program without copying the daemon: the child borrows our memory until it is the new program, and on
//! cgroup v2 it begins in the group where it belongs, which saves a move that waits for an RCU grace period.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A program to be started.
#[derive(Clone, Debug)]
pub struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    dir: CString,
}

/// A child that was just started. Nobody waits for it but who has this.
#[derive(Debug)]
pub struct SpawnedChild {
    /// Its number.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// It is in the group that was asked for. If not, it has to be moved there.
    pub in_cgroup: bool,
}

impl Program {
    /// A program by its absolute path, with its arguments (the first is its name), its whole environment and its
    /// directory.
    ///
    /// # Errors
    /// A zero byte in any of them.
    pub fn new<'a>(
        path: &Path,
        args: impl IntoIterator<Item = &'a OsStr>,
        env: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
        dir: &Path,
    ) -> io::Result<Self> {
        let text = |text: &OsStr| Ok::<_, io::Error>(CString::new(text.as_bytes())?);
        let pair =
            |(name, value): (&OsStr, &OsStr)| Ok(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
        Ok(Self {
            path: text(path.as_os_str())?,
            args: args.into_iter().map(text).collect::<io::Result<_>>()?,
            env: env.into_iter().map(pair).collect::<io::Result<_>>()?,
            dir: text(dir.as_os_str())?,
        })
    }

    /// Starts it with that standard input; its output goes nowhere, other descriptors of ours are closed. With a cgroup
    /// v2 directory it begins in that group, where the kernel and the machine allow; see [`SpawnedChild::in_cgroup`].
    ///
    /// # Errors
    /// What the system says, also about the program itself: then nothing was started.
    pub fn spawn(&self, stdin: BorrowedFd<'_>, cgroup: Option<BorrowedFd<'_>>) -> io::Result<SpawnedChild> {
        match self.spawn_inside(stdin, cgroup) {
            // Under a filter of system calls that does not know clone3.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {}
            other => return other,
        }
        self.spawn_beside(stdin, cgroup.is_none())
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn spawn_inside(&self, _: BorrowedFd<'_>, _: Option<BorrowedFd<'_>>) -> io::Result<SpawnedChild> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    #[cfg(target_arch = "x86_64")]
    fn spawn_inside(&self, stdin: BorrowedFd<'_>, cgroup: Option<BorrowedFd<'_>>) -> io::Result<SpawnedChild> {
        use std::os::fd::AsRawFd;
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        let pointers = |texts: &[CString]| -> Vec<*const std::ffi::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(&self.args), pointers(&self.env));
        let order = shared::Order {
            path: self.path.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            dir: self.dir.as_ptr(),
            streams: [stdin.as_raw_fd(), null.as_raw_fd(), null.as_raw_fd()],
            failure: 0.into(),
        };
        // The child puts them at 0 to 2 one after the other.
        if order.streams.iter().any(|fd| *fd <= libc::STDERR_FILENO) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        shared::start(&order, cgroup)
    }

    /// By the standard library: the child is where we are.
    pub(crate) fn spawn_beside(&self, stdin: BorrowedFd<'_>, in_cgroup: bool) -> io::Result<SpawnedChild> {
        use std::os::unix::process::CommandExt;
        use std::process::{Command, Stdio};
        let text = |text: &CString| OsStr::from_bytes(text.as_bytes()).to_owned();
        let mut command = Command::new(text(&self.path));
        if let Some((name, args)) = self.args.split_first() {
            command.arg0(text(name)).args(args.iter().map(text));
        }
        let pairs = self.env.iter().filter_map(|pair| {
            let at = pair.as_bytes().iter().position(|byte| *byte == b'=')?;
            let (name, value) = pair.as_bytes().split_at(at);
            Some((OsStr::from_bytes(name), OsStr::from_bytes(&value[1..])))
        });
        command.env_clear().envs(pairs).current_dir(text(&self.dir));
        command.stdin(stdin.try_clone_to_owned()?).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        // Not reaped by the child's handle, so the number is its own.
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(SpawnedChild { pid: child.id(), pidfd, in_cgroup })
    }
}

impl AsFd for SpawnedChild {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

#[cfg(target_arch = "x86_64")]
mod shared {
    use std::arch::asm;
    use std::ffi::{c_char, c_int};
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::SpawnedChild;

    /// The child's stack, in units of 16 bytes: it makes a dozen system calls.
    const STACK: usize = 4096;
    /// From linux/sched.h; what libc has for them overflows.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    /// What the child reads, and where it says why it could not become the program.
    pub(super) struct Order {
        pub(super) path: *const c_char,
        pub(super) argv: *const *const c_char,
        pub(super) envp: *const *const c_char,
        pub(super) dir: *const c_char,
        pub(super) streams: [RawFd; 3],
        pub(super) failure: AtomicI32,
    }

    pub(super) fn start(order: &Order, cgroup: Option<BorrowedFd<'_>>) -> io::Result<SpawnedChild> {
        let mut stack: Vec<u128> = Vec::with_capacity(STACK);
        let mut pidfd: c_int = -1;
        // SAFETY: a plain structure of numbers, for which zero is "not used".
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        // Without handlers from its first instruction on, no handler of ours ever runs in the child.
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
        args.flags = flags as u64 | CLONE_CLEAR_SIGHAND;
        args.pidfd = &raw mut pidfd as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        args.stack = stack.as_mut_ptr() as u64;
        args.stack_size = (STACK * size_of::<u128>()) as u64;
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: stack, order and all that the order points to outlive the call, in which this thread stands still
        // until the child has left our memory.
        let pid = unsafe { clone3(&args, order) };
        drop(stack);
        let Ok(pid) = u32::try_from(pid) else {
            return Err(io::Error::from_raw_os_error(i32::try_from(-pid).unwrap_or(libc::EINVAL)));
        };
        // SAFETY: the kernel has just made it for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        match order.failure.load(Ordering::Acquire) {
            0 => Ok(SpawnedChild { pid, pidfd, in_cgroup: true }),
            errno => {
                let ended = rustix::process::WaitId::PidFd(pidfd.as_fd());
                // It has ended or is about to.
                let _ = rustix::process::waitid(ended, rustix::process::WaitIdOptions::EXITED);
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    /// Answers the child's number, or a negative errno; in the child it does not come back.
    ///
    /// # Safety
    /// `args` must ask for `CLONE_VM` with `CLONE_VFORK` and give the child a stack whose end is aligned to 16 bytes.
    unsafe fn clone3(args: &libc::clone_args, order: &Order) -> isize {
        let mut result = libc::SYS_clone3 as isize;
        // SAFETY: the child, which has its own stack but our registers, calls `child` and never comes to what the
        // compiler put behind this block. The parent finds everything but the registers that are named here as it was;
        // what the child wrote is memory.
        unsafe {
            asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r12",
                "call {child}",
                "ud2",
                "2:",
                child = sym child,
                inlateout("rax") result,
                in("rdi") std::ptr::from_ref(args),
                in("rsi") size_of::<libc::clone_args>(),
                in("r12") std::ptr::from_ref(order),
                out("rcx") _,
                out("r11") _,
            );
        }
        result
    }

    /// The child: system calls alone, nothing that allocates, locks or panics. Its `errno` is the standing parent's.
    unsafe extern "C" fn child(order: *const Order) -> ! {
        // SAFETY: it points to the parent's, which stands still.
        let order = unsafe { &*order };
        // SAFETY: as above; the pointers of the order are C texts and lists that end with null.
        let errno = unsafe { become_program(order) };
        order.failure.store(errno, Ordering::Release);
        // SAFETY: ends this process alone.
        unsafe { libc::_exit(127) }
    }

    /// Comes back with an errno when it fails.
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one system call after the other")]
    unsafe fn become_program(order: &Order) -> c_int {
        // SAFETY: none of these writes to memory of ours but `errno` and the set on this stack.
        unsafe {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            // Rust programs ignore it, which would be inherited.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            for (fd, target) in order.streams.into_iter().zip(libc::STDIN_FILENO..) {
                if libc::dup2(fd, target) < 0 {
                    return *libc::__errno_location();
                }
            }
            // Others of ours are closed anyway; these are what we were started with ourselves. Before Linux 5.11 they
            // are left.
            libc::syscall(libc::SYS_close_range, libc::STDERR_FILENO + 1, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if libc::chdir(order.dir) == 0 {
                libc::execve(order.path, order.argv, order.envp);
            }
            *libc::__errno_location()
        }
    }
}
