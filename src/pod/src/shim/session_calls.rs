//! Calls to a shim that open sessions of the streaming server.

use std::path::PathBuf;

use peapod_shim_protocol::containerd::protobuf::MessageField;
use peapod_shim_protocol::containerd::ttrpc::context;
use peapod_shim_protocol::{SESSIONS_SINCE, extension};
use peapod_streaming_protocol::{CommandStreams, SessionToken};

use super::ShimError;
use super::calls::{QUICK, Shim, call};
use super::task_options::text;

/// Where a session is opened.
#[derive(Clone, Debug)]
pub struct SessionAddress {
    /// Socket of the streaming server.
    pub socket: PathBuf,
    /// Which session it is.
    pub token: SessionToken,
}

/// What a shim does about sessions.
pub(crate) struct SessionCalls<'a>(pub(crate) &'a Shim);

impl SessionCalls<'_> {
    /// Whether it is new enough to know any.
    pub(crate) async fn are_served(&self) -> Result<bool, ShimError> {
        Ok(self.0.hello().await?.protocol >= SESSIONS_SINCE)
    }

    /// Has it start a command whose streams a client has. `process` is an OCI object in JSON. With `leave` the command
    /// outlives its client.
    pub(crate) async fn open_exec(
        &self,
        address: &SessionAddress,
        (container, exec): (&str, &str),
        process: Vec<u8>,
        streams: CommandStreams,
        leave: bool,
    ) -> Result<(), ShimError> {
        let request = extension::OpenExecRequest {
            session: session(address),
            container_id: container.to_owned(),
            exec_id: exec.to_owned(),
            process,
            streams: wire(streams),
            leave,
            ..Default::default()
        };
        call!("OpenExec", QUICK, self.0.inner.extension, open_exec, request).map(drop)
    }

    /// Has it pass a container's output and input on.
    pub(crate) async fn open_attach(
        &self,
        address: &SessionAddress,
        container: &str,
        streams: CommandStreams,
        stdin_once: bool,
    ) -> Result<(), ShimError> {
        let request = extension::OpenAttachRequest {
            session: session(address),
            container_id: container.to_owned(),
            streams: wire(streams),
            stdin_once,
            ..Default::default()
        };
        call!("OpenAttach", QUICK, self.0.inner.extension, open_attach, request).map(drop)
    }

    /// Has it connect to ports of the pod.
    pub(crate) async fn open_port_forward(&self, address: &SessionAddress, pod: &str) -> Result<(), ShimError> {
        let request = extension::OpenPortForwardRequest {
            session: session(address),
            sandbox_id: pod.to_owned(),
            ..Default::default()
        };
        call!("OpenPortForward", QUICK, self.0.inner.extension, open_port_forward, request).map(drop)
    }
}

fn session(address: &SessionAddress) -> MessageField<extension::Session> {
    let token = address.token.as_str().to_owned();
    MessageField::some(extension::Session { socket: text(&address.socket), token, ..Default::default() })
}

fn wire(streams: CommandStreams) -> MessageField<extension::Streams> {
    let CommandStreams { tty, stdin, stdout, stderr } = streams;
    MessageField::some(extension::Streams { tty, stdin, stdout, stderr, ..Default::default() })
}
