//! A connection on which both sides call each other.
//!
//! One task writes, one reads: who calls waits for neither but for as long as its call may take. Either one's end is
//! that of the connection.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use peapod_sys::sync::lock;
use protobuf::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Call;
use crate::bounds::{ANSWERS, RECEIVED_BYTES, REQUESTS, SENT_BYTES};
use crate::call::{self, PluginCallError};
use crate::mux::{self, Assembly, FRAME_HEADER, FrameHeader, MuxMessage, MuxMessageKind};

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;

/// Which of the connections in one is called on, and which one is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkSide {
    Runtime,
    #[cfg_attr(not(any(test, feature = "stand-in")), expect(dead_code, reason = "the side of stand-ins"))]
    Plugin,
}

impl LinkSide {
    fn calls(self) -> u32 {
        if self == Self::Runtime { mux::TO_PLUGIN } else { mux::TO_RUNTIME }
    }

    fn answers(self) -> u32 {
        if self == Self::Runtime { mux::TO_RUNTIME } else { mux::TO_PLUGIN }
    }

    /// Bytes of the longest message that it takes.
    fn takes(self) -> usize {
        if self == Self::Runtime { RECEIVED_BYTES } else { SENT_BYTES }
    }

    fn called_service(self) -> &'static str {
        if self == Self::Runtime { call::PLUGIN } else { call::RUNTIME }
    }
}

/// A connection. Clones are the same one; it ends with [`PluginLink::close`], or with its [`LinkTasks`].
#[derive(Clone, Debug)]
pub(crate) struct PluginLink(Arc<LinkInner>);

#[derive(Debug)]
struct LinkInner {
    side: LinkSide,
    frames: mpsc::Sender<Vec<u8>>,
    /// Calls that wait for their answers.
    waiting: Mutex<HashMap<u32, oneshot::Sender<Vec<u8>>>>,
    /// The number of the next call: odd, and each higher than the one before.
    next: AtomicU32,
    closed: CancellationToken,
    reason: OnceLock<String>,
}

/// What moves a connection's bytes. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct LinkTasks {
    _tasks: JoinSet<()>,
    link: PluginLink,
}

impl Drop for LinkTasks {
    fn drop(&mut self) {
        // Nobody moves its bytes any more: calls that wait for an answer would wait for their whole time.
        self.link.close("it was let go".to_owned());
    }
}

/// A call of the other side.
#[derive(Debug)]
pub(crate) struct IncomingCall {
    pub(crate) stream: u32,
    pub(crate) call: Call,
}

impl PluginLink {
    /// Begins to speak on a connection. Answers also where calls of the other side come out.
    pub(crate) fn open(stream: UnixStream, side: LinkSide) -> (Self, LinkTasks, mpsc::Receiver<IncomingCall>) {
        let (frames, to_write) = mpsc::channel(ANSWERS);
        let (incoming, requests) = mpsc::channel(REQUESTS);
        let (waiting, next) = (Mutex::default(), AtomicU32::new(1));
        let (closed, reason) = (CancellationToken::new(), OnceLock::new());
        let link = Self(Arc::new(LinkInner { side, frames, waiting, next, closed, reason }));
        let (reader, writer) = stream.into_split();
        let mut tasks = JoinSet::new();
        tasks.spawn(link.clone().until_closed(Self::read, reader, incoming));
        tasks.spawn(link.clone().until_closed(Self::write, writer, to_write));
        (link.clone(), LinkTasks { _tasks: tasks, link }, requests)
    }

    async fn until_closed<A, B, F>(self, work: impl FnOnce(Self, A, B) -> F, half: A, channel: B)
    where
        F: Future<Output = Result<(), String>>,
    {
        let link = self.clone();
        tokio::select! {
            ended = work(self, half, channel) => link.close(ended.err().unwrap_or_else(|| "it left".to_owned())),
            () = link.0.closed.cancelled() => {}
        }
    }

