//! How long a container waits before it is started again: what a kubelet does.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran this long has recovered.
const RECOVERED: Duration = Duration::from_secs(600);

/// The waits of one container.
#[derive(Debug, Default)]
pub(in crate::run) struct BackOff {
    next: Duration,
}

impl BackOff {
    /// How long to wait after a run that took this long: first not at all, then 10 s, doubling to 300 s.
    pub(in crate::run) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= RECOVERED {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = (wait * 2).clamp(FIRST, LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_recovers() {
        let mut back_off = BackOff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u64> = (0..8).map(|_| back_off.after(short).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(back_off.after(RECOVERED).as_secs(), 0);
        assert_eq!(back_off.after(short).as_secs(), 10);
    }
}
