//! Locks of the standard library, after a panic as before it.
//!
//! A panic while a lock is held marks it as poisoned. Nothing in this workspace leaves a change half made between lock
//! and unlock: what is held is valid, and one panic must not become one of each who comes afterwards.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks, poisoned or not.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is inside, for its only owner: no lock is taken.
pub fn get_mut<T: ?Sized>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Waits as long as the condition holds; it is looked at once more after each notification. Blocks without a limit: who
/// calls this knows why the wait ends.
pub fn wait_while<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    changed.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_of_one_is_not_that_of_the_next() {
        let (mut mutex, changed) = (Mutex::new(1), Condvar::new());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _held = lock(&mutex);
            panic!("while it is held");
        }));
        assert!(panic.is_err() && mutex.is_poisoned());
        *lock(&mutex) += 1;
        assert_eq!(*wait_while(&changed, lock(&mutex), |value| *value != 2), 2);
        assert_eq!(*get_mut(&mut mutex), 2);
    }
}
