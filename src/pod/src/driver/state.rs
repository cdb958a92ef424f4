//! What a driver knows about its pod.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use peapod_shim_protocol::extension::Namespaces;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use tokio::sync::watch;

use super::Waiter;
use super::answer::{Delivery, Stage};
use crate::container::ExecBase;
use crate::id::{ContainerId, PodId};
use crate::listed::{self, Listed, Share};
use crate::load::Loaded;
use crate::record::{self, PodPhase};
use crate::shim::{Foreign, Shim};

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) id: PodId,
    pub(crate) spec: Arc<PodSpec>,
    pub(crate) record: record::PodState,
    pub(crate) run: Delivery<PodId>,
    /// While it lives.
    pub(crate) shim: Option<Shim>,
    pub(crate) namespaces: Namespaces,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    /// Set once the pod is to be stopped.
    pub(crate) stopping: Option<Stopping>,
    /// Who waits for the pod to be gone; the pod is being removed when this is set.
    pub(crate) removing: Option<Vec<Waiter<()>>>,
    /// Requests that came before the pod was recovered.
    pub(crate) early: Vec<super::Request>,
    pub(crate) recovering: bool,
    /// To its shim, made before it is recovered.
    pub(crate) connection: Option<UnixStream>,
    /// Its shim, if this daemon can't drive it.
    pub(crate) foreign: Option<Foreign>,
    /// The node was restarted since the record was written.
    pub(crate) rebooted: bool,
    /// Containers whose records can't be read.
    pub(crate) strays: Vec<ContainerId>,
    /// A child task cleans up after a dead shim.
    pub(crate) cleaning_up: bool,
    /// What it takes in lists.
    _listed: Share,
    /// Containers whose making goes on, although the pod was stopped and they are forgotten.
    pub(crate) abandoned: usize,
}

/// How far a pod's stop is.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    pub(crate) waiters: Vec<Waiter<()>>,
    pub(crate) stage: StopStage,
}

/// One after the other; each begins when the one before is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StopStage {
    /// The shim kills everything.
    #[default]
    Killing,
    /// Exits are recorded and what containers held is given back.
    Draining,
    /// Network and shim are given back.
    Releasing,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) spec: Arc<ContainerSpec>,
    pub(crate) life: Life,
    pub(crate) create: Delivery<ContainerId>,
    pub(crate) start: Delivery<()>,
    pub(crate) stop_waiters: Vec<Waiter<()>>,
    /// Set once it is to be removed.
    pub(crate) removing: Option<Vec<Waiter<()>>>,
    /// A child task starts it; this tells it the deadline of a stop, which ends it.
    pub(crate) starting: Option<watch::Sender<Option<i64>>>,
    /// Changes of its limits: the first is being carried out.
    pub(crate) updates: VecDeque<(Box<Resources>, Waiter<()>)>,
    /// A child task gives back what it holds, or removes it.
    pub(crate) cleaning: bool,
    /// What it takes in lists.
    _listed: Share,
}

/// A container's record exists once it is made.
#[derive(Debug)]
pub(crate) enum Life {
    /// Nothing is recorded yet.
    Making,
    /// As recorded.
    Made(Box<Made>),
}

/// A container that exists.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) record: record::ContainerState,
    /// Its end was told before its start was.
    pub(crate) early_exit: Option<record::Ended>,
    /// It ended while no daemon was there, as its exit file says: that is shown until it is recorded.
    pub(crate) seen_exit: Option<record::Ended>,
    /// What commands in it begin with.
    pub(crate) exec: ExecBase,
}

impl Made {
    pub(crate) fn new(record: record::ContainerState) -> Self {
        Self { record, early_exit: None, seen_exit: None, exec: ExecBase::default() }
    }
}

impl Container {
    pub(crate) fn making(spec: ContainerSpec, listed: Share) -> Self {
        Self {
            spec: Arc::new(spec),
            life: Life::Making,
            create: Delivery::new(),
            start: Delivery::new(),
            stop_waiters: Vec::new(),
            removing: None,
            starting: None,
            updates: VecDeque::new(),
            cleaning: false,
            _listed: listed,
        }
    }

    fn recorded(spec: ContainerSpec, record: record::ContainerState, listed: &Listed) -> Self {
        // Nobody starts what he does not know of. What came of a start, its client may not have heard.
        let (create, start) = match record.phase {
            record::ContainerPhase::Created => (Stage::Open, Stage::Pending),
            _ => (Stage::BuiltOn, Stage::Open),
        };
        let share = listed.recorded(listed::of_container(&spec));
        Self {
            create: Delivery::at(create),
            start: Delivery::at(start),
            life: Life::Made(Box::new(Made::new(record))),
            ..Self::making(spec, share)
        }
    }

    pub(crate) fn made(&self) -> Option<&Made> {
        match &self.life {
            Life::Made(made) => Some(made),
            Life::Making => None,
        }
    }

    pub(crate) fn made_mut(&mut self) -> Option<&mut Made> {
        match &mut self.life {
            Life::Made(made) => Some(made),
            Life::Making => None,
        }
    }

    pub(crate) fn phase(&self) -> Option<&record::ContainerPhase> {
        self.made().map(|made| &made.record.phase)
    }
}

impl Pod {
    /// A pod of which nothing exists.
    pub(crate) fn new(id: PodId, spec: Arc<PodSpec>, record: record::PodState, listed: Share) -> Self {
        Self {
            id,
            spec,
            record,
            run: Delivery::new(),
            shim: None,
            namespaces: Namespaces::default(),
            containers: BTreeMap::new(),
            stopping: None,
            removing: None,
            early: Vec::new(),
            recovering: false,
            connection: None,
            foreign: None,
            rebooted: false,
            cleaning_up: false,
            _listed: listed,
            strays: Vec::new(),
            abandoned: 0,
        }
    }

    /// A pod of an earlier daemon.
    pub(crate) fn recorded(loaded: Loaded, listed: &Listed) -> Self {
        let containers = loaded.containers.into_iter();
        let containers: BTreeMap<_, _> =
            containers.map(|(id, spec, state)| (id, Container::recorded(spec, state, listed))).collect();
        // Whoever made containers in it knew it. Without any, it may never have been told.
        let run = Delivery::at(if containers.is_empty() { Stage::Open } else { Stage::BuiltOn });
        let (recovering, rebooted, strays) = (true, loaded.rebooted, loaded.strays);
        let share = listed.recorded(listed::of_pod(&loaded.spec));
        let made = Self::new(loaded.id, Arc::new(loaded.spec), loaded.state, share);
        Self { containers, run, recovering, rebooted, strays, ..made }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.record.phase == PodPhase::Ready
            && self.foreign.is_none()
            && self.stopping.is_none()
            && self.removing.is_none()
    }

    /// What it is when it is not ready.
    pub(crate) fn describe(&self) -> String {
        match &self.foreign {
            Some(foreign) => format!("held by {foreign}"),
            None if self.record.phase == PodPhase::Ready && !self.is_ready() => "being stopped".to_owned(),
            None => "not ready".to_owned(),
        }
    }
}
