//! TLS by rustls: the only place that names it.

mod acceptor;
mod clients;
mod faults;
mod hello;
pub mod upstream;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use holdover_config::file;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use acceptor::{Acceptor, Unmet};
pub use clients::ClientCertificates;
use faults::{CertificateFault, tls_error};
pub use faults::{Explained, PemError, in_words};
use hello::{Outdated, Overheard};

use crate::telemetry::events::connection::{TlsFailure, TlsSuite};

/// What keeps a certificate, key or name from being used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A PEM file could not be understood.
    #[error("cannot read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        source: PemError,
    },
    /// A file holds no certificate.
    #[error("{0}: there is no certificate in this file")]
    NoCertificate(PathBuf),
    /// Certificate and key do not make a working pair.
    #[error("{certificate} and {key} do not make a working pair")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why not.
        source: Explained,
    },
    /// A certificate that should be trusted cannot be.
    #[error("the certificates in {path} cannot be trusted")]
    Root {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Explained,
    },
    /// Not a host name or address that a certificate could carry.
    #[error("`{0}` is not a name that a certificate can carry")]
    Name(Box<str>),
}

/// A TLS connection, from either end.
#[derive(Debug)]
pub struct Stream(tokio_rustls::TlsStream<Overheard>);

impl Stream {
    /// What the handshake agreed on.
    fn suite(&self) -> TlsSuite {
        let suite = self.0.get_ref().1.negotiated_cipher_suite();
        let name = suite.and_then(|suite| suite.suite().as_str());
        TlsSuite::from_name(name.unwrap_or_default())
    }
}

/// Why a handshake failed.
#[must_use]
pub fn failure_of(error: &io::Error) -> TlsFailure {
    use rustls::{AlertDescription, Error, PeerIncompatible};
    match error.kind() {
        io::ErrorKind::TimedOut => return TlsFailure::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => return TlsFailure::Closed,
        _ => {}
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Outdated::Version(_)) => return TlsFailure::OldVersion,
        Some(Outdated::Ssl2) => return TlsFailure::Ssl2Hello,
        None => {}
    }
    match tls_error(error) {
        Some(Error::PeerIncompatible(fault)) => match fault {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13 => TlsFailure::OldVersion,
            PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
                TlsFailure::NoCommonSignature
            }
            _ => TlsFailure::NoCommonSuite,
        },
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            // How it is said that a signature is not that of the authority of this name.
            | AlertDescription::DecryptError => TlsFailure::CertificateRejected,
            AlertDescription::ProtocolVersion => TlsFailure::OldVersion,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                TlsFailure::NoCommonSuite
            }
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => TlsFailure::Closed,
            _ => TlsFailure::Alert,
        },
        Some(Error::InvalidMessage(_)) => TlsFailure::NotTls,
        Some(Error::NoCertificatesPresented) => TlsFailure::NoClientCertificate,
        Some(Error::InvalidCertificate(fault)) => match CertificateFault::of(fault) {
            CertificateFault::UnknownAuthority => TlsFailure::ClientAuthorityUnknown,
            CertificateFault::Expired => TlsFailure::ClientCertificateExpired,
            CertificateFault::NotYetValid => TlsFailure::ClientCertificateNotYetValid,
            CertificateFault::NotListed => TlsFailure::ClientNotListed,
            CertificateFault::WrongPurpose => TlsFailure::ClientCertificatePurpose,
            CertificateFault::IsAuthority => TlsFailure::ClientCertificateIsAuthority,
            CertificateFault::WeakSignature => TlsFailure::ClientCertificateWeak,
            CertificateFault::Revoked => TlsFailure::ClientCertificateRevoked,
            CertificateFault::WrongName | CertificateFault::Invalid => {
                TlsFailure::ClientCertificateInvalid
            }
        },
        Some(
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::DecryptError
            | Error::PeerSentOversizedRecord,
        ) => TlsFailure::Misbehaved,
        _ => TlsFailure::Other,
    }
}

/// The client side: verifies the server against the given authorities.
#[derive(Clone)]
pub struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(..)")
    }
}

impl Connector {
    /// Trusts the certificates in `authorities`, a PEM file, and no others.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds nothing usable.
    pub fn trusting(authorities: &Path) -> Result<Self, TlsError> {
        let root = |source: rustls::Error| TlsError::Root {
            path: authorities.to_owned(),
            source: source.into(),
        };
        let roots = roots(authorities)?;
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(root)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Performs the handshake with the server of this name.
    ///
    /// # Errors
    ///
    /// A name no certificate can carry, a certificate that does not verify, or the connection's own failure.
    pub async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| io::Error::other(TlsError::Name(name.into())))?;
        self.0
            .connect(name, Overheard::new(stream))
            .await
            .map(|stream| Stream(stream.into()))
            .map_err(in_words)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(authorities: &Path) -> Result<rustls::RootCertStore, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|source| TlsError::Root {
            path: authorities.to_owned(),
            source: source.into(),
        })?;
    }
    Ok(roots)
}

type Chain = Vec<CertificateDer<'static>>;

fn pair(certificate: &Path, key: &Path) -> Result<(Chain, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|source| TlsError::Pem {
        path: key.to_owned(),
        source: PemError(source),
    })?;
    Ok((chain, private))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates_in(path, &read(path)?)
}

/// The content of a PEM file, without byte order marks: files that were put together have one before each part.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let content = file::read(path, file::TEXT_BYTES).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(file::without_marks(content))
}

/// The certificates in `pem`, the content of the file `path`; at least one.
fn certificates_in(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem {
            path: path.to_owned(),
            source: PemError(source),
        })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// TLS over pipes, for tests of what writes to it.
#[cfg(test)]
pub(crate) mod testing {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::DuplexStream;
    use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

    use super::*;

    /// Both ends of a connection whose pipe holds `room` octets each way: the client's, the server's.
    pub(crate) async fn pair(
        room: usize,
    ) -> (
        client::TlsStream<DuplexStream>,
        server::TlsStream<DuplexStream>,
    ) {
        let name = "peer.contoso.com";
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let trusting = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let serving = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let (ours, theirs) = tokio::io::duplex(room);
        let connector = TlsConnector::from(Arc::new(trusting));
        let acceptor = TlsAcceptor::from(Arc::new(serving));
        let (ours, theirs) = tokio::join!(
            connector.connect(ServerName::try_from(name).unwrap(), ours),
            acceptor.accept(theirs)
        );
        (ours.unwrap(), theirs.unwrap())
    }
}
