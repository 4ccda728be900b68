//! TLS to pools: mutual, and with a list of names in place of the server's host where the admin wants one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, PeerIncompatible,
    SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::faults::{CertificateFault, NotListed, tls_error};
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
        let root = |source: Error| TlsError::Root {
            path: authorities.to_owned(),
            source: source.into(),
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
                        source: source.into(),
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
        Err(NotListed { presented }.into_error())
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
    Some(match tls_error(error)? {
        Error::InvalidCertificate(certificate) => match CertificateFault::of(certificate) {
            CertificateFault::UnknownAuthority => PoolTlsFailure::UnknownAuthority,
            CertificateFault::Expired => PoolTlsFailure::Expired,
            CertificateFault::NotYetValid => PoolTlsFailure::NotYetValid,
            CertificateFault::WrongName => PoolTlsFailure::WrongName,
            CertificateFault::NotListed => PoolTlsFailure::NotListed,
            CertificateFault::WrongPurpose => PoolTlsFailure::WrongPurpose,
            CertificateFault::IsAuthority => PoolTlsFailure::IsAuthority,
            CertificateFault::WeakSignature => PoolTlsFailure::WeakSignature,
            CertificateFault::Revoked => PoolTlsFailure::Revoked,
            CertificateFault::Invalid => PoolTlsFailure::BadCertificate,
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
            PoolTlsFailure::OldVersion
        }
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => PoolTlsFailure::NoCommonSuite,
        Error::InvalidMessage(_) => PoolTlsFailure::NotTls,
        Error::AlertReceived(_) => PoolTlsFailure::Alert,
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => PoolTlsFailure::Misbehaved,
        _ => PoolTlsFailure::Other,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    use rustls::RootCertStore;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::WebPkiClientVerifier;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;

    use super::super::{Acceptor, ClientCertificates, certificates, failure_of, in_words};
    use super::*;
    use crate::telemetry::events::connection::TlsFailure;

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
            self.issue_with(name, |params| {
                params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
                params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
            });
        }

        /// The same after a change.
        fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            change(&mut params);
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
        let outcome = met.await.map(|_| ()).map_err(|error| {
            let words = error.to_string();
            assert!(!words.contains("Other("), "{words}");
            pool_failure_of(&error)
        });
        serving.await.unwrap();
        outcome
    }

    #[tokio::test]
    async fn each_fault_of_a_certificate_has_its_own_reason_on_either_side() {
        let ca = Authority::new("ours");
        ca.issue("good", NOW);
        ca.issue("expired", [2001, 2002]);
        ca.issue("early", [3000, 3001]);
        ca.issue_with("for-servers", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        ca.issue_with("for-clients", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        ca.issue_with("authority", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        });
        ca.issue_with("no-name", |params| params.subject_alt_names.clear());
        let stranger = Authority::new("theirs");
        stranger.issue("stranger", NOW);
        let namesake = Authority::new("ours");
        namesake.issue("namesake", NOW);
        // A certificate that is its own authority.
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["self-signed".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        std::fs::write(ca.path("self-signed.pem"), own.pem()).unwrap();
        std::fs::write(ca.path("self-signed.key"), key.serialize_pem()).unwrap();

        use PoolTlsFailure as Pool;
        use TlsFailure as Client;
        for (at, name, of_client, of_server, words) in [
            (&ca, "good", None, None, ""),
            (
                &ca,
                "expired",
                Some(Client::ClientCertificateExpired),
                Some(Pool::Expired),
                "expired at 2002-01-01T00:00:00Z",
            ),
            (
                &ca,
                "early",
                Some(Client::ClientCertificateNotYetValid),
                Some(Pool::NotYetValid),
                "not valid before 3000-01-01T00:00:00Z",
            ),
            (
                &ca,
                "for-servers",
                Some(Client::ClientCertificatePurpose),
                None,
                "must allow client authentication, and allows server authentication only",
            ),
            (
                &ca,
                "for-clients",
                None,
                Some(Pool::WrongPurpose),
                "must allow server authentication, and allows client authentication only",
            ),
            (
                &ca,
                "authority",
                Some(Client::ClientCertificateIsAuthority),
                Some(Pool::IsAuthority),
                "certificate of an authority",
            ),
            (
                &ca,
                "no-name",
                Some(Client::ClientNotListed),
                Some(Pool::WrongName),
                "has no name at all",
            ),
            (
                &stranger,
                "stranger",
                Some(Client::ClientAuthorityUnknown),
                Some(Pool::UnknownAuthority),
                "none of the authorities",
            ),
            (
                &namesake,
                "namesake",
                Some(Client::ClientAuthorityUnknown),
                Some(Pool::UnknownAuthority),
                "not signed by the authority of this name",
            ),
            (
                &ca,
                "self-signed",
                Some(Client::ClientCertificateIsAuthority),
                Some(Pool::IsAuthority),
                "certificate of an authority",
            ),
        ] {
            let (certificate, key) = at.own(name);
            let own = Pair {
                certificate: &certificate,
                private_key: &key,
            };
            let (good, good_key) = ca.own("good");
            let roots = ca.path("ca.pem");

            let server = Acceptor::load(&certificate, &key).unwrap();
            let connector = Connector::to_pool(&roots, None, &NO_NAMES).unwrap();
            let (_, failed) = shake(&server, name, &connector).await;
            assert_eq!(
                failed.as_ref().and_then(pool_failure_of),
                of_server,
                "{name}"
            );
            let said = failed.map(|error| error.to_string()).unwrap_or_default();
            assert!(
                of_server.is_none() || said.contains(words),
                "{name}: {said}"
            );

            let names = ["good", "for-clients"];
            let clients = ClientCertificates::of(&roots, names).unwrap();
            let server = Acceptor::mutual(&good, &good_key, clients).unwrap();
            let connector = Connector::to_pool(&roots, Some(own), &NO_NAMES).unwrap();
            let (failed, _) = shake(&server, "good", &connector).await;
            assert_eq!(failed.as_ref().map(failure_of), of_client, "{name}");
            let said = in_words(failed.unwrap_or_else(|| io::Error::other(""))).to_string();
            assert!(
                of_client.is_none() || said.contains(words),
                "{name}: {said}"
            );
        }
    }

    /// A handshake: why it failed for the server, and for the client.
    async fn shake(
        server: &Acceptor,
        host: &str,
        connector: &Connector,
    ) -> (Option<io::Error>, Option<io::Error>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            server.accept(stream).await
        };
        let connect = async {
            let stream = TcpStream::connect(address).await.unwrap();
            connector.connect(host, stream).await
        };
        let (accepted, connected) = tokio::join!(accept, connect);
        (accepted.err(), connected.err())
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
        let mismatch = Connector::to_pool(&roots, Some(own), &NO_NAMES).unwrap_err();
        assert!(matches!(mismatch, TlsError::Pair { .. }));
        let said = format!("{:#}", anyhow::Error::new(mismatch));
        assert!(
            said.contains("the key is that of another certificate"),
            "{said}"
        );
        let missing = Connector::to_pool(&ca.path("none.pem"), None, &NO_NAMES);
        assert!(matches!(missing.err(), Some(TlsError::Read { .. })));
        ca.issue_with("odd.contoso.com", |params| {
            let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions.push(unknown);
        });
        let (certificate, private_key) = ca.own("odd.contoso.com");
        let own = Pair {
            certificate: &certificate,
            private_key: &private_key,
        };
        let odd = Connector::to_pool(&roots, Some(own), &NO_NAMES).unwrap_err();
        let said = format!("{:#}", anyhow::Error::new(odd));
        assert!(
            said.contains("a critical extension that is not known"),
            "{said}"
        );
        let no_name = Connector::to_pool(&roots, None, &["not a name"]);
        assert!(matches!(no_name.err(), Some(TlsError::Name(_))));
    }
}
