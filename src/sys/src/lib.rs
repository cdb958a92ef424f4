//! What nix and rustix lack of Linux, behind functions that can't be misused: the only crate with `unsafe`. And what
//! several crates need of the node, once: the table of mounts ([`mountinfo`]), processes ([`proc`]), locks ([`sync`]),
//! descriptors that are waited for, connections, trees of files.

mod attributes;
mod bound_child;
mod bounds;
mod clock;
mod fail;
#[cfg(test)]
mod fuzz;
mod keepalive;
mod keyed_lock;
mod limits;
mod lost_lines;
mod mapped;
mod memory;
mod mount;
pub mod mountinfo;
mod nonblocking;
pub mod proc;
mod process;
mod rolling_file;
mod seccomp;
mod spawn;
pub mod sync;
mod tree;
mod user_namespace;

pub use attributes::{
    default_signals, keep_descriptors_from_children, reset_attributes, without_inherited_descriptors,
};
pub use bound_child::{BOUND_SOCKET, spawn_bound};
pub use bounds::TREE_OPEN_FOLDERS;
pub use clock::boottime_ns;
pub use fail::fail_point;
pub use keepalive::keep_alive;
pub use keyed_lock::{KeyedGuard, KeyedLock};
pub use limits::{POD_LIMITS, inherited_hard_limit};
pub use lost_lines::LostLines;
pub use mapped::{MappedFolders, mapped, unmappable};
pub use memory::{free_memory, give_back_free_memory, keep_no_large_memory, unmap_program};
pub use mount::{make_read_only, map_owners};
pub use nonblocking::{set_nonblocking, watched};
pub use process::{close_all, exit_now, send_signal};
pub use rolling_file::RollingFile;
pub use seccomp::allow_only;
pub use spawn::{Program, SpawnedChild};
pub use tree::{
    Labelled, NotLabelled, NotRemoved, Trash, Unseen, Usage, label_tree, remove_tree, remove_tree_at, usage,
};
pub use user_namespace::{enter_user_namespace, fork_beside, in_new_namespaces};

#[cfg(test)]
mod tests;
