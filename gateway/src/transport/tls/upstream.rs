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
struct NotListed {
    presented: Vec<String>,
}

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the certificate has none of the names that are listed for this pool, but {}",
            self.presented.join(", ")
        )
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
        let mut presented = Vec::new();
        for name in &self.names {
            let verified = self.verifier.verify_server_cert(
                end_entity,
                intermediates,
                name,
                ocsp_response,
                now,
            );
            match verified {
                Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    presented: names,
                    ..
                })) => presented = names,
                Err(Error::InvalidCertificate(CertificateError::NotValidForName)) => {}
                other => return other,
            }
        }
        let not_listed = CertificateError::Other(OtherError(Arc::new(NotListed { presented })));
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
            // An authority of the right name with another key is another authority.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                PoolTlsFailure::UnknownAuthority
            }
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
            // How it is said that a signature is not that of the authority of this name.
            | AlertDescription::DecryptError
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

/// The error in words that help, where the library's do not.
#[must_use]
pub fn in_words(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(other))))
            if other.is::<NotListed>() =>
        {
            io::Error::other(other.to_string())
        }
        Some(Error::InvalidCertificate(CertificateError::BadSignature)) => io::Error::other(
            "the certificate is not signed by the authority of this name that is trusted",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::RootCertStore;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::WebPkiClientVerifier;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;

    use super::super::certificates;
    use super::*;

    struct Authority {
        folder: TempDir,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let folder = tempfile::tempdir().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
            let issuer = Issuer::new(params, key);
            Self { folder, issuer }
        }

        fn path(&self, file: &str) -> PathBuf {
            self.folder.path().join(file)
        }

        /// Makes `name.pem` and `name.key`, valid in these years.
        fn issue(&self, name: &str, years: [i32; 2]) {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
            params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }

        fn own(&self, name: &str) -> (PathBuf, PathBuf) {
            (
                self.path(&format!("{name}.pem")),
                self.path(&format!("{name}.key")),
            )
        }

        /// A server with the certificate of `name` that wants one of this authority's from its clients.
        fn server(&self, name: &str) -> TlsAcceptor {
            let (certificate, key) = self.own(name);
            let mut trusted = RootCertStore::empty();
            for authority in certificates(&self.path("ca.pem")).unwrap() {
                trusted.add(authority).unwrap();
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider());
            let (chain, key): (_, PrivateKeyDer<'static>) = pair(&certificate, &key).unwrap();
            let config = rustls::ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_client_cert_verifier(verifier.build().unwrap())
                .with_single_cert(chain, key)
                .unwrap();
            TlsAcceptor::from(Arc::new(config))
        }
    }

    /// Connects to `host` and reads one octet that the server sends to those it trusts.
    async fn meet(
        server: TlsAcceptor,
        host: &str,
        connector: Connector,
    ) -> Result<(), Option<PoolTlsFailure>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = server.accept(stream).await {
                stream.write_all(b"!").await.unwrap();
                stream.flush().await.unwrap();
                let _closed = stream.read_u8().await;
            }
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let met = async {
            let mut stream = connector.connect(host, stream).await?;
            stream.read_u8().await
        };
        let outcome = met
            .await
            .map(|_| ())
            .map_err(|error| pool_failure_of(&error));
        serving.await.unwrap();
        outcome
    }

    const NOW: [i32; 2] = [2020, 4000];
    const NO_NAMES: [&str; 0] = [];

    #[test]
    fn a_mark_before_an_authority_hides_none_of_them() {
        let (first, second) = (Authority::new("First"), Authority::new("Second"));
        let pem = |of: &Authority| std::fs::read_to_string(of.path("ca.pem")).unwrap();
        let (first_pem, second_pem) = (pem(&first), pem(&second));
        for text in [
            format!("\u{feff}{first_pem}{second_pem}"),
            format!("\u{feff}{first_pem}\u{feff}{second_pem}"),
            format!("\u{feff}# ours\r\n{first_pem}\u{feff}# theirs\r\n{second_pem}"),
        ] {
            std::fs::write(first.path("both.pem"), text).unwrap();
            assert_eq!(certificates(&first.path("both.pem")).unwrap().len(), 2);
        }
        first.issue("marked", [2020, 2090]);
        let (certificate, key) = first.own("marked");
        let text = std::fs::read_to_string(&key).unwrap();
        std::fs::write(&key, format!("\u{feff}{text}")).unwrap();
        assert!(pair(&certificate, &key).is_ok());
    }

    #[tokio::test]
    async fn both_sides_show_who_they_are() {
        let ca = Authority::new("ours");
        for name in ["pc1.contoso.com", "holdover.contoso.com"] {
            ca.issue(name, NOW);
        }
        ca.issue("old.contoso.com", [2001, 2002]);
        ca.issue("early.contoso.com", [3000, 3001]);
        let stranger = Authority::new("theirs");
        stranger.issue("pc1.contoso.com", NOW);
        stranger.issue("holdover.contoso.com", NOW);

        let (certificate, private_key) = ca.own("holdover.contoso.com");
        let own = Pair {
            certificate: &certificate,
            private_key: &private_key,
        };
        let (certificate, private_key) = stranger.own("holdover.contoso.com");
        let foreign = Pair {
            certificate: &certificate,
            private_key: &private_key,
        };
        let roots = ca.path("ca.pem");
        use PoolTlsFailure as Failure;
        for (at, server, host, own, names, expected) in [
            (
                &ca,
                "pc1.contoso.com",
                "pc1.contoso.com",
                Some(own),
                &NO_NAMES[..],
                Ok(()),
            ),
            (
                &ca,
                "pc1.contoso.com",
                "pc2.contoso.com",
                Some(own),
                &[],
                Err(Failure::WrongName),
            ),
            (
                &ca,
                "pc1.contoso.com",
                "10.0.0.1",
                Some(own),
                &[],
                Err(Failure::WrongName),
            ),
            (
                &ca,
                "pc1.contoso.com",
                "10.0.0.1",
                Some(own),
                &["x.contoso.com", "pc1.contoso.com"],
                Ok(()),
            ),
            (
                &ca,
                "pc1.contoso.com",
                "pc1.contoso.com",
                Some(own),
                &["x.contoso.com"],
                Err(Failure::NotListed),
            ),
            (
                &stranger,
                "pc1.contoso.com",
                "pc1.contoso.com",
                Some(own),
                &["pc1.contoso.com"],
                Err(Failure::UnknownAuthority),
            ),
            (
                &stranger,
                "pc1.contoso.com",
                "pc1.contoso.com",
                Some(own),
                &[],
                Err(Failure::UnknownAuthority),
            ),
            (
                &ca,
                "old.contoso.com",
                "old.contoso.com",
                Some(own),
                &[],
                Err(Failure::Expired),
            ),
            (
                &ca,
                "old.contoso.com",
                "old.contoso.com",
                Some(own),
                &["old.contoso.com"],
                Err(Failure::Expired),
            ),
            (
                &ca,
                "early.contoso.com",
                "early.contoso.com",
                Some(own),
                &[],
                Err(Failure::NotYetValid),
            ),
            (
                &ca,
                "pc1.contoso.com",
                "pc1.contoso.com",
                None,
                &[],
                Err(Failure::Rejected),
            ),
            (
                &ca,
                "pc1.contoso.com",
                "pc1.contoso.com",
                Some(foreign),
                &[],
                Err(Failure::Rejected),
            ),
        ] {
            let connector = Connector::to_pool(&roots, own, names).unwrap();
            let met = meet(at.server(server), host, connector).await;
            assert_eq!(met, expected.map_err(Some), "{server} as {host}, {names:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_told() {
        let ca = Authority::new("ours");
        for name in ["a.contoso.com", "b.contoso.com"] {
            ca.issue(name, NOW);
        }
        let roots = ca.path("ca.pem");
        let (certificate, _) = ca.own("a.contoso.com");
        let (_, private_key) = ca.own("b.contoso.com");
        let own = Pair {
            certificate: &certificate,
            private_key: &private_key,
        };
        let mismatch = Connector::to_pool(&roots, Some(own), &NO_NAMES);
        assert!(matches!(mismatch.err(), Some(TlsError::Pair { .. })));
        let missing = Connector::to_pool(&ca.path("none.pem"), None, &NO_NAMES);
        assert!(matches!(missing.err(), Some(TlsError::Read { .. })));
        let no_name = Connector::to_pool(&roots, None, &["not a name"]);
        assert!(matches!(no_name.err(), Some(TlsError::Name(_))));
    }
}
