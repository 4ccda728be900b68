//! A front end as the gateway sees one: a connection by mutual TLS that carries the requests of many users. What real
//! clients and a real proxy make of it is tested elsewhere; this one can do what they must not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says no"
)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use holdover_protocol::sip::{
    Decoded, Decoder, Limits, Message, Method, Name, Request, Response, Status, respond,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{CHANNEL, LOOKUP, room};
use crate::gateway::DOMAIN;
use crate::patience::within;

/// A user's client, as the front end knows it.
#[derive(Clone, Debug)]
pub struct User {
    /// `ann`
    pub name: String,
    /// Lines that say whose a request is, each with its end.
    pub asserted: String,
    /// The port of the client's connection to the front end.
    pub port: u16,
    /// The URI that was invited.
    uri: &'static str,
    /// The gateway's tag in the dialog that is open.
    tag: String,
    cseq: u32,
    envid: u32,
}

impl User {
    /// One who is asserted as it must be.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            asserted: format!("P-Asserted-Identity: <sip:{name}@{DOMAIN}>\r\n"),
            port: 50_000,
            uri: CHANNEL,
            tag: String::new(),
            cseq: 0,
            envid: 1000,
        }
    }

    fn request(&mut self, method: &str, body: &str) -> String {
        self.cseq += 1;
        let Self {
            name,
            asserted,
            port,
            uri,
            tag,
            cseq,
            ..
        } = self;
        let tag = match tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        let content = if body.is_empty() {
            ""
        } else {
            "Content-Type: text/plain\r\n"
        };
        // Real clients that start in the same second have the same Call-IDs and tags.
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/TLS fe1.contoso.com:5061;branch=z9hG4bK{name}{cseq}\r\n\
             Via: SIP/2.0/tcp 10.0.0.5:{port}\r\nMax-Forwards: 69\r\n\
             Record-Route: <sip:fe1.contoso.com:5061;transport=tls;lr>\r\n{asserted}\
             From: <sip:{name}@{DOMAIN}>;tag=77;epid=0123456789ab\r\nTo: <{uri}>{tag}\r\n\
             Contact: <sip:{name}@10.0.0.5:{port};transport=tcp>\r\n\
             Call-ID: one-and-the-same\r\nCSeq: {cseq} {method}\r\n{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn envelope(&mut self, content: &str) -> String {
        self.envid += 1;
        let envid = self.envid;
        format!(
            "<xccos ver=\"1\" envid=\"{envid}\" xmlns=\"urn:parlano:xml:ns:xccos\">{content}</xccos>"
        )
    }
}

/// A connection of a front end.
pub struct FrontEnd {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    /// What the gateway sent, by user.
    heard: VecDeque<(String, Request)>,
    responses: VecDeque<Response>,
    /// Whether the clients answer.
    pub answering: bool,
}

impl FrontEnd {
    /// Connects, trusting `ca.pem` in `dir`, with the certificate of this name in `dir`, if any. The gateway may find out
    /// that it does not like it only after this.
    ///
    /// # Errors
    ///
    /// The handshake failed.
    pub async fn connect(address: SocketAddr, dir: &Path, own: Option<&str>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let file = |kind| dir.join(format!("{own}.{kind}"));
                let certificate = CertificateDer::from_pem_file(file("pem")).unwrap();
                let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let stream = within("connect", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(Self {
            stream: within("TLS handshake", handshake).await?,
            decoder: Decoder::new(Limits::default()),
            heard: VecDeque::new(),
            responses: VecDeque::new(),
            answering: true,
        })
    }

    /// Whether the gateway answers on this connection.
    pub async fn is_let_in(&mut self) -> bool {
        let mut pong = [0; 2];
        let asked = self.stream.write_all(b"\r\n\r\n").await.is_ok();
        let stream = &mut self.stream;
        asked && within("pong", stream.read_exact(&mut pong)).await.is_ok()
    }

    /// The certificate that the gateway showed.
    ///
    /// # Panics
    ///
    /// Never: a handshake was made.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        let certificates = self.stream.get_ref().1.peer_certificates();
        certificates.unwrap().first().unwrap().to_vec()
    }

    /// The next message; `None`: the connection is closed.
    ///
    /// # Panics
    ///
    /// When nothing comes, or no SIP.
    async fn receive(&mut self) -> Option<Message> {
        loop {
            match self.decoder.decode() {
                Decoded::Message(message) => return Some(message),
                // Of use to a proxy alone, which sends it on: it comes back the way that the request took.
                Decoded::Malformed {
                    message: Some(Message::Response(response)),
                    ..
                } if response.headers().vias().count() == 2 => {
                    return Some(Message::Response(response));
                }
                Decoded::KeepAlive(_) => {}
                Decoded::NeedMore { .. } => {
                    let read = self.stream.read_buf(self.decoder.buffer());
                    match within("read", read).await {
                        Ok(0) | Err(_) => return None,
                        Ok(_) => {}
                    }
                }
                other => panic!("the gateway sends no SIP: {other:?}"),
            }
        }
    }

    async fn sort(&mut self, message: Message) {
        match message {
            Message::Response(response) => self.responses.push_back(response),
            Message::Request(request) => {
                if self.answering {
                    self.answer(&request).await;
                }
                let to = request.headers().to().unwrap().uri_text().to_owned();
                self.heard.push_back((to, request));
            }
        }
    }

    /// Answers as the user's client would.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub async fn answer(&mut self, request: &Request) {
        let answer = respond(request, Status::OK, None).finish();
        self.stream.write_all(&answer).await.unwrap();
    }

    /// Sends a request of a user and waits for its final response.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn ask(&mut self, user: &mut User, method: &str, body: &str) -> Response {
        let request = user.request(method, body);
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.response(user).await
    }

    /// Waits for the response to a user's last request.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn response(&mut self, user: &User) -> Response {
        let uri = format!("sip:{}@", user.name);
        let is_it = |response: &Response| {
            let headers = response.headers();
            headers.cseq().unwrap().number == user.cseq
                && headers.from().unwrap().uri_text().starts_with(&uri)
        };
        loop {
            if let Some(at) = self.responses.iter().position(is_it) {
                return self.responses.remove(at).unwrap();
            }
            match self.receive().await {
                Some(message) => self.sort(message).await,
                None => panic!("closed instead of an answer to {}", user.name),
            }
        }
    }

    /// The next request for a user.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn hear(&mut self, user: &User) -> Request {
        let uri = format!("sip:{}@{DOMAIN}", user.name);
        loop {
            if let Some(at) = self.heard.iter().position(|(to, _)| *to == uri) {
                return self.heard.remove(at).unwrap().1;
            }
            match self.receive().await {
                Some(message) => self.sort(message).await,
                None => panic!("closed instead of a request for {}", user.name),
            }
        }
    }

    /// Waits for the next document for a user, and takes apart what is around it.
    ///
    /// # Panics
    ///
    /// When it is not sent as RFC 3261 §12.2.1.1 wants it: to the client's Contact, by way of the front end.
    pub async fn document(&mut self, user: &User) -> String {
        let info = self.hear(user).await;
        let User { name, port, .. } = user;
        assert_eq!(*info.method(), Method::Info);
        assert_eq!(
            info.uri(),
            format!("sip:{name}@10.0.0.5:{port};transport=tcp")
        );
        let route = info.headers().get(Name::Route);
        assert_eq!(route, Some("<sip:fe1.contoso.com:5061;transport=tls;lr>"));
        assert_eq!(info.headers().from().unwrap().uri_text(), user.uri);
        String::from_utf8(info.body().to_vec()).unwrap()
    }

    /// Opens a dialog with this URI. Returns the response.
    pub async fn invite(&mut self, user: &mut User, uri: &'static str) -> Response {
        user.uri = uri;
        user.tag.clear();
        let response = self.ask(user, "INVITE", "").await;
        if response.status() == Status::OK {
            let to = response.headers().to().unwrap();
            to.tag().unwrap().clone_into(&mut user.tag);
        }
        response
    }

    /// Asks the lookup and opens the channel dialog, as real clients do.
    ///
    /// # Panics
    ///
    /// When anything is refused.
    pub async fn sign_in(&mut self, user: &mut User) {
        assert_eq!(self.invite(user, LOOKUP).await.status(), Status::OK);
        let reply = self.command(user, "requri", "").await;
        assert!(reply.contains(&format!("uri=\"{CHANNEL}\"")), "{reply}");
        assert_eq!(self.ask(user, "BYE", "").await.status(), Status::OK);
        self.open_channel(user).await;
    }

    /// Opens the channel dialog.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn open_channel(&mut self, user: &mut User) {
        assert_eq!(self.invite(user, CHANNEL).await.status(), Status::OK);
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn command(&mut self, user: &mut User, verb: &str, data: &str) -> String {
        let body = user.envelope(&format!(
            "<cmd id=\"cmd:{verb}\" seqid=\"1\"><data>{data}</data></cmd>"
        ));
        let receipt = self.ask(user, "INFO", &body).await;
        assert_eq!(receipt.status(), Status::OK);
        let wanted = format!("id=\"rpl:{verb}\"");
        loop {
            let document = self.document(user).await;
            if document.contains(&wanted) {
                return document;
            }
        }
    }

    /// Joins a room.
    pub async fn join(&mut self, user: &mut User, value: &str) -> String {
        let data = format!("<chanid key=\"0\" domain=\"{DOMAIN}\" value=\"{value}\"/>");
        self.command(user, "join", &data).await
    }

    /// Posts. Returns the status of the receipt.
    pub async fn post(&mut self, user: &mut User, value: &str, text: &str) -> u16 {
        let (room, name) = (room(value), user.name.clone());
        let body = user.envelope(&format!(
            "<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"{room}\" author=\"sip:{name}@{DOMAIN}\" \
             ts=\"2026-11-22T12:00:00Z\"><chat>{text}</chat></grpchat>"
        ));
        self.ask(user, "INFO", &body).await.status().code()
    }

    /// Waits for a message to a user and answers its text.
    pub async fn message(&mut self, user: &User) -> String {
        loop {
            let document = self.document(user).await;
            if document.contains("<chat>") {
                return crate::client::text_of(&document);
            }
        }
    }

    /// Reads until the gateway closes the connection.
    pub async fn closed(&mut self) {
        while let Some(message) = self.receive().await {
            self.sort(message).await;
        }
    }
}
