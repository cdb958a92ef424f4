//! Requests for the pod itself, and the door for those about containers.

use std::sync::Arc;

use peapod_spec::excerpt;
use peapod_spec::pod::PodSpec;
use peapod_sys::fail_point;

use super::answer::{self, Stage};
use super::state::{StopStage, Stopping};
use super::{Done, Driver, Request, Waiter};
use crate::bounds::EARLY_REQUESTS;
use crate::error::Error;
use crate::id::PodId;
use crate::record::PodPhase;
use crate::sandbox;

impl Request {
    /// Whether nobody waits for the answer any more.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Run { answer, .. } => answer.is_closed(),
            Self::Create { answer, .. } => answer.is_closed(),
            Self::StopPod { answer }
            | Self::RemovePod { answer }
            | Self::Start { answer, .. }
            | Self::Stop { answer, .. }
            | Self::Remove { answer, .. }
            | Self::Update { answer, .. } => answer.is_closed(),
            Self::Close => false,
        }
    }

    fn refuse(self, error: &Error) {
        match self {
            Self::Run { answer, .. } => answer::one(answer, Err(error.clone())),
            Self::Create { answer, .. } => answer::one(answer, Err(error.clone())),
            Self::StopPod { answer }
            | Self::RemovePod { answer }
            | Self::Start { answer, .. }
            | Self::Stop { answer, .. }
            | Self::Remove { answer, .. }
            | Self::Update { answer, .. } => answer::one(answer, Err(error.clone())),
            Self::Close => {}
        }
    }
}

impl Driver {
    pub(super) fn request(&mut self, request: Request) {
        if self.pod.recovering && !matches!(request, Request::Close) {
            // An operation on a pod waits for that pod alone.
            return self.keep_for_later(request);
        }
        self.note_arrivals(&request);
        match request {
            Request::Run { spec, answer } => self.run_requested(&spec, answer),
            Request::StopPod { answer } => self.stop_requested(Some(answer)),
            Request::RemovePod { answer } => self.remove_requested(answer),
            Request::Create { spec, answer } => self.create_requested(*spec, answer),
            Request::Start { id, answer } => self.start_requested(&id, answer),
            Request::Stop { id, deadline, answer } => self.stop_container_requested(&id, deadline, Some(answer)),
            Request::Remove { id, answer } => self.remove_container_requested(&id, Some(answer)),
            Request::Update { id, change, answer } => self.update_requested(&id, change, answer),
            Request::Close => self.ended = true,
        }
    }

    /// Until the pod is recovered. Clients that left meanwhile ask again if they still want it.
    fn keep_for_later(&mut self, request: Request) {
        self.pod.early.retain(|request| !request.is_given_up());
        if self.pod.early.len() < EARLY_REQUESTS {
            return self.pod.early.push(request);
        }
        let reason = format!("{EARLY_REQUESTS} requests wait for it already: try again in a moment");
        request.refuse(&Error::Failed { step: "recover the pod".to_owned(), reason });
    }

    /// Notes whose results a request shows to have arrived.
    fn note_arrivals(&mut self, request: &Request) {
        match request {
            Request::Create { .. } => self.pod.run.build_on(),
            Request::Start { id, .. } => {
                if let Some(entry) = self.pod.containers.get_mut(id) {
                    entry.create.build_on();
                }
            }
            Request::Stop { id, .. } | Request::Remove { id, .. } | Request::Update { id, .. } => {
                if let Some(entry) = self.pod.containers.get_mut(id) {
                    entry.create.build_on();
                    entry.start.build_on();
                }
            }
            // A pod that is stopped or removed is given to nobody any more.
            Request::Run { .. } | Request::StopPod { .. } | Request::RemovePod { .. } | Request::Close => {}
        }
    }

    /// Begins to make the pod: first its intent is on disk.
    pub(super) fn begin_setup(&mut self) {
        self.pod_changed();
        self.then(|driver, committed| match committed {
            Ok(()) => {
                fail_point("pod-intent");
                let (node, id, spec) = (Arc::clone(&driver.node), driver.pod.id.clone(), Arc::clone(&driver.pod.spec));
                let (socket, stage) = (driver.pod.record.socket.clone(), driver.stage.clone());
                driver
                    .tasks
                    .spawn(async move { Done::SetUp(sandbox::set_up(&node, &id, &spec, &socket, &stage).await) });
            }
            Err(error) => driver.setup_failed(error.clone()),
        });
    }

    /// Makes sure that nothing of the pod is left, then answers.
    pub(super) fn setup_failed(&mut self, error: Error) {
        tracing::warn!(%error, "pod could not be made");
        self.pod_gone();
        self.then(move |driver, _| {
            driver.node.registry.forget(&driver.pod.id);
            driver.pod.run.deliver(&Err(error));
            driver.ended = true;
        });
    }

    fn run_requested(&mut self, spec: &Arc<PodSpec>, answer: Waiter<PodId>) {
        let pod = &mut self.pod;
        let metadata = pod.spec.metadata.clone();
        let name = || format!("{}/{}", excerpt(&metadata.namespace), excerpt(&metadata.name));
        if pod.record.phase == PodPhase::Setup {
            if *spec == pod.spec {
                pod.run.join(answer);
            } else {
                answer::one(answer, Err(Error::Busy { what: "pod sandbox", name: name() }));
            }
            return;
        }
        if *spec == pod.spec && pod.is_ready() {
            match pod.run.stage() {
                Stage::Pending => return pod.run.join(answer),
                Stage::Open => return answer::one(answer, Ok(pod.id.clone())),
                Stage::BuiltOn => {}
            }
        }
        let taken = Error::AlreadyExists { what: "pod sandbox", name: name(), id: pod.id.to_string() };
        answer::one(answer, Err(taken));
    }

    /// Stops the pod, unless that is over.
    pub(super) fn stop_requested(&mut self, waiter: Option<Waiter<()>>) {
        if let Some(stopping) = &mut self.pod.stopping {
            if let Some(waiter) = waiter {
                answer::add(&mut stopping.waiters, waiter);
            }
            return;
        }
        if self.pod.record.phase == PodPhase::Stopped {
            if let Some(waiter) = waiter {
                answer::one(waiter, Ok(()));
            }
            return;
        }
        self.pod.stopping = Some(Stopping { waiters: waiter.into_iter().collect(), stage: StopStage::Killing });
        self.begin_kill();
    }

    fn remove_requested(&mut self, waiter: Waiter<()>) {
        match &mut self.pod.removing {
            Some(waiters) => answer::add(waiters, waiter),
            None => {
                self.pod.removing = Some(vec![waiter]);
                self.stop_requested(None);
                self.continue_removal();
            }
        }
    }
}
