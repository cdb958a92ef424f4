//! A plugin that is connected.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU32, Ordering as Memory};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peapod_sys::sync::lock;
use peapod_trace::Span;
use protobuf::{Enum as _, Message, MessageField};
use tokio::sync::{Semaphore, watch};

use crate::api::{Empty, Event, EventRequest, StateChangeEvent};
use crate::bounds::TURN_TIME;
use crate::call::{self, PluginCallError};
use crate::faults::Faults;
use crate::link::PluginLink;
use crate::measures::NriMeasures;
use crate::name::PluginName;
use crate::stages;

/// Events of which a plugin wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventSet(u32);

impl EventSet {
    /// All that there are.
    pub(crate) const ALL: Self = Self((1 << (Event::LAST as u32 - 1)) - 1);

    /// As a plugin says it; none means all. `None` if there is one that this release does not know.
    pub(crate) fn of(bits: i32) -> Option<Self> {
        let bits = bits.cast_unsigned();
        match bits {
            0 => Some(Self::ALL),
            _ => (bits & !Self::ALL.0 == 0).then_some(Self(bits)),
        }
    }

    /// Their names, in the order of their numbers.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Event::VALUES.iter().filter(move |event| self.has(**event)).filter_map(|event| call::method(*event))
    }

    pub(crate) fn has(self, event: Event) -> bool {
        self.0 & bit(event) != 0
    }
}

fn bit(event: Event) -> u32 {
    1_u32.checked_shl(event.value().cast_unsigned().wrapping_sub(1)).unwrap_or_default()
}

/// How far a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PluginReadiness {
    /// What there is already is being told to it.
    Synchronising,
    Ready,
}

/// How a plugin has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// It has connected to the socket.
    Connected,
    /// The runtime has started it.
    Installed,
}

/// Which plugin it is.
#[derive(Debug)]
pub(crate) struct PluginIdentity {
    pub(crate) name: PluginName,
    pub(crate) kind: PluginKind,
    /// Of its connection.
    pub(crate) number: u64,
}

/// For how long it is called, and where its calls and faults are noted.
#[derive(Debug)]
pub(crate) struct PluginLimits {
    pub(crate) timeout: Duration,
    pub(crate) measures: NriMeasures,
    pub(crate) faults: Arc<Mutex<Faults>>,
}

/// A plugin that is connected. In the order in which plugins are called.
#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) name: PluginName,
    pub(crate) kind: PluginKind,
    /// Of its connection: plugins of the same name are different ones.
    number: u64,
    pub(crate) events: EventSet,
    pub(crate) link: PluginLink,
    limits: PluginLimits,
    readiness: watch::Sender<PluginReadiness>,
    /// It is called once at a time: as others do it, so that plugins count on it.
    turn: Semaphore,
    /// Events of which it hears in the way of older plugins.
    old: AtomicU32,
}

impl Plugin {
    pub(crate) fn new(identity: PluginIdentity, events: EventSet, link: PluginLink, limits: PluginLimits) -> Arc<Self> {
        let PluginIdentity { name, kind, number } = identity;
        let (readiness, turn, old) =
            (watch::Sender::new(PluginReadiness::Synchronising), Semaphore::new(1), AtomicU32::new(0));
        Arc::new(Self { name, kind, number, events, link, limits, readiness, turn, old })
    }

    /// Whether it has been told what there is.
    pub(crate) fn is_ready(&self) -> bool {
        *self.readiness.borrow() == PluginReadiness::Ready
    }

    /// From now on it is called.
    pub(crate) fn is_synchronised(&self) {
        self.readiness.send_replace(PluginReadiness::Ready);
    }

    /// Calls it, in its turn. One that can't be called any more is closed.
    pub(crate) async fn call(&self, method: &str, payload: Vec<u8>, span: &Span) -> Result<Vec<u8>, PluginCallError> {
        let _turn = {
            let _waits = span.begin_on(&stages::TURN, &self.name);
            self.turn().await?
        };
        let asking = span.begin_on(&stages::PLUGIN, &self.name);
        asking.end(self.call_now(method, payload).await)
    }

    /// The same without waiting for anything.
    pub(crate) async fn call_now(&self, method: &str, payload: Vec<u8>) -> Result<Vec<u8>, PluginCallError> {
        self.call_for(method, payload, self.limits.timeout).await
    }

