//! A legacy client made of templates. It can do what the real one does, and everything the real one must not: each part
//! of a request can be set, raw octets can be sent, and it answers what it is told to answer, or nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says no"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use holdover_protocol::sip::Status;
use holdover_protocol::sip::{
    Decoded, Decoder, Limits, Message, Method, Name, Request, Response, respond,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gateway::DOMAIN;
use crate::patience::within;

/// What legacy clients dial first.
pub const LOOKUP: &str = "sip:ocschat@contoso.com";

/// What the lookup answers.
pub const CHANNEL: &str = "sip:channel@contoso.com";

/// The identifier of a room.
#[must_use]
pub fn room(value: &str) -> String {
    format!("ma-chan://{DOMAIN}/{value}")
}

enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Io {
    fn duplex(&mut self) -> &mut dyn Duplex {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        }
    }
}

/// One dialog, as the client sees it.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The URI that was invited.
    pub uri: String,
    /// Its Call-ID.
    pub call_id: String,
    /// The client's tag.
    pub tag: String,
    /// The gateway's tag.
    pub to_tag: String,
    /// The number of the last request.
    pub cseq: u32,
}

/// A client.
pub struct Client {
    io: Io,
    decoder: Decoder,
    /// Who it says it is: `ann@contoso.com`.
    pub user: String,
    /// Its endpoint identifier.
    pub epid: String,
    /// What it answers to INFOs; `None`: nothing.
    pub answers: Option<u16>,
    /// The channel dialog, once it is open.
    pub channel: Option<Dialog>,
    /// Bodies of INFOs that nobody asked for yet.
    pub inbox: VecDeque<String>,
    /// Final responses that nobody asked for yet.
    pub responses: VecDeque<Response>,
    envid: u32,
    register_cseq: u32,
    /// The Call-ID of the next dialog is made from it, and so are the tags: equal for clients that "start in the same
    /// second".
    pub seed: String,
    dialogs: u32,
}

