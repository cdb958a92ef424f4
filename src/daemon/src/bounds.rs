//! What the daemon may take of the node. ARCHITECTURE.md, "Bounds", lists all of them.

use std::time::Duration;

/// Time that one count of a writable layer takes at most: a million files of which nothing is in memory.
pub(crate) const LAYER_WALK: Duration = Duration::from_secs(60);
/// Time after which a count goes on beside those of other layers, which wait for it until then.
pub(crate) const LAYER_SHORT_WALK: Duration = Duration::from_secs(1);
/// Time between two counts of a writable layer: as often as a kubelet asks.
pub(crate) const LAYER_PERIOD: Duration = Duration::from_secs(10);
/// The same, of a container that has used no processor since. Another of its pod may write there.
pub(crate) const LAYER_IDLE_PERIOD: Duration = Duration::from_secs(60);
/// The same, if nothing in its pod has. Who is root on the node may write there.
pub(crate) const LAYER_IDLE_POD_PERIOD: Duration = Duration::from_secs(300);
/// A layer that took long is counted again after so many times as long, so that counting it takes no more than this
/// part of a processor.
pub(crate) const LAYER_COST_PARTS: u32 = 10;
/// Time between two readings of a control group's processor time; who asks for statistics each ten seconds makes them
/// needless.
pub(crate) const PROCESSOR_PERIOD: Duration = Duration::from_secs(15);

/// Bytes per second by which a container's log may grow on disk. A kubelet looks every ten seconds whether a log is to
/// be rotated, and keeps 50 MiB of it: what this drops would have been deleted at the next look.
pub(crate) const CONTAINER_LOG_RATE: i64 = 64 << 20;

/// Bytes of the run root: a thousand pods with large configurations and full shim logs.
pub(crate) const RUN_ROOT_BYTES: u64 = 1 << 30;
/// The run root takes no more than this part of the node's memory: a fifth, as systemd gives /run.
pub(crate) const RUN_ROOT_PART: u64 = 5;
/// Inodes of the run root; a pod with a container takes some twenty.
pub(crate) const RUN_ROOT_INODES: u64 = 1 << 20;

/// Archives of images that clients bring at the same time, those counted that wait for a slot to transfer.
pub(crate) const IMPORTS: usize = 16;
/// Bytes of a piece of one.
pub(crate) const IMPORT_PIECE: usize = 1 << 20;
/// Bytes of a message of such a stream: a piece, and what is around it.
pub(crate) const STREAMED_MESSAGE: usize = IMPORT_PIECE + (64 << 10);
/// Bytes in memory of such a stream while it comes: the message that is read, the piece that was read of the one before
/// it, the one that waits, the one that is unpacked, and what the HTTP/2 library holds.
pub(crate) const STREAMED_REQUEST: usize = STREAMED_MESSAGE + 3 * IMPORT_PIECE + STREAMED_WAITING;
/// The same of one that waits for its turn, of which nothing but the options was asked for.
pub(crate) const STREAMED_WAITING: usize = 512 << 10;
/// Bytes a second that an archive has to bring while others wait for its turn.
pub(crate) const IMPORT_RATE: u64 = 16 << 10;
/// Of each such time that is waited for it, on average: who sends it may read a disk that turns, or a registry.
pub(crate) const IMPORT_WINDOW: Duration = Duration::from_secs(60);

/// Archives of images that are being written for clients.
pub(crate) const EXPORTS: usize = 4;
/// Names of images in a request for an archive.
pub(crate) const EXPORTED_IMAGES: usize = 256;

/// Bytes of a status message. Percent-encoded they are three times as many, and many clients take 16 KiB of headers.
pub(crate) const STATUS_MESSAGE: usize = 2 << 10;

/// CDI devices that a verbose Status tells of, and files of such that can't be used.
pub(crate) const DEVICES_SHOWN: usize = 1_024;

/// How long the look at their folders may take for it.
pub(crate) const DEVICE_LOOK: Duration = Duration::from_secs(2);

/// Bytes of a request's text that an error or a log line repeats: enough to recognise it.
pub(crate) const ECHO: usize = 256;

