//! Requests for containers: which are taken, joined or refused, by the container's phase alone.

use std::sync::Arc;

use peapod_spec::container::ContainerSpec;
use peapod_spec::excerpt;
use peapod_sys::fail_point;
use tokio::sync::watch;

use super::answer::{self, Delivery, Stage};
use super::state::{Container, Life, Pod};
use super::{Done, Driver, Waiter};
use crate::clock;
use crate::container::{self, ContainerContext};
use crate::disk;
use crate::error::Error;
use crate::id::ContainerId;
use crate::listed::{self, Share};
use crate::record::{ContainerPhase, Ended, PodPhase};

/// Nothing of it is being done, and no process of it lives.
pub(super) fn is_quiet(container: &Container) -> bool {
    match &container.life {
        Life::Making => false,
        Life::Made(made) => match &made.record.phase {
            ContainerPhase::Created => !container.cleaning,
            ContainerPhase::Exited(_) => !container.cleaning && !made.record.held,
            ContainerPhase::Starting | ContainerPhase::Running { .. } => false,
        },
    }
}

/// The end of a container that was stopped before it was started.
fn never_started() -> Ended {
    Ended {
        started_at: 0,
        finished_at: clock::now(),
        code: 137,
        reason: "Error".to_owned(),
        message: "stopped before it was started".to_owned(),
    }
}

fn describe(phase: &ContainerPhase) -> String {
    match phase {
        ContainerPhase::Created => "created".to_owned(),
        ContainerPhase::Starting => "starting".to_owned(),
        ContainerPhase::Running { .. } => "running".to_owned(),
        // A client that did not hear why its start failed hears it now.
        ContainerPhase::Exited(end) if !end.message.is_empty() => format!("exited ({}: {})", end.reason, end.message),
        ContainerPhase::Exited(_) => "exited".to_owned(),
    }
}

impl Pod {
    /// Why nothing can be done to one container of a pod whose shim is another peapod's.
    fn undriven(&self) -> Error {
        let need = "its containers can only be stopped together: stop the sandbox";
        Error::Precondition { what: "pod sandbox", id: self.id.to_string(), state: self.describe(), need }
    }
}

pub(super) fn precondition(id: &ContainerId, phase: &ContainerPhase, need: &'static str) -> Error {
    Error::Precondition { what: "container", id: id.to_string(), state: describe(phase), need }
}

impl Driver {
    pub(super) fn create_requested(&mut self, spec: ContainerSpec, answer: Waiter<ContainerId>) {
        let name = &spec.metadata;
        if let Some((id, known)) = self.pod.containers.iter_mut().find(|(_, known)| known.spec.metadata == *name) {
            // A container on its way out does not hand its result to anyone.
            let same = *known.spec == spec && known.removing.is_none();
            match (&known.life, known.create.stage()) {
                (_, Stage::Pending) if same => known.create.join(answer),
                (_, Stage::Open) if same => answer::one(answer, Ok(id.clone())),
                (Life::Making, _) => {
                    answer::one(answer, Err(Error::Busy { what: "container", name: excerpt(&name.name) }));
                }
                (Life::Made(_), _) => {
                    let name = format!("{} (attempt {})", excerpt(&name.name), name.attempt);
                    let id = id.to_string();
                    answer::one(answer, Err(Error::AlreadyExists { what: "container", name, id }));
                }
            }
            return;
        }
        if !self.pod.is_ready() {
            let state = self.pod.describe();
            let id = self.pod.id.to_string();
            let need = "a container can only be made in a ready one: run another sandbox";
            answer::one(answer, Err(Error::Precondition { what: "pod sandbox", id, state, need }));
            return;
        }
        if let Err(error) = disk::has_room(&self.node) {
            return answer::one(answer, Err(error));
        }
        let name = format!("container {}", spec.metadata.name);
        let share = match self.node.listed.reserve(&name, listed::of_container(&spec), &self.node.snapshot.load()) {
            Ok(share) => share,
            Err(error) => return answer::one(answer, Err(error)),
        };
        match ContainerId::random() {
            Ok(id) => self.begin_create(id, spec, share, answer),
            Err(error) => answer::one(answer, Err(Error::failed("make an id", &error))),
        }
    }

    fn begin_create(&mut self, id: ContainerId, spec: ContainerSpec, listed: Share, answer: Waiter<ContainerId>) {
        let mut entry = Container::making(spec, listed);
        entry.create.join(answer);
        let (context, spec) = (self.container_context(), Arc::clone(&entry.spec));
        self.pod.containers.insert(id.clone(), entry);
        self.tasks.spawn(async move {
            let outcome = container::create(&context, &id, &spec).await;
            Done::Created(id, Box::new(outcome))
        });
    }

