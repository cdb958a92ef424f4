//! What trees of files, mounts and processes that somebody else made may cost. ARCHITECTURE.md, "Bounds", lists all of
//! them.

use std::time::Duration;

/// Folders that one removal or one walk of a tree holds open at a time. Deep enough that trees as people make them are
/// never taken apart or climbed by `..`; small enough that removals on all of the daemon's blocking threads fit into
/// its descriptors.
pub const TREE_OPEN_FOLDERS: usize = 32;

/// Times that a removal lists one folder again although only somebody else can have put entries into it.
pub(crate) const TREE_LISTINGS: u32 = 16;

/// For how long a tree is removed while somebody waits; what is left then goes in the background. Trees as containers
/// leave them are gone by then.
pub(crate) const TREE_REMOVAL: Duration = Duration::from_millis(200);

/// For how long the trash works on one tree before it is the next one's turn: a large one holds up no other.
pub(crate) const TRASH_SLICE: Duration = Duration::from_secs(1);

/// Bytes of one line of the table of mounts: an overlay of 500 layers names the directory of each, which may have 4095
/// bytes that are written as four each.
pub(crate) const MOUNT_LINE_BYTES: usize = 8 << 20;

/// Bytes of a process' command line or environment: execve(2) takes 6 MiB of both.
pub(crate) const PROCESS_TEXT_BYTES: u64 = 8 << 20;

/// Silence of the other end of a streaming session's connection after which its kernel is asked whether it is still
/// there, and after which without an answer it is not.
pub(crate) const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// How often it is asked until then.
pub(crate) const KEEPALIVE_TRIES: u32 = 4;
