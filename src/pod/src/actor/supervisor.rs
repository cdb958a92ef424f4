//! A pod's life under this daemon: an actor, and after a defect another one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, watch};

use super::jobs::JobContext;
use super::tickets::Tickets;
use super::{Actor, ActorContext, ActorInput, Defect, Message};
use crate::id::PodId;
use crate::load;
use crate::recover;
use crate::shim::Shim;

/// Pause before a pod is taken up again; doubled each time, as whatever made its actor panic may be in its record.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What stays when an actor panics: the ends of what its clients hold.
pub(super) struct ActorSupervisor {
    pub(super) context: Arc<ActorContext>,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) shim: Arc<ArcSwapOption<Shim>>,
    pub(super) recovered: watch::Sender<bool>,
}

impl ActorSupervisor {
    /// Drives the pod until it is gone or the daemon closes. When an actor panics, or one of its jobs of which nobody
    /// can know how far it came, who waits for it is answered with an internal error, and the pod is taken up from its
    /// record, as after a restart of the daemon.
    pub(super) async fn live(mut self, input: ActorInput) {
        let id = input.machine.identity().id.clone();
        let (mut next, mut pause) = (Some(input), PAUSE);
        while let Some(input) = next.take() {
            let actor = self.actor(input);
            match caught(actor.run(&mut self.inbox)).await {
                Some(Ok(())) => return,
                Some(Err(Defect)) => tracing::error!("a job of this pod panicked: the pod is taken up from its record"),
                None => tracing::error!("this pod's actor panicked: the pod is taken up from its record"),
            }
            self.context.measures.defects.increment();
            self.shim.store(None);
            self.recovered.send_replace(false);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            next = self.recorded(&id).await;
        }
        // Nothing of it was recorded yet, or nothing is any more.
        self.context.publisher.hide(&id);
        self.context.registry.forget(&id);
        self.recovered.send_replace(true);
    }

    fn actor(&self, input: ActorInput) -> Actor {
        let ActorInput { machine, handler, connection } = input;
        let identity = Arc::clone(machine.identity());
        Actor {
            jobs: JobContext { context: Arc::clone(&self.context), identity, handler },
            machine,
            written: super::WrittenSpecs::default(),
            tickets: Tickets::default(),
            tasks: tokio::task::JoinSet::new(),
            running: std::collections::HashMap::new(),
            starts: std::collections::HashMap::new(),
            connection,
            shim: Arc::clone(&self.shim),
            recovered: self.recovered.clone(),
            forgotten: false,
        }
    }

    /// The pod as it is on disk; none if it is not.
    async fn recorded(&self, id: &PodId) -> Option<ActorInput> {
        loop {
            match load::load_one(&self.context.db, id, &self.context.defaults).await {
                Ok(Some(loaded)) => return Some(recover::take_up(&self.context, loaded)),
                Ok(None) => return None,
                Err(error) => tracing::error!(%error, "the pod's record can't be read; it is tried again"),
            }
            tokio::time::sleep(LONGEST_PAUSE / 60).await;
        }
    }
}

/// The work's outcome; none if it panicked.
async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_panic_is_caught_wherever_it_comes() {
        assert_eq!(super::caught(async { 7 }).await, Some(7));
        let late = async {
            tokio::task::yield_now().await;
            panic!("a defect");
        };
        assert_eq!(super::caught::<()>(late).await, None);
    }
}
