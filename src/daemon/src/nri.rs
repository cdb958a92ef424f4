//! Plugins of the Node Resource Interface: the socket to which they connect.

use std::convert::Infallible;
use std::time::Duration;

use peapod_nri::{InstalledPlugins, PluginSettings, Plugins};
use tokio::net::UnixListener;

use crate::config::NriSettings;
use crate::runtime_dir::{self, RuntimeDirError};

/// Until a socket is asked for again that another runtime has.
const AGAIN: Duration = Duration::from_secs(30);

/// How plugins are dealt with; `None` without any.
pub(crate) fn settings(nri: &NriSettings) -> Option<PluginSettings> {
    if nri.socket.is_none() && nri.installed.is_none() {
        return None;
    }
    Some(PluginSettings {
        version: env!("CARGO_PKG_VERSION"),
        registration_timeout: nri.registration_timeout,
        request_timeout: nri.request_timeout,
        rules: nri.rules.clone(),
        installed: nri.installed.clone(),
    })
}

/// Starts those that are installed, and lets others in.
pub(crate) async fn run(nri: &NriSettings, plugins: &Plugins, installed: Option<InstalledPlugins>) -> Infallible {
    let start = async {
        match installed {
            Some(installed) => installed.serve().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        never = start => match never {},
        never = listen(nri, plugins) => match never {},
    }
}

/// Lets plugins in. That there is no socket keeps nothing else from being served: somebody else may have it.
async fn listen(nri: &NriSettings, plugins: &Plugins) -> Infallible {
    let Some(socket) = &nri.socket else { return std::future::pending().await };
    let mut told = false;
    loop {
        let bound = runtime_dir::bind(socket, 0o600, Duration::ZERO).and_then(runtime_dir::ListeningSocket::publish);
        let listener = bound.map_err(|error: RuntimeDirError| error.to_string());
        match listener.and_then(|listener| UnixListener::from_std(listener).map_err(|error| error.to_string())) {
            Ok(listener) => match peapod_nri::serve(plugins, listener).await {},
            Err(error) => {
                if !told {
                    tracing::warn!(error, "NRI plugins can't connect to this daemon; it is tried again");
                    told = true;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
