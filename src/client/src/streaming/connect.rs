//! From a session's URL to its connection.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Uri;

use peapod_text::one_line;

use super::error::StreamError;

/// What a session's bytes go over: TCP, or TLS.
pub(super) trait SessionWire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> SessionWire for T {}

/// Where a session is, as a runtime says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionUrl {
    tls: bool,
    /// A name or an address, the latter without brackets.
    host: String,
    port: u16,
    /// Of the WebSocket.
    pub(super) url: String,
}

impl SessionUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, StreamError> {
        let wrong = || StreamError::Url { url: one_line(url).into_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{}://{authority}{path}", if tls { "wss" } else { "ws" });
        Ok(Self { tls, host, port, url })
    }

    /// Without what is secret of it.
    pub(super) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn SessionWire>, StreamError> {
        let failed = |source| StreamError::Connect { address: self.address(), source };
        let tcp = self.dial().await.map_err(failed)?;
        if !self.tls {
            return Ok(Box::new(tcp));
        }
        let (local, peer) = (tcp.local_addr().map_err(failed)?, tcp.peer_addr().map_err(failed)?);
        if !is_of_this_node(local.ip(), peer.ip()) {
            return Err(StreamError::Elsewhere { address: self.address() });
        }
        let other = |error: String| failed(io::Error::other(error));
        let name = ServerName::try_from(self.host.clone()).map_err(|error| other(error.to_string()))?;
        let connector = believing().map_err(|error| other(error.to_string()))?;
        Ok(Box::new(connector.connect(name, tcp).await.map_err(failed)?))
    }

    /// A session may be silent for as long as it likes. That its node is gone has to show nevertheless.
    async fn dial(&self) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        peapod_sys::keep_alive(&tcp)?;
        Ok(tcp)
    }
}

/// The kernel connects from the address that it connects to if that is the node's own. (Whether one may listen there
/// says nothing: `ip_nonlocal_bind` allows that everywhere.)
fn is_of_this_node(local: IpAddr, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || local.to_canonical() == peer
}

/// Believes every certificate, as `crictl` does that was told of no authority. The URL came from the runtime, over a
/// socket that is root's alone, and the connection does not leave the node.
pub(crate) fn believing() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// Whose it is is not asked; that the server has its key is.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_runtimes() {
        for (url, address, socket) in [
            ("http://127.0.0.1:4000/exec/abc", "127.0.0.1:4000", "ws://127.0.0.1:4000/exec/abc"),
            ("https://[::1]:4000/exec/abc?x=1", "[::1]:4000", "wss://[::1]:4000/exec/abc?x=1"),
            ("http://localhost/attach/x", "localhost:80", "ws://localhost/attach/x"),
            ("https://node", "node:443", "wss://node/"),
        ] {
            let place = SessionUrl::parse(url).unwrap();
            assert_eq!((place.address().as_str(), place.url.as_str()), (address, socket));
        }
        for wrong in ["", "/exec/abc", "ftp://127.0.0.1/x", "http://", "http://user@host/x", "http:// /", "unix:///x"] {
            assert!(matches!(SessionUrl::parse(wrong), Err(StreamError::Url { .. })), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_this_node() {
        let is_of_this_node = |local: &str, peer: &str| is_of_this_node(local.parse().unwrap(), peer.parse().unwrap());
        assert!(is_of_this_node("127.0.0.1", "127.0.0.2"));
        assert!(is_of_this_node("::1", "::1"));
        assert!(is_of_this_node("192.0.2.7", "192.0.2.7"));
        assert!(is_of_this_node("192.0.2.7", "::ffff:192.0.2.7"));
        // Another one's.
        assert!(!is_of_this_node("192.0.2.7", "192.0.2.1"));
        assert!(!is_of_this_node("127.0.0.1", "192.0.2.1"));
    }

    #[tokio::test]
    async fn a_node_that_is_gone_shows() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = SessionUrl::parse(&format!("http://{}/exec/x", listener.local_addr().unwrap())).unwrap();
        let tcp = place.dial().await.unwrap();
        assert!(rustix::net::sockopt::socket_keepalive(&tcp).unwrap() && tcp.nodelay().unwrap());
    }
}