/// Bytes of a line of the log, so that no text of somebody else fills the node's journal.
pub(crate) const LOG_LINE: usize = 16 << 10;

/// Bytes of the file that `serve --log-file` names; as many of what was before that are kept.
pub(crate) const LOG_FILE_BYTES: u64 = 16 << 20;

/// Sessions of exec, attach and port-forward that wait for their clients: as many as the kubelet's own library allows.
pub(crate) const PENDING_SESSIONS: usize = 1000;
/// How long a session waits for its client.
pub(crate) const PENDING_SESSION: Duration = Duration::from_secs(60);
/// Bytes of the commands of such sessions, of which each is tens of bytes.
pub(crate) const PENDING_COMMAND_BYTES: usize = 16 << 20;
/// How long a session may be silent in both directions, unless configured: as kubelets have it.
pub(crate) const SESSION_IDLE: Duration = Duration::from_secs(4 * 3600);
/// How long a client may take to open its streams, unless configured: as kubelets have it.
pub(crate) const SESSION_CREATION: Duration = Duration::from_secs(30);
/// The time until the streaming server is started again that has died, at first; it doubles with each that dies early.
pub(crate) const STREAMING_PAUSE: Duration = Duration::from_millis(100);
/// The same at most.
pub(crate) const STREAMING_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Compressed bytes of a request's header fields. Clients send some hundred.
pub(crate) const HEADER_BLOCK: usize = 64 << 10;

/// Frames of a request's header fields; one holds 16 KiB.
pub(crate) const HEADER_FRAMES: usize = 16;

/// Bytes of a request's header fields after which no further one is passed on to the HTTP/2 library: it refuses so
/// many.
pub(crate) const HEADER_FIELDS: usize = 16 << 10;

/// Connections at once, unless configured: more than 500 kubelets, and descriptors enough for pods where a process has
/// 1024.
pub(crate) const CONNECTIONS: usize = 640;

/// Calls of one connection at once; more wait in the client. Many may be long: each container that is being stopped is
/// one.
pub(crate) const CALLS_OF_CONNECTION: u32 = 2048;

/// Calls at once beyond each connection's first `FREE_CALLS`.
pub(crate) const CALLS: usize = 4096;

/// Calls that every connection may have: whoever uses up the rest keeps nobody else from asking.
pub(crate) const FREE_CALLS: usize = 16;

/// Bytes of requests at once beyond each connection's first `FREE_REQUEST_BYTES`: eight messages of the largest size.
pub(crate) const REQUEST_BYTES: usize = 128 << 20;

/// Those of one connection.
pub(crate) const REQUEST_BYTES_OF_CONNECTION: usize = 32 << 20;

/// Bytes of requests that every connection may have.
pub(crate) const FREE_REQUEST_BYTES: usize = 256 << 10;

/// Bytes that the HTTP/2 library holds of a stream or a connection before they are asked for.
pub(crate) const WINDOW: u32 = 256 << 10;

/// How long a client may take to show that it speaks HTTP/2.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection without calls stays, unless configured. Kubelets ask every second.
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// How long a request may take to arrive and an answer, or a message of a stream, to be taken, unless configured; both
/// are on this machine.
pub(crate) const TRANSFER: Duration = Duration::from_secs(30);

/// Bytes of a message of a streamed list, unless it is a single entry: stock gRPC clients take 4 MiB.
pub(crate) const PAGE: usize = 1 << 20;

/// Streamed lists at once: each keeps what it has to tell from going away. A kubelet has one or two.
pub(crate) const LIST_STREAMS: usize = 32;

/// Lists of metrics at once, until their clients have taken them: each may fill a message, and is made of as much once
/// more. A kubelet asks for one at a time.
pub(crate) const METRIC_LISTS: usize = 8;

/// Control groups whose folders stay open between two readings of what they use: a descriptor each, or one for each
/// tree of version 1; and one for the file of their processor time, of which the kernel keeps a page.
pub(crate) const OPEN_GROUPS: usize = 1024;

