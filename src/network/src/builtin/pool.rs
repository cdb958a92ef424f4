//! Which numbers of addresses are given: round-robin, so that one that was just freed rests as long as possible.

use std::collections::BTreeSet;

/// The first number: 1 is the gateway.
const FIRST: u32 = 2;

/// The numbers in use, and where to look next.
#[derive(Debug)]
pub(crate) struct Pool {
    last: u32,
    used: BTreeSet<u32>,
    cursor: u32,
}

impl Pool {
    /// A pool of the numbers from 2 to `last`; `cursor` is the one that was given last.
    pub(crate) fn new(last: u32, used: BTreeSet<u32>, cursor: u32) -> Self {
        Self { last, used, cursor }
    }

    /// How many are in use.
    pub(crate) fn used(&self) -> usize {
        self.used.len()
    }

    /// Takes the next free number that `usable` accepts; none if there is none.
    pub(crate) fn take(&mut self, usable: impl Fn(u32) -> bool) -> Option<u32> {
        let behind = self.cursor.saturating_add(1).max(FIRST)..=self.last;
        let before = FIRST..=self.cursor.min(self.last);
        let host_index =
            behind.chain(before).find(|host_index| !self.used.contains(host_index) && usable(*host_index))?;
        self.used.insert(host_index);
        self.cursor = host_index;
        Some(host_index)
    }

    /// Takes this number; whether it was free.
    pub(crate) fn reserve(&mut self, host_index: u32) -> bool {
        self.used.insert(host_index)
    }

    /// Gives a number back.
    pub(crate) fn release(&mut self, host_index: u32) {
        self.used.remove(&host_index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_round() {
        let mut pool = Pool::new(5, BTreeSet::from([3]), 0);
        let take = |pool: &mut Pool| pool.take(|_| true);
        assert_eq!(take(&mut pool), Some(2));
        pool.release(2);
        assert_eq!(take(&mut pool), Some(4));
        assert_eq!(take(&mut pool), Some(5));
        assert_eq!(take(&mut pool), Some(2));
        assert_eq!(take(&mut pool), None);
        assert_eq!(pool.used(), 4);
        pool.release(4);
        pool.release(5);
        assert_eq!(pool.take(|host_index| host_index != 4), Some(5));
        assert_eq!(pool.take(|host_index| host_index != 4), None);
    }

    #[test]
    fn keeps_to_a_smaller_range_than_before() {
        let mut pool = Pool::new(3, BTreeSet::from([900]), 1000);
        assert_eq!(pool.take(|_| true), Some(2));
        assert_eq!(pool.take(|_| true), Some(3));
        assert_eq!(pool.take(|_| true), None);
    }
}
