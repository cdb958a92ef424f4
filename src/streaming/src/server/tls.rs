//! The server's certificate.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use peapod_streaming_protocol::TLS_FILE_BYTES;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why certificate and key can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("a file of the certificate can't be read: {0}")]
    Read(#[from] io::Error),
    #[error("certificate or key: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("certificate and key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What TLS is made of. It is loaded before the process gives up to open files, which its library does at its begin.
#[derive(Clone, Debug)]
pub(super) struct Tls(Arc<CryptoProvider>);

impl Tls {
    pub(super) fn load() -> Result<Self, TlsError> {
        let provider = default_provider();
        provider.secure_random.fill(&mut [0; 32]).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        Ok(Self(Arc::new(provider)))
    }

    /// With a chain of certificates and its key, both PEM.
    pub(super) fn acceptor(&self, chain: OwnedFd, key: OwnedFd) -> Result<TlsAcceptor, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&read(chain)?).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?)?;
        let config = ServerConfig::builder_with_provider(self.0.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Arc::new(config).into())
    }
}

fn read(file: OwnedFd) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    File::from(file).take(TLS_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
