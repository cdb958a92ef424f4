//! What can go on: the one place that decides what comes next, from what is and what is wanted.

use super::Machine;
use super::action::{Action, Job};
use super::container::Body;
use super::input::Reply;
use super::life::{Admission, CleanUp, Kill, Life, Sandbox, Up, Watch};
use crate::error::Error;

impl<S: Clone> Machine<S> {
    /// Goes on with everything until nothing more can.
    pub(super) fn advance(&mut self) {
        while self.advance_pod() || self.advance_containers() || self.admit_deferred() {}
    }

    /// One step of the pod. False when nothing can go on.
    fn advance_pod(&mut self) -> bool {
        let recorded = self.fx.outbox.is_over(self.pod.recorded);
        match &self.pod.life {
            Life::Intended if recorded => {
                self.fx.reached("pod-intent");
                self.fx.run(Job::SetUp);
                self.pod.life = Life::SettingUp;
                true
            }
            Life::Failed(_) if recorded => self.set_up_is_over(),
            // Whatever became of it meanwhile: it exists.
            life if recorded && self.pod.run.is_due() && life.is_made() => {
                self.fx.reached("pod-ready");
                tracing::info!(ips = ?self.pod.network.ips, "pod ready");
                self.fx.answer_all(self.pod.run.succeed(), &Ok(Reply::Done));
                true
            }
            Life::Stopped if recorded && self.pod.stop.is_some() => {
                self.fx.reached("pod-stopped");
                self.fx.answer_all(self.pod.stop.take().unwrap_or_default(), &Ok(Reply::Done));
                tracing::info!("pod stopped");
                true
            }
            Life::Stopped if self.pod.removal.is_some() && self.pod.stop.is_none() => self.advance_removal(),
            Life::Gone if recorded => {
                self.fx.reached("pod-gone");
                self.fx.answer_all(self.pod.removal.take().unwrap_or_default(), &Ok(Reply::Done));
                self.end();
                true
            }
            _ if self.pod.removal.is_some() && self.pod.stop.is_none() && self.pod.life.can_stop() => {
                self.want_stop();
                true
            }
            Life::Up(_) => self.advance_up() || self.advance_stop(),
            Life::Lost(_) => self.advance_lost() || self.advance_stop(),
            Life::Foreign { .. } if self.pod.stop.is_some() => {
                self.pod.life = Life::Lost(if self.is_quiet() { CleanUp::Done } else { CleanUp::Due });
                self.life_changed();
                true
            }
            _ => false,
        }
    }

    /// Nothing of the pod is left: who waits for anything hears so.
    fn set_up_is_over(&mut self) -> bool {
        let Life::Failed(error) = std::mem::replace(&mut self.pod.life, Life::Over) else { return false };
        self.fx.answer_all(self.pod.run.fail(), &Err(error));
        let gone = Err(Error::no_pod(self.pod.id().as_str()));
        for tickets in [self.pod.stop.take(), self.pod.removal.take()].into_iter().flatten() {
            self.fx.answer_all(tickets, &gone);
        }
        self.end();
        true
    }

    fn advance_up(&mut self) -> bool {
        let Life::Up(Up { shim, sandbox, watch, .. }) = &mut self.pod.life else { return false };
        if let Watch::Due(mark) = *watch
            && self.fx.outbox.is_over(mark)
        {
            self.fx.run(Job::Watch { shim: shim.clone(), after: self.pod.last_event });
            *watch = Watch::Running;
            for id in std::mem::take(&mut self.pod.strays) {
                self.fx.run(Job::EndStray { shim: shim.clone(), id });
            }
            return true;
        }
        *sandbox = match *sandbox {
            Sandbox::Ready if self.pod.stop.is_some() => Sandbox::Stopping,
            Sandbox::Broken(Kill::Due) => Sandbox::Broken(Kill::Running),
            _ => return false,
        };
        self.fx.run(Job::Kill { shim: shim.clone() });
        true
    }

    fn advance_lost(&mut self) -> bool {
        // No job may still be doing something to a container that is cleaned up; the shim's end ends them all.
        let busy = self.containers.values().any(super::Container::needs_shim);
        if !matches!(self.pod.life, Life::Lost(CleanUp::Due)) || busy {
            return false;
        }
        let live = self.containers.iter().filter(|(_, container)| container.is_live()).map(|(id, _)| id.clone());
        let made = self.containers.values().filter_map(super::Container::made);
        let cgroups = made.filter(|made| made.record.needs_cleanup).map(|made| made.record.cgroup.clone());
        self.fx.run(Job::CleanUp { live: live.collect(), cgroups: cgroups.collect() });
        self.pod.life = Life::Lost(CleanUp::Running);
        true
    }

    /// Everything is killed: when nothing of a container is in the air any more, and all of it is on disk, shim and
    /// network are given back. The shim keeps its events until they are recorded, so it ends only then.
    fn advance_stop(&mut self) -> bool {
        if self.pod.stop.is_none() || !self.pod.life.is_drained() {
            return false;
        }
        if self.abandon_creates() {
            return true;
        }
        if !self.is_quiet() || !self.fx.outbox.is_idle() {
            return false;
        }
        let shim = match std::mem::replace(&mut self.pod.life, Life::Releasing) {
            Life::Up(up) => Some(up.shim),
            _ => None,
        };
        self.fx.push(Action::Expose(None));
        self.fx.run(Job::Release { shim, attached: self.pod.network.attached });
        true
    }

    /// Containers that are still being made are no part of the pod any more: whatever their making waits for, it holds
    /// up no stop.
    fn abandon_creates(&mut self) -> bool {
        let making = self.containers.iter().find(|(_, container)| matches!(container.body, Body::Making));
        let Some(id) = making.map(|(id, _)| id.clone()) else { return false };
        if let Some(mut container) = self.containers.remove(&id) {
            let (what, pod) = ("pod sandbox", self.pod.id().to_string());
            self.fx.answer_all(container.create.fail(), &Err(Error::Overridden { what, id: pod }));
            self.fx.answer_all(container.removal.unwrap_or_default(), &Ok(Reply::Done));
            self.abandoned.insert(id);
        }
        true
    }

    /// Containers, then files, then the record.
    fn advance_removal(&mut self) -> bool {
        if self.containers.is_empty() {
            self.fx.run(Job::RemoveFiles);
            self.pod.life = Life::RemovingFiles;
            return true;
        }
        let mut began = false;
        for container in self.containers.values_mut().filter(|container| container.removal.is_none()) {
            container.removal = Some(Vec::new());
            began = true;
        }
        began
    }

    /// From here on the pod is like any other.
    fn admit_deferred(&mut self) -> bool {
        let Admission::Deferred { requests, until: Some(until) } = &mut self.admission else { return false };
        if !self.fx.outbox.is_over(*until) {
            return false;
        }
        let requests = std::mem::take(requests);
        self.admission = Admission::Open;
        self.fx.push(Action::Recovered);
        for (ticket, request) in requests {
            self.request(ticket, request);
        }
        true
    }
}
