//! What a runtime's answers may cost; ARCHITECTURE.md lists it.

use std::time::Duration;

/// Time for a runtime's streaming server to answer, from the connection to the upgrade.
pub(crate) const STREAMING_ANSWER: Duration = Duration::from_secs(10);

/// Bytes of a message of a session. Servers send what they read at once, which is 64 KiB at most.
pub(crate) const CHANNEL_MESSAGE_BYTES: usize = 1 << 20;

/// Bytes of what a session's end says, and of what a server answers in place of a session.
pub(crate) const END_BYTES: usize = 64 << 10;

/// Pieces of standard input and of output that wait for the other side to take them.
pub(crate) const PIECES: usize = 4;

/// Connections that `peapod port-forward` forwards at the same time.
pub(crate) const FORWARDED: usize = 256;

/// After a connection's local end has closed it, for how long nothing may come of a pod that can't be told so.
pub(crate) const FORWARD_REST: Duration = Duration::from_secs(10);

/// After a connection's local end has closed it, for how long nothing may come of a pod that was told so. It may have
/// much to think about, and may have forgotten the connection.
pub(crate) const FORWARD_SILENCE: Duration = Duration::from_secs(300);

/// What `peapod port-forward` has to say that waits for standard error to take it.
pub(crate) const NOTES: usize = 64;

/// Bytes of an archive that are sent to a runtime at once; it takes 1 MiB.
pub(crate) const IMPORT_PIECE: usize = 256 << 10;

/// Bytes of another runtime's configuration.
pub(crate) const CONFIGURATION_BYTES: u64 = 1 << 20;

/// After a server has said all of a session, for how long the connection's end is waited for.
pub(crate) const SESSION_END: Duration = Duration::from_secs(2);

/// Time for an OCI runtime to say its version to `peapod check`.
pub(crate) const VERSION_TIME: Duration = Duration::from_secs(5);

/// Bytes of what it says that are read.
pub(crate) const VERSION_BYTES: u64 = 4 << 10;

/// Files of manifests that `peapod run` reads.
pub(crate) const MANIFEST_FILES: usize = 256;

/// Bytes of all texts in all manifests of a run, with what aliases stand for as often as they do; without these a run
/// has 2 MiB.
pub(crate) const MANIFEST_TEXTS: usize = 16 << 20;

/// Values in all manifests of a run, counted the same.
pub(crate) const MANIFEST_VALUES: usize = 250_000;

/// Bytes of a key in a manifest; Kubernetes' own have 317 at most.
pub(crate) const MANIFEST_KEY_BYTES: usize = 1024;

/// Mistakes, and fields without effect for one reason, that are looked for and shown.
pub(crate) const MANIFEST_MISTAKES: usize = 20;

/// Bytes of a file that a container wrote, from which variables of another one are read.
pub(crate) const ENV_FILE_BYTES: u64 = 64 << 10;

/// Characters of what a probe or a hook says that are kept and shown.
pub(crate) const HANDLER_SAYING: usize = 512;

/// Bytes of the answer to an HTTP request of a probe or hook that are read.
pub(crate) const PROBE_BODY_BYTES: usize = 10 << 10;

/// Redirects that such a request follows.
pub(crate) const PROBE_REDIRECTS: usize = 10;

/// Time for the answer to a hook's HTTP request.
pub(crate) const HOOK_ANSWER: Duration = Duration::from_secs(60);

/// Bytes of a container's termination message: of its end, as a kubelet reads it.
pub(crate) const TERMINATION_BYTES: usize = 4096;

/// Bytes of a log's end that stand in for a termination message, and lines.
pub(crate) const TERMINATION_LOG_BYTES: usize = 2048;

/// Lines of a log's end that stand in for a termination message.
pub(crate) const TERMINATION_LOG_LINES: usize = 80;

/// Bytes of the file that says how a pod is.
pub(crate) const REPORT_BYTES: u64 = 1 << 20;

/// Requests to stop one pod that a `peapod run` takes.
pub(crate) const STOP_REQUESTS: usize = 16;

/// Lines of containers that wait for a slow reader of `peapod run`; further ones stay in the logs.
pub(crate) const CONSOLE_LINES: usize = 256;

