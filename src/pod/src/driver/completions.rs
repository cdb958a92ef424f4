//! What follows from a child task's end.

use std::sync::Arc;

use peapod_sys::fail_point;

use super::answer;
use super::state::{Life, Made};
use super::{Done, Driver};
use crate::clock;
use crate::container::{Prepared, Started};
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::{ContainerPhase, Ended, PodPhase};
use crate::sandbox::SetUp;
use crate::shim::ShimError;

impl Driver {
    pub(super) fn complete(&mut self, done: Done) {
        match done {
            Done::SetUp(outcome) => self.set_up(outcome),
            Done::Recovered(outcome) => self.recovered(outcome),
            Done::TakenBack(outcome) => self.taken_back(outcome),
            Done::Created(id, outcome) => self.created(&id, *outcome),
            Done::Started(id, outcome) => self.started(&id, outcome),
            Done::StopSent(id, outcome) => self.stop_sent(&id, outcome),
            Done::Updated { id, merged, outcome } => self.updated(&id, *merged, outcome),
            Done::Cleaned(id, outcome) => self.cleaned(&id, &outcome),
            Done::Removed(id, outcome) => self.removed(&id, outcome),
            Done::Killed(outcome) => self.killed(outcome),
            Done::Released(outcome) => self.released(outcome),
            Done::FilesGone(outcome) => self.files_gone(outcome),
            Done::Events(outcome) => self.events(outcome),
            Done::WatchAgain => self.begin_watch(),
            Done::CleanedUp(outcome) => self.cleaned_up(outcome),
            Done::Committed(outcome) => self.committed(&outcome),
            Done::Retry => self.retry_commit(),
            Done::Nothing => {}
        }
    }

    fn set_up(&mut self, outcome: Result<SetUp, Error>) {
        let ready = match outcome {
            Ok(ready) => ready,
            Err(error) => return self.setup_failed(error),
        };
        self.pod.record.phase = PodPhase::Ready;
        self.take_over(ready);
        self.pod_changed();
        self.then(|driver, committed| match committed {
            Ok(()) => {
                fail_point("pod-ready");
                let id = driver.pod.id.clone();
                tracing::info!(ips = ?driver.pod.record.ips, "pod ready");
                driver.pod.run.deliver(&Ok(id));
                driver.begin_watch();
            }
            Err(error) => {
                // It exists but can't be recorded: nobody is told of it, so it goes again.
                driver.pod.run.deliver(&Err(error.clone()));
                driver.pod.removing = Some(Vec::new());
                driver.stop_requested(None);
            }
        });
    }

    /// From now on this driver speaks to the pod's shim.
    pub(super) fn take_over(&mut self, ready: SetUp) {
        self.shim.store(Some(Arc::new(ready.shim.clone())));
        self.pod.shim = Some(ready.shim);
        self.pod.namespaces = ready.namespaces;
        let record = &mut self.pod.record;
        record.shim_pid = ready.shim_pid;
        record.attached = ready.attached;
        record.ips = ready.ips;
        record.netns = ready.netns;
    }

