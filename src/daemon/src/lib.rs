//! `peapod serve`: the CRI services on top of the rooms that do the work.

mod args;

pub use args::{LogFormat, ServeArgs};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A configuration with mistakes, a state root that another daemon holds, or a room that can't be opened.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    tracing::debug!(?args, "serving");
    Ok(())
}
