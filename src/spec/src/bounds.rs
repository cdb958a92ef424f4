//! The most that a pod or a container may ask for. Each stands in ARCHITECTURE.md, chapter "Bounds".

/// Bytes of one argument or of one variable with its name: execve(2) takes 128 KiB with the NUL at its end
/// (MAX_ARG_STRLEN).
pub const STRING_BYTES: usize = (128 << 10) - 1;
/// Bytes of all arguments and variables, each with its NUL and its pointer: what execve(2) takes with the usual stack
/// limit of 8 MiB, a quarter of it. More fails when the program is executed.
pub const PROGRAM_BYTES: usize = 2 << 20;
/// Variables of a process. OCI runtimes and C libraries look each one up among those before it, which makes twice as
/// many cost four times the time: crun takes 8 s for 30 000 on a busy machine. Service links of 2 300 services are
/// 16 000.
pub const VARIABLES: usize = 16 << 10;
/// Mounts of a container; each is a system call of the OCI runtime and a line of mount tables.
pub const MOUNTS: usize = 1_024;
/// Mounts of a container that show images: each image is an overlay of its own.
pub const IMAGE_MOUNTS: usize = 64;
/// Files in a container's `/dev`. Its devices are at most a quarter of that.
pub const DEV_INODES: u64 = 16 << 10;
/// Terminals that a container opens. All containers of the node have 3 072 together (kernel.pty.max without
/// kernel.pty.reserve), and whoever has a terminal, or a command with one, needs one of them.
pub const TERMINALS: usize = 512;
/// Devices, or folders of devices, that a container names.
pub const DEVICES: usize = 1_024;
/// Devices by CDI name that a container asks for, in its field and its annotations together.
pub const CDI_DEVICES: usize = 1_024;
/// Hooks of all devices of a container: each is a program that its start waits for.
pub const HOOKS: usize = 256;
/// Capabilities in one list of a container: Linux has 41.
pub const CAPABILITIES: usize = 256;
/// Paths in a container's list of masked ones, and in that of read-only ones: each is a mount.
pub const HIDDEN_PATHS: usize = 1_024;
/// Groups of a process: the kernel's NGROUPS_MAX.
pub const GROUPS: usize = 65_536;
/// Volumes that an image declares.
pub const IMAGE_VOLUMES: usize = 256;
/// Folders of such a volume's path. Each may have to be made on disk.
pub const IMAGE_VOLUME_DEPTH: usize = 64;
/// Kernel parameters of a pod: each is written when it is made.
pub const SYSCTLS: usize = 1_024;
/// Files of cgroup v2 that a container's limits name.
pub const UNIFIED_FILES: usize = 256;
/// Page sizes that a container's limits name: machines have two or three.
pub const HUGEPAGE_LIMITS: usize = 64;
/// Entries in each list of a pod's DNS configuration. C libraries read three servers.
pub const DNS_ENTRIES: usize = 1_024;
/// Bytes of a pod's whole DNS configuration: it becomes a file on the run root.
pub const DNS_BYTES: usize = 64 << 10;
/// Labels of a pod or container, and annotations; their bytes are bounded with the message.
pub const LABELS: usize = 16_384;
/// Bytes of a name in metadata, or of a runtime handler's name. Kubernetes' longest have 253.
pub const NAME_BYTES: usize = 1_024;
/// Bytes of a path: the kernel's PATH_MAX without its NUL.
pub const PATH_BYTES: usize = 4_095;
/// Bytes of an image's name.
pub const IMAGE_NAME_BYTES: usize = 4_096;
