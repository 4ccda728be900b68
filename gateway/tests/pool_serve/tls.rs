//! Mutual TLS: who is let in, why others are not, and certificates that change.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{Client, TIMEOUT, User};
use crate::server::Server;

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// An authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn issue(&self, name: &str, expired: bool) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn install(dir: &Path, pair: &Pair) {
    fs::write(dir.join("pool.pem"), &pair.certificate).unwrap();
    fs::write(dir.join("pool.key"), &pair.key).unwrap();
}

fn start(authority: &Authority) -> Server {
    let dir = Server::folder();
    fs::write(dir.path().join("ca.pem"), authority.certificate.pem()).unwrap();
    install(dir.path(), &authority.issue("localhost", false));
    Server::start(
        dir,
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         tls = { certificate = \"pool.pem\", private_key = \"pool.key\", client_authorities = \"ca.pem\", \
         client_names = [\"fe1.contoso.com\", \"fe2.contoso.com\"] }\n",
    )
}

fn connect(address: SocketAddr, trusted: &Authority, own: Option<&Pair>) -> TlsStream {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    StreamOwned::new(connection, stream)
}

/// Whether the server lets this client in: it may find out only after its own part of the handshake.
fn is_refused(mut stream: TlsStream) -> bool {
    let sock = &mut stream.sock;
    if stream.conn.complete_io(sock).is_err() {
        return true;
    }
    std::io::Read::read(&mut stream, &mut [0]).is_err()
}

/// Waits until something is so.
#[track_caller]
fn eventually(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < TIMEOUT);
        std::thread::yield_now();
    }
}

#[test]
fn only_listed_clients_with_good_certificates_are_let_in() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = start(&authority);
    assert_eq!(server.ready()["listeners"][0]["transport"], "tls");
    let good = authority.issue("fe2.contoso.com", false);
    let mut client = Client::over(connect(server.address(), &authority, Some(&good)));
    let mut ann = User::new("ann");
    client.invite(&mut ann);
    assert_eq!(client.command(&mut ann, "requri", ""), 200);
    assert!(client.hear(&ann).contains("rpl:requri"));

    for (own, reason) in [
        (None, "client-certificate-missing"),
        (
            Some(authority.issue("fe1.contoso.com", true)),
            "client-certificate-expired",
        ),
        (
            Some(other.issue("fe1.contoso.com", false)),
            "client-authority-unknown",
        ),
        (
            Some(authority.issue("fe3.contoso.com", false)),
            "client-not-listed",
        ),
    ] {
        let stream = connect(server.address(), &authority, own.as_ref());
        assert!(is_refused(stream), "{reason}");
        eventually(|| server.log().contains(reason));
    }
    // The one that is not listed is named.
    assert!(server.log().contains("fe3.contoso.com"));
    // The others were not disturbed.
    assert_eq!(client.command(&mut ann, "requri", ""), 200);
}

#[test]
fn certificates_change_without_a_restart_and_bad_ones_are_not_used() {
    let authority = Authority::new("ours");
    let server = start(&authority);
    let own = authority.issue("fe1.contoso.com", false);
    let shown = || {
        let mut stream = connect(server.address(), &authority, Some(&own));
        stream.conn.complete_io(&mut stream.sock).unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    let first = shown();

    // A key that is not the certificate's.
    fs::write(
        server.path("pool.key"),
        authority.issue("localhost", false).key,
    )
    .unwrap();
    eventually(|| {
        assert_eq!(shown(), first);
        server.log().contains("tls.certificates-rejected")
    });

    let second = authority.issue("localhost", false);
    install(&server.path(""), &second);
    let wanted = CertificateDer::from_pem_slice(second.certificate.as_bytes()).unwrap();
    eventually(|| shown() == wanted);
    eventually(|| server.log().contains("tls.certificates-renewed"));

    // Authorities change with them.
    let next = Authority::new("next");
    fs::write(server.path("ca.pem"), next.certificate.pem()).unwrap();
    let theirs = next.issue("fe1.contoso.com", false);
    eventually(|| !is_refused_now(connect(server.address(), &authority, Some(&theirs))));
    assert!(is_refused(connect(
        server.address(),
        &authority,
        Some(&own)
    )));
}

/// Like [`is_refused`], of a client that has something to say.
fn is_refused_now(mut stream: TlsStream) -> bool {
    use std::io::{Read as _, Write as _};
    let mut pong = [0; 2];
    stream.write_all(b"\r\n\r\n").is_err() || stream.read_exact(&mut pong).is_err()
}
