//! What a shim gives back once it only holds its pod.

use std::time::Duration;

use crate::tasks;

/// How long after something was started its shim has answered for it, and mostly waits from then on.
const SETTLED: Duration = Duration::from_secs(1);

/// After something was started. What it took of the program is most of what a waiting shim would keep mapped; on a node
/// with many pods that is in the way of who needs memory.
pub(crate) fn soon() {
    tasks::spawn(async {
        tokio::time::sleep(SETTLED).await;
        peapod_sys::unmap_program();
    });
}
