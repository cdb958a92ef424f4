//! What there is of a pod: the states of its life.

use super::outbox::CommitNumber;
use crate::error::Error;
use crate::namespaces::PodNamespaces;
use crate::record::PodPhase;
use crate::shim::Foreign;

/// What there is of a pod. Whether it is to be stopped or removed is another matter.
#[derive(Debug)]
pub(crate) enum Life<S> {
    /// It is to be made once that is recorded.
    Intended,
    /// A job makes it.
    SettingUp,
    /// It could not be made, and nothing of it is left.
    Failed(Error),
    /// A job undoes it: an earlier daemon did not finish it.
    TakingBack,
    /// A job looks for its shim. Until then it counts as it was recorded.
    Reconnecting { ready: bool, shim_pid: u32 },
    /// Its shim lives and is driven.
    Up(Up<S>),
    /// It has a shim that this daemon can't drive.
    Foreign { foreign: Foreign, ready: bool, shim_pid: u32 },
    /// It has no shim any more.
    Lost(CleanUp),
    /// A job gives back shim and network.
    Releasing,
    /// Nothing of it is left but files.
    Stopped,
    /// A job removes these.
    RemovingFiles,
    /// Nothing is left but the record, which is to go.
    Gone,
    /// The end.
    Over,
}

/// A pod whose shim lives.
#[derive(Debug)]
pub(crate) struct Up<S> {
    pub(crate) shim: S,
    pub(crate) pid: u32,
    pub(crate) namespaces: PodNamespaces,
    pub(crate) sandbox: Sandbox,
    pub(crate) watch: Watch,
}

/// Whether containers can run in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    Ready,
    /// It is ready until the stop's kill succeeds.
    Stopping,
    /// It is not any more: what runs in it is killed.
    Broken(Kill),
}

/// The shim's killing of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    Due,
    Running,
    Done,
    /// A stop tries again.
    Failed,
}

/// The waiting for the shim's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Once what was told is on disk: then it is acknowledged.
    Due(CommitNumber),
    Running,
    /// The shim told none although it is there.
    Pausing,
}

/// The clean-up after a dead shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleanUp {
    Due,
    Running,
    Done,
    /// Whoever asks for a stop or a removal has it tried again.
    Failed,
}

impl<S> Up<S> {
    /// The pause is over after which a shim that told no events is asked again, once that is on disk.
    pub(crate) fn watch_again(&mut self, recorded: CommitNumber) {
        if self.watch == Watch::Pausing {
            self.watch = Watch::Due(recorded);
        }
    }

    /// Pod init is gone. The network stays until the pod is stopped. Answers whether this is news.
    pub(crate) fn init_exited(&mut self, code: u32) -> bool {
        self.sandbox = match self.sandbox {
            Sandbox::Ready => {
                tracing::warn!(code, "pod init ended: the pod is not ready any more");
                Sandbox::Broken(Kill::Due)
            }
            // This is wanted.
            Sandbox::Stopping => Sandbox::Broken(Kill::Running),
            Sandbox::Broken(_) => return false,
        };
        true
    }
}

impl<S> Life<S> {
    /// As it is recorded. None: the record goes.
    pub(crate) fn phase(&self) -> Option<PodPhase> {
        match self {
            Self::Intended | Self::SettingUp | Self::TakingBack => Some(PodPhase::Setup),
            Self::Reconnecting { ready: true, .. } | Self::Foreign { ready: true, .. } => Some(PodPhase::Ready),
            Self::Up(Up { sandbox: Sandbox::Ready | Sandbox::Stopping, .. }) => Some(PodPhase::Ready),
            Self::Reconnecting { .. } | Self::Foreign { .. } | Self::Up(_) => Some(PodPhase::Broken),
            Self::Lost(_) | Self::Releasing => Some(PodPhase::Broken),
            Self::Stopped | Self::RemovingFiles => Some(PodPhase::Stopped),
            Self::Failed(_) | Self::Gone | Self::Over => None,
        }
    }

    pub(crate) fn shim_pid(&self) -> u32 {
        match self {
            Self::Reconnecting { shim_pid, .. } | Self::Foreign { shim_pid, .. } => *shim_pid,
            Self::Up(up) => up.pid,
            _ => 0,
        }
    }

    pub(crate) fn up(&self) -> Option<&Up<S>> {
        if let Self::Up(up) = self { Some(up) } else { None }
    }

    pub(crate) fn up_mut(&mut self) -> Option<&mut Up<S>> {
        if let Self::Up(up) = self { Some(up) } else { None }
    }

    /// Everything in it was killed, or nothing lives in it.
    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Up(up) => up.sandbox == Sandbox::Broken(Kill::Done),
            Self::Lost(clean_up) => *clean_up == CleanUp::Done,
            _ => false,
        }
    }

    /// It was made.
    pub(crate) fn is_made(&self) -> bool {
        self.can_stop() || matches!(self, Self::Stopped | Self::RemovingFiles | Self::Gone)
    }

    /// It is there, and not yet stopped.
    pub(crate) fn can_stop(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Foreign { .. } | Self::Lost(_) | Self::Releasing)
    }

    /// What could not be cleaned up is tried again: somebody waits for it.
    pub(crate) fn retry_clean_up(&mut self) {
        if matches!(self, Self::Lost(CleanUp::Failed)) {
            *self = Self::Lost(CleanUp::Due);
        }
    }

    /// What it is when it is not ready.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Foreign { foreign, .. } => format!("held by {foreign}"),
            Self::Up(Up { sandbox: Sandbox::Ready | Sandbox::Stopping, .. }) => "being stopped".to_owned(),
            Self::Intended | Self::SettingUp | Self::Failed(_) => "being made".to_owned(),
            Self::Stopped | Self::RemovingFiles | Self::Gone | Self::Over => "stopped".to_owned(),
            _ => "not ready".to_owned(),
        }
    }
}
