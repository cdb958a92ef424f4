//! TLS for hosts that hosts.toml says something special about.

use crate::hosts::Connection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// The TLS side of such a connection. Reads files.
pub(super) fn config(connection: &Connection) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut own = Vec::new();
    for path in &connection.ca {
        own.extend(certificates(path, &read(path)?)?);
    }
    let trust = if connection.skip_verify {
        Trust { provider: Arc::clone(&provider), chains: None, own }
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(own.iter().cloned());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let chains = chains.map_err(|error| format!("no certificate authorities to trust: {error}"))?;
        Trust { provider: Arc::clone(&provider), chains: Some(chains), own }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    // A TLS client shows one certificate; the first that is configured is it.
    let mut config = match connection.client.first() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let pem = read(certificate)?;
            let key_path = key.as_ref().unwrap_or(certificate);
            let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
                .map_err(|error| format!("{}: no private key: {error:?}", key_path.display()))?;
            builder
                .with_client_auth_cert(certificates(certificate, &pem)?, key)
                .map_err(|error| format!("{}: {error}", certificate.display()))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Reads a file that hosts.toml names.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: no PEM certificates: {error:?}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{}: has no PEM certificate in it", path.display()));
    }
    Ok(found)
}

/// Which servers are believed.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None` believes every server (skip_verify).
    chains: Option<Arc<WebPkiServerVerifier>>,
    /// What `ca` lists. A server may show one of these itself: the usual `openssl req -x509` makes one certificate that
    /// is authority and server in one, which a strict verifier refuses although the operator named it.
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chains) = &self.chains else {
            return Ok(ServerCertVerified::assertion());
        };
        match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its dates were found good before this; only its name is left to check.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if self.own.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