    fn created(&mut self, id: &ContainerId, outcome: Result<Prepared, Error>) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return self.abandoned(id, outcome.is_ok()) };
        match outcome {
            Ok(prepared) => {
                entry.life = Life::Made(Box::new(Made::new(prepared.record)));
                self.container_changed(id);
                let id = id.clone();
                self.then(move |driver, committed| driver.create_committed(&id, committed));
            }
            Err(error) => {
                if let Some(mut entry) = self.pod.containers.remove(id) {
                    entry.create.deliver(&Err(error));
                }
                self.continue_stop();
            }
        }
    }

    fn create_committed(&mut self, id: &ContainerId, committed: &Result<(), Error>) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        match committed {
            Ok(()) => {
                fail_point("container-recorded");
                entry.create.deliver(&Ok(id.clone()));
            }
            Err(error) => {
                entry.create.deliver(&Err(error.clone()));
                self.remove_container_requested(id, None);
            }
        }
        self.continue_stop();
        self.continue_removal();
    }

    fn started(&mut self, id: &ContainerId, outcome: Result<Started, Error>) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        entry.starting = None;
        let Life::Made(made) = &mut entry.life else { return };
        let result = match outcome {
            Ok(started) => {
                if let Some(namespaces) = started.namespaces {
                    self.pod.namespaces = namespaces;
                }
                made.exec = started.exec;
                made.record.phase = match made.early_exit.take() {
                    Some(end) => ContainerPhase::Exited(end.since(started.at)),
                    None => ContainerPhase::Running { pid: started.pid, started_at: started.at },
                };
                Ok(())
            }
            Err(error) => {
                tracing::warn!(container = id.short(), %error, "container could not be started");
                made.record.phase = ContainerPhase::Exited(Ended {
                    started_at: 0,
                    finished_at: clock::now(),
                    code: 128,
                    reason: "StartError".to_owned(),
                    message: error.to_string(),
                });
                Err(error)
            }
        };
        let running = matches!(made.record.phase, ContainerPhase::Running { .. });
        let deadline = made.record.stop_deadline.take();
        entry.cleaning = !running;
        self.container_changed(id);
        let id = id.clone();
        let done = id.clone();
        self.then(move |driver, _| {
            fail_point("start-running");
            // Whether it could be recorded or not, the process runs: the answer says so.
            if let Some(entry) = driver.pod.containers.get_mut(&done) {
                entry.start.deliver(&result);
            }
            if !running {
                driver.container_ended(&done);
            }
        });
        if let (true, Some(deadline)) = (running, deadline) {
            self.stop_container_requested(&id, deadline, None);
        }
    }

    fn stop_sent(&mut self, id: &ContainerId, outcome: Result<(), ShimError>) {
        let Err(error) = outcome else { return };
        // A shim that is gone is noticed by the watch, which ends all waiting.
        if matches!(error, ShimError::Gone(_)) {
            return;
        }
        let result = Err(error.into_error("stop the container"));
        if let Some(entry) = self.pod.containers.get_mut(id) {
            // Another stop tries again.
            if let Some(made) = entry.made_mut() {
                made.record.stop_deadline = None;
            }
            answer::all(&mut entry.stop_waiters, &result);
            answer::all(&mut entry.removing.take().unwrap_or_default(), &result);
            self.container_changed(id);
        }
    }

    fn cleaned(&mut self, id: &ContainerId, outcome: &Result<(), ShimError>) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        entry.cleaning = false;
        if let Err(error) = outcome {
            tracing::warn!(container = id.short(), %error, "an ended container could not be cleaned up; its removal tries again");
        }
        if let Some(made) = entry.made_mut() {
            // With an error the removal, which calls the shim again, is what gives it back.
            made.record.held = outcome.is_err() && self.pod.shim.is_some();
        }
        self.container_changed(id);
        fail_point("exit-cleaned");
        self.continue_container_removal(id);
        match outcome {
            // The pod's stop can't be through without it.
            Err(error) if self.is_draining() && self.pod.shim.is_some() => {
                self.stop_failed(&error.clone().into_error("clean up an ended container"));
            }
            _ => self.continue_stop(),
        }
    }

    fn removed(&mut self, id: &ContainerId, outcome: Result<(), Error>) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        entry.cleaning = false;
        let mut waiters = entry.removing.take().unwrap_or_default();
        if let Err(error) = outcome {
            tracing::warn!(container = id.short(), %error, "container could not be removed");
            let result = Err(error);
            answer::all(&mut waiters, &result);
            if let (true, Err(error)) = (self.is_draining(), &result) {
                return self.stop_failed(error);
            }
            answer::all(&mut self.pod.removing.take().unwrap_or_default(), &result);
            return;
        }
        self.refuse_updates(id, &Error::no_container(id.as_str()));
        self.pod.containers.remove(id);
        self.container_gone(id);
        self.then(move |driver, committed| {
            fail_point("container-gone");
            answer::all(&mut waiters, committed);
            driver.continue_stop();
            driver.continue_removal();
        });
    }
}
