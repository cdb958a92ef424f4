//! `[streaming]`: exec, attach and port-forward.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::section::{Section, absolute};
use crate::bounds::{SESSION_CREATION, SESSION_IDLE};

/// Where clients connect, and how long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamingSettings {
    /// Port 0: any that is free.
    pub(crate) address: SocketAddr,
    /// Clients must speak TLS.
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) idle_timeout: Duration,
    pub(crate) creation_timeout: Duration,
    pub(crate) on_disconnect: OnDisconnect,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What becomes of a command whose client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDisconnect {
    /// It is killed with all of its session.
    Kill,
    /// It goes on.
    Leave,
}

impl StreamingSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = section.text("address", usual, |text| {
            text.parse().map_err(|_| "is no address with a port such as \"127.0.0.1:0\" or \"[::1]:10010\"".to_owned())
        });
        let file = |text: &str| if text.is_empty() { Ok(None) } else { absolute(text).map(Some) };
        let (certificate, key) = (section.text("tls_cert", None, file), section.text("tls_key", None, file));
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                section.problem("tls_key", "is needed with tls_cert");
                None
            }
            (None, Some(_)) => {
                section.problem("tls_cert", "is needed with tls_key");
                None
            }
        };
        let settings = Self {
            address,
            tls,
            idle_timeout: section.duration("idle_timeout", SESSION_IDLE),
            creation_timeout: section.duration("creation_timeout", SESSION_CREATION),
            on_disconnect: section.text("on_disconnect", OnDisconnect::Kill, |text| match text {
                "kill" => Ok(OnDisconnect::Kill),
                "leave" => Ok(OnDisconnect::Leave),
                _ => Err("should be kill or leave".to_owned()),
            }),
        };
        section.finish();
        settings
    }
}
