//! Signals that end a session, and the exit status that each gives.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::task::Poll;

use nix::sys::signal::Signal::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGPWR, SIGQUIT, SIGSTKFLT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::StreamError;

/// All that end a process unless it says otherwise, and that others send. What the processor raises (SIGSEGV and the
/// like) can't be waited out, and writing to who has gone is an error here, no SIGPIPE.
const NAMED: [nix::sys::signal::Signal; 15] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGABRT, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT,
    SIGXCPU, SIGXFSZ,
];
/// Those by which somebody asks for the end.
const ASKED: [i32; 3] = [SIGINT as i32, SIGQUIT as i32, SIGTERM as i32];
/// All without names. Libraries keep those before for themselves.
const REALTIME: RangeInclusive<i32> = 35..=64;

/// As long as it lives these signals do not end the process by themselves: a terminal has to be put right before.
pub(crate) struct EndingSignals(Vec<(u8, Signal)>);

impl EndingSignals {
    /// From now on.
    pub(crate) fn listen() -> Result<Self, StreamError> {
        Self::all_but(peapod_sys::proc::ignored_signals()).map_err(StreamError::local("can't listen for signals"))
    }

    /// Those that this process was begun with the wish to ignore are left so, as nohup(1) has it; but for those that
    /// somebody sends to end it: a shell that runs it in the background has all its commands ignore two of them.
    fn all_but(ignored: u64) -> std::io::Result<Self> {
        let is_left = |number: &i32| ignored & (1 << (number - 1)) != 0 && !ASKED.contains(number);
        let listen =
            |number: i32| Ok((u8::try_from(128 + number).unwrap_or(u8::MAX), signal(SignalKind::from_raw(number))?));
        let all = NAMED.into_iter().map(|signal| signal as i32).chain(REALTIME);
        all.filter(|number| !is_left(number)).map(listen).collect::<Result<_, _>>().map(Self)
    }

    /// Waits for one; answers 128 and its number.
    pub(crate) async fn next(&mut self) -> u8 {
        poll_fn(|cx| {
            let came =
                self.0.iter_mut().find_map(|(status, signal)| signal.poll_recv(cx).is_ready().then_some(*status));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Does what blocks for as long as somebody else likes, such as writing to who may not read. If a signal comes first,
/// answers the status that it gives, and waits for the rest no more.
pub(crate) async fn unless_signalled(work: impl FnOnce() + Send + 'static) -> Option<u8> {
    let signals = EndingSignals::listen();
    let done = tokio::task::spawn_blocking(work);
    let signalled = async {
        match signals {
            Ok(mut signals) => signals.next().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = done => None,
        status = signalled => Some(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// signal(7) says what is left.
    #[tokio::test]
    async fn all_that_end_a_process() {
        let statuses: Vec<u8> = EndingSignals::all_but(0).unwrap().0.into_iter().map(|(status, _)| status).collect();
        let (uncaught, raised, libraries) = ([9, 19], [4, 5, 7, 8, 11, 31], [32, 33, 34]);
        let (harmless, no_error) = ([17, 18, 20, 21, 22, 23, 28], [13]);
        let left = [&uncaught[..], &raised, &libraries, &harmless, &no_error].concat();
        for number in (1..=64).filter(|number| !left.contains(number)) {
            assert!(statuses.contains(&(128 + number)), "{number}");
        }
        assert_eq!(statuses.len() + left.len(), 64);
        let (hangup, interrupt) = (1, 2);
        let without = EndingSignals::all_but(1 << (hangup - 1) | 1 << (interrupt - 1)).unwrap().0;
        assert!(without.len() == statuses.len() - 1 && without.iter().all(|(status, _)| *status != 128 + hangup));
    }
}
