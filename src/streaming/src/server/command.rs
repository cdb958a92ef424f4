//! A session of exec or attach, whatever its client speaks.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use peapod_streaming_protocol::{CommandStreams, ToSession, ToShim};
use tokio::time::{Instant, timeout};

use super::client::{ClientError, ClientEvent, ClientStreams};
use super::command_table::{CommandStream, CommandTable};
use super::descriptor::{ReadOutcome, StreamEnd};
use super::link::{LinkEvent, ShimLink};
use super::registry::TokenClaim;
use super::silence::SilenceTimer;
use super::sinks::StreamSinks;
use super::sources::StreamSources;
use crate::bounds::DRAIN_TIME;
use crate::channels::ChannelProtocol;
use crate::resize::Sizes;
use crate::spdy::StreamId;
use crate::status::CommandEnd;
use crate::version::CommandVersion;

/// What a session's end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandKind {
    /// The exit code.
    Exec,
    /// Nothing but that there is no more to see.
    Attach,
}

/// A client with a command's streams.
#[derive(Debug)]
pub(super) struct CommandSession {
    kind: CommandKind,
    client: ClientStreams,
    table: CommandTable,
    sinks: StreamSinks,
    sources: StreamSources,
    sizes: Sizes,
    /// When something came or went last.
    active: Instant,
}

/// How far a command is.
enum CommandProgress {
    /// It may not have begun.
    Runs,
    /// What it wrote may not all be read.
    Ended(CommandEnd),
}

impl CommandSession {
    /// A client that will open its streams.
    pub(super) fn spdy(
        client: ClientStreams,
        kind: CommandKind,
        promised: CommandStreams,
        version: CommandVersion,
    ) -> Self {
        Self::new(client, kind, CommandTable::empty(promised, version))
    }

    /// A client whose streams are channels.
    pub(super) fn channels(
        mut client: ClientStreams,
        kind: CommandKind,
        promised: CommandStreams,
        protocol: ChannelProtocol,
    ) -> Self {
        let table = CommandTable::of_channels(promised, protocol.version);
        // By it clients know that they can begin.
        let first = [CommandStream::Stdout, CommandStream::Stderr, CommandStream::Error];
        if let Some(first) = first.into_iter().find_map(|stream| table.id(stream)) {
            client.send(first, b"");
        }
        Self::new(client, kind, table)
    }

    fn new(client: ClientStreams, kind: CommandKind, table: CommandTable) -> Self {
        let mut sinks = StreamSinks::default();
        if let Some(stdin) = table.id(CommandStream::Stdin) {
            sinks.expect(stdin);
        }
        let (sources, sizes) = (StreamSources::default(), Sizes::default());
        Self { kind, client, table, sinks, sources, sizes, active: Instant::now() }
    }

    /// Serves the client to its end.
    pub(super) async fn run(mut self, claim: TokenClaim) {
        let (creation, idle) = (claim.registration.creation, claim.registration.idle);
        let mut size = None;
        match timeout(creation, self.open(&mut size)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return self.client.close().await,
        }
        self.client.open_no_more();
        let mut link = ShimLink::new(claim.announce());
        if let Some(size) = size {
            link.tell(size);
        }
        let outcome = self.until_end(&mut link, idle).await;
        drop(link);
        match outcome {
            Ok(end) => self.tell(&end),
            Err(ClientError::Closed) => {}
            // Nobody is left to be told.
            Err(_) => return,
        }
        self.client.close().await;
    }

    /// Waits until the client has opened all streams.
    async fn open(&mut self, size: &mut Option<ToShim>) -> Result<(), ClientError> {
        while !self.table.is_complete() {
            match self.client.next(self.sinks.intake()).await? {
                ClientEvent::Opened { stream, headers } => {
                    self.client.accept(stream);
                    if self.table.enter(stream, &headers) == Some(CommandStream::Stdin) {
                        self.sinks.expect(stream);
                    }
                }
                event => *size = self.take(event)?.or(size.take()),
            }
        }
        Ok(())
    }

    async fn until_end(&mut self, link: &mut ShimLink, idle: Duration) -> Result<CommandEnd, ClientError> {
        let mut progress = CommandProgress::Runs;
        let mut silence = SilenceTimer::new(self.active + idle);
        loop {
            let flushed = self.client.is_flushed();
            let patience = match &progress {
                CommandProgress::Ended(end) if self.sources.is_empty() => return Ok(end.clone()),
                CommandProgress::Ended(_) if flushed => DRAIN_TIME,
                CommandProgress::Ended(_) | CommandProgress::Runs => idle,
            };
            tokio::select! {
                event = self.client.next(self.sinks.intake()) => {
                    self.active = Instant::now();
                    if let Some(size) = self.take(event?)? {
                        link.tell(size);
                    }
                }
                (stream, descriptor) = self.sources.next(flushed) => self.forward(stream, &descriptor),
                // Whether the client is read from is decided anew.
                _ = self.sinks.next_written() => self.active = Instant::now(),
                event = link.next() => {
                    if let (Some(end), CommandProgress::Runs) = (self.hear(event), &progress) {
                        self.active = Instant::now();
                        progress = CommandProgress::Ended(end);
                    }
                }
                () = silence.until(self.active + patience) => return Ok(match progress {
                    CommandProgress::Ended(end) => end,
                    CommandProgress::Runs => CommandEnd::Failed(format!("nothing was sent for {} s", idle.as_secs())),
                }),
            }
        }
    }

