//! Connections to what runs in a pod, plain or over TLS.

use std::io;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::streaming::believing;

/// What a request goes over.
pub(super) trait HandlerWire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> HandlerWire for T {}

/// Connects, or says why not.
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| said(host, port, &error))
}

/// The same over TLS. As a kubelet does it, every certificate is believed: probes ask whether somebody answers.
pub(super) async fn tls(host: &str, port: u16) -> Result<Box<dyn HandlerWire>, String> {
    let stream = tcp(host, port).await?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    let connector = believing().map_err(|error| error.to_string())?;
    let stream = connector.connect(name, stream).await.map_err(|error| said(host, port, &error))?;
    Ok(Box::new(stream))
}

fn said(host: &str, port: u16, error: &io::Error) -> String {
    if host.contains(':') { format!("[{host}]:{port}: {error}") } else { format!("{host}:{port}: {error}") }
}
