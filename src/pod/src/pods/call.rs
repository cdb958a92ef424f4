//! Calls to a pod's actor, and the wait for its answer.

use std::time::{Duration, Instant};

use peapod_trace::Span;

use super::Pods;
use crate::actor::{Closed, Handle, PendingCall};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::machine::{Reply, Request};

/// What a call is about: the error if that is gone.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Pod(&'a PodId),
    Container(&'a ContainerId),
}

impl Subject<'_> {
    fn not_found(self) -> Error {
        match self {
            Self::Pod(id) => Error::no_pod(id.as_str()),
            Self::Container(id) => Error::no_container(id.as_str()),
        }
    }
}

/// A call to a pod's actor.
pub(super) struct ActorCall<'a> {
    /// What it asks for, in words.
    pub(super) what: &'static str,
    /// What is told its stages.
    pub(super) span: &'a Span,
    pub(super) handle: &'a Handle,
}

impl Pods {
    /// Asks, and waits as long as any operation may take.
    pub(super) async fn call(
        &self,
        call: &ActorCall<'_>,
        subject: Subject<'_>,
        request: Request,
    ) -> Result<Reply, Error> {
        self.call_within(call, subject, request, self.timeouts.get().operation).await
    }

    /// Asks, and waits for the answer. The operation goes on when the wait is over or dropped.
    pub(super) async fn call_within(
        &self,
        call: &ActorCall<'_>,
        subject: Subject<'_>,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, Error> {
        let answer = match call.handle.send(request, call.span).await {
            Ok(asked) => answer_within(call, asked, limit).await,
            Err(Closed) => None,
        };
        answer.unwrap_or_else(|| Err(self.unanswered(call, subject)))
    }

    /// The same; `None` when the pod is gone before it answers.
    pub(super) async fn call_or_gone(&self, call: &ActorCall<'_>, request: Request) -> Option<Result<Reply, Error>> {
        let asked = call.handle.send(request, call.span).await.ok()?;
        let answer = answer_within(call, asked, self.timeouts.get().operation).await;
        answer.or_else(|| self.has_actor(call.handle).then_some(Err(Error::Defect { what: call.what })))
    }

    /// Why an actor answers nothing: its pod was removed this moment, the daemon ends, or it panicked.
    fn unanswered(&self, call: &ActorCall<'_>, subject: Subject<'_>) -> Error {
        let ActorCall { what, handle, .. } = *call;
        if self.has_actor(handle) { Error::Defect { what } } else { self.gone(|| subject.not_found()) }
    }

    /// A pod that is gone is forgotten before anyone is left without an answer.
    fn has_actor(&self, handle: &Handle) -> bool {
        self.actors.registry.get(handle.id()).is_some()
    }

    /// Why there is no actor: the pod was removed this moment, or the daemon ends.
    pub(super) fn gone(&self, otherwise: impl FnOnce() -> Error) -> Error {
        if self.actors.registry.is_closed() { Error::ShuttingDown } else { otherwise() }
    }
}

async fn answer_within(call: &ActorCall<'_>, mut asked: PendingCall, limit: Duration) -> Option<Result<Reply, Error>> {
    let began = Instant::now();
    if let Ok(answer) = tokio::time::timeout(limit, &mut asked).await {
        return answer.ok();
    }
    // It may come this moment.
    if let Ok(answer) = asked.try_recv() {
        return Some(answer);
    }
    let awaited = call.span.awaited().unwrap_or_else(|| "its pod".to_owned());
    let stage = format!("waiting for {awaited}");
    Some(Err(Error::StillRunning { what: call.what, stage, elapsed: began.elapsed() }))
}
