//! `[metrics]`: where Prometheus finds the daemon's own metrics.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::section::{Section, absolute, socket_path};

/// What the daemon tells of itself, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricsSettings {
    /// None: nowhere.
    pub(crate) address: Option<MetricsAddress>,
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MetricsAddress {
    Tcp(SocketAddr),
    /// A unix socket.
    Socket(PathBuf),
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl MetricsSettings {
    /// `cri`: the socket of CRI, which is another one.
    pub(super) fn read(mut section: Section<'_>, cri: &Path) -> Self {
        let address = section.text("address", None, |text| {
            if text.is_empty() {
                return Ok(None);
            }
            if text.starts_with('/') {
                let path = absolute(text).and_then(socket_path)?;
                return if path == cri {
                    Err("is the socket of CRI".into())
                } else {
                    Ok(Some(MetricsAddress::Socket(path)))
                };
            }
            let wrong = "is no address with a port such as \"127.0.0.1:9434\", nor the path of a unix socket";
            match text.parse::<SocketAddr>() {
                Ok(address) if address.port() != 0 => Ok(Some(MetricsAddress::Tcp(address))),
                _ => Err(wrong.to_owned()),
            }
        });
        section.finish();
        Self { address }
    }
}
