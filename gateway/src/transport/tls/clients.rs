//! Which clients may connect: those who show a certificate of known authorities, and are on the list if there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::faults::NotListed;
use super::{TlsError, certificates_in, provider};

/// Whose certificates are asked for.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    authorities: PathBuf,
    names: Vec<ServerName<'static>>,
}

impl ClientCertificates {
    /// Those issued by an authority in the PEM file `authorities` and, unless `names` is empty, valid for one of the DNS
    /// names in it. As with servers (RFC 9525 §6.3), names are those in the certificate's subjectAltName; a common name
    /// is none.
    ///
    /// # Errors
    ///
    /// A name that no certificate can carry.
    pub fn of<'n>(
        authorities: &Path,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, TlsError> {
        let names = names.into_iter().map(|name| {
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.into()))
        });
        Ok(Self {
            authorities: authorities.to_owned(),
            names: names.collect::<Result<_, _>>()?,
        })
    }

    /// Which of the names a certificate is for, the first in the order of the list.
    pub(super) fn name_of(&self, certificate: &CertificateDer<'_>) -> Option<Box<str>> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let is_it = |name: &&ServerName<'_>| verify_server_name(&parsed, name).is_ok();
        let name = self.names.iter().find(is_it)?;
        Some(name.to_str().into())
    }

    pub(super) fn authorities(&self) -> &Path {
        &self.authorities
    }

    /// What verifies clients, with `pem` as the content of the authorities' file.
    pub(super) fn verifier(&self, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let root = |source: Error| TlsError::Root {
            path: self.authorities.clone(),
            source: source.into(),
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates_in(&self.authorities, pem)? {
            roots.add(certificate).map_err(root)?;
        }
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| root(Error::General(error.to_string())))?;
        Ok(Arc::new(Verifier {
            inner,
            names: self.names.clone(),
        }))
    }
}

/// First the chain, then the name.
#[derive(Debug)]
struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    /// Empty: any name.
    names: Vec<ServerName<'static>>,
}

impl Verifier {
    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        let mut presented = Vec::new();
        for name in &self.names {
            match verify_server_name(&parsed, name) {
                Ok(()) => return Ok(()),
                Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    presented: names,
                    ..
                })) => presented = names,
                Err(_) => {}
            }
        }
        Err(NotListed { presented }.into_error())
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        self.check_name(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