/// Bytes of what peapod itself has to say that wait for such a reader; further lines are counted.
pub(crate) const CONSOLE_NOTE_BYTES: usize = 256 << 10;

/// Logs of containers that have ended and wait to be printed for such a reader.
pub(crate) const CONSOLE_LOGS: usize = 64;

/// Names of pods whose events wait for those who look after the pods.
pub(crate) const POD_EVENTS: usize = 256;

/// Bytes of a container's log after which `peapod run` begins another file, as a kubelet does.
pub(crate) const LOG_BYTES: u64 = 10 << 20;

/// Files of it that are kept, with the one that is written to.
pub(crate) const LOG_FILES: usize = 5;

/// How often its size is looked at.
pub(crate) const LOG_LOOK: Duration = Duration::from_secs(1);

/// Bytes of a log's lines that wait for older ones of other logs.
pub(crate) const MERGE_AHEAD: usize = 128 << 10;

/// For how long the line of a followed log waits for older ones of other logs.
pub(crate) const MERGE_WINDOW: Duration = Duration::from_millis(200);

/// Bytes that the headers of one entry may have in an archive that `peapod cp` gets of a container.
pub(crate) const COPY_HEADER_BYTES: u64 = 64 << 10;

/// Bytes of the name of a file that `peapod cp` writes, with its folders.
pub(crate) const COPY_NAME_BYTES: usize = 4096;

/// What `peapod cp` leaves free of a file system, in bytes; a twentieth of it if that is less.
pub(crate) const COPY_LEAVES: u64 = 1 << 30;

/// What it leaves free of its files, by number; a twentieth of them if that is less.
pub(crate) const COPY_LEAVES_FILES: u64 = 1 << 16;

/// Things that `peapod cp` leaves out and names; further ones are counted.
pub(crate) const COPY_NOTES: usize = 20;

/// Bytes of what a `peapod run` has written that nobody watches; as many of what was before that are kept.
pub(crate) const RUN_LOG_BYTES: u64 = 8 << 20;

/// Bytes of what a `peapod run` tells `peapod apply` of what it did.
pub(crate) const APPLIED_BYTES: usize = 64 << 10;

/// Bytes of one line of it.
pub(crate) const APPLIED_LINE_BYTES: usize = 8 << 10;

/// For how long nothing may change in a watched folder until its files are read once more.
pub(crate) const WATCH_QUIET: Duration = Duration::from_millis(100);

/// After how long they are read whatever goes on there.
pub(crate) const WATCH_LONGEST: Duration = Duration::from_secs(1);

/// Time for a daemon that `peapod run` has started to answer.
pub(crate) const DAEMON_START: Duration = Duration::from_secs(60);

/// Pods beside each other of a Deployment or a Job.
pub(crate) const PODS_AT_A_TIME: u32 = 1024;

/// Bytes of the files that are written for a pod's volumes, all together: of ConfigMaps, Secrets, and what a pod is
/// told of itself.
pub(crate) const VOLUME_FILES_BYTES: usize = 64 << 20;

/// Bytes of the file that says whose a pod's folder is.
pub(crate) const OWNER_BYTES: u64 = 16 << 10;

/// Folders of pods that are looked at for what killed runs have left.
pub(crate) const LEFTOVERS: usize = 4096;

/// Runtimes that are asked whether they know the pods of such folders, beside the one that is used anyway.
pub(crate) const LEFTOVER_RUNTIMES: usize = 8;

/// Time for such a runtime to answer.
pub(crate) const LEFTOVER_ANSWER: Duration = Duration::from_secs(2);

/// Files and folders of a volume that are given to fsGroup, which containers have made; those that a pull may unpack.
pub(crate) const GROUP_ENTRIES: usize = 4_000_000;

/// Bytes of the paths of its folders that are remembered meanwhile, each with what it costs beside its own.
pub(crate) const GROUP_FOLDER_BYTES: usize = 64 << 20;

/// For how long a volume is given to fsGroup.
pub(crate) const GROUP_TIME: Duration = Duration::from_secs(600);

/// Requests to a `peapod run` to let some of its pods go that it reads at once.
pub(crate) const LEAVE_REQUESTS: usize = 64;

/// Bytes of the file that says which pod is being made.
pub(crate) const BEING_MADE_BYTES: u64 = 64 << 10;