    /// Calls the other side.
    pub(crate) async fn call(
        &self,
        method: &str,
        payload: Vec<u8>,
        limit: Duration,
    ) -> Result<Vec<u8>, PluginCallError> {
        let LinkInner { side, frames, waiting, next, closed, .. } = &*self.0;
        let length = payload.len();
        let stream = next.fetch_add(2, Ordering::Relaxed);
        let timeout = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
        let message = call::request(stream, side.called_service(), method, payload, timeout);
        let frame = mux::encode(side.calls(), &message).ok_or(PluginCallError::TooLong(length))?;
        let (answer, answered) = oneshot::channel();
        lock(waiting).insert(stream, answer);
        let _forget = Forget { link: self, stream };
        let exchange = async {
            frames.send(frame).await.map_err(|_| self.gone())?;
            tokio::select! {
                answer = answered => answer.map_err(|_| self.gone()),
                () = closed.cancelled() => Err(self.gone()),
            }
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => call::result(&answer?),
            Err(_) => Err(PluginCallError::TimedOut(limit)),
        }
    }

    /// Answers a call of the other side. It waits if the other side does not read.
    pub(crate) async fn answer(&self, stream: u32, result: Result<Vec<u8>, (i32, String)>) {
        let LinkInner { side, frames, closed, .. } = &*self.0;
        let message = call::response(stream, result);
        let frame = mux::encode(side.answers(), &message).or_else(|| {
            let too_long = (call::RESOURCE_EXHAUSTED, "the answer is too long".to_owned());
            mux::encode(side.answers(), &call::response(stream, Err(too_long)))
        });
        if let Some(frame) = frame {
            tokio::select! {
                _ = frames.send(frame) => {}
                () = closed.cancelled() => {}
            }
        }
    }

    /// Ends the connection; the first reason is the one.
    pub(crate) fn close(&self, reason: String) {
        let _ = self.0.reason.set(reason);
        self.0.closed.cancel();
    }

    /// Waits for its end, and answers why.
    pub(crate) async fn closed(&self) -> String {
        self.0.closed.cancelled().await;
        self.reason()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    fn reason(&self) -> String {
        self.0.reason.get().cloned().unwrap_or_else(|| "it left".to_owned())
    }

    fn gone(&self) -> PluginCallError {
        PluginCallError::Closed(self.reason())
    }

    async fn write(self, mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) -> Result<(), String> {
        while let Some(frame) = frames.recv().await {
            writer.write_all(&frame).await.map_err(|error| format!("its connection: {error}"))?;
        }
        Ok(())
    }

    async fn read(self, mut reader: OwnedReadHalf, incoming: mpsc::Sender<IncomingCall>) -> Result<(), String> {
        let ended = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "it left".to_owned(),
            _ => format!("its connection: {error}"),
        };
        let most = self.0.side.takes();
        let (mut answers, mut calls) = (Assembly::new(most), Assembly::new(most));
        let (mut header, mut piece) = ([0; FRAME_HEADER], vec![0; PIECE]);
        loop {
            reader.read_exact(&mut header).await.map_err(ended)?;
            let FrameHeader { connection, mut length } =
                FrameHeader::parse(header, most).map_err(|error| error.to_string())?;
            while length > 0 {
                let bytes = length.min(PIECE);
                let bytes = reader.read(piece.get_mut(..bytes).unwrap_or_default()).await.map_err(ended)?;
                if bytes == 0 {
                    return Ok(());
                }
                length -= bytes;
                let bytes = piece.get(..bytes).unwrap_or_default();
                let assembly = match connection {
                    number if number == self.0.side.calls() => &mut answers,
                    number if number == self.0.side.answers() => &mut calls,
                    // Of no service that there is.
                    _ => continue,
                };
                for message in assembly.take(bytes).map_err(|error| error.to_string())? {
                    self.deliver(message, &incoming)?;
                }
            }
        }
    }

