//! Gives memory back to the node after a peak: the daemon is the last that the kernel ends, so what it keeps, pods
//! lack.

use std::convert::Infallible;
use std::time::Duration;

/// How often the daemon looks for what it could give back.
const PERIOD: Duration = Duration::from_secs(2);

/// Bytes that are given back at once, at least: for less, the work is not worth it.
const LEAST_BYTES: usize = 4 << 20;

/// Looks every [`PERIOD`], for ever.
pub(crate) async fn give_back() -> Infallible {
    let mut known = 0;
    loop {
        tokio::time::sleep(PERIOD).await;
        // On a thread of its own: it takes a moment and holds the allocator's locks one by one.
        match tokio::task::spawn_blocking(move || give_back_once(known)).await {
            Ok(free) => known = free,
            Err(_) => return std::future::pending().await,
        }
    }
}

/// Gives back if more is free than was `known`: of that, nothing can be given back. Answers what is known from now on.
fn give_back_once(known: usize) -> usize {
    let free = peapod_sys::free_memory();
    if free <= known.saturating_add(LEAST_BYTES) {
        // What was used again has to be found when it is free again.
        return known.min(free);
    }
    peapod_sys::give_back_free_memory();
    peapod_sys::free_memory()
}