impl Client {
    /// Connects over TCP.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub async fn tcp(address: SocketAddr, name: &str) -> Self {
        let stream = within("connect", TcpStream::connect(address))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self::new(Io::Tcp(stream), name)
    }

    /// Connects over TLS, to `localhost`, trusting the authority in the PEM file `ca`.
    ///
    /// # Panics
    ///
    /// When the handshake fails.
    pub async fn tls(address: SocketAddr, name: &str, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = within("connect", TcpStream::connect(address))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let name_of_server = ServerName::try_from("localhost").unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name_of_server, stream);
        let stream = within("TLS handshake", handshake).await.unwrap();
        Self::new(Io::Tls(Box::new(stream)), name)
    }

    /// Uses a connection that is there already, and takes whatever the gateway sends up to these limits.
    #[must_use]
    pub fn over(stream: TcpStream, name: &str, limits: Limits) -> Self {
        let mut client = Self::new(Io::Tcp(stream), name);
        client.decoder = Decoder::new(limits);
        client
    }

    fn new(io: Io, name: &str) -> Self {
        let user = if name.contains('@') {
            name.to_owned()
        } else {
            format!("{name}@{DOMAIN}")
        };
        let epid = name.bytes().fold(7_u64, |sum, octet| {
            sum.wrapping_mul(31).wrapping_add(octet.into())
        });
        Self {
            io,
            decoder: Decoder::new(Limits::default()),
            epid: format!("{:012x}", epid & 0xffff_ffff_ffff),
            seed: format!("{name}-1"),
            user,
            answers: Some(200),
            channel: None,
            inbox: VecDeque::new(),
            responses: VecDeque::new(),
            envid: 1000,
            register_cseq: 0,
            dialogs: 0,
        }
    }

    // === Octets ===

    /// Writes octets. Whether they arrive is another matter.
    ///
    /// # Panics
    ///
    /// When the connection takes nothing for too long.
    pub async fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        let io = self.io.duplex();
        within("write", async {
            io.write_all(octets).await?;
            io.flush().await
        })
        .await
    }

    /// Writes octets one at a time, each in its own packet.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn trickle(&mut self, octets: &[u8]) -> std::io::Result<()> {
        for octet in octets {
            self.write(std::slice::from_ref(octet)).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Closes the sending half.
    pub async fn half_close(&mut self) {
        // A connection that is gone has nothing to close.
        let _gone = self.io.duplex().shutdown().await;
    }

    /// Ends the connection with a reset.
    ///
    /// # Panics
    ///
    /// Over TLS.
    pub fn reset(self) {
        let Io::Tcp(stream) = self.io else {
            panic!("only TCP connections are reset")
        };
        stream.set_zero_linger().unwrap();
        drop(stream);
    }

    /// Reads on until the gateway closes the connection, answering nothing. What came goes to `inbox` and `responses`.
    ///
    /// # Panics
    ///
    /// When it stays open.
    pub async fn closed(&mut self) {
        self.answers = None;
        while let Some(message) = self.receive().await {
            self.sort(message).await;
        }
    }

    /// The next message; `None`: the connection is closed.
    ///
    /// # Panics
    ///
    /// When nothing comes, or no SIP.
    pub async fn receive(&mut self) -> Option<Message> {
        loop {
            match self.decoder.decode() {
                Decoded::Message(message) => return Some(message),
                Decoded::KeepAlive(_) => {}
                Decoded::NeedMore { .. } => {
                    let io = self.io.duplex();
                    let read = within("read", io.read_buf(self.decoder.buffer())).await;
                    if read.is_err() || read.is_ok_and(|count| count == 0) {
                        return None;
                    }
                }
                Decoded::Malformed { fault, .. } | Decoded::Fatal { fault, .. } => {
                    panic!("the gateway sends no SIP: {fault}")
                }
            }
        }
    }

    /// Reads raw octets, at least one; empty when the connection is closed.
    pub async fn receive_octets(&mut self) -> Vec<u8> {
        let mut octets = vec![0; 64 * 1024];
        let read = within("read", self.io.duplex().read(&mut octets)).await;
        octets.truncate(read.unwrap_or(0));
        octets
    }

    async fn sort(&mut self, message: Message) {
        match message {
            Message::Response(response) if response.status().is_provisional() => {}
            Message::Response(response) => self.responses.push_back(response),
            Message::Request(request) => self.take_request(&request).await,
        }
    }

    async fn take_request(&mut self, request: &Request) {
        assert_eq!(
            *request.method(),
            Method::Info,
            "legacy clients survive no other request"
        );
        self.inbox
            .push_back(String::from_utf8(request.body().to_vec()).unwrap());
        if let Some(status) = self.answers {
            let status = Status::new(status).unwrap();
            let answer = respond(request, status, None).finish();
            // A connection that ends is noticed by the next read.
            let _gone = self.write(&answer).await;
        }
    }

    // === Requests ===

    /// A request outside of a dialog, or inside with `to_tag`.
    #[must_use]
    pub fn request(
        &self,
        method: &str,
        dialog: &Dialog,
        extra: &str,
        content: &str,
        body: &str,
    ) -> String {
        let Self { user, epid, .. } = self;
        let Dialog {
            uri,
            call_id,
            tag,
            to_tag,
            cseq,
        } = dialog;
        let to_tag = if to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        let content = if content.is_empty() {
            String::new()
        } else {
            format!("Content-Type: {content}\r\n")
        };
        let length = body.len();
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/tcp 127.0.0.1:1234\r\n\
             From: <sip:{user}>;tag={tag};epid={epid}\r\n\
             To: <{uri}>{to_tag}\r\n\
             Max-Forwards: 70\r\n\
             CSeq: {cseq} {method}\r\n\
             User-Agent: UCCAPI/2.0 fake\r\n\
             Call-ID: {call_id}\r\n\
             {extra}{content}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// A dialog that does not exist yet, with the next Call-ID and tag.
    pub fn new_dialog(&mut self, uri: &str) -> Dialog {
        self.dialogs += 1;
        Dialog {
            uri: uri.to_owned(),
            call_id: format!("{}-{}", self.seed, self.dialogs),
            tag: format!("{}{}", self.seed, self.dialogs),
            to_tag: String::new(),
            cseq: 1,
        }
    }

    /// Waits for the final response to the request of this Call-ID and number. `None`: the connection is closed.
    pub async fn response(&mut self, call_id: &str, cseq: u32) -> Option<Response> {
        let is_it = |response: &Response| {
            let headers = response.headers();
            headers.get(Name::CallId) == Some(call_id)
                && headers.cseq().is_ok_and(|found| found.number == cseq)
        };
        loop {
            if let Some(at) = self.responses.iter().position(is_it) {
                return self.responses.remove(at);
            }
            let message = self.receive().await?;
            self.sort(message).await;
        }
    }

    /// Sends a request and waits for its final response.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn ask(&mut self, dialog: &Dialog, request: &str) -> Response {
        self.write(request.as_bytes()).await.unwrap();
        match self.response(&dialog.call_id, dialog.cseq).await {
            Some(response) => response,
            None => panic!("closed instead of an answer to\n{request}"),
        }
    }

    /// A REGISTER with these further header lines.
    pub fn register_request(&mut self, extra: &str) -> (Dialog, String) {
        self.register_cseq += 1;
        let dialog = Dialog {
            uri: format!("sip:{DOMAIN}"),
            call_id: format!("{}-register", self.seed),
            tag: format!("{}r", self.seed),
            to_tag: String::new(),
            cseq: self.register_cseq,
        };
        let contact =
            "Contact: <sip:127.0.0.1:1234;transport=tcp>;methods=\"INVITE, INFO, BYE\"\r\n";
        let request = self.request("REGISTER", &dialog, &format!("{contact}{extra}"), "", "");
        // A registration is addressed to the user himself.
        let to = format!("To: <sip:{}>\r\n", self.user);
        let request = request.replace(&format!("To: <sip:{DOMAIN}>\r\n"), &to);
        (dialog, request)
    }

    /// Registers. Returns the status.
    pub async fn register(&mut self, extra: &str) -> u16 {
        let (dialog, request) = self.register_request(extra);
        self.ask(&dialog, &request).await.status().code()
    }

    /// Invites. Returns the response, and the dialog if there is one now.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn invite(&mut self, uri: &str) -> (Response, Option<Dialog>) {
        let mut dialog = self.new_dialog(uri);
        let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=message 5060 sip null\r\na=accept-types:text/plain\r\n";
        let request = self.request(
            "INVITE",
            &dialog,
            "Supported: ms-sender\r\nContact: <sip:127.0.0.1:1234;transport=tcp>\r\n",
            "application/sdp",
            sdp,
        );
        let response = self.ask(&dialog, &request).await;
        if response.status().code() != 200 {
            return (response, None);
        }
        let to = response.headers().to().unwrap();
        to.tag().unwrap().clone_into(&mut dialog.to_tag);
        let ack = self.request("ACK", &dialog, "", "", "");
        self.write(ack.as_bytes()).await.unwrap();
        (response, Some(dialog))
    }

    /// Registers, asks the lookup and opens the channel dialog, as a real client does.
    ///
    /// # Panics
    ///
    /// When it is refused anything.
    pub async fn sign_in(&mut self) {
        assert_eq!(self.register("").await, 200, "REGISTER of {}", self.user);
        self.open_group_chat().await;
    }

    /// What follows the registration.
    ///
    /// # Panics
    ///
    /// When it is refused anything.
    pub async fn open_group_chat(&mut self) {
        let (_, lookup) = self.invite(LOOKUP).await;
        let mut lookup = lookup.unwrap();
        let reply = self.command_in(&mut lookup, "requri", "").await;
        assert!(reply.contains(&format!("uri=\"{CHANNEL}\"")), "{reply}");
        lookup.cseq += 1;
        let bye = self.request("BYE", &lookup, "", "", "");
        assert_eq!(self.ask(&lookup, &bye).await.status().code(), 200);
        self.open_channel().await;
    }

    /// Opens the channel dialog.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn open_channel(&mut self) {
        let (_, channel) = self.invite(CHANNEL).await;
        self.channel = Some(channel.unwrap());
    }

    /// The next INFO of the channel dialog with this body. Returns its number as well.
    ///
    /// # Panics
    ///
    /// Without a channel dialog.
    pub fn info(&mut self, body: &str) -> (Dialog, String) {
        let channel = self.channel.as_mut().unwrap();
        channel.cseq += 1;
        let dialog = channel.clone();
        let request = self.request("INFO", &dialog, "", "text/plain", body);
        (dialog, request)
    }

    /// An envelope with the next number.
    pub fn envelope(&mut self, content: &str) -> String {
        self.envid += 1;
        let envid = self.envid;
        format!(
            "<xccos ver=\"1\" envid=\"{envid}\" xmlns=\"urn:parlano:xml:ns:xccos\">{content}</xccos>"
        )
    }

    /// The document of a command.
    pub fn command_body(&mut self, verb: &str, data: &str) -> String {
        self.envelope(&format!(
            "<cmd id=\"cmd:{verb}\" seqid=\"1\"><data>{data}</data></cmd>"
        ))
    }

    /// The document of a post.
    pub fn post_body(&mut self, value: &str, text: &str) -> String {
        let (room, user) = (room(value), self.user.clone());
        self.envelope(&format!(
            "<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"{room}\" author=\"sip:{user}\" \
             ts=\"2026-11-22T12:00:00Z\"><chat>{text}</chat></grpchat>"
        ))
    }

    async fn command_in(&mut self, dialog: &mut Dialog, verb: &str, data: &str) -> String {
        dialog.cseq += 1;
        let body = self.command_body(verb, data);
        let request = self.request("INFO", dialog, "", "text/plain", &body);
        assert_eq!(self.ask(dialog, &request).await.status().code(), 200);
        self.reply(verb).await
    }

    /// Sends a command in the channel dialog and waits for its reply.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn command(&mut self, verb: &str, data: &str) -> String {
        let mut channel = self.channel.take().unwrap();
        let reply = self.command_in(&mut channel, verb, data).await;
        self.channel = Some(channel);
        reply
    }

    /// Waits for the next reply to a verb.
    pub async fn reply(&mut self, verb: &str) -> String {
        let wanted = format!("id=\"rpl:{verb}\"");
        self.document(|body| body.contains(&wanted)).await
    }

    /// Waits for a document.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn document(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            if let Some(at) = self.inbox.iter().position(|body| wanted(body)) {
                return self.inbox.remove(at).unwrap();
            }
            match self.receive().await {
                Some(message) => self.sort(message).await,
                None => panic!("closed instead of a document for {}", self.user),
            }
        }
    }

    /// Joins a room. Returns the reply.
    pub async fn join(&mut self, value: &str) -> String {
        let data = format!("<chanid key=\"0\" domain=\"{DOMAIN}\" value=\"{value}\"/>");
        self.command("join", &data).await
    }

    /// Posts, without waiting for anything. Returns where to look for the answer.
    pub async fn send_post(&mut self, value: &str, text: &str) -> Dialog {
        let body = self.post_body(value, text);
        let (dialog, request) = self.info(&body);
        self.write(request.as_bytes()).await.unwrap();
        dialog
    }

    /// Posts. Returns the status of the receipt.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn post(&mut self, value: &str, text: &str) -> u16 {
        let dialog = self.send_post(value, text).await;
        match self.response(&dialog.call_id, dialog.cseq).await {
            Some(response) => response.status().code(),
            None => panic!("closed instead of a receipt"),
        }
    }

    /// Waits for a message and answers its text.
    pub async fn message(&mut self) -> String {
        let body = self.document(|body| body.contains("<chat>")).await;
        text_of(&body)
    }

    /// Leaves as a real client does.
    pub async fn sign_out(mut self) {
        if let Some(mut channel) = self.channel.take() {
            channel.cseq += 1;
            let bye = self.request("BYE", &channel, "", "", "");
            assert_eq!(self.ask(&channel, &bye).await.status().code(), 200);
        }
        assert_eq!(self.register("Expires: 0\r\n").await, 200);
    }
}

/// The text of the first message in a document.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn text_of(body: &str) -> String {
    let (_, rest) = body.split_once("<chat>").unwrap();
    rest.split_once("</chat>").unwrap().0.to_owned()
}

/// The texts of the messages in a document.
#[must_use]
pub fn texts_of(body: &str) -> Vec<String> {
    body.split("<chat>")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("</chat>")?.0.to_owned()))
        .collect()
}