/// Pods or containers whose statistics are read together for a streamed list: some milliseconds of a thread.
pub(crate) const PAGE_READ: usize = 64;

/// Streams of events at once: each kubelet has one. Each remembers all pods and containers as it has told them, in
/// pointers and ids.
pub(crate) const EVENT_STREAMS: usize = 32;

/// Interfaces that a pod's statistics list beside its own: who may change the pod's network can make any number, and
/// all pods' have to fit into one message.
pub(crate) const INTERFACES: usize = 64;
/// Bytes of the kernel's table of interfaces that are read for it; a line has some 130.
pub(crate) const INTERFACES_BYTES: u64 = 64 << 10;
/// How old the reading of a pod's interfaces may be in which nothing has run since.
pub(crate) const IDLE_INTERFACES_AGE: Duration = Duration::from_secs(15);

/// Spans, each with all its stages, that wait to be sent to a collector.
pub(crate) const SPANS_WAITING: usize = 1024;
/// Bytes of memory of these, and of those that are being sent.
pub(crate) const SPANS_WAITING_BYTES: usize = 16 << 20;
/// Spans after which no further one is added to those that are sent at once; stages count.
pub(crate) const SPANS_OF_BATCH: u64 = 2048;
/// How long a collector may take to answer.
pub(crate) const EXPORT_TIME: Duration = Duration::from_secs(10);
/// Silence of a collector that owes an answer until it is asked whether it is there, and then until its connection
/// ends.
pub(crate) const EXPORT_SILENCE: Duration = Duration::from_secs(3);
/// How long the daemon's end waits for the last spans to be sent.
pub(crate) const LAST_EXPORT: Duration = Duration::from_secs(1);
/// Stages of operations whose time is counted: all that there are.
pub(crate) const STAGES_MEASURED: usize = 512;

/// Connections to the endpoint of the daemon's own metrics; one more ends the oldest. Prometheus has one.
pub(crate) const METRICS_CONNECTIONS: usize = 16;
/// How long such a connection may take to say what it wants.
pub(crate) const METRICS_HEAD_TIME: Duration = Duration::from_secs(5);
/// How long metrics wait for what the daemon's two disks tell.
pub(crate) const METRICS_DISK_TIME: Duration = Duration::from_secs(1);
/// How long it lasts: as Prometheus waits.
pub(crate) const METRICS_CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Bytes of its request.
pub(crate) const METRICS_HEAD_BYTES: usize = 16 << 10;

/// Age of a sample of all pods up to which it is given again to who asks for metrics.
pub(crate) const SAMPLE_AGE: Duration = Duration::from_secs(1);
/// How long metrics wait for the first count of what containers that have just begun have open and have written.
pub(crate) const FIRST_COUNT: Duration = Duration::from_secs(2);
/// Time between two counts of a container's processes and of what they have open, while somebody asks for metrics.
pub(crate) const PROCESSES_PERIOD: Duration = Duration::from_secs(30);
/// The same, of a container that has used no processor since: others may move processes there.
pub(crate) const PROCESSES_IDLE_PERIOD: Duration = Duration::from_secs(300);
/// A container whose count took long is counted again after so many times as long: this part of a processor.
pub(crate) const PROCESSES_COST_PARTS: u32 = 500;
/// Time for one count of what a container's processes have open, for which those of all other containers wait. Before
/// Linux 6.2 a million descriptors take one.
pub(crate) const PROCESSES_COUNT: Duration = Duration::from_secs(1);
/// Processes of a container up to which is counted what they have open.
pub(crate) const PROCESSES: usize = 16 << 10;
/// Descriptors of a container up to which those of sockets are looked for.
pub(crate) const DESCRIPTORS: usize = 64 << 10;
/// Operations that a verbose status tells of.
pub(crate) const OPERATIONS_SHOWN: usize = 128;
/// Of these, of each kind and container, those that did as they should.
pub(crate) const OPERATIONS_SHOWN_OF_KIND: usize = 2;
/// Bytes of these as JSON.
pub(crate) const OPERATIONS_BYTES: usize = 1 << 20;