    fn container_context(&self) -> ContainerContext {
        ContainerContext {
            node: Arc::clone(&self.node),
            pod_id: self.pod.id.clone(),
            pod: Arc::clone(&self.pod.spec),
            cgroup: self.pod.record.cgroup.clone(),
            namespaces: self.pod.namespaces.clone(),
        }
    }

    pub(super) fn start_requested(&mut self, id: &ContainerId, answer: Waiter<()>) {
        let Some(entry) = self.pod.containers.get_mut(id) else {
            return answer::one(answer, Err(Error::no_container(id.as_str())));
        };
        let Some(phase) = entry.phase().cloned() else {
            return answer::one(answer, Err(Error::no_container(id.as_str())));
        };
        match phase {
            ContainerPhase::Created if entry.removing.is_none() && !entry.cleaning => {}
            ContainerPhase::Starting => return entry.start.join(answer),
            ContainerPhase::Running { .. } if entry.start.stage() == Stage::Pending => return entry.start.join(answer),
            ContainerPhase::Running { .. } if entry.start.stage() == Stage::Open => return answer::one(answer, Ok(())),
            phase => return answer::one(answer, Err(precondition(id, &phase, "only a created container can start"))),
        }
        // It stays created, and can be started once there is room.
        if let Err(error) = disk::has_room(&self.node) {
            return answer::one(answer, Err(error));
        }
        let Some(shim) = self.pod.shim.clone().filter(|_| self.pod.record.phase == PodPhase::Ready) else {
            let need = "its containers can't start any more: run another sandbox";
            let (what, state) = ("pod sandbox", self.pod.describe());
            return answer::one(answer, Err(Error::Precondition { what, id: self.pod.id.to_string(), state, need }));
        };
        let target = match self.target_pid(id) {
            Ok(target) => target,
            Err(error) => return answer::one(answer, Err(error)),
        };
        let context = self.container_context();
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        // Of an earlier try there is nothing to remember.
        entry.start = Delivery::new();
        entry.start.join(answer);
        let spec = Arc::clone(&entry.spec);
        let Some(made) = entry.made_mut() else { return };
        made.record.phase = ContainerPhase::Starting;
        made.record.held = true;
        let record = made.record.clone();
        let id = id.clone();
        self.container_changed(&id);
        // Before a record leads to it, nothing of it is made.
        self.then(move |driver, committed| match committed {
            Ok(()) => {
                fail_point("start-recorded");
                // A stop may have come meanwhile.
                let pods = driver.pod.stopping.as_ref().map(|_| clock::boottime());
                let Some(entry) = driver.pod.containers.get_mut(&id) else { return };
                let deadline = pods.or_else(|| entry.made()?.record.stop_deadline);
                let (starting, stop) = watch::channel(deadline);
                entry.starting = Some(starting);
                driver.tasks.spawn(async move {
                    let (context, id) = (&context, &id);
                    let input = container::StartInput { context, id, spec: &spec, record, target, stop };
                    let outcome = context.node.turns.take(container::start(&shim, input)).await;
                    Done::Started(id.clone(), outcome)
                });
            }
            Err(error) => {
                if let Some(entry) = driver.pod.containers.get_mut(&id) {
                    entry.start.deliver(&Err(error.clone()));
                }
                driver.not_started(&id);
            }
        });
    }

