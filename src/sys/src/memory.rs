//! Memory of the process.

/// From this size on, a piece of memory is mapped by itself, so that it goes back to the node once it is freed.
const MAPPED_ALONE: libc::c_int = 256 << 10;

/// What an arena may keep at its end.
const KEPT_AT_END: libc::c_int = 1 << 20;

/// Has large pieces of memory go back to the node when they are freed. By itself the allocator raises both sizes to 32
/// and 64 MiB once it sees large pieces, and then keeps as much in each arena: at its end, where
/// [`give_back_free_memory`] does not look.
pub fn keep_no_large_memory() {
    for (what, size) in [(libc::M_MMAP_THRESHOLD, MAPPED_ALONE), (libc::M_TRIM_THRESHOLD, KEPT_AT_END)] {
        // SAFETY: it takes no pointers and may be called by any thread at any time. It fails for sizes that make no
        // sense.
        unsafe { libc::mallopt(what, size) };
    }
}

/// Bytes that were freed and that the allocator keeps; what it [gave back](give_back_free_memory) among them, until
/// that is used again.
#[must_use]
pub fn free_memory() -> usize {
    // SAFETY: it takes no pointers and may be called by any thread at any time.
    unsafe { libc::mallinfo2() }.fordblks
}

/// Gives memory that was freed back to the node. The allocator keeps what lies between pieces that are in use, in each
/// of its arenas; this finds all whole pages of it. Takes some milliseconds for a hundred MiB.
pub fn give_back_free_memory() {
    // SAFETY: it takes no pointers and may be called by any thread at any time.
    unsafe { libc::malloc_trim(0) };
}
