//! A pod, and what there is of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use peapod_spec::pod::PodSpec;

use super::delivery::Delivery;
use super::input::{Request, Ticket};
use super::outbox::Mark;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::layout::Layout;
use crate::listed::Share;
use crate::namespaces::PodNamespaces;
use crate::record::{PodCgroup, PodPhase, PodRecord};
use crate::shim::Foreign;

/// What never changes about a pod.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: PodId,
    pub(crate) spec: Arc<PodSpec>,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    /// The boot in which its processes live.
    pub(crate) boot_id: String,
    /// Where its shim listens.
    pub(crate) socket: PathBuf,
    pub(crate) cgroup: PodCgroup,
    pub(crate) layout: Arc<Layout>,
}

/// A pod, without its containers.
#[derive(Debug)]
pub(crate) struct Pod<S> {
    pub(crate) identity: Arc<Identity>,
    pub(crate) life: Life<S>,
    pub(crate) network: Attachment,
    /// The last of the shim's events that is recorded, or on its way there.
    pub(crate) last_event: u64,
    pub(crate) run: Delivery,
    /// Set while the pod is to be stopped, with who waits for that.
    pub(crate) stop: Option<Vec<Ticket>>,
    /// Set while the pod is to be removed, with who waits for that.
    pub(crate) removal: Option<Vec<Ticket>>,
    /// Of the last change of its life.
    pub(crate) recorded: Mark,
    /// Containers whose records can't be read.
    pub(crate) strays: Vec<ContainerId>,
    /// What it takes in lists.
    pub(crate) _listed: Share,
}

/// What a pod has of its network.
#[derive(Debug, Default)]
pub(crate) struct Attachment {
    /// There is, or may be, something that must be given back.
    pub(crate) attached: bool,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) netns: Option<PathBuf>,
}

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
    Due(Mark),
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

/// Whether requests are looked at.
#[derive(Debug)]
pub(crate) enum Admission {
    Open,
    /// They wait until the pod is recovered, and what was found is on disk.
    Deferred {
        requests: Vec<(Ticket, Request)>,
        until: Option<Mark>,
    },
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
}

impl<S> Pod<S> {
    pub(crate) fn id(&self) -> &PodId {
        &self.identity.id
    }

    /// Containers can be made and started in it.
    pub(crate) fn is_ready(&self) -> bool {
        self.stop.is_none() && self.removal.is_none() && self.life.up().is_some_and(|up| up.sandbox == Sandbox::Ready)
    }

    /// Whatever is started in it now is to be ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.stop.is_some() || self.life.up().is_none_or(|up| up.sandbox != Sandbox::Ready)
    }

    /// What it is when it is not ready.
    pub(crate) fn describe(&self) -> String {
        match &self.life {
            Life::Foreign { foreign, .. } => format!("held by {foreign}"),
            Life::Up(Up { sandbox: Sandbox::Ready | Sandbox::Stopping, .. }) => "being stopped".to_owned(),
            Life::Intended | Life::SettingUp | Life::Failed(_) => "being made".to_owned(),
            Life::Stopped | Life::RemovingFiles | Life::Gone | Life::Over => "stopped".to_owned(),
            _ => "not ready".to_owned(),
        }
    }

    /// Why something can't be done that needs a ready pod.
    pub(crate) fn not_ready(&self, need: &'static str) -> Error {
        Error::Precondition { what: "pod sandbox", id: self.id().to_string(), state: self.describe(), need }
    }

    /// Its row, as long as it has one.
    pub(crate) fn record(&self) -> Option<PodRecord> {
        let Identity { created_at, boot_id, socket, cgroup, .. } = &*self.identity;
        Some(PodRecord {
            phase: self.life.phase()?,
            created_at: *created_at,
            boot_id: boot_id.clone(),
            socket: socket.clone(),
            shim_pid: self.life.shim_pid(),
            attached: self.network.attached,
            ips: self.network.ips.clone(),
            netns: self.network.netns.clone(),
            last_event: self.last_event,
            cgroup: cgroup.clone(),
        })
    }

    /// Clients that left. What they asked for goes on.
    pub(crate) fn leave(&mut self, left: &[Ticket]) {
        self.run.leave(left);
        for tickets in [&mut self.stop, &mut self.removal].into_iter().flatten() {
            tickets.retain(|ticket| !left.contains(ticket));
        }
    }
}
