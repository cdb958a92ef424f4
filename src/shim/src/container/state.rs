//! How far a container is: one value, whose transitions are here and know neither processes nor clocks. Who waits for
//! one watches it.

use std::os::fd::OwnedFd;

use peapod_shim_protocol::exit::Exit;

/// A container's state.
#[derive(Debug, Default)]
pub(crate) struct OciContainerState {
    phase: Phase,
    /// Its first process has ended, and what follows of that is under way.
    ending: bool,
    stop: RequestedStop,
    /// The end that keeps the container's input from ending.
    stdin: Option<OwnedFd>,
}

/// How far it is. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Created,
    /// The runtime runs `start`.
    Starting {
        started_at: i64,
    },
    Running {
        started_at: i64,
    },
    Paused {
        started_at: i64,
    },
    /// `start` failed: its end is nobody's news.
    StartFailed {
        started_at: i64,
    },
    /// None of its processes is left. What it has of the node may be.
    Exited {
        exit: Exit,
        cleanup: Cleanup,
    },
}

/// Whether what an ended container has of the node was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleanup {
    Pending,
    Running,
    Done,
}

/// What was asked for of a container's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RequestedStop {
    /// The stop signal was sent.
    signalled: bool,
    /// When to KILL, by `CLOCK_BOOTTIME`.
    deadline: Option<i64>,
}

/// What a request to stop leads to at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopStep {
    /// There is no program yet to be asked: what the runtime does for it is to end.
    Interrupt,
    /// The stop signal is to be sent.
    Signal,
    Nothing,
}

impl OciContainerState {
    pub(super) fn new(stdin: Option<OwnedFd>) -> Self {
        Self { stdin, ..Self::default() }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The first process has ended. Calls of the runtime were interrupted; none begins any more, which nothing would
    /// interrupt, but what cleans up.
    pub(super) fn begin_end(&mut self) {
        self.ending = true;
    }

    /// Whether it has ended, or will have as soon as nothing of it is left.
    pub(super) fn is_ending(&self) -> bool {
        self.ending || matches!(self.phase, Phase::StartFailed { .. } | Phase::Exited { .. })
    }

    /// For messages.
    pub(super) fn name(&self) -> &'static str {
        match self.phase {
            phase @ (Phase::StartFailed { .. } | Phase::Exited { .. }) => phase.name(),
            _ if self.ending => "ending",
            phase => phase.name(),
        }
    }

    /// The moment of the KILL, by `CLOCK_BOOTTIME`.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.stop.deadline
    }

    /// The end that keeps its input open.
    pub(super) fn stdin(&self) -> Option<&OwnedFd> {
        self.stdin.as_ref()
    }

    /// Takes the end that keeps its input open.
    pub(super) fn take_stdin(&mut self) -> Option<OwnedFd> {
        self.stdin.take()
    }

    /// Begins a start. An error is the phase that it is in.
    pub(super) fn begin_start(&mut self, now: i64) -> Result<(), Phase> {
        if self.ending {
            return Err(self.phase);
        }
        self.step(Phase::Created, Phase::Starting { started_at: now })
    }

    /// The start has ended.
    pub(super) fn end_start(&mut self, succeeded: bool) {
        if let Phase::Starting { started_at } = self.phase {
            self.phase = if succeeded { Phase::Running { started_at } } else { Phase::StartFailed { started_at } };
        }
    }

    /// What pausing leads from and to. An error is the phase that it is in.
    pub(super) fn pausing(&self) -> Result<(Phase, Phase), Phase> {
        match self.phase {
            Phase::Running { started_at } => Ok((self.phase, Phase::Paused { started_at })),
            other => Err(other),
        }
    }

    /// The same for resuming.
    pub(super) fn resuming(&self) -> Result<(Phase, Phase), Phase> {
        match self.phase {
            Phase::Paused { started_at } => Ok((self.phase, Phase::Running { started_at })),
            other => Err(other),
        }
    }

    /// Goes from one phase to another, unless it has left the first meanwhile.
    pub(super) fn step(&mut self, from: Phase, to: Phase) -> Result<(), Phase> {
        if self.phase == from {
            self.phase = to;
            return Ok(());
        }
        Err(self.phase)
    }

    /// Sets the moment of the KILL, or brings it forward; tells what else is to be done `now`.
    pub(super) fn request_stop(&mut self, deadline: i64, now: i64) -> StopStep {
        if matches!(self.phase, Phase::Exited { .. }) {
            return StopStep::Nothing;
        }
        self.stop.deadline = Some(self.stop.deadline.map_or(deadline, |before| before.min(deadline)));
        if matches!(self.phase, Phase::Created | Phase::Starting { .. }) {
            return StopStep::Interrupt;
        }
        let first = !std::mem::replace(&mut self.stop.signalled, true);
        // With no grace at all the KILL comes alone: what ends by the stop signal first would look as if it had been
        // asked.
        if first && deadline > now { StopStep::Signal } else { StopStep::Nothing }
    }

    /// All of its processes are gone.
    pub(super) fn exited(&mut self, exit: Exit) {
        self.stdin = None;
        self.phase = Phase::Exited { exit, cleanup: Cleanup::Pending };
    }

    /// How far the clean-up is; one that has yet to begin is the caller's from now on. `None` before the exit.
    pub(super) fn claim_cleanup(&mut self) -> Option<Cleanup> {
        let Phase::Exited { cleanup, .. } = &mut self.phase else { return None };
        let was = *cleanup;
        if was == Cleanup::Pending {
            *cleanup = Cleanup::Running;
        }
        Some(was)
    }

    /// The clean-up has ended. One that failed can be tried again.
    pub(super) fn end_cleanup(&mut self, succeeded: bool) {
        if let Phase::Exited { cleanup, .. } = &mut self.phase {
            *cleanup = if succeeded { Cleanup::Done } else { Cleanup::Pending };
        }
    }
}

