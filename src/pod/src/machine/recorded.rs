//! A pod that an earlier daemon left, or this one before a defect: from its record to its first steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use peapod_shim_protocol::exit::Exit;

use super::Machine;
use super::action::Job;
use super::admission::Admission;
use super::container::{Container, ended};
use super::containers::PodContainers;
use super::delivery::{Delivery, Stage};
use super::effects::Effects;
use super::life::{CleanUp, Life};
use super::outbox::CommitNumber;
use super::pod::{Identity, Pod, PodNetwork};
use super::pod_updates::PodUpdates;
use crate::container::Expected;
use crate::defaults::PodDefaults;
use crate::id::ContainerId;
use crate::listed::{self, Listed};
use crate::load::Loaded;
use crate::record::{ContainerPhase, Ended, PodPhase};

/// What can be seen of a recorded pod at once, for the first list.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Somebody listens where its shim should, or may.
    pub(crate) listening: bool,
    /// What exit files say of containers that are recorded as running.
    pub(crate) exits: Vec<(ContainerId, Exit)>,
}

impl<S: Clone> Machine<S> {
    /// A pod as it is recorded. Of another boot nothing runs any more.
    pub(crate) fn recorded(loaded: Loaded, seen: Seen, defaults: &PodDefaults, listed: &Listed) -> Self {
        let Loaded { id, spec, state, containers, strays, rebooted } = loaded;
        let Seen { listening, exits } = seen;
        let mut exits: BTreeMap<ContainerId, Exit> = exits.into_iter().collect();
        let (share, spec) = (listed.recorded(listed::of_pod(&spec)), Arc::new(spec));
        let containers: BTreeMap<_, _> = containers
            .into_iter()
            .map(|(id, spec, record)| {
                let seen = exits.remove(&id).zip(started_at(&record.phase));
                let seen = seen.map(|(exit, started_at)| ended(&exit).since(started_at));
                let share = listed.recorded(listed::of_container(&spec));
                (id, Container::recorded(spec, record, seen, share))
            })
            .collect();
        let life = match state.phase {
            PodPhase::Setup => Life::TakingBack,
            PodPhase::Stopped => Life::Stopped,
            PodPhase::Ready | PodPhase::Broken if rebooted => Life::Lost(CleanUp::Done),
            PodPhase::Ready | PodPhase::Broken => Life::Reconnecting {
                ready: listening && state.phase == PodPhase::Ready,
                shim_pid: if listening { state.shim_pid } else { 0 },
            },
        };
        let until = matches!(life, Life::Stopped).then(CommitNumber::default);
        let pod = Pod {
            spec: Arc::clone(&spec),
            identity: Arc::new(Identity {
                id,
                spec,
                created_at: state.created_at,
                boot_id: state.boot_id,
                socket: state.socket,
                cgroup: state.cgroup,
                categories: state.categories.map(|pair| defaults.categories.take(pair)),
                layout: Arc::clone(&defaults.layout),
            }),
            life,
            network: PodNetwork { attached: state.attached, ips: state.ips, netns: state.netns },
            last_event: state.last_event,
            // Whoever made containers in it knew it. Without any, it may never have been told.
            run: Delivery::at(if containers.is_empty() { Stage::Open } else { Stage::BuiltOn }),
            updates: PodUpdates::default(),
            stop: None,
            removal: None,
            recorded: CommitNumber::default(),
            strays,
            _listed: share,
        };
        let admission = Admission::Deferred { requests: Vec::new(), until };
        let containers = PodContainers { by_id: containers, ..PodContainers::default() };
        Self { pod, containers, admission, fx: Effects::new() }
    }

    /// Nothing of it was ever told to anyone.
    pub(crate) fn is_half_made(&self) -> bool {
        matches!(self.pod.life, Life::TakingBack)
    }

    pub(super) fn begin(&mut self) {
        match &self.pod.life {
            Life::Intended => self.pod.life_changed(&mut self.fx),
            Life::TakingBack => self.fx.run(Job::TakeBack),
            Life::Reconnecting { .. } => {
                let containers = self.containers.by_id.iter();
                let alive = containers
                    .filter_map(|(id, container)| Some((id.clone(), expected(&container.made()?.record.phase)?)));
                self.fx.run(Job::Reconnect(alive.collect()));
            }
            Life::Lost(_) => self.begin_after_reboot(),
            _ => {}
        }
    }

    /// Nothing of the pod runs: its end is recorded as it is shown, and its network is given back without being asked
    /// for.
    fn begin_after_reboot(&mut self) {
        self.pod.life_changed(&mut self.fx);
        for id in self.containers.by_id.keys() {
            self.fx.outbox.container(id);
        }
        self.admission.open_after(self.pod.recorded);
        self.pod.want_stop(!self.containers.made_are_quiet());
    }
}

fn started_at(phase: &ContainerPhase) -> Option<i64> {
    if let ContainerPhase::Running { started_at, .. } = phase { Some(*started_at) } else { None }
}

fn expected(phase: &ContainerPhase) -> Option<Expected> {
    match phase {
        ContainerPhase::Running { .. } => Some(Expected::Running),
        ContainerPhase::Starting => Some(Expected::Starting),
        ContainerPhase::Created | ContainerPhase::Exited(_) => None,
    }
}

impl Loaded {
    /// The same in this boot: nothing of another one runs any more.
    pub(crate) fn in_this_boot(mut self, boot_id: &str, now: i64) -> Self {
        if self.state.boot_id == boot_id {
            return self;
        }
        self.rebooted = true;
        boot_id.clone_into(&mut self.state.boot_id);
        for (_, _, container) in &mut self.containers {
            let started_at = match container.phase {
                ContainerPhase::Running { started_at, .. } => started_at,
                ContainerPhase::Starting => 0,
                ContainerPhase::Created | ContainerPhase::Exited(_) => continue,
            };
            container.phase = ContainerPhase::Exited(Ended {
                started_at,
                finished_at: now,
                code: 255,
                reason: "Unknown".to_owned(),
                message: "the node was restarted".to_owned(),
            });
            container.needs_cleanup = false;
        }
        self
    }
}
