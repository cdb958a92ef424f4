//! A session of port-forward, whatever its client speaks.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use peapod_streaming_protocol::{ToSession, ToShim};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::client::{ClientError, ClientEvent, ClientStreams};
use super::descriptor::{ReadOutcome, StreamEnd};
use super::link::{LinkEvent, ShimLink};
use super::pairs::{Entered, HalfPairs, PairStream, StreamPair};
use super::registry::TokenClaim;
use super::silence::SilenceTimer;
use super::sinks::{SinkLife, StreamSinks};
use super::sources::StreamSources;
use crate::bounds::PAIR_LOOK;
use crate::spdy::StreamId;

/// A client with its connections to a pod. In all tables a connection has the number of its data stream.
#[derive(Debug)]
pub(super) struct ForwardSession {
    client: ClientStreams,
    manner: Manner,
    connections: BTreeMap<StreamId, StreamPair>,
    sinks: StreamSinks,
    sources: StreamSources,
    /// When something came or went last.
    active: Instant,
}

/// How connections come to be.
#[derive(Debug)]
enum Manner {
    /// The client opens two streams for each.
    Streams(HalfPairs),
    /// Each port of the request has two channels. When all are over the session is.
    Channels,
}

/// Why a session is over that its client has not ended.
enum Over {
    Idle,
    /// There will be no further connection, for this reason.
    NoSession(String),
    /// All channels are.
    Done,
}

impl ForwardSession {
    /// A client that will open streams.
    pub(super) fn streams(client: ClientStreams, claim: &TokenClaim) -> Self {
        Self::new(client, Manner::Streams(HalfPairs::new(claim.registration.creation)))
    }

    /// A client whose streams are channels: two for each port.
    pub(super) fn channels(client: ClientStreams, ports: &[u16]) -> Self {
        let mut session = Self::new(client, Manner::Channels);
        for (data, port) in (0..).step_by(2).zip(ports) {
            let pair = StreamPair { data, error: data + 1, port: *port };
            for stream in [pair.data, pair.error] {
                session.client.send(stream, &port.to_le_bytes());
            }
            session.sinks.expect(pair.data);
            session.connections.insert(pair.data, pair);
        }
        session
    }

    fn new(client: ClientStreams, manner: Manner) -> Self {
        let (sinks, sources) = (StreamSinks::default(), StreamSources::default());
        Self { client, manner, connections: BTreeMap::new(), sinks, sources, active: Instant::now() }
    }

