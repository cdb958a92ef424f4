//! A pod, without its containers.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use peapod_spec::pod::PodSpec;
use peapod_trace::SpanSubject;

use super::delivery::Delivery;
use super::input::Ticket;
use super::life::{Life, Sandbox};
use super::outbox::CommitNumber;
use super::pod_updates::PodUpdates;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::layout::Layout;
use crate::listed::Share;
use crate::record::{PodCgroup, PodRecord};
use crate::selinux::CategoryLease;

/// What never changes about a pod.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: PodId,
    /// As it was asked for, or as an earlier daemon recorded it last.
    pub(crate) spec: Arc<PodSpec>,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    /// The boot in which its processes live.
    pub(crate) boot_id: String,
    /// Where its shim listens.
    pub(crate) socket: PathBuf,
    pub(crate) cgroup: PodCgroup,
    /// Of SELinux.
    pub(crate) categories: Option<CategoryLease>,
    pub(crate) layout: Arc<Layout>,
}

impl Identity {
    /// As spans of the pod's jobs name it.
    pub(crate) fn subject(&self) -> SpanSubject {
        let (mut subject, metadata) = (SpanSubject::default(), &self.spec.metadata);
        subject.set_namespace(&metadata.namespace);
        subject.set_pod_name(&metadata.name);
        subject.set_pod_uid(&metadata.uid);
        subject.set_pod_id(self.id.as_str());
        subject
    }
}

/// A pod, without its containers.
#[derive(Debug)]
pub(crate) struct Pod<S> {
    pub(crate) identity: Arc<Identity>,
    /// As it was asked for, with what was told since of its cgroup.
    pub(crate) spec: Arc<PodSpec>,
    pub(crate) life: Life<S>,
    pub(crate) network: PodNetwork,
    /// The last of the shim's events that is recorded, or on its way there.
    pub(crate) last_event: u64,
    pub(crate) run: Delivery,
    pub(crate) updates: PodUpdates,
    /// Set while the pod is to be stopped, with who waits for that.
    pub(crate) stop: Option<Vec<Ticket>>,
    /// Set while the pod is to be removed, with who waits for that.
    pub(crate) removal: Option<Vec<Ticket>>,
    /// Of the last change of its life.
    pub(crate) recorded: CommitNumber,
    /// Containers whose records can't be read.
    pub(crate) strays: Vec<ContainerId>,
    /// What it takes in lists.
    pub(crate) _listed: Share,
}

/// What a pod has of its network.
#[derive(Debug, Default)]
pub(crate) struct PodNetwork {
    /// There is, or may be, something that must be given back.
    pub(crate) attached: bool,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) netns: Option<PathBuf>,
}

impl<S> Pod<S> {
    pub(crate) fn id(&self) -> &PodId {
        &self.identity.id
    }

    /// Containers can be made and started in it.
    pub(crate) fn is_ready(&self) -> bool {
        self.stop.is_none() && self.removal.is_none() && self.life.up().is_some_and(|up| up.sandbox == Sandbox::Ready)
    }

    /// Why something can't be done that needs a ready pod.
    pub(crate) fn not_ready(&self, need: &'static str) -> Error {
        Error::Precondition { what: "pod sandbox", id: self.id().to_string(), state: self.life.describe(), need }
    }

    /// Why nothing can be done to one container, if the pod's shim is another peapod's.
    pub(crate) fn undriven(&self) -> Option<Error> {
        let is_undriven = matches!(self.life, Life::Foreign { .. }) && self.stop.is_none() && self.removal.is_none();
        is_undriven.then(|| self.not_ready("its containers can only be stopped together: stop the sandbox"))
    }

    /// Its row, as long as it has one.
    pub(crate) fn record(&self) -> Option<PodRecord> {
        let Identity { created_at, boot_id, socket, cgroup, categories, .. } = &*self.identity;
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
            categories: categories.as_ref().map(|lease| lease.pair),
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