impl Phase {
    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::StartFailed { .. } => "failing",
            Self::Exited { .. } => "exited",
        }
    }

    /// When its start began; 0: never.
    pub(crate) fn started_at(self) -> i64 {
        match self {
            Self::Created => 0,
            Self::Starting { started_at }
            | Self::Running { started_at }
            | Self::Paused { started_at }
            | Self::StartFailed { started_at } => started_at,
            Self::Exited { exit, .. } => exit.started_at,
        }
    }

    pub(crate) fn exit(self) -> Option<Exit> {
        match self {
            Self::Exited { exit, .. } => Some(exit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: Exit = Exit { code: 1, signal: None, oom: false, started_at: 5, finished_at: 6 };

    fn running() -> OciContainerState {
        let mut state = OciContainerState::default();
        state.begin_start(5).unwrap();
        state.end_start(true);
        state
    }

    #[test]
    fn starts_once() {
        let mut state = OciContainerState::default();
        assert_eq!(state.phase().started_at(), 0);
        state.begin_start(5).unwrap();
        assert_eq!(state.begin_start(6), Err(Phase::Starting { started_at: 5 }));
        state.end_start(true);
        assert_eq!(state.phase(), Phase::Running { started_at: 5 });
        // Nothing that comes late changes it any more.
        state.end_start(false);
        assert_eq!(state.phase(), Phase::Running { started_at: 5 });
        let mut failed = OciContainerState::default();
        failed.begin_start(7).unwrap();
        failed.end_start(false);
        assert_eq!(failed.phase(), Phase::StartFailed { started_at: 7 });
    }

    #[test]
    fn no_start_begins_after_the_end() {
        let mut state = OciContainerState::default();
        assert!(!state.is_ending());
        state.begin_end();
        assert_eq!(state.begin_start(5), Err(Phase::Created));
        assert_eq!((state.is_ending(), state.name()), (true, "ending"));
        state.exited(EXIT);
        assert_eq!((state.is_ending(), state.name()), (true, "exited"));
    }

    #[test]
    fn pauses_only_what_runs() {
        let mut state = running();
        assert!(state.resuming().is_err());
        let (from, to) = state.pausing().unwrap();
        state.exited(EXIT);
        // It has ended meanwhile.
        assert!(state.step(from, to).is_err());
        assert_eq!(state.phase().exit(), Some(EXIT));
        let mut state = running();
        let (from, to) = state.pausing().unwrap();
        state.step(from, to).unwrap();
        assert_eq!(state.resuming(), Ok((to, from)));
    }

    #[test]
    fn a_deadline_only_comes_nearer() {
        let mut state = running();
        assert_eq!(state.request_stop(1000, 10), StopStep::Signal);
        assert_eq!(state.request_stop(2000, 10), StopStep::Nothing);
        assert_eq!(state.deadline(), Some(1000));
        assert_eq!(state.request_stop(500, 10), StopStep::Nothing);
        assert_eq!(state.deadline(), Some(500));
        // Without grace the signal is not sent.
        assert_eq!(running().request_stop(10, 10), StopStep::Nothing);
    }

    #[test]
    fn before_there_is_a_program_the_runtime_is_interrupted() {
        let mut state = OciContainerState::default();
        assert_eq!(state.request_stop(1000, 10), StopStep::Interrupt);
        state.begin_start(11).unwrap();
        assert_eq!(state.request_stop(1000, 12), StopStep::Interrupt);
        state.end_start(true);
        // Whoever wants the signal sent asks again.
        assert_eq!(state.request_stop(1000, 13), StopStep::Signal);
        state.exited(EXIT);
        assert_eq!(state.request_stop(1, 14), StopStep::Nothing);
        assert_eq!(state.deadline(), Some(1000));
    }

    #[test]
    fn one_cleans_up_and_a_failure_may_be_repeated() {
        let mut state = running();
        assert_eq!(state.claim_cleanup(), None);
        state.exited(EXIT);
        assert_eq!(state.claim_cleanup(), Some(Cleanup::Pending));
        assert_eq!(state.claim_cleanup(), Some(Cleanup::Running));
        state.end_cleanup(false);
        assert_eq!(state.claim_cleanup(), Some(Cleanup::Pending));
        state.end_cleanup(true);
        assert_eq!(state.claim_cleanup(), Some(Cleanup::Done));
        assert_eq!(state.phase().exit(), Some(EXIT));
    }
}
