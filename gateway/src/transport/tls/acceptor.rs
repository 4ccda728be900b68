//! The server side: its certificate, whom it asks for one, and how both change while it runs.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use holdover_config::settings::{FrontEnds, Peers};
use holdover_config::{Domain, file};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::hello::Overheard;
use super::{
    ClientCertificates, PemError, Stream, TlsError, certificates_in, failure_of, in_words,
    provider, read,
};
use crate::telemetry::events::connection::{
    CertificatesRejected, CertificatesRenewed, TlsCompleted, TlsFailed,
};
use crate::telemetry::{Detail, Emit as _, Telemetry};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often the files are looked at, at most.
const RENEWAL: Duration = Duration::from_secs(1);

/// Accepts TLS 1.2 and 1.3. Cheap to clone; all clones change together.
#[derive(Clone)]
pub struct Acceptor(Arc<Shared>);

struct Shared {
    files: Files,
    config: ArcSwap<ServerConfig>,
    last: Mutex<Last>,
}

/// Why a peer could not be [met](Acceptor::meet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// Whoever wanted to meet it stops.
    Stopped,
    /// The handshake failed, or took too long.
    Failed,
}

/// Where everything comes from.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<ClientCertificates>,
}

/// What the files held when they were read last, whether or not that could be used: a fault is told once.
struct Last {
    content: Option<Content>,
    at: Instant,
}

#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

