//! What a container may have its shim do. ARCHITECTURE.md, "Bounds", lists all of them.

/// A log may grow by what is allowed in so many seconds at once: a program that prints a lot and is done loses nothing.
pub(crate) const LOG_BURST_SECONDS: u64 = 4;
