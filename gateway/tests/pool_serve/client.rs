//! A SIP client of many users and few words.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use holdover_protocol::sip::{
    Decoded, Decoder, Limits, Message, Method, Name, Request, Response, Status, respond,
};

/// Longest wait for something that must come.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// One user's dialog.
pub(crate) struct User {
    name: &'static str,
    tag: String,
    cseq: u32,
    envid: u32,
}

impl User {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            tag: String::new(),
            cseq: 0,
            envid: 100,
        }
    }
}

pub(crate) struct Client<S> {
    stream: S,
    decoder: Decoder,
    /// What the server sent, by user: the bodies of INFO requests, and `BYE`.
    heard: VecDeque<(String, String)>,
    /// Whether INFO requests are answered.
    pub(crate) answering: bool,
    unanswered: Vec<Request>,
    /// Responses that nobody waited for.
    pub(crate) strays: usize,
}

impl Client<TcpStream> {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            decoder: Decoder::new(Limits::default()),
            heard: VecDeque::new(),
            answering: true,
            unanswered: Vec::new(),
            strays: 0,
        }
    }

    /// The next message; `None` at the end of the connection.
    fn next(&mut self) -> Option<Message> {
        loop {
            match self.decoder.decode() {
                Decoded::Message(message) => return Some(message),
                Decoded::NeedMore { .. } => {}
                other => panic!("{other:?}"),
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) => panic!("{error}; heard so far: {:?}", self.heard),
            }
        }
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, user: &mut User, method: &str, body: &str) -> u32 {
        user.cseq += 1;
        let User {
            name, tag, cseq, ..
        } = user;
        let tag = match tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        let content = if body.is_empty() {
            ""
        } else {
            "Content-Type: text/plain\r\n"
        };
        let text = format!(
            "{method} sip:GC-1@contoso.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK{name}{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{name}@contoso.com>;tag=77\r\nTo: <sip:GC-1@contoso.com>{tag}\r\n\
             P-Asserted-Identity: <sip:{name}@contoso.com>\r\nCall-ID: one-and-the-same\r\n\
             CSeq: {cseq} {method}\r\n{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(text.as_bytes()).unwrap();
        *cseq
    }

    /// Sends a request and waits for its final response. What else comes is kept.
    pub(crate) fn request(&mut self, user: &mut User, method: &str, body: &str) -> Response {
        let cseq = self.send(user, method, body);
        loop {
            match self.next().expect("the connection ended") {
                Message::Response(response) => {
                    let headers = response.headers();
                    let is_this = headers.cseq().unwrap().number == cseq
                        && headers.from().unwrap().uri_text().contains(user.name);
                    if is_this {
                        return response;
                    }
                    self.strays += 1;
                }
                Message::Request(request) => self.take(request),
            }
        }
    }

    /// Opens a user's dialog. Returns the 200.
    pub(crate) fn invite(&mut self, user: &mut User) -> Response {
        let accepted = self.request(user, "INVITE", "");
        assert_eq!(accepted.status(), Status::OK);
        user.tag = accepted.headers().to().unwrap().tag().unwrap().to_owned();
        accepted
    }

    /// Sends one XCCOS command and answers the status of its receipt.
    pub(crate) fn command(&mut self, user: &mut User, verb: &str, data: &str) -> u16 {
        let body = command(user, verb, data);
        self.request(user, "INFO", &body).status().code()
    }

    pub(crate) fn post(&mut self, user: &mut User, room: &str, text: &str) -> u16 {
        let body = format!(
            "<xccos ver=\"1\" envid=\"9\" xmlns=\"urn:parlano:xml:ns:xccos\"><grpchat id=\"grpchat\" seqid=\"1\" \
             chanUri=\"ma-chan://contoso.com/{room}\" author=\"sip:{}@contoso.com\" \
             ts=\"2026-11-22T10:00:00Z\"><chat>{text}</chat></grpchat></xccos>",
            user.name
        );
        self.request(user, "INFO", &body).status().code()
    }

    fn take(&mut self, request: Request) {
        let to = request.headers().to().unwrap().uri_text().to_owned();
        let said = match request.method() {
            Method::Info => String::from_utf8(request.body().to_vec()).unwrap(),
            method => method.to_string(),
        };
        self.heard.push_back((to, said));
        if self.answering || *request.method() != Method::Info {
            self.answer(&request);
        } else {
            self.unanswered.push(request);
        }
    }

    fn answer(&mut self, request: &Request) {
        assert!(request.headers().get(Name::Via).is_some());
        let answer = respond(request, Status::OK, None).finish();
        // A server that has said BYE may be gone.
        let _gone = self.stream.write_all(&answer);
    }

    /// Answers what was left unanswered, and everything from now on.
    pub(crate) fn answer_all(&mut self) {
        self.answering = true;
        for request in std::mem::take(&mut self.unanswered) {
            self.answer(&request);
        }
    }

    /// The next thing the server says to a user: a document, or `BYE`.
    pub(crate) fn hear(&mut self, user: &User) -> String {
        loop {
            let mine = |(to, _): &(String, String)| to.contains(user.name);
            if let Some(at) = self.heard.iter().position(mine) {
                return self.heard.remove(at).unwrap().1;
            }
            match self.next().expect("the connection ended") {
                Message::Request(request) => self.take(request),
                Message::Response(_) => self.strays += 1,
            }
        }
    }

    /// Reads to the end of the connection.
    pub(crate) fn finish(&mut self) {
        while let Some(message) = self.next() {
            if let Message::Request(request) = message {
                self.take(request);
            }
        }
    }

    /// Whether nothing is left that was not heard.
    pub(crate) fn heard_everything(&self) -> bool {
        self.heard.is_empty()
    }
}

/// A document with one command.
pub(crate) fn command(user: &mut User, verb: &str, data: &str) -> String {
    user.envid += 1;
    format!(
        "<xccos ver=\"1\" envid=\"{}\" xmlns=\"urn:parlano:xml:ns:xccos\"><cmd id=\"cmd:{verb}\" seqid=\"1\">\
         <data>{data}</data></cmd></xccos>",
        user.envid
    )
}

/// `chanid` of rooms.
pub(crate) fn rooms(values: &[&str]) -> String {
    let one = |(key, value): (usize, &&str)| {
        format!("<chanid key=\"{key}\" domain=\"contoso.com\" value=\"{value}\"/>")
    };
    values.iter().enumerate().map(one).collect()
}
