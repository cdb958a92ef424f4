//! Operations of containers, one file each.

mod exec;

pub use exec::{ExecOutput, ExecRequest};