    fn deliver(&self, message: MuxMessage, incoming: &mpsc::Sender<IncomingCall>) -> Result<(), String> {
        let MuxMessage { kind, stream, payload } = message;
        match kind {
            // Nobody may wait any more.
            MuxMessageKind::Response => drop(lock(&self.0.waiting).remove(&stream).map(|wait| wait.send(payload))),
            MuxMessageKind::Request => {
                let call = Call::parse_from_bytes(&payload).map_err(|_| "it sent what is no call".to_owned())?;
                incoming.try_send(IncomingCall { stream, call }).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => format!("more than {REQUESTS} of its requests wait"),
                    mpsc::error::TrySendError::Closed(_) => "it left".to_owned(),
                })?;
            }
        }
        Ok(())
    }
}

/// Nobody waits for the answer any more.
struct Forget<'a> {
    link: &'a PluginLink,
    stream: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.link.0.waiting).remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    type End = (PluginLink, LinkTasks, mpsc::Receiver<IncomingCall>);

    fn pair() -> (End, End) {
        let (one, other) = UnixStream::pair().unwrap();
        (PluginLink::open(one, LinkSide::Runtime), PluginLink::open(other, LinkSide::Plugin))
    }

    #[tokio::test]
    async fn both_sides_call_each_other() {
        let ((runtime, _a, mut of_plugin), (plugin, _b, mut of_runtime)) = pair();
        let serve = async {
            let asked = of_runtime.recv().await.unwrap();
            assert_eq!((asked.call.service.as_str(), asked.call.method.as_str()), (call::PLUGIN, "Configure"));
            plugin.answer(asked.stream, Ok(asked.call.payload)).await;
            plugin.call("RegisterPlugin", vec![1], LIMIT).await
        };
        let ask = async {
            let echoed = runtime.call("Configure", vec![5; 300_000], LIMIT).await.unwrap();
            assert_eq!(echoed, vec![5; 300_000]);
            let asked = of_plugin.recv().await.unwrap();
            runtime.answer(asked.stream, Err((call::INVALID_ARGUMENT, "no\nsuch name".to_owned()))).await;
        };
        let (answer, ()) = tokio::join!(serve, ask);
        let refused = answer.unwrap_err();
        assert!(
            matches!(&refused, PluginCallError::Refused { code: 3, message } if !message.contains('\n')),
            "{refused:?}"
        );
        assert!(!refused.is_fatal());
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_does_not_answer_or_leaves_holds_nobody_up() {
        let ((runtime, _a, _in), (plugin, b, _of_runtime)) = pair();
        let error = runtime.call("StopContainer", Vec::new(), LIMIT).await.unwrap_err();
        assert_eq!(error, PluginCallError::TimedOut(LIMIT));
        assert!(lock(&runtime.0.waiting).is_empty());
        let call = runtime.call("StopContainer", Vec::new(), LIMIT);
        let leave = async {
            tokio::task::yield_now().await;
            drop((plugin, b));
        };
        let (error, ()) = tokio::join!(call, leave);
        assert_eq!(error.unwrap_err(), PluginCallError::Closed("it left".to_owned()));
        assert!(runtime.is_closed());
    }

    #[tokio::test]
    async fn nonsense_and_too_much_end_the_connection() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let (link, _tasks, _in) = PluginLink::open(one, LinkSide::Runtime);
        // Of no service: passed over.
        other.write_all(&[0, 0, 0, 9, 0, 0, 0, 2, 1, 1]).await.unwrap();
        other.write_all(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
        assert!(link.closed().await.contains("a frame of 4294967295 bytes"));

        let ((runtime, _a, _not_read), (plugin, _b, _)) = pair();
        let calls = (0..=REQUESTS).map(|_| plugin.call("UpdateContainers", Vec::new(), LIMIT));
        for call in calls.map(|call| async { tokio::time::timeout(Duration::from_millis(1), call).await.is_ok() }) {
            call.await;
        }
        assert!(runtime.closed().await.contains("requests wait"));
        let error = runtime.call("Configure", vec![0; SENT_BYTES + 1], LIMIT).await.unwrap_err();
        assert!(matches!(error, PluginCallError::TooLong(_)));
    }
}