impl Acceptor {
    /// Reads the certificate chain and its key, and proves that they belong together. Clients need no certificate.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or parsed, or a pair that does not match.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::open(certificate, key, None)
    }

    /// Like [`load`](Self::load), for peers that must show a certificate themselves.
    ///
    /// # Errors
    ///
    /// As there, and authorities that cannot be read or used.
    pub fn mutual(
        certificate: &Path,
        key: &Path,
        clients: ClientCertificates,
    ) -> Result<Self, TlsError> {
        Self::open(certificate, key, Some(clients))
    }

    /// What those who connect to a listener are to be met with. `None`: plain TCP.
    ///
    /// # Errors
    ///
    /// As with [`load`](Self::load) and [`mutual`](Self::mutual).
    pub fn of(peers: &Peers) -> Result<Option<Self>, TlsError> {
        match peers {
            Peers::Clients { tls: None, .. } => Ok(None),
            Peers::Clients { tls: Some(own), .. } => {
                Self::load(&own.certificate, &own.private_key).map(Some)
            }
            Peers::FrontEnds(FrontEnds {
                own,
                authorities,
                names,
                ..
            }) => {
                let clients =
                    ClientCertificates::of(authorities, names.iter().map(Domain::as_str))?;
                Self::mutual(&own.certificate, &own.private_key, clients).map(Some)
            }
        }
    }

    fn open(
        certificate: &Path,
        key: &Path,
        clients: Option<ClientCertificates>,
    ) -> Result<Self, TlsError> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            clients,
        };
        let content = files.read()?;
        let config = files.config(&content)?;
        Ok(Self(Arc::new(Shared {
            files,
            config: ArcSwap::from_pointee(config),
            last: Mutex::new(Last {
                content: Some(content),
                at: Instant::now(),
            }),
        })))
    }

    /// Meets a peer: the handshake, with what the files hold now and within its time. What came of it is told.
    ///
    /// # Errors
    ///
    /// There is nothing to go on with.
    pub async fn meet(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        stop: &CancellationToken,
        telemetry: &Telemetry,
    ) -> Result<Stream, Unmet> {
        self.renew(telemetry).await;
        let handshake = tokio::select! {
            () = stop.cancelled() => return Err(Unmet::Stopped),
            handshake = tokio::time::timeout(HANDSHAKE, self.accept(stream)) => handshake,
        };
        let error = match handshake {
            Ok(Ok(stream)) => {
                let suite = stream.suite();
                TlsCompleted { peer, suite }.emit(telemetry);
                return Ok(stream);
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        let (reason, error) = (failure_of(&error), Detail::new(in_words(error)));
        TlsFailed {
            peer,
            reason,
            error,
        }
        .emit(telemetry);
        Err(Unmet::Failed)
    }

    /// Performs the handshake, as long as it takes, and tells nobody.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, or the connection's own failure.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        TlsAcceptor::from(self.0.config.load_full())
            .accept(Overheard::new(stream))
            .into_fallible()
            .await
            .map(|stream| Stream(stream.into()))
            .map_err(|(error, stream)| match stream.outdated() {
                // What ended the handshake was for the library a consequence of it.
                Some(outdated) if error.kind() == io::ErrorKind::InvalidData => {
                    io::Error::new(io::ErrorKind::InvalidData, outdated)
                }
                _ => error,
            })
    }

    /// Which of the names that are asked for a client has shown.
    #[must_use]
    pub fn name_of(&self, client: &Stream) -> Option<Box<str>> {
        let certificate = client.0.get_ref().1.peer_certificates()?.first()?;
        self.0.files.clients.as_ref()?.name_of(certificate)
    }

    /// Looks whether the files have changed, unless that was done less than a second ago. What is good is used for the
    /// handshakes to come; otherwise what was in use stays in use. Tells either.
    async fn renew(&self, telemetry: &Telemetry) {
        let shared = Arc::clone(&self.0);
        if !shared.is_due(Instant::now()) {
            return;
        }
        // Certificates may lie on a network share.
        let renewed = tokio::task::spawn_blocking(move || shared.renew()).await;
        let file = Detail::new(self.0.files.certificate.display());
        match renewed {
            Ok(Some(Ok(()))) => CertificatesRenewed { file }.emit(telemetry),
            Ok(Some(Err(error))) => {
                let error = match error.source() {
                    Some(source) => Detail::new(format_args!("{error}: {source}")),
                    None => Detail::new(error),
                };
                CertificatesRejected { file, error }.emit(telemetry);
            }
            Ok(None) | Err(_) => {}
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("certificate", &self.0.files.certificate)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether it is time to look; if so, nobody else will look for a while.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = now.saturating_duration_since(last.at) >= RENEWAL;
        if due {
            last.at = now;
        }
        due
    }

    /// Uses what the files hold now. `None`: they hold what they held when they were read last.
    fn renew(&self) -> Option<Result<(), TlsError>> {
        // Whoever writes them may be in the middle of it. They are looked at again soon.
        if self
            .files
            .paths()
            .any(|path| file::changed_within(path, file::SETTLE))
        {
            return None;
        }
        let (content, fault) = match self.files.read() {
            Ok(content) => (Some(content), None),
            Err(error) => (None, Some(error)),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Compared by content: the time of a file that is copied, linked or restored says nothing.
        if last.content == content {
            return None;
        }
        last.content = content;
        let built = match (&last.content, fault) {
            (Some(content), _) => self.files.config(content),
            (None, fault) => Err(fault?),
        };
        Some(built.map(|config| self.config.store(Arc::new(config))))
    }
}

impl Files {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let authorities = self.clients.as_ref().map(ClientCertificates::authorities);
        [self.certificate.as_path(), self.key.as_path()]
            .into_iter()
            .chain(authorities)
    }

    fn read(&self) -> Result<Content, TlsError> {
        Ok(Content {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            authorities: match &self.clients {
                Some(clients) => read(clients.authorities())?,
                None => Vec::new(),
            },
        })
    }

    fn config(&self, content: &Content) -> Result<ServerConfig, TlsError> {
        let chain = certificates_in(&self.certificate, &content.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|source| TlsError::Pem {
            path: self.key.clone(),
            source: PemError(source),
        })?;
        let pair = |source: rustls::Error| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source: source.into(),
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let builder = match &self.clients {
            Some(clients) => {
                builder.with_client_cert_verifier(clients.verifier(&content.authorities)?)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        // A legacy client connects once a day, a front end once a week: session tickets cost two writes and memory on both
        // ends and buy nothing.
        config.send_tls13_tickets = 0;
        if self.clients.is_some() {
            // A session that is resumed is not verified again: a certificate that has expired since would be let in.
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::telemetry::events::connection::TlsFailure;

    /// A hello of a client that offers `minor` of version 3, these suites and these extensions.
    fn hello(minor: u8, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, minor];
        body.extend([7; 32]);
        body.push(0);
        body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
        body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
        body.extend([1, 0]);
        if !extensions.is_empty() {
            body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
            body.extend(extensions);
        }
        let length = u16::try_from(body.len()).unwrap();
        let mut record = vec![22, 3, 1];
        record.extend((length + 4).to_be_bytes());
        record.extend([1, 0]);
        record.extend(length.to_be_bytes());
        record.extend(body);
        record
    }

    /// Why a handshake failed that begins with these octets, sent in pieces.
    async fn failure(octets: &[u8], piece: usize) -> (TlsFailure, String) {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["chat.contoso.com".to_owned()]).unwrap();
        let (certificate, private) = (folder.path().join("c.pem"), folder.path().join("c.key"));
        std::fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        let acceptor = Acceptor::load(&certificate, &private).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let send = async {
            for piece in octets.chunks(piece) {
                // It may have heard enough.
                let _sent = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ended = client.shutdown().await;
        };
        let (accepted, ()) = tokio::join!(acceptor.accept(stream), send);
        let error = accepted.err().unwrap();
        (failure_of(&error), error.to_string())
    }

    /// Every signature algorithm and curve that matters, as old Windows lists them.
    const EXTENSIONS: &[u8] = &[
        0, 10, 0, 6, 0, 4, 0, 23, 0, 24, 0, 11, 0, 2, 1, 0, 0, 13, 0, 8, 0, 6, 4, 1, 4, 3, 2, 1,
    ];
    /// RSA with CBC, and ECDHE with RSA and CBC.
    const OLD_SUITES: &[u16] = &[0x002f, 0xc013];

    #[tokio::test]
    async fn an_old_client_is_told_from_one_without_a_suite_and_from_what_is_no_tls() {
        let ssl2 = [
            &[0x80, 28, 1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 0x2f][..],
            &[9; 16],
        ]
        .concat();
        for (octets, expected, words) in [
            (hello(0, OLD_SUITES, &[]), TlsFailure::OldVersion, "SSL 3.0"),
            (hello(1, OLD_SUITES, &[]), TlsFailure::OldVersion, "TLS 1.0"),
            (
                hello(1, OLD_SUITES, EXTENSIONS),
                TlsFailure::OldVersion,
                "TLS 1.0",
            ),
            (hello(2, OLD_SUITES, &[]), TlsFailure::OldVersion, "TLS 1.1"),
            (
                hello(2, &[0xc02b], EXTENSIONS),
                TlsFailure::OldVersion,
                "TLS 1.1",
            ),
            (ssl2, TlsFailure::Ssl2Hello, "SSL 2.0"),
            (
                hello(3, OLD_SUITES, EXTENSIONS),
                TlsFailure::NoCommonSuite,
                "",
            ),
            (hello(3, &[0xc02b], &[]), TlsFailure::NoCommonSignature, ""),
            (
                b"REGISTER sip:contoso.com SIP/2.0\r\n\r\n".to_vec(),
                TlsFailure::NotTls,
                "",
            ),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), TlsFailure::NotTls, ""),
            (vec![22, 3, 1, 0, 50, 1], TlsFailure::Closed, ""),
            (Vec::new(), TlsFailure::Closed, ""),
        ] {
            for piece in [1, 1000] {
                let (reason, said) = failure(&octets, piece).await;
                assert_eq!(reason, expected, "{said}: {octets:?}");
                assert!(said.contains(words), "{said}");
            }
        }
    }
}
