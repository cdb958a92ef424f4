//! What the daemon says to the streaming server.

use std::time::Duration;

use crate::bounds::FORWARDED_PORTS;
use crate::message::{DecodeError, SessionMessage};
use crate::token::SessionToken;
use crate::wire::{FieldReader, FieldWriter};

/// From the daemon to the streaming server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer {
    /// Comes with two files: a chain of certificates and its key, both PEM. From now on clients must speak TLS, with
    /// these; said before [`ToServer::Listen`], and again when the files have changed.
    Tls,
    /// Comes with the listening socket of sessions, then one on which clients connect. Said once.
    Listen,
    /// A client will come with this token.
    Register(Registration),
    /// What was claimed with this token comes to nothing.
    Refused {
        /// As the server said in [`crate::ToDaemon::Claimed`].
        token: SessionToken,
        /// Why, for the client.
        text: String,
    },
}

/// A session to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Used once.
    pub token: SessionToken,
    /// What the client was promised.
    pub kind: SessionKind,
    /// The session ends when nothing was sent in either direction for so long.
    pub idle: Duration,
    /// From the client's connection until it has opened its streams, and until the session is there.
    pub creation: Duration,
    /// From now on until the client connects.
    pub expiry: Duration,
}

/// What a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A command in a container.
    Exec(CommandStreams),
    /// The first process of a container.
    Attach(CommandStreams),
    /// Connections to ports of a pod. The list is for clients that name ports by their place in it, and may be empty.
    PortForward(Vec<u16>),
}

/// Which streams a command has for its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandStreams {
    /// They belong to a terminal, which can be resized.
    pub tty: bool,
    /// The client writes.
    pub stdin: bool,
    /// The client reads.
    pub stdout: bool,
    /// The client reads.
    pub stderr: bool,
}

impl CommandStreams {
    /// How many descriptors hand them over.
    #[must_use]
    pub fn count(self) -> usize {
        [self.stdin, self.stdout, self.stderr].into_iter().filter(|is| *is).count()
    }

    pub(crate) fn bits(self) -> u8 {
        u8::from(self.tty) | u8::from(self.stdin) << 1 | u8::from(self.stdout) << 2 | u8::from(self.stderr) << 3
    }

    pub(crate) fn from_bits(bits: u8) -> Result<Self, DecodeError> {
        let has = |bit: u8| bits & 1 << bit != 0;
        if bits > 15 {
            return Err(DecodeError::Value("set of streams"));
        }
        Ok(Self { tty: has(0), stdin: has(1), stdout: has(2), stderr: has(3) })
    }
}

impl SessionMessage for ToServer {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Tls => FieldWriter::new(1).done(),
            Self::Listen => FieldWriter::new(2).done(),
            Self::Register(registration) => {
                let Registration { token, kind, idle, creation, expiry } = registration;
                let head = FieldWriter::new(3).token(token).duration(*idle).duration(*creation).duration(*expiry);
                kind.write(head).done()
            }
            Self::Refused { token, text } => FieldWriter::new(4).token(token).text(text).done(),
        }
    }

    fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        FieldReader::all(datagram, |kind, fields| match kind {
            1 => Ok(Self::Tls),
            2 => Ok(Self::Listen),
            3 => {
                let token = fields.token()?;
                let [idle, creation, expiry] = [fields.duration()?, fields.duration()?, fields.duration()?];
                Ok(Self::Register(Registration { token, kind: SessionKind::read(fields)?, idle, creation, expiry }))
            }
            4 => Ok(Self::Refused { token: fields.token()?, text: fields.text()? }),
            other => Err(DecodeError::Kind(other)),
        })
    }

    fn descriptors(&self) -> usize {
        match self {
            Self::Tls | Self::Listen => 2,
            Self::Register(_) | Self::Refused { .. } => 0,
        }
    }
}

impl SessionKind {
    fn write(&self, head: FieldWriter) -> FieldWriter {
        match self {
            Self::Exec(streams) => head.u8(1).u8(streams.bits()),
            Self::Attach(streams) => head.u8(2).u8(streams.bits()),
            Self::PortForward(ports) => {
                let ports = &ports[..ports.len().min(FORWARDED_PORTS)];
                let head = head.u8(3).u16(u16::try_from(ports.len()).unwrap_or(0));
                ports.iter().fold(head, |head, port| head.u16(*port))
            }
        }
    }

    fn read(fields: &mut FieldReader<'_>) -> Result<Self, DecodeError> {
        match fields.u8()? {
            1 => Ok(Self::Exec(CommandStreams::from_bits(fields.u8()?)?)),
            2 => Ok(Self::Attach(CommandStreams::from_bits(fields.u8()?)?)),
            3 => {
                let count = fields.u16()?;
                if usize::from(count) > FORWARDED_PORTS {
                    return Err(DecodeError::Value("number of ports"));
                }
                (0..count).map(|_| fields.u16()).collect::<Result<_, _>>().map(Self::PortForward)
            }
            _ => Err(DecodeError::Value("kind of session")),
        }
    }
}
