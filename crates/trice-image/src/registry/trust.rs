//! Whose certificates are believed.
//!
//! ```text
//! Authorities   those of this machine, and `*.crt` in the host's folder
//! Anybody       for hosts that are said to be insecure: traffic is not read along, but anybody may answer
//! ```
//!
//! A certificate that has signed itself and lies in the host's folder is believed as that host's own, which is what
//! most people put there.
//!
//! `NAME.cert` with `NAME.key` in the host's folder shows who we are.
//!
//! Sources: containers-certs.d(5); rustls, "Providing Client Authentication".

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Whose certificates are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// What an authority has signed.
    Authorities,
    /// Any.
    Anybody,
}

/// Why one cannot tell whom to believe.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A folder or file of certificates cannot be read.
    #[error("read the certificates in `{path}`")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A certificate without its key.
    #[error("`{path}` has no key beside it: put it at `{}`", path.with_extension("key").display())]
    NoKey {
        /// The certificate.
        path: PathBuf,
    },
    /// The certificates cannot be used.
    #[error("use the certificates of {host}")]
    Tls {
        /// The host that they are for.
        host: String,
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// This machine has no authorities.
    #[error("this machine has no certificates of authorities: install the package `ca-certificates`")]
    NoAuthorities,
}

/// Returns how TLS is spoken with `host`, whose certificates are in folders of its name in `folders`.
pub(super) fn tls(trust: Trust, host: &str, folders: &[PathBuf]) -> Result<ClientConfig, TrustError> {
    let failed = |source| TrustError::Tls { host: host.to_owned(), source };
    let provider = Arc::new(ring::default_provider());
    let own = Own::read(host, folders)?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anybody => Arc::new(NoVerifier(Arc::clone(&provider))),
        Trust::Authorities => {
            let roots = roots(own.authorities.clone())?;
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| failed(rustls::Error::General(error.to_string())))?;
            Arc::new(KnownVerifier { known: own.authorities, inner })
        }
    };
    let begun = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let begun = begun.map_err(failed)?.dangerous().with_custom_certificate_verifier(verifier);
    match own.identity {
        Some((chain, key)) => begun.with_client_auth_cert(chain, key).map_err(failed),
        None => Ok(begun.with_no_client_auth()),
    }
}

fn roots(own: Vec<CertificateDer<'static>>) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let machine = rustls_native_certs::load_native_certs();
    for error in &machine.errors {
        tracing::warn!(%error, "some of this machine's certificates cannot be read");
    }
    // What no TLS library understands is in many machines' collections, and believed by nobody.
    roots.add_parsable_certificates(machine.certs.into_iter().chain(own));
    if roots.is_empty() { Err(TrustError::NoAuthorities) } else { Ok(roots) }
}

/// What the folders of a host have.
#[derive(Default)]
struct Own {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Own {
    fn read(host: &str, folders: &[PathBuf]) -> Result<Self, TrustError> {
        let mut own = Self::default();
        for folder in folders.iter().map(|folder| folder.join(host)) {
            for path in files(&folder)? {
                own.take(&path)?;
            }
        }
        Ok(own)
    }

    fn take(&mut self, path: &Path) -> Result<(), TrustError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => self.authorities.extend(certificates(path)?),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.exists() {
                    return Err(TrustError::NoKey { path: path.to_owned() });
                }
                let source = |error| TrustError::Read { path: key.clone(), source: io::Error::other(error) };
                let read = PrivateKeyDer::from_pem_file(&key).map_err(source)?;
                self.identity = Some((certificates(path)?, read));
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let source = |error| TrustError::Read { path: path.to_owned(), source: io::Error::other(error) };
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(source)
}

/// Returns the files of a folder, sorted; none if there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, TrustError> {
    let failed = |source| TrustError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// Believes what an authority has signed, and what lies in the host's folder itself.
#[derive(Debug)]
struct KnownVerifier {
    known: Vec<CertificateDer<'static>>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for KnownVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.known.iter().any(|known| known == own) {
            return Ok(ServerCertVerified::assertion());
        }
        self.inner.verify_server_cert(own, between, name, status, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Believes any certificate, but insists that who answers has its key.
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
