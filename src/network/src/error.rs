//! What can go wrong, as facts.

use crate::bounds::PORTS_PER_POD;
use crate::cni::CniError;
use crate::config::ConfigError;
use crate::ports::PortMapping;
use peapod_store::StoreError;
use std::fmt;
use std::io;
use std::net::IpAddr;

/// The network can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings are wrong.
    #[error("{}", list(.0))]
    Config(Vec<ConfigError>),
    /// The database can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kernel refused one step.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {source}")]
pub struct StepError {
    /// What was being done, to what.
    pub doing: String,
    /// What the kernel said.
    pub source: io::Error,
}

impl StepError {
    pub(crate) fn new(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }

    /// Whether the kernel gave this error number.
    pub(crate) fn is(&self, errno: rustix::io::Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }
}

/// Who has a port of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortOwner {
    /// Another attachment, by its id.
    Attachment(String),
    /// A process that listens on the node.
    Process {
        /// Its number.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A socket whose process can't be seen.
    Unknown,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachment(id) => write!(f, "pod {id}"),
            Self::Process { pid, name } => write!(f, "process {pid} ({name}), which listens on the node"),
            Self::Unknown => f.write_str("a socket of the node whose process cannot be seen"),
        }
    }
}

/// An attach failed; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The id can't be part of a file name.
    #[error("network id '{id}': use 1 to 128 of the characters a-z A-Z 0-9 _ - . and no dot at the beginning")]
    InvalidId {
        /// The id.
        id: String,
    },
    /// A port mapping that can't work.
    #[error("host port {port}: {what}")]
    InvalidPort {
        /// The mapping.
        port: PortMapping,
        /// Why it can't work and what to do.
        what: &'static str,
    },
    /// More than anybody needs.
    #[error("{count} host ports: a pod can have at most {PORTS_PER_POD}")]
    TooManyPorts {
        /// How many were asked for.
        count: usize,
    },
    /// A port mapping asks for an address family that pods do not have.
    #[error(
        "host port {port}: {address} cannot be used, pods have no address of that family; \
             add a subnet of it to network.subnets, or map another address"
    )]
    NoFamily {
        /// The mapping.
        port: PortMapping,
        /// Its address.
        address: IpAddr,
    },
    /// Somebody has the port.
    #[error("host port {port} is taken by {owner}: stop that, or map another port")]
    PortTaken {
        /// The mapping.
        port: PortMapping,
        /// Who has it.
        owner: PortOwner,
    },
    /// All addresses are given away.
    #[error("no address is free in {subnet} ({used} in use): give network.subnets a larger range, or stop pods")]
    NoAddress {
        /// The range.
        subnet: String,
        /// How many are in use.
        used: usize,
    },
    /// There are as many as there can be.
    #[error("{most} pods are connected, and the network takes no more: stop pods")]
    Full {
        /// How many there can be.
        most: usize,
    },
    /// There is an attachment of that id with other ports.
    #[error("'{id}' is attached already with other ports: detach it first")]
    Different {
        /// The id.
        id: String,
    },
    /// What an earlier attempt left could not be taken away.
    #[error(transparent)]
    Undo(#[from] DetachError),
    /// The record could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel refused a step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Plugins, or their configuration, do not do what they should.
    #[error(transparent)]
    Cni(#[from] CniError),
    /// The network is being shut down.
    #[error("the network is shutting down")]
    Closed,
}

/// A detach failed; it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// The record could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel refused steps; the others were done.
    #[error("{}", list(.0))]
    Steps(Vec<StepError>),
    /// Plugins did not take away what they made; they are asked again.
    #[error("{}", list(.0))]
    Cni(Vec<CniError>),
    /// The whole network can't be taken away while it is used.
    #[error("{count} pods are attached: detach them first")]
    InUse {
        /// How many attachments there are.
        count: usize,
    },
    /// The network is being shut down.
    #[error("the network is shutting down")]
    Closed,
}

fn list<E: fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