    /// A start came to nothing and left nothing: it can be asked for again.
    pub(super) fn not_started(&mut self, id: &ContainerId) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        answer::all(&mut entry.stop_waiters, &Ok(()));
        if let Some(made) = entry.made_mut() {
            made.record.phase = ContainerPhase::Created;
            made.record.held = false;
            made.record.stop_deadline = None;
        }
        self.container_changed(id);
        self.continue_container_removal(id);
        self.continue_stop();
    }

    pub(super) fn stop_container_requested(&mut self, id: &ContainerId, deadline: i64, waiter: Option<Waiter<()>>) {
        let shim = self.pod.shim.clone();
        let undriven = self.pod.foreign.is_some().then(|| self.pod.undriven());
        let Some(entry) = self.pod.containers.get_mut(id) else {
            if let Some(waiter) = waiter {
                answer::one(waiter, Err(Error::no_container(id.as_str())));
            }
            return;
        };
        let Life::Made(made) = &mut entry.life else { return };
        let running = match made.record.phase {
            // It will not start any more.
            ContainerPhase::Created if entry.removing.is_none() && !entry.cleaning => {
                made.record.phase = ContainerPhase::Exited(never_started());
                let id = id.clone();
                self.container_changed(&id);
                return self.then(|_, _| answer::all(&mut waiter.into_iter().collect(), &Ok(())));
            }
            ContainerPhase::Created | ContainerPhase::Exited(_) => {
                // Its end may be on its way to the disk: whoever is told can look at it.
                return self.then(|_, _| answer::all(&mut waiter.into_iter().collect(), &Ok(())));
            }
            // The start is ended, or its stop goes out as soon as it is through.
            ContainerPhase::Starting => false,
            ContainerPhase::Running { .. } => true,
        };
        if let (Some(error), None) = (undriven, &self.pod.stopping) {
            // The clean-up for a whole pod is what ends it.
            answer::all(&mut entry.removing.take().unwrap_or_default(), &Err(error.clone()));
            return answer::all(&mut waiter.into_iter().collect(), &Err(error));
        }
        if let Some(waiter) = waiter {
            answer::add(&mut entry.stop_waiters, waiter);
        }
        let shorter = made.record.stop_deadline.is_none_or(|known| deadline < known);
        if !shorter {
            return;
        }
        made.record.stop_deadline = Some(deadline);
        if let Some(starting) = &entry.starting {
            starting.send_replace(Some(deadline));
        }
        let signal = u32::try_from(made.record.stop_signal).unwrap_or(15);
        let id = id.clone();
        self.container_changed(&id);
        if let (true, Some(shim)) = (running, shim) {
            self.tasks.spawn(async move {
                fail_point("stop-asked");
                let outcome = shim.stop(id.as_str(), signal, deadline).await;
                fail_point("stop-sent");
                Done::StopSent(id, outcome)
            });
        }
    }

    pub(super) fn remove_container_requested(&mut self, id: &ContainerId, waiter: Option<Waiter<()>>) {
        let Some(entry) = self.pod.containers.get_mut(id) else {
            if let Some(waiter) = waiter {
                answer::one(waiter, Err(Error::no_container(id.as_str())));
            }
            return;
        };
        match &mut entry.removing {
            Some(waiters) => {
                if let Some(waiter) = waiter {
                    answer::add(waiters, waiter);
                }
            }
            None => entry.removing = Some(waiter.into_iter().collect()),
        }
        self.continue_container_removal(id);
    }

    /// Goes on with a container's removal as far as its phase allows.
    pub(super) fn continue_container_removal(&mut self, id: &ContainerId) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        if entry.removing.is_none() || entry.cleaning {
            return;
        }
        match entry.phase() {
            Some(ContainerPhase::Created | ContainerPhase::Exited(_)) => {
                entry.cleaning = true;
                let held = entry.made().is_some_and(|made| made.record.held);
                let (node, pod, shim) = (Arc::clone(&self.node), self.pod.id.clone(), self.pod.shim.clone());
                let id = id.clone();
                self.tasks.spawn(async move {
                    let outcome = node.turns.take(container::remove(&node, shim.filter(|_| held), &pod, &id)).await;
                    Done::Removed(id, outcome)
                });
            }
            Some(ContainerPhase::Starting | ContainerPhase::Running { .. }) => {
                self.stop_container_requested(id, clock::boottime(), None);
            }
            None => {}
        }
    }

    /// The process whose PID namespace a container asked to share, if it did.
    fn target_pid(&self, id: &ContainerId) -> Result<Option<u32>, Error> {
        let Some(entry) = self.pod.containers.get(id) else { return Ok(None) };
        let peapod_spec::pod::PidMode::Target(target) = &entry.spec.security.pid else { return Ok(None) };
        let invalid = |reason: String| Error::Invalid {
            field: "linux.security_context.namespace_options.target_id".to_owned(),
            reason,
        };
        let (_, other) = self
            .pod
            .containers
            .iter()
            .find(|(other, _)| other.as_str().starts_with(target.as_str()) && !target.is_empty())
            .ok_or_else(|| invalid(format!("container {} is not in this pod", excerpt(target))))?;
        match other.phase() {
            Some(ContainerPhase::Running { pid, .. }) => Ok(Some(*pid)),
            _ => {
                let name = excerpt(target);
                Err(invalid(format!("container {name} does not run: its PID namespace can't be shared")))
            }
        }
    }
}
