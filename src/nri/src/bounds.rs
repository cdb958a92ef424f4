//! What plugins may cost at most. ARCHITECTURE.md has these in its table of bounds.

use std::time::Duration;

/// Bytes of a message to a plugin: what theirs take. Pods and containers that there are already come in as many as it
/// takes.
pub const SENT_BYTES: usize = 4 << 20;
/// Bytes of a message from a plugin. Taken apart it may need a hundred times as much, if it is made for that.
pub const RECEIVED_BYTES: usize = 1 << 20;
/// Plugins that are connected, registered or not.
pub const CONNECTIONS: usize = 64;
/// Names of plugins that were closed because of a fault, and have to stay away for a while.
pub const FAULTY: usize = 256;
/// Requests of one plugin that wait.
pub const REQUESTS: usize = 16;
/// UpdateWishes and evictions of containers in one message.
pub const UPDATES: usize = 4_096;
/// Entries of each list and map of an adjustment, all plugins together: they are compared with each other.
pub const ENTRIES: usize = 4_096;
/// Entries of each list and map of a container's limits, all plugins together.
pub const LIMIT_ENTRIES: usize = 1_024;
/// How long what plugins were asked about waits for what they want of other containers.
pub const UPDATE_TIME: Duration = Duration::from_secs(30);
/// Bytes of a plugin's name.
pub const NAME_BYTES: usize = 128;
/// Bytes of what a plugin says of its own error.
pub const REASON_BYTES: usize = 512;
/// How long a call waits for those before it that the same plugin answers. Each of them has its own time-out.
pub const TURN_TIME: Duration = Duration::from_secs(30);
/// Answers to a plugin that wait until it reads.
pub const ANSWERS: usize = 32;
/// Installed plugins that are started.
pub const INSTALLED: usize = 32;
/// How long what is made waits for their files and processes, beside the time-outs of a registration and a call.
pub const START_TIME: Duration = Duration::from_secs(5);
/// Entries of their folder.
pub const FOLDER_ENTRIES: usize = 1_024;
/// Bytes of what an installed plugin is handed as its configuration.
pub const CONFIG_BYTES: usize = 1 << 20;
/// Lines of an installed plugin's output that the log takes in a minute; further ones are counted.
pub const OUTPUT_LINES: usize = 60;
/// Bytes of such a line.
pub const OUTPUT_LINE: usize = 1_024;
