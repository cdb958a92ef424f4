//! The streaming server's part, as a test plays it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use peapod_shim_protocol::containerd::protobuf::MessageField;
use peapod_shim_protocol::extension::{OpenAttachRequest, OpenExecRequest, Session, Streams};
use peapod_streaming_protocol::{CommandStreams, PacketListener, SessionEnd, SessionToken, ToSession};
use serde_json::json;
use tokio::time::timeout;

use super::{LIMIT, Pod, context};

pub const STDOUT: CommandStreams = CommandStreams { tty: false, stdin: false, stdout: true, stderr: false };
pub const ALL: CommandStreams = CommandStreams { tty: false, stdin: true, stdout: true, stderr: true };
pub const TERMINAL: CommandStreams = CommandStreams { tty: true, stdin: true, stdout: true, stderr: false };

/// The streaming server's listener, and the sessions that it is told to expect.
pub struct Server {
    pub listener: PacketListener,
    pub socket: PathBuf,
}

/// A client's end of a session whose streams are there.
pub struct Client {
    pub connection: SessionEnd,
    pub streams: CommandStreams,
    pub ends: std::vec::IntoIter<OwnedFd>,
}

impl Server {
    pub fn new(pod: &Pod) -> Self {
        let socket = pod.path().join("streaming");
        let listener = PacketListener::from_descriptor(PacketListener::bind(&socket).unwrap()).unwrap();
        Self { listener, socket }
    }

    pub fn expect(&self) -> (MessageField<Session>, SessionToken) {
        let token = SessionToken::random().unwrap();
        let socket = self.socket.to_string_lossy().into_owned();
        (MessageField::some(Session { socket, token: token.as_str().to_owned(), ..Default::default() }), token)
    }

    /// The session that a shim opens next.
    pub async fn accept(&self, token: SessionToken) -> SessionEnd {
        let connection: SessionEnd = timeout(LIMIT, self.listener.accept()).await.unwrap().unwrap();
        assert_eq!(next(&connection).await, Some(ToSession::Hello { token }));
        connection
    }

    pub async fn exec(&self, pod: &Pod, exec: &str, script: &str, streams: CommandStreams, leave: bool) -> SessionEnd {
        let (session, token) = self.expect();
        let process = json!({
            "terminal": streams.tty,
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
        });
        let request = OpenExecRequest {
            session,
            container_id: "c1".to_owned(),
            exec_id: exec.to_owned(),
            process: process.to_string().into_bytes(),
            streams: wire(streams),
            leave,
            ..Default::default()
        };
        pod.extension.open_exec(context(), &request).await.unwrap();
        self.accept(token).await
    }

    /// A command that could be started.
    pub async fn command(&self, pod: &Pod, exec: &str, script: &str, streams: CommandStreams) -> Client {
        Client::of(self.exec(pod, exec, script, streams, false).await).await
    }

    pub async fn attach(&self, pod: &Pod, container: &str, streams: CommandStreams, stdin_once: bool) -> Client {
        let (session, token) = self.expect();
        let request = OpenAttachRequest {
            session,
            container_id: container.to_owned(),
            streams: wire(streams),
            stdin_once,
            ..Default::default()
        };
        pod.extension.open_attach(context(), &request).await.unwrap();
        Client::of(self.accept(token).await).await
    }
}

pub fn wire(streams: CommandStreams) -> MessageField<Streams> {
    let CommandStreams { tty, stdin, stdout, stderr } = streams;
    MessageField::some(Streams { tty, stdin, stdout, stderr, ..Default::default() })
}

/// What a shim says next; none at the end.
pub async fn next(connection: &SessionEnd) -> Option<ToSession> {
    timeout(LIMIT, connection.recv()).await.unwrap().unwrap().map(|(said, _)| said)
}

impl Client {
    pub async fn of(connection: SessionEnd) -> Self {
        let (said, ends) = timeout(LIMIT, connection.recv()).await.unwrap().unwrap().unwrap();
        let ToSession::Started { streams } = said else { panic!("{said:?}") };
        Self { connection, streams, ends: ends.into_iter() }
    }

    /// The next stream; a blocking one.
    pub fn stream(&mut self) -> File {
        let end = self.ends.next().unwrap();
        rustix::io::ioctl_fionbio(&end, false).unwrap();
        File::from(end)
    }

    /// The last words.
    pub async fn end(self) -> ToSession {
        let last = next(&self.connection).await.unwrap();
        assert_eq!(next(&self.connection).await, None);
        last
    }
}

/// What comes until the end. A terminal's end is an error.
pub async fn rest(mut stream: File) -> String {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    timeout(LIMIT, read).await.unwrap().unwrap()
}

/// What comes until that.
pub async fn until(mut stream: File, text: &'static str) -> File {
    let read = tokio::task::spawn_blocking(move || {
        let mut found = String::new();
        let mut byte = [0];
        while !found.ends_with(text) {
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "it ended with {found:?}");
            found.push(char::from(byte[0]));
        }
        stream
    });
    timeout(LIMIT, read).await.unwrap().unwrap()
}
