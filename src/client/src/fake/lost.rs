//! Answers that are lost, for the fake runtime's connections are cut, as if it had been killed and begun anew; and
//! those that come late.

use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use super::Fake;

/// When a call's connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostCall {
    /// Before anything was done.
    Before,
    /// When all was done.
    After,
}

impl Fake {
    /// Cuts all connections if the answer to this call is to be lost; then it never goes on.
    pub(super) async fn lose(&self, rpc: &'static str, when: LostCall) {
        let connections = self.state(|state| {
            let at = state.loses.iter().position(|lost| *lost == (rpc, when))?;
            state.loses.remove(at);
            Some(std::mem::take(&mut state.connections))
        });
        let Some(connections) = connections else { return };
        for connection in connections {
            connection.abort();
        }
        std::future::pending::<()>().await;
    }

    /// Waits as long as this call is to hang.
    pub(super) async fn hang(&self, rpc: &'static str) {
        let hangs = || self.state(|state| state.hangs == Some(rpc));
        if hangs() {
            self.state(|state| state.hung += 1);
        }
        while hangs() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Takes connections to the socket that clients know.
pub(super) async fn forward(fake: Fake, listener: UnixListener, inner: PathBuf) {
    while let Ok((mut client, _)) = listener.accept().await {
        let inner = inner.clone();
        let connection = tokio::spawn(async move {
            let mut server = UnixStream::connect(inner).await.unwrap();
            // It ends with either side.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
        fake.state(|state| state.connections.push(connection.abort_handle()));
    }
}