    /// What the client did. Answers the terminal's size, if it is that.
    fn take(&mut self, event: ClientEvent) -> Result<Option<ToShim>, ClientError> {
        match event {
            ClientEvent::Data { stream, payload, last } => match self.table.stream(stream) {
                Some(CommandStream::Stdin) => {
                    self.sinks.write(stream, payload, last);
                }
                Some(CommandStream::Resize) => {
                    // Another size may come that can be read.
                    let size = self.sizes.push(&payload).ok().flatten();
                    return Ok(size.map(|size| ToShim::Resize { width: size.width, height: size.height }));
                }
                _ => {}
            },
            ClientEvent::Reset(stream) => {
                self.sinks.remove(stream);
                self.sources.remove(stream);
            }
            ClientEvent::Closed => return Err(ClientError::Closed),
            // Streams that are opened now are for nothing that was promised.
            ClientEvent::Opened { .. } | ClientEvent::GoAway | ClientEvent::Heard | ClientEvent::Flushed => {}
        }
        Ok(None)
    }

    /// Sends on what the command has written.
    fn forward(&mut self, stream: StreamId, descriptor: &StreamEnd) {
        match self.client.fill(stream, descriptor) {
            ReadOutcome::Bytes(_) => {
                self.active = Instant::now();
                self.sources.again(stream);
            }
            ReadOutcome::Nothing => self.sources.silent(stream),
            ReadOutcome::End | ReadOutcome::Broken => {
                self.sources.remove(stream);
                self.client.finish(stream);
            }
        }
    }

    /// What the shim says. Answers the end, if it is that.
    fn hear(&mut self, event: LinkEvent) -> Option<CommandEnd> {
        let failed = |why: &str| Some(CommandEnd::Failed(why.to_owned()));
        match event {
            LinkEvent::Said(ToSession::Started { streams }, descriptors) => match self.connect(streams, descriptors) {
                Ok(()) => None,
                Err(error) => failed(&format!("the streams can't be used: {error}")),
            },
            LinkEvent::Said(ToSession::Exited { code }, _) => Some(match (self.kind, code) {
                (CommandKind::Attach, _) | (CommandKind::Exec, 0) => CommandEnd::Success,
                (CommandKind::Exec, code) => CommandEnd::ExitCode(u8::try_from(code).unwrap_or(u8::MAX)),
            }),
            LinkEvent::Said(ToSession::Failed { text }, _) => Some(CommandEnd::Failed(text)),
            LinkEvent::Said(ToSession::Lagged, _) => {
                failed("the container wrote faster than this client has read, which has lost some of it")
            }
            LinkEvent::Said(ToSession::Hello { .. } | ToSession::Dialled { .. } | ToSession::NotDialled { .. }, _) => {
                failed("the pod's shim says what makes no sense")
            }
            LinkEvent::None(why) => Some(CommandEnd::Failed(why.to_string())),
            LinkEvent::Lost => failed("the pod's shim has ended"),
        }
    }

    /// The ends of the streams are there; of those that are not the client hears the end.
    fn connect(&mut self, streams: CommandStreams, descriptors: Vec<OwnedFd>) -> std::io::Result<()> {
        let mut descriptors = descriptors.into_iter();
        let mut next = |is: bool| descriptors.by_ref().take(is.into()).map(StreamEnd::new).next().transpose();
        let stdin = next(streams.stdin)?.map(Rc::new);
        let stdout = next(streams.stdout)?.map(Rc::new);
        let stderr = next(streams.stderr)?.map(Rc::new);
        if let Some(stream) = self.table.id(CommandStream::Stdin) {
            match stdin {
                Some(stdin) => drop(self.sinks.connect(stream, stdin)),
                None => drop(self.sinks.remove(stream)),
            }
        }
        for (stream, descriptor) in [(CommandStream::Stdout, stdout), (CommandStream::Stderr, stderr)] {
            match (self.table.id(stream), descriptor) {
                (Some(stream), Some(descriptor)) => self.sources.add(stream, descriptor),
                (Some(stream), None) => self.client.finish(stream),
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Tells the client how it ended: after all output, as the last.
    fn tell(&mut self, end: &CommandEnd) {
        for stream in [CommandStream::Stdout, CommandStream::Stderr] {
            if let Some(id) = self.table.id(stream) {
                self.client.finish(id);
            }
        }
        let Some(error) = self.table.id(CommandStream::Error) else { return };
        let version = self.table.version;
        let text = if version.has_json_status() { Some(end.to_json()) } else { end.to_text() };
        if let Some(text) = text {
            self.client.send(error, text.as_bytes());
        }
        match version {
            CommandVersion::V1 => self.client.reset(error),
            _ => self.client.finish(error),
        }
    }
}
