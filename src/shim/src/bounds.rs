//! What a container, an image or an OCI runtime may have its shim do. ARCHITECTURE.md, "Bounds", lists all of them.

use std::time::Duration;

/// One call of the OCI runtime. Less than the 120 s that the daemon waits for its own call, so that the reason arrives.
pub(crate) const RUNTIME_CALL: Duration = Duration::from_secs(100);

/// One `delete` of the OCI runtime. Nothing runs by then, so it only removes files; what it does not do is done without
/// it.
pub(crate) const RUNTIME_DELETE: Duration = Duration::from_secs(10);

/// How long a call of the OCI runtime goes on after its container or its command is to end. A healthy one takes
/// milliseconds, so it comes to its end in order; one that hangs holds up nobody for long.
pub(crate) const INTERRUPTED_CALL: Duration = Duration::from_secs(1);

/// A log may grow by what is allowed in so many seconds at once: a program that prints a lot and is done loses nothing.
pub(crate) const LOG_BURST_SECONDS: u64 = 4;

/// Bytes of output that wait for one who reads along with a container's log. More than any pipe holds, so that a short
/// pause loses nothing.
pub(crate) const SUBSCRIBER_BYTES: usize = 256 << 10;

/// How many read along with one container.
pub(crate) const SUBSCRIBERS: usize = 16;

/// Bytes that are read of a file in a container's bundle, of which `config.json` is the largest: as the daemon bounds
/// it.
pub(crate) const RECORD_FILE: u64 = 64 << 20;

/// Keys, and bytes of keys, that root must still be allowed to have before an OCI runtime is left to make a container's
/// keyring, which takes one key and some hundred bytes. Several containers may start at the same time.
pub(crate) const KEYS_LEFT: u64 = 16;
/// See [`KEYS_LEFT`].
pub(crate) const KEY_BYTES_LEFT: u64 = 4 << 10;
