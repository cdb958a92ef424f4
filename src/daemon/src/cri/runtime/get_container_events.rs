//! GetContainerEvents: what happens to pods and containers, from now on, in one order for all who ask. First comes the
//! present, an event for each pod and container, so that nothing is missing for who comes back.
//!
//! An event is made when the client has taken those before. Who is too slow for what happens gets Aborted, and may
//! subscribe again.

use std::sync::Arc;
use std::vec;

use futures_util::stream;
use peapod_api::v1::ContainerEventResponse;
use peapod_pod::{Error, PodEntry, PodEvent, PodEvents, Subscription};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::convert::event;
use crate::cri::status::Answer;

pub(super) fn handle(services: &Services) -> Answer<AnswerStream<ContainerEventResponse>> {
    let place = services.places.event_streams.take()?;
    let subscription = services.pods.subscribe();
    let mut pods: Vec<_> = subscription.snapshot().pods().cloned().collect();
    // A kubelet takes what it is told last of a pod for what is: that is its newest sandbox.
    pods.sort_by_key(|entry| entry.pod.created_at);
    let present = PresentEvents { at: subscription.at(), pods: pods.into_iter() };
    let ready = PodEvents::default();
    let subscriber = EventSubscriber { present, subscription, ready, end: services.end.clone(), _place: place };
    Ok(Box::pin(stream::try_unfold(subscriber, async |mut subscriber: EventSubscriber| {
        match subscriber.next().await {
            Ok(next) => Ok(Some((event(&next), subscriber))),
            Err(failure) => {
                tracing::info!(why = failure.message(), "a stream of events ends");
                Err(Status::from(failure))
            }
        }
    })))
}

/// What is left to be told of how everything was when it was asked for.
struct PresentEvents {
    at: i64,
    pods: vec::IntoIter<Arc<PodEntry>>,
}

struct EventSubscriber {
    present: PresentEvents,
    subscription: Subscription,
    /// Events of one pod, or of one change.
    ready: PodEvents,
    end: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl EventSubscriber {
    async fn next(&mut self) -> Answer<PodEvent> {
        loop {
            if let Some(event) = self.ready.next() {
                return Ok(event);
            }
            if let Some(entry) = self.present.pods.next() {
                self.ready = PodEvent::present(self.present.at, entry);
                continue;
            }
            tokio::select! {
                change = self.subscription.next() => self.ready = change?.events(),
                _ = self.end.wait_for(|end| *end) => return Err(Error::ShuttingDown.into()),
            }
        }
    }
}
