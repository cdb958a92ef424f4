//! System calls by what they are for. A name that an architecture lacks is skipped by the runtime.
//!
//! What is not named here is refused: calls that change the node (clocks, modules, swap, mounts, keyrings of others),
//! calls with a long record of escapes that containers rarely need (`io_uring`, `userfaultfd`, `bpf`), obsolete ones.

use oci_spec::runtime::Capability;

use crate::inputs::Arch;

/// Groups that every container may use.
pub(super) const ALWAYS: [&str; 14] = [
    OPEN_FILES, READ_WRITE, NAMES, ATTRIBUTES, WATCH, MEMORY, PROCESSES, IDENTITY, SIGNALS, SCHEDULING, TIME, SOCKETS,
    IPC, CONFINE,
];

/// Descriptors: made, copied, closed, controlled.
const OPEN_FILES: &str = "close close_range creat dup dup2 dup3 eventfd eventfd2 fcntl fcntl64 flock ioctl memfd_create
    memfd_secret open openat openat2 pipe pipe2";

/// Bytes in and out, and onto the disk.
const READ_WRITE: &str =
    "_llseek copy_file_range fadvise64 fadvise64_64 fallocate fdatasync fsync ftruncate ftruncate64
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit lseek pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee truncate
    truncate64 vmsplice write writev";

/// Directories and names in them.
const NAMES: &str = "chdir fchdir getcwd getdents getdents64 link linkat mkdir mkdirat mknod mknodat name_to_handle_at
    readlink readlinkat rename renameat renameat2 rmdir symlink symlinkat umask unlink unlinkat";

/// What is known about a file, a file system or the machine.
const ATTRIBUTES: &str = "access chmod chown chown32 faccessat faccessat2 fchmod fchmodat fchmodat2 fchown fchown32
    fchownat fgetxattr file_getattr file_setattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs
    fstatfs64 futimesat getxattr getxattrat lchown lchown32 lgetxattr listmount listxattr listxattrat llistxattr
    lremovexattr lsetxattr lstat lstat64 newfstatat removexattr removexattrat setxattr setxattrat stat stat64 statfs
    statfs64 statmount statx sysinfo uname utime utimensat utimensat_time64 utimes";

/// Waiting for something to happen to descriptors and files.
const WATCH: &str = "_newselect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait fanotify_mark
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll ppoll_time64 pselect6
    pselect6_time64 select";

/// Address space and its protection.
const MEMORY: &str =
    "brk cachestat get_thread_area madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap
    mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
    remap_file_pages set_thread_area";

/// Life of processes and threads, and looking into one's own (the kernel checks the rights to look into another).
/// `uretprobe` is called by code that the kernel itself puts into a probed process.
const PROCESSES: &str = "execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
    futex_wake get_robust_list getcpu getpgid getpgrp getpid getppid getrlimit getrusage getsid gettid pidfd_open prctl
    prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq set_robust_list set_tid_address setpgid
    setrlimit setsid times ugetrlimit uretprobe vfork wait4 waitid waitpid";

/// Users, groups, capabilities.
const IDENTITY: &str =
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
    getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32";

/// Signals, sent and received.
const SIGNALS: &str =
    "kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask
    sigreturn tgkill tkill";

/// Priorities and processors.
const SCHEDULING: &str =
    "getpriority ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield setpriority";

/// Clocks and timers. The two that can also set a clock ask the kernel for CAP_SYS_TIME then.
const TIME: &str =
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64";

/// Sockets that exist; which kinds can be made stands in the rules. `socketcall` is the 32 bit way to all of them.
const SOCKETS: &str = "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair";

/// System V objects and POSIX queues, of the pod's own namespace.
const IPC: &str = "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat
    shmctl
    shmdt shmget";

/// Giving up rights of one's own, and random numbers.
const CONFINE: &str = "getrandom landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr seccomp";

/// What a container may use beyond that because it has a capability: the kernel then checks each use.
pub(super) const WITH_CAPABILITY: [(Capability, &str); 14] = [
    (Capability::Bpf, "bpf"),
    (Capability::DacReadSearch, "open_by_handle_at"),
    (Capability::Perfmon, "perf_event_open"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
         open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog
         umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::Syslog, "syslog"),
];

/// Calls that one architecture alone has, or has beside the others.
pub(super) const fn of_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "arch_prctl modify_ldt",
        Arch::Arm64 => "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
        Arch::Riscv64 => "riscv_flush_icache riscv_hwprobe",
        Arch::Ppc64le => "swapcontext sync_file_range2",
        Arch::S390x => "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
        Arch::Loong64 | Arch::Other => "",
    }
}
