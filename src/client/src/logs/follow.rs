//! Prints a log while it is written.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::{Joiner, LogFile, LogLine};

/// How late a line may be seen.
const POLL: Duration = Duration::from_millis(100);

/// Gives every line to `sink` until the container has ended and all was read, or `sink` says false.
///
/// `ended` turns true when the runtime reports the end, after which it writes nothing more.
pub(crate) async fn follow<F: Future<Output = bool>>(
    path: &Path,
    mut ended: watch::Receiver<bool>,
    mut sink: impl FnMut(LogLine) -> F,
) -> io::Result<()> {
    let mut file = LogFile::new(path);
    let mut joiner = Joiner::default();
    loop {
        // Looked up before the read, so that nothing is written after it.
        let last = *ended.borrow();
        loop {
            let lines = file.read()?;
            if lines.is_empty() {
                break;
            }
            for line in lines.iter().filter_map(|raw| joiner.push(raw)) {
                if !sink(line).await {
                    return Ok(());
                }
            }
        }
        if last {
            for line in joiner.rest() {
                sink(line).await;
            }
            return Ok(());
        }
        // An error means that nobody will ever say so: the same as the end.
        if let Ok(Err(_)) = tokio::time::timeout(POLL, ended.wait_for(|ended| *ended)).await {
            return Ok(());
        }
    }
}
