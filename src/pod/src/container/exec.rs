//! Commands in running containers.

use std::time::Duration;

/// A command to run.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Bytes kept of each of stdout and stderr; the rest is read and dropped.
    pub limit: usize,
}

/// What a command left.
#[derive(Clone, Debug, Default)]
pub struct ExecOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// 0 to 255.
    pub exit_code: i32,
}
