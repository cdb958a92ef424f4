//! Gives memory back to the node after a peak: the daemon is the last that the kernel ends, so what it keeps, pods
//! lack.

use std::convert::Infallible;
use std::time::Duration;

/// How soon the daemon looks again for what it could give back, once there was something.
const PERIOD: Duration = Duration::from_secs(2);
/// The same at most. To look takes the longer, the more there is in small pieces.
const CALM_PERIOD: Duration = Duration::from_secs(10);

/// Bytes that are given back at once, at least: for less, the work is not worth it.
const LEAST_BYTES: usize = 4 << 20;

/// Looks again and again, for ever.
pub(crate) async fn give_back() -> Infallible {
    let (mut known, mut pause) = (0, PERIOD);
    loop {
        tokio::time::sleep(pause).await;
        // On a thread of its own: it takes a moment and holds the allocator's locks one by one.
        match tokio::task::spawn_blocking(move || give_back_once(known)).await {
            Ok(Kept::AsBefore(free)) => (known, pause) = (free, (pause * 2).min(CALM_PERIOD)),
            Ok(Kept::Less(free)) => (known, pause) = (free, PERIOD),
            Err(_) => return std::future::pending().await,
        }
    }
}

/// Bytes that are free and can't be given back, after a look.
enum Kept {
    /// There was nothing to give back.
    AsBefore(usize),
    Less(usize),
}

/// Gives back if more is free than was `known`: of that, nothing can be given back. Answers what is known from now on.
fn give_back_once(known: usize) -> Kept {
    let free = peapod_sys::free_memory();
    if free <= known.saturating_add(LEAST_BYTES) {
        // What was used again has to be found when it is free again.
        return Kept::AsBefore(known.min(free));
    }
    peapod_sys::give_back_free_memory();
    Kept::Less(peapod_sys::free_memory())
}