    /// Serves the client to its end.
    pub(super) async fn run(mut self, claim: TokenClaim) {
        let idle = claim.registration.idle;
        let mut link = ShimLink::new(claim.announce());
        for pair in self.connections.values() {
            link.tell(dial(*pair));
        }
        let mut look = interval(PAIR_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silence = SilenceTimer::new(self.active + idle);
        loop {
            let flushed = self.client.is_flushed();
            let outcome = tokio::select! {
                event = self.client.next(self.sinks.intake()) => {
                    self.active = Instant::now();
                    match event.and_then(|event| self.take(event, &mut link)) {
                        Ok(()) => Ok(()),
                        // Nobody is left to be told.
                        Err(ClientError::Closed) => return self.client.close().await,
                        Err(_) => return,
                    }
                }
                (stream, descriptor) = self.sources.next(flushed) => {
                    self.forward(stream, &descriptor);
                    Ok(())
                }
                (stream, life) = self.sinks.next_written() => {
                    self.active = Instant::now();
                    if life == SinkLife::Over {
                        self.sink_over(stream);
                    }
                    Ok(())
                }
                event = link.next() => self.hear(event),
                _ = look.tick() => {
                    self.drop_halves();
                    Ok(())
                }
                () = silence.until(self.active + idle) => Err(Over::Idle),
            };
            if let Err(over) = outcome.and_then(|()| self.goes_on()) {
                if let Over::NoSession(why) = over {
                    self.fail_all(&why);
                }
                drop(link);
                return self.client.close().await;
            }
        }
    }

    fn goes_on(&self) -> Result<(), Over> {
        match self.manner {
            Manner::Channels if self.connections.is_empty() => Err(Over::Done),
            Manner::Channels | Manner::Streams(_) => Ok(()),
        }
    }

    /// What the client did.
    fn take(&mut self, event: ClientEvent, link: &mut ShimLink) -> Result<(), ClientError> {
        match event {
            ClientEvent::Opened { stream, headers } => {
                let Manner::Streams(pairs) = &mut self.manner else { return Ok(()) };
                let Ok(entered) = pairs.enter(stream, &headers, Instant::now()) else {
                    self.client.reset(stream);
                    return Ok(());
                };
                self.client.accept(stream);
                let (Entered::Half(is) | Entered::Whole(is, _)) = entered;
                if is == PairStream::Data {
                    self.sinks.expect(stream);
                }
                if let Entered::Whole(_, pair) = entered {
                    self.connections.insert(pair.data, pair);
                    link.tell(dial(pair));
                }
            }
            // On an error stream clients have nothing to say.
            ClientEvent::Data { stream, payload, last } => {
                if self.sinks.write(stream, payload, last) == SinkLife::Over {
                    self.sink_over(stream);
                }
            }
            ClientEvent::Reset(stream) => {
                if let Manner::Streams(pairs) = &mut self.manner {
                    pairs.forget(stream);
                }
                self.sinks.remove(stream);
                if let Some(pair) = self.connections.get(&stream).copied() {
                    link.take_back(&dial(pair));
                    self.client.reset(pair.error);
                    self.let_go(stream);
                }
            }
            ClientEvent::Closed => return Err(ClientError::Closed),
            ClientEvent::GoAway | ClientEvent::Heard | ClientEvent::Flushed => {}
        }
        Ok(())
    }

    /// Sends on what the pod has sent.
    fn forward(&mut self, stream: StreamId, descriptor: &StreamEnd) {
        let Some(pair) = self.connections.get(&stream).copied() else { return };
        match self.client.fill(stream, descriptor) {
            ReadOutcome::Bytes(_) => {
                self.active = Instant::now();
                self.sources.again(stream);
            }
            ReadOutcome::Nothing => self.sources.silent(stream),
            ReadOutcome::End => {
                self.sources.remove(stream);
                // The client waits for both before it ends its side.
                self.client.finish(stream);
                self.client.finish(pair.error);
                if matches!(self.manner, Manner::Channels) || !self.sinks.has(stream) {
                    self.let_go(stream);
                }
            }
            ReadOutcome::Broken => {
                self.client.finish(pair.error);
                self.client.reset(stream);
                self.let_go(stream);
            }
        }
    }

    /// Nothing more goes to the pod; something may still come from it.
    fn sink_over(&mut self, stream: StreamId) {
        if self.connections.contains_key(&stream) && !self.sources.has(stream) && !self.sinks.has(stream) {
            self.let_go(stream);
        }
    }

    fn let_go(&mut self, stream: StreamId) {
        self.sinks.remove(stream);
        self.sources.remove(stream);
        self.connections.remove(&stream);
    }

    /// What the shim says.
    fn hear(&mut self, event: LinkEvent) -> Result<(), Over> {
        let over = |why: &str| Err(Over::NoSession(why.to_owned()));
        match event {
            LinkEvent::Said(ToSession::Dialled { id }, descriptors) => {
                for descriptor in descriptors {
                    self.connect(id, descriptor);
                }
                Ok(())
            }
            LinkEvent::Said(ToSession::NotDialled { id, text }, _) => {
                self.fail(id, &text);
                Ok(())
            }
            LinkEvent::Said(ToSession::Failed { text }, _) => Err(Over::NoSession(text)),
            LinkEvent::Said(
                ToSession::Hello { .. } | ToSession::Started { .. } | ToSession::Exited { .. } | ToSession::Lagged,
                _,
            ) => over("the pod's shim says what makes no sense"),
            LinkEvent::None(why) => Err(Over::NoSession(why.to_string())),
            LinkEvent::Lost => over("the pod has ended"),
        }
    }

    fn connect(&mut self, stream: StreamId, descriptor: OwnedFd) {
        // The client may have given it up meanwhile.
        if !self.connections.contains_key(&stream) {
            return;
        }
        match StreamEnd::new(descriptor).map(Rc::new) {
            Ok(descriptor) => {
                self.sources.add(stream, descriptor.clone());
                self.sinks.connect(stream, descriptor);
            }
            Err(error) => self.fail(stream, &format!("the connection can't be used: {error}")),
        }
    }

    /// Tells the client that a connection came to nothing.
    fn fail(&mut self, stream: StreamId, why: &str) {
        let Some(pair) = self.connections.get(&stream).copied() else { return };
        let text = format!("error forwarding port {} to pod: {why}", pair.port);
        self.client.send(pair.error, text.as_bytes());
        self.client.finish(pair.error);
        self.client.finish(pair.data);
        self.let_go(stream);
    }

    /// All that did not come to be.
    fn fail_all(&mut self, why: &str) {
        let waiting: Vec<_> = self.connections.keys().copied().filter(|stream| !self.sources.has(*stream)).collect();
        for stream in waiting {
            self.fail(stream, why);
        }
    }

    /// Gives up streams whose other half did not come.
    fn drop_halves(&mut self) {
        let Manner::Streams(pairs) = &mut self.manner else { return };
        for stream in pairs.expire(Instant::now()) {
            self.sinks.remove(stream);
            self.client.reset(stream);
        }
    }
}

fn dial(pair: StreamPair) -> ToShim {
    ToShim::Dial { id: pair.data, port: pair.port }
}
