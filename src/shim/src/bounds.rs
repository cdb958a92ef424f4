//! What a container, an image or an OCI runtime may have its shim do. ARCHITECTURE.md, "Bounds", lists all of them.

use std::time::Duration;

/// One call of the OCI runtime. Less than the 120 s that the daemon waits for its own call, so that the reason arrives.
pub(crate) const RUNTIME_CALL: Duration = Duration::from_secs(100);

/// One `delete` of the OCI runtime. Nothing runs by then, so it only removes files; what it does not do is done without
/// it.
pub(crate) const RUNTIME_DELETE: Duration = Duration::from_secs(10);

/// How long a pause waits for a command that is being begun, and further commands behind it.
pub(crate) const BEGINNING: Duration = Duration::from_secs(5);

/// The longest time in which a container is written into files, whatever its master asks for, or made of such; it may
/// be paused as long again. A disk takes 50 GiB of memory in that time.
pub(crate) const CHECKPOINT: Duration = Duration::from_secs(1800);

/// How long a call of the OCI runtime goes on after its container or its command is to end. A healthy one takes
/// milliseconds, so it comes to its end in order; one that hangs holds up nobody for long.
pub(crate) const INTERRUPTED_CALL: Duration = Duration::from_secs(1);

/// A log may grow by what is allowed in so many seconds at once: a program that prints a lot and is done loses nothing.
pub(crate) const LOG_BURST_SECONDS: u64 = 4;

/// Bytes of output that wait for one who reads along with a container's log.
pub(crate) const SUBSCRIBER_BYTES: usize = 256 << 10;

/// With more than this no more of the container's output is read until it has taken something. What is above is for the
/// end: once the container has ended nobody is waited for, and what its pipe still holds has room.
pub(crate) const SUBSCRIBER_FULL: usize = SUBSCRIBER_BYTES / 2;

/// How long one that takes nothing holds up a container's output. Longer than a hiccup of a network.
pub(crate) const SUBSCRIBER_PATIENCE: Duration = Duration::from_secs(5);

/// How long all who read along with one container, one after the other or at the same time, hold up its output: it has
/// to go on also if somebody reads next to nothing for ever, or comes again whenever he is dropped.
pub(crate) const READERS_PATIENCE: Duration = Duration::from_secs(60);

/// Of the time that passes, what part is added to what is left of that.
pub(crate) const READERS_PATIENCE_PARTS: u32 = 10;

/// How long what a client has written before it left waits for a container that does not read it.
pub(crate) const LEFT_INPUT: Duration = Duration::from_secs(10);

/// The same of one that reads it, in all: however slowly, it must not keep the session for ever.
pub(crate) const LEFT_INPUT_ALL: Duration = Duration::from_secs(60);

/// What a reader takes of a container's output in a second without trying anybody's patience: one that is as quick as a
/// network is waited for as long as it likes.
pub(crate) const READER_RATE: u32 = 1 << 20;

/// How many read along with one container.
pub(crate) const SUBSCRIBERS: usize = 16;

/// Sessions of exec, attach and port-forward of one pod that are open at a time: each costs a few descriptors of the
/// shim's, of which it may have a million.
pub(crate) const SESSIONS: usize = 256;

/// Connections that one port-forward is making at a time; what else is asked for waits in its socket.
pub(crate) const DIALS_OF_SESSION: usize = 64;

/// Connections that all of a pod's port-forwards are making at a time.
pub(crate) const DIALS: usize = 128;

/// How long one connection to a port of the pod may take to be made, for each of the two addresses. A port that nobody
/// listens on refuses at once; a listener whose queue is full lets one wait.
pub(crate) const DIAL: Duration = Duration::from_secs(10);

/// Bytes that are read of a file in a container's bundle, of which `config.json` is the largest: as the daemon bounds
/// it.
pub(crate) const RECORD_FILE: u64 = 64 << 20;

/// Keys, and bytes of keys, that root must still be allowed to have before an OCI runtime is left to make a container's
/// keyring, which takes one key and some hundred bytes. Several containers may start at the same time.
pub(crate) const KEYS_LEFT: u64 = 16;
/// See [`KEYS_LEFT`].
pub(crate) const KEY_BYTES_LEFT: u64 = 4 << 10;
