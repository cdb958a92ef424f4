//! Signals by name and by number.

use peapod_api::v1::Signal;

use super::field::{Checked, known};

/// Number of the last real-time signal on Linux.
const REALTIME_MAX: i32 = 64;
/// The first one that the C library leaves to programs.
const REALTIME_MIN: i32 = 34;

/// Numbers as on every machine that peapod runs on. Of two names for one number the usual one comes first, so that it
/// is the one shown.
const NAMED: [(Signal, i32); 34] = [
    (Signal::Sigabrt, 6),
    (Signal::Sigalrm, 14),
    (Signal::Sigbus, 7),
    (Signal::Sigchld, 17),
    (Signal::Sigcld, 17),
    (Signal::Sigcont, 18),
    (Signal::Sigfpe, 8),
    (Signal::Sighup, 1),
    (Signal::Sigill, 4),
    (Signal::Sigint, 2),
    (Signal::Sigio, 29),
    (Signal::Sigiot, 6),
    (Signal::Sigkill, 9),
    (Signal::Sigpipe, 13),
    (Signal::Sigpoll, 29),
    (Signal::Sigprof, 27),
    (Signal::Sigpwr, 30),
    (Signal::Sigquit, 3),
    (Signal::Sigsegv, 11),
    (Signal::Sigstkflt, 16),
    (Signal::Sigstop, 19),
    (Signal::Sigsys, 31),
    (Signal::Sigterm, 15),
    (Signal::Sigtrap, 5),
    (Signal::Sigtstp, 20),
    (Signal::Sigttin, 21),
    (Signal::Sigttou, 22),
    (Signal::Sigurg, 23),
    (Signal::Sigusr1, 10),
    (Signal::Sigusr2, 12),
    (Signal::Sigvtalrm, 26),
    (Signal::Sigwinch, 28),
    (Signal::Sigxcpu, 24),
    (Signal::Sigxfsz, 25),
];

/// The number of a request's signal; `None` leaves the choice to image and runtime.
pub(super) fn number(value: i32) -> Checked<Option<i32>> {
    let signal: Signal = known("stop_signal", value)?;
    if signal == Signal::RuntimeDefault {
        return Ok(None);
    }
    let named = NAMED.iter().find(|(name, _)| *name == signal).map(|(_, number)| *number);
    // What has no name of its own is real-time, in order of the numbers.
    Ok(Some(named.unwrap_or(REALTIME_MIN + value - Signal::Sigrtmin as i32)))
}

/// The name of a number, for status.
pub(crate) fn name(number: i32) -> Signal {
    if (REALTIME_MIN..=REALTIME_MAX).contains(&number) {
        return Signal::try_from(Signal::Sigrtmin as i32 + number - REALTIME_MIN).unwrap_or_default();
    }
    NAMED.iter().find(|(_, known)| *known == number).map_or(Signal::RuntimeDefault, |(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_number_and_comes_back() {
        for value in 1..=Signal::Sigrtmax as i32 {
            let signal = Signal::try_from(value).unwrap();
            let number = number(value).unwrap().unwrap();
            assert!((1..=64).contains(&number), "{signal:?} is {number}");
            let same = match signal {
                Signal::Sigcld => Signal::Sigchld,
                Signal::Sigiot => Signal::Sigabrt,
                Signal::Sigpoll => Signal::Sigio,
                other => other,
            };
            assert_eq!(name(number), same);
        }
        assert_eq!(number(Signal::Sigrtmax as i32), Ok(Some(64)));
        assert_eq!(number(Signal::Sigrtmaxminus14 as i32), Ok(Some(50)));
        assert_eq!(number(0), Ok(None));
        assert!(number(66).is_err());
    }
}
