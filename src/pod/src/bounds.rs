//! What a pod, and those who ask for it, may take of what they share with others. ARCHITECTURE.md, "Bounds", lists all
//! of them.

use std::time::Duration;

/// KiB of a pod's /dev/shm. What Docker gave each container and every peer gives a pod: programs are built for it.
pub(crate) const POD_SHM_KIB: u64 = 64 << 10;
/// Files, folders and links in a pod's /dev/shm together with [`POD_FILES_INODES`]: four times the files with content
/// that fit into it.
pub(crate) const POD_SHM_INODES: u64 = 64 << 10;
/// KiB of a pod's hostname, hosts and resolv.conf, which containers may write: twice what the two copies of the node's
/// files take.
pub(crate) const POD_FILES_KIB: u64 = 4 << 10;
/// Inodes for them in a pod that has the node's /dev/shm: they are made once, and containers get the files, not their
/// folder.
pub(crate) const POD_FILES_INODES: u64 = 16;
/// Bytes that are read of the node's own hosts and resolv.conf.
pub(crate) const NODE_FILE_BYTES: u64 = 1 << 20;
/// Bytes of an OCI runtime's file that are searched for the sign that it looks whether it is sealed, once per daemon
/// and version of it. The largest runtimes, with everything built in, have 50 million.
pub(crate) const RUNTIME_BYTES: u64 = 64 << 20;
/// Shims that wait to be started. Each is a RunPodSandbox that goes on, and one start takes a millisecond.
pub(crate) const SHIM_STARTS: usize = 256;
/// How long looking up a container's mounts, devices, users and profile may take. Mounts of the network can be dead.
pub(crate) const LOOK_UP: Duration = Duration::from_secs(30);
/// Look-ups of a pod at a time. Each has a thread, which a dead file system keeps; its kubelet asks for one container
/// after the other.
pub(crate) const LOOK_UPS_OF_POD: usize = 4;
/// Look-ups at a time in all. The process has 512 threads for what blocks, and stops, removals and commands need
/// theirs.
pub(crate) const LOOK_UPS: usize = 256;
/// Folders that are made for one absent host path, the kubelet's deepest having ten.
pub(crate) const MADE_FOLDERS: usize = 64;
/// Devices that one container gets: each is a node and a rule of its cgroup.
pub(crate) const CONTAINER_DEVICES: usize = 4_096;
/// Entries that are looked at in the folders of devices of one container. `/dev` of a big node has some thousands.
pub(crate) const DEVICE_ENTRIES: usize = 65_536;
/// Bytes of an image's passwd or group file.
pub(crate) const USER_FILE_BYTES: usize = 4 << 20;
/// Bytes of a seccomp profile. Published ones have 20 000; in memory it takes some twenty times as much.
pub(crate) const SECCOMP_PROFILE_BYTES: u64 = 1 << 20;
/// Bytes of a profile whose compiled form is kept for other containers.
pub(crate) const KEPT_PROFILE_BYTES: usize = 256 << 10;

/// Bytes that lists show of one pod or container: labels, annotations, names, mounts. A Kubernetes object has 1.5 MiB
/// at most, its annotations 256 KiB; other clients of CRI send more, and two of that size still fit an answer.
pub(crate) const LISTED_ENTRY: u64 = 6 << 20;

/// Bytes of a command's output that are kept without asking anybody: probes write less.
pub(crate) const EXEC_OUTPUT_FREE: usize = 64 << 10;

/// Bytes of a command's output that a medium slot covers.
pub(crate) const EXEC_OUTPUT_MEDIUM: usize = 1 << 20;

/// Commands at once whose output has grown beyond `EXEC_OUTPUT_FREE`; together 64 MiB.
pub(crate) const EXEC_MEDIUM_SLOTS: usize = 64;

/// Those of one pod.
pub(crate) const EXEC_MEDIUM_SLOTS_OF_POD: usize = 16;

/// Commands at once whose output has grown beyond `EXEC_OUTPUT_MEDIUM`; each may fill a message, so together 64 MiB.
pub(crate) const EXEC_LARGE_SLOTS: usize = 4;

/// Those of one pod: what never ends leaves the others some.
pub(crate) const EXEC_LARGE_SLOTS_OF_POD: usize = 2;

/// How long a command waits for a slot before it is killed. Its pipes are not read meanwhile.
pub(crate) const EXEC_OUTPUT_WAIT: Duration = Duration::from_secs(60);

/// Changes of one container's limits that wait for each other. The kubelet sends one at a time.
pub(crate) const UPDATES_WAITING: usize = 16;

/// How long a checkpoint may take whose client says nothing; the kubelet says what it waits itself.
pub const CHECKPOINT_TIME: Duration = Duration::from_secs(120);
/// The longest that it may say. A disk takes 50 GiB of memory in that time.
pub const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(1800);
/// Containers of a pod in a checkpoint.
pub(crate) const CHECKPOINT_CONTAINERS: usize = 1024;
/// Bytes of what a checkpoint says of its container, which has ten short texts.
pub(crate) const CHECKPOINT_DOCUMENT: u64 = 64 << 10;
/// Bytes at the end of CRIU's notes that are searched for errors.
pub(crate) const CRIU_NOTES: u64 = 64 << 10;

/// Changes of what lists show that are kept for a subscriber who does not take them. A node with 110 pods that all
/// start at once has ten times fewer at a time.
pub(crate) const CHANGES_KEPT: usize = 8_192;

/// Bytes of these: what is otherwise in each, with what was asked for if that is new. So many changes of ordinary pods
/// have as many.
pub(crate) const CHANGES_KEPT_BYTES: u64 = 32 << 20;

/// Requests to one pod that wait until it is recovered. Far more than the kubelet has under way for a pod; those whose
/// clients have left don't count.
pub(crate) const EARLY_REQUESTS: usize = 256;

/// How long a start that was under way when the daemon died may go on. Nobody waits for it, and a healthy one takes
/// milliseconds.
pub(crate) const UNFINISHED_START: Duration = Duration::from_secs(5);

/// Bytes of one column of a record. What was asked for came in a message of at most 16 MiB, which takes less than twice
/// that as JSON.
pub(crate) const RECORD_BYTES: u64 = 64 << 20;

/// Files of a container's volumes that get its SELinux label, all together; those that have it are not counted.
pub(crate) const RELABEL_ENTRIES: u64 = 4 << 20;
/// For how long that, and what is looked up before it, may go on in one call: less than a call waits for a look-up
/// ([`LOOK_UP`]).
pub(crate) const RELABEL_TIME: Duration = Duration::from_secs(25);

/// Bytes of a file of the node's SELinux policy.
pub(crate) const SELINUX_FILE_BYTES: u64 = 64 << 10;

/// Records that could not be read and are kept to be looked at.
pub(crate) const RECORDS_SET_ASIDE: u32 = 256;

/// Bytes of a container's `config.json`, which holds what its record holds.
pub(crate) const CONFIG_BYTES: u64 = RECORD_BYTES;

/// Between two looks for what no record leads to, and how long it has to be unknown before it is ended.
pub(crate) const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// The most time between two looks, of which one has found nothing, while no pod changes.
pub(crate) const SWEEP_CALM_PERIOD: Duration = Duration::from_secs(60);

/// Things without a record that are ended in one look. Paths of cgroups are arguments of one command.
pub(crate) const SWEEP_ROUND: usize = 64;

/// Those that are ended at the same time: one may hang until its time is over.
pub(crate) const SWEEP_AT_ONCE: usize = 8;

/// Those that are remembered between two looks. The others are found once these are gone.
pub(crate) const SWEEP_SEEN: usize = 4_096;
