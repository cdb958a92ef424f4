//! What a pod may take of what it shares with others. ARCHITECTURE.md, "Bounds", lists all of them.

/// KiB of a pod's /dev/shm. What Docker gave each container and every peer gives a pod: programs are built for it.
pub(crate) const POD_SHM_KIB: u64 = 64 << 10;
/// Files, folders and links in a pod's /dev/shm together with [`POD_FILES_INODES`]: four times the files with content that fit into it.
pub(crate) const POD_SHM_INODES: u64 = 64 << 10;
/// KiB of a pod's hostname, hosts and resolv.conf, which containers may write: twice what the two copies of the node's files take.
pub(crate) const POD_FILES_KIB: u64 = 4 << 10;
/// Inodes for them in a pod that has the node's /dev/shm: they are made once, and containers get the files, not their folder.
pub(crate) const POD_FILES_INODES: u64 = 16;
/// Bytes that are read of the node's own hosts and resolv.conf.
pub(crate) const NODE_FILE_BYTES: u64 = 1 << 20;
/// Bytes of an OCI runtime's file that are searched for the sign that it looks whether it is sealed, once per daemon and version of it. The
/// largest runtimes, with everything built in, have 50 million.
pub(crate) const RUNTIME_BYTES: u64 = 64 << 20;
/// Shims that wait to be started. Each is a RunPodSandbox that goes on, and one start takes a millisecond.
pub(crate) const SHIM_STARTS: usize = 256;
