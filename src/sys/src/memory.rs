//! Memory of the process.

/// From this size on, a piece of memory is mapped by itself, so that it goes back to the node once it is freed.
const MAPPED_ALONE: libc::c_int = 256 << 10;

/// What an arena may keep at its end.
const KEPT_AT_END: libc::c_int = 1 << 20;

/// A multiple of the size of pages on every machine.
const LARGEST_PAGE: usize = 64 << 10;

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

/// Unmaps the program's own pages that nothing writes to: they are mapped again, out of the node's page cache, when
/// they are next needed, and meanwhile the node may take them back first. For a process that has done most of what it
/// will ever do. Takes some microseconds.
pub fn unmap_program() {
    unsafe extern "C" {
        /// Where linkers say that the program's first page and its code's end are.
        static __executable_start: u8;
        static etext: u8;
    }
    let start = ((&raw const __executable_start) as usize).next_multiple_of(LARGEST_PAGE);
    let end = (&raw const etext) as usize / LARGEST_PAGE * LARGEST_PAGE;
    // SAFETY: these are whole pages of constants and code, mapped from the program's file and equal to it. What is
    // relocated or written to lies behind the code. It fails where a debugger or the kernel keeps them, without harm.
    unsafe { libc::madvise(start as *mut libc::c_void, end.saturating_sub(start), libc::MADV_DONTNEED) };
}