    /// The same with a limit of its own.
    pub(crate) async fn call_for(
        &self,
        method: &str,
        payload: Vec<u8>,
        limit: Duration,
    ) -> Result<Vec<u8>, PluginCallError> {
        let result = self.link.call(method, payload, limit).await;
        self.limits.measures.count_call(&result);
        if let Err(error @ (PluginCallError::TimedOut(_) | PluginCallError::Malformed)) = &result {
            self.close_at_fault(format!("{method}: {error}"));
        }
        result
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, PluginCallError> {
        let mut readiness = self.readiness.subscribe();
        let turn = async {
            // There is a sender: this one.
            let _ = readiness.wait_for(|readiness| *readiness == PluginReadiness::Ready).await;
            self.turn.acquire().await
        };
        tokio::select! {
            reason = self.link.closed() => Err(PluginCallError::Closed(reason)),
            turn = tokio::time::timeout(TURN_TIME, turn) => match turn {
                Ok(Ok(turn)) => Ok(turn),
                _ => {
                    self.close_at_fault(format!("a call waited {} s for those before it", TURN_TIME.as_secs()));
                    Err(PluginCallError::TimedOut(TURN_TIME))
                }
            },
        }
    }

    /// Tells it an event, in the way that it knows.
    pub(crate) async fn event(
        &self,
        event: Event,
        request: &EventRequest,
        span: &Span,
    ) -> Result<Vec<u8>, PluginCallError> {
        let method = call::method(event).unwrap_or(call::STATE_CHANGE);
        if self.old.load(Memory::Relaxed) & bit(event) == 0 {
            let told = self.call(method, bytes(request)?, span).await;
            match told {
                Err(error) if error.is_unimplemented() && call::is_state_change(event) => {
                    self.old.fetch_or(bit(event), Memory::Relaxed);
                    tracing::info!(plugin = %self.name, method, "the plugin hears of it by StateChange, as older ones do");
                }
                told => return told,
            }
        }
        let (pod, container) = (request.pod.clone(), request.container.clone());
        let change = StateChangeEvent { event: event.into(), pod, container, ..StateChangeEvent::default() };
        self.call(call::STATE_CHANGE, bytes(&change)?, span).await
    }

    /// Closes it because it does not do as it should: it has to stay away for a while.
    pub(crate) fn close_at_fault(&self, reason: String) {
        if !self.link.is_closed() {
            lock(&self.limits.faults).add(&self.name, Instant::now());
            self.link.close(reason);
        }
    }

    /// Says that this is the end, and waits for nothing.
    pub(crate) async fn farewell(&self, limit: Duration) {
        if let Ok(payload) = bytes(&Empty::new()) {
            let _ = self.link.call(call::SHUTDOWN, payload, limit).await;
        }
        self.link.close("the daemon ends".to_owned());
    }
}

/// A message as bytes.
pub(crate) fn bytes(message: &impl Message) -> Result<Vec<u8>, PluginCallError> {
    message.write_to_bytes().map_err(|_| PluginCallError::TooLong(usize::MAX))
}

/// A request about a pod, or a container of it.
pub(crate) fn about(pod: &crate::api::PodSandbox, container: Option<&crate::api::Container>) -> EventRequest {
    EventRequest {
        pod: MessageField::some(pod.clone()),
        container: container.cloned().into(),
        ..EventRequest::default()
    }
}

impl PartialEq for Plugin {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Plugin {}

impl PartialOrd for Plugin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Plugin {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.name, self.number).cmp(&(&other.name, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_bits_and_none_means_all() {
        let set = EventSet::of(0b1000).unwrap();
        assert!(set.has(Event::CREATE_CONTAINER) && !set.has(Event::RUN_POD_SANDBOX) && !set.has(Event::UNKNOWN));
        let all = EventSet::of(0).unwrap();
        assert!(all.has(Event::RUN_POD_SANDBOX) && all.has(Event::VALIDATE_CONTAINER_ADJUSTMENT));
        assert!(EventSet::of(1 << 13).is_some());
        assert!(EventSet::of(1 << 14).is_none() && EventSet::of(-1).is_none());
    }
}
