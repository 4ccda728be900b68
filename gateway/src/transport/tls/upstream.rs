//! TLS to pools: mutual, and with a list of names in place of the server's host where the admin wants one.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::{Connector, TlsError, pair, provider, roots};
use crate::telemetry::events::pool::PoolTlsFailure;

/// A certificate and its key.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// PEM file with the certificate and its chain.
    pub certificate: &'a Path,
    /// PEM file with the private key.
    pub private_key: &'a Path,
}

impl Connector {
    /// Trusts the certificates in `authorities`, a PEM file, and no others; shows `own` when the server asks for a
    /// certificate. With `names`, the server's certificate must have one of them instead of the name that is dialled.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds nothing usable, or a name that no certificate can carry.
    pub fn to_pool(
        authorities: &Path,
        own: Option<Pair<'_>>,
        names: &[impl AsRef<str>],
    ) -> Result<Self, TlsError> {
        let root = |source| TlsError::Root {
            path: authorities.to_owned(),
            source,
        };
        let roots = Arc::new(roots(authorities)?);
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(root)?;
        let builder = if names.is_empty() {
            builder.with_root_certificates(roots)
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|error| root(Error::General(error.to_string())))?;
            let names = names
                .iter()
                .map(|name| {
                    ServerName::try_from(name.as_ref().to_owned())
                        .map_err(|_| TlsError::Name(name.as_ref().into()))
                })
                .collect::<Result<_, _>>()?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Listed { verifier, names }))
        };
        let config = match own {
            Some(own) => {
                let (chain, key) = pair(own.certificate, own.private_key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|source| TlsError::Pair {
                        certificate: own.certificate.to_owned(),
                        key: own.private_key.to_owned(),
                        source,
                    })?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// Verifies everything as usual but the name: one of a list will do.
#[derive(Debug)]
struct Listed {
    verifier: Arc<WebPkiServerVerifier>,
    names: Vec<ServerName<'static>>,
}

/// None of the names on the list is in the certificate.
#[derive(Debug)]
struct NotListed;

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate has none of the names that are listed for this pool")
    }
}

impl std::error::Error for NotListed {}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        for name in &self.names {
            let verified = self.verifier.verify_server_cert(
                end_entity,
                intermediates,
                name,
                ocsp_response,
                now,
            );
            match verified {
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                other => return other,
            }
        }
        let not_listed = CertificateError::Other(OtherError(Arc::new(NotListed)));
        Err(Error::InvalidCertificate(not_listed))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// What TLS has against a pool's server, or it against us. `None`: the error is none of TLS. Under TLS 1.3 a server that
/// rejects our certificate says so only after the handshake, so this is asked about errors of reading too.
#[must_use]
pub fn pool_failure_of(error: &io::Error) -> Option<PoolTlsFailure> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => PoolTlsFailure::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                PoolTlsFailure::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                PoolTlsFailure::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                PoolTlsFailure::WrongName
            }
            CertificateError::Other(OtherError(other)) if other.is::<NotListed>() => {
                PoolTlsFailure::NotListed
            }
            _ => PoolTlsFailure::BadCertificate,
        },
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateRequired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied,
        ) => PoolTlsFailure::Rejected,
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            PoolTlsFailure::NoCommonVersion
        }
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => PoolTlsFailure::NoCommonSuite,
        Error::InvalidMessage(_) => PoolTlsFailure::NotTls,
        _ => PoolTlsFailure::Other,
    })
}
