//! Looks at what the runtime has of a pod, beside everything else: a runtime that hangs holds up nothing but the look.

use std::collections::BTreeMap;
use std::pin::Pin;

use peapod_api::v1;
use tokio::time::Instant;

use super::SeenMember;
use crate::connect::{CallError, QUICK, call};
use crate::run::launch::RunningPod;
use crate::run::patience::AWAY;
use crate::teardown;

/// What a look found.
pub(super) struct Sight {
    pub(super) is_ready: bool,
    /// Of the containers that ran when the look began, those that run no more. It tells nothing of others.
    pub(super) ended: Vec<(usize, String)>,
}

type Look<'a> = Pin<Box<dyn Future<Output = Result<Sight, CallError>> + 'a>>;

/// The looks at one pod, one at a time.
pub(super) struct PodWatch<'a> {
    pod: &'a RunningPod<'a>,
    state: WatchState<'a>,
    /// Since when the runtime does not answer.
    away: Option<Instant>,
}

enum WatchState<'a> {
    Due(Instant),
    UnderWay {
        look: Look<'a>,
        /// Something changed since it began.
        is_late: bool,
    },
    /// There is nothing to look at any more.
    Over,
}

/// What there is to say of a runtime that did not answer.
pub(super) enum Absence {
    New,
    Known,
    /// Nobody waits any longer.
    TooLong,
}

impl<'a> PodWatch<'a> {
    /// The first look is due at once.
    pub(super) fn new(pod: &'a RunningPod<'a>) -> Self {
        Self { pod, state: WatchState::Due(Instant::now()), away: None }
    }

    /// Something may have changed by now.
    pub(super) fn want(&mut self) {
        match &mut self.state {
            WatchState::Due(at) => *at = Instant::now(),
            WatchState::UnderWay { is_late, .. } => *is_late = true,
            WatchState::Over => {}
        }
    }

    /// Begins a look when it is due, and waits for its end. Nothing is lost if this is dropped.
    pub(super) async fn next(
        &mut self,
        members: &[SeenMember<'_>],
        patience: std::time::Duration,
    ) -> Result<Sight, CallError> {
        if let WatchState::Due(at) = self.state {
            tokio::time::sleep_until(at).await;
            let started =
                members.iter().enumerate().filter_map(|(member, seen)| Some((member, seen.started.as_ref()?)));
            let running = started.map(|(member, started)| (member, started.id.clone())).collect();
            self.state = WatchState::UnderWay { look: Box::pin(look(self.pod, running)), is_late: false };
        }
        let WatchState::UnderWay { look, is_late } = &mut self.state else { return std::future::pending().await };
        let found = look.as_mut().await;
        let wait = if *is_late { std::time::Duration::ZERO } else { patience };
        self.state = WatchState::Due(Instant::now() + wait);
        found
    }

    /// The pod has ended.
    pub(super) fn end(&mut self) {
        self.state = WatchState::Over;
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, WatchState::Over)
    }

    /// The runtime answered; says whether it was away.
    pub(super) fn answered(&mut self) -> bool {
        self.away.take().is_some()
    }

    /// It did not. A runtime may be restarted under its pods: they go on, and so do we, for a while.
    pub(super) fn unanswered(&mut self, error: &CallError) -> Absence {
        match self.away {
            Some(since) if since.elapsed() > AWAY => Absence::TooLong,
            Some(_) => Absence::Known,
            None if error.is_unanswered() => {
                self.away = Some(Instant::now());
                Absence::New
            }
            None => Absence::TooLong,
        }
    }
}

async fn look(pod: &RunningPod<'_>, running: Vec<(usize, String)>) -> Result<Sight, CallError> {
    // The pod first: whoever stops it stops the containers before.
    let filter = v1::PodSandboxFilter { id: pod.sandbox_id.clone(), ..Default::default() };
    let request = v1::ListPodSandboxRequest { filter: Some(filter) };
    let mut client = pod.run.connection.runtime.clone();
    let pods = call("ListPodSandbox", QUICK, client.list_pod_sandbox(request)).await?;
    let is_ready = pods.items.first().is_some_and(|pod| pod.state() == v1::PodSandboxState::SandboxReady);
    let containers = teardown::containers(pod.run.connection, &pod.sandbox_id).await?;
    let states: BTreeMap<&str, v1::ContainerState> =
        containers.iter().map(|container| (container.id.as_str(), container.state())).collect();
    let runs = v1::ContainerState::ContainerRunning;
    let ended = running.into_iter().filter(|(_, id)| states.get(id.as_str()) != Some(&runs)).collect();
    Ok(Sight { is_ready, ended })
}
