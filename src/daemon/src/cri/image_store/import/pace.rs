//! Whether an archive comes: where others wait for its turn, next to nothing does not keep them waiting.

use std::future::Future;
use std::pin::pin;

use tokio::time::{Duration, Instant, timeout};
use tonic::Code;

use crate::bounds::{IMPORT_RATE, IMPORT_WINDOW};
use crate::cri::status::{Answer, Failure};

/// What has come in a time that was waited for it; while it is unpacked nothing is waited for.
#[derive(Default)]
pub(super) struct ImportPace {
    waited: Duration,
    bytes: u64,
}

impl ImportPace {
    /// Waits for what comes next, however few bytes of it come at a time; an error where others should have the turn.
    pub(super) async fn wait<T>(
        &mut self,
        next: impl Future<Output = Answer<T>>,
        is_awaited: impl Fn() -> bool,
    ) -> Answer<T> {
        let mut next = pin!(next);
        loop {
            let began = Instant::now();
            let came = timeout(IMPORT_WINDOW.saturating_sub(self.waited), &mut next).await;
            self.waited += began.elapsed();
            match came {
                Ok(part) => return part,
                Err(_) if is_awaited() => {
                    let (bytes, seconds) = (self.bytes, self.waited.as_secs());
                    let slow = format!(
                        "the archive comes too slowly, and others wait: {bytes} bytes in {seconds} s; write it to a \
                         file first, or try again later"
                    );
                    return Err(Failure::Stream(slow, Code::DeadlineExceeded));
                }
                Err(_) => *self = Self::default(),
            }
        }
    }

    /// So many bytes came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes >= IMPORT_RATE * IMPORT_WINDOW.as_secs() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long one lasts of which a piece comes again and again, for an hour at most.
    async fn lasts(piece: usize, each: Duration, is_awaited: impl Fn() -> bool) -> Duration {
        let (mut pace, begun) = (ImportPace::default(), Instant::now());
        while begun.elapsed() < SECOND * 3600 {
            let next = async {
                sleep(each).await;
                Ok(())
            };
            if pace.wait(next, &is_awaited).await.is_err() {
                break;
            }
            pace.came(piece);
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_others_waiting_has_to_bring_something() {
        let end = IMPORT_WINDOW..IMPORT_WINDOW + SECOND;
        assert!(end.contains(&lasts(1, SECOND * 29, || true).await));
        assert!(lasts(1, SECOND * 29, || false).await >= SECOND * 3600, "nobody waits");
        assert!(lasts(1 << 20, SECOND * 59, || true).await >= SECOND * 3600);
        assert!(lasts(256 << 10, SECOND * 14, || true).await >= SECOND * 3600);
        // What came quickly before excuses nothing.
        let mut pace = ImportPace::default();
        for _ in 0..10_000 {
            pace.wait(async { Ok(()) }, || true).await.unwrap_or_else(|_| panic!("it came at once"));
            pace.came(1 << 20);
        }
        let (begun, never) = (Instant::now(), std::future::pending::<Answer<()>>());
        // Of one message that never ends, too.
        assert!(pace.wait(never, || true).await.is_err());
        assert!(end.contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_to_wait_is_heard_in_the_next_window() {
        let begun = Instant::now();
        let is_awaited = || begun.elapsed() > IMPORT_WINDOW * 3 / 2;
        assert!(ImportPace::default().wait(std::future::pending::<Answer<()>>(), is_awaited).await.is_err());
        assert!((IMPORT_WINDOW * 2..IMPORT_WINDOW * 2 + SECOND).contains(&begun.elapsed()));
    }
}
