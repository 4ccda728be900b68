//! The server core, byte for byte and on a clock of its own.

mod dialogs;
mod switches;
mod time;

use std::time::Duration;

use bytes::Bytes;
use holdover_config::ServiceUri;
use holdover_protocol::sip::{Message, Method, Name, Request, Response};

use super::core::{CoreSettings, DialogNumber, Output, ServerCore};
use super::*;
use crate::peer::SentBy;
use crate::pool::{LegEvent, Receipt, SendId};
use crate::telemetry::events::serve::DialogEnd;

fn settings() -> CoreSettings {
    let uri: ServiceUri = "sip:GC-1-PersistentChatService-1@contoso.com"
        .parse()
        .unwrap();
    CoreSettings {
        uri,
        server_uri: "sip:server-1@contoso.com".parse().unwrap(),
        window: 1,
        session_expires: 1800,
        busy_every: 0,
        mute_every: 0,
        bye_on_first_command: false,
        delay: Duration::ZERO,
        merge_replies: false,
    }
}

/// A core and everything it did, on a clock that stands still unless it is told to go.
struct Bench {
    core: ServerCore,
    now: Instant,
    sent: Vec<Message>,
    opened: Vec<(DialogNumber, String)>,
    delivered: Vec<(DialogNumber, SendId, Bytes)>,
    closed: Vec<(DialogNumber, DialogEnd)>,
    drained: bool,
}

impl Bench {
    fn new(settings: CoreSettings) -> Self {
        let sent_by = SentBy {
            transport: "TLS",
            address: "192.0.2.1:5041".into(),
        };
        Self {
            core: ServerCore::new(Arc::new(settings), sent_by, 1),
            now: Instant::now(),
            sent: Vec::new(),
            opened: Vec::new(),
            delivered: Vec::new(),
            closed: Vec::new(),
            drained: false,
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send(bytes) => self.sent.push(Message::parse(&bytes).unwrap()),
                Output::Open { dialog, user, .. } => {
                    self.opened.push((dialog, user.as_str().to_owned()));
                }
                Output::Deliver {
                    dialog,
                    id,
                    document,
                } => self.delivered.push((dialog, id, document)),
                Output::Close { dialog, reason, .. } => self.closed.push((dialog, reason)),
                Output::Drained => self.drained = true,
            }
        }
    }

    fn receive(&mut self, text: &str) {
        self.core.handle(self.now, parse(text));
        self.collect();
    }

    fn leg(&mut self, dialog: DialogNumber, event: LegEvent) {
        self.core.handle_leg(self.now, dialog, event);
        self.collect();
    }

    fn document(&mut self, dialog: DialogNumber, text: &str) {
        self.leg(
            dialog,
            LegEvent::Document(Bytes::copy_from_slice(text.as_bytes())),
        );
    }

    fn receipt(&mut self, dialog: DialogNumber, id: u64, receipt: Receipt) {
        let id = SendId(id);
        self.leg(dialog, LegEvent::Receipt { id, receipt });
    }

    /// Lets time pass, waking the core whenever it asks for it.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// The one message that was sent since the last look.
    fn one(&mut self) -> Message {
        assert_eq!(self.sent.len(), 1, "{:?}", self.sent);
        self.sent.remove(0)
    }

    fn response(&mut self) -> Response {
        match self.one() {
            Message::Response(response) => response,
            Message::Request(request) => panic!("{request:?}"),
        }
    }

    fn status(&mut self) -> u16 {
        self.response().status().code()
    }

    fn request(&mut self, method: &Method) -> Request {
        match self.one() {
            Message::Request(request) if request.method() == method => request,
            other => panic!("{other:?}"),
        }
    }

    /// Opens a dialog for a user and answers its number and the server's tag.
    fn open(&mut self, user: &str) -> Peer {
        let mut peer = Peer::new(user);
        self.receive(&peer.request("INVITE", "", ""));
        let accepted = self.response();
        assert_eq!(accepted.status().code(), 200);
        peer.remote_tag = accepted.headers().to().unwrap().tag().unwrap().to_owned();
        peer.dialog = self.opened.last().unwrap().0;
        peer
    }
}

/// One user's end of a dialog, as a gateway keeps it.
struct Peer {
    user: String,
    dialog: DialogNumber,
    remote_tag: String,
    cseq: u32,
}

impl Peer {
    fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            dialog: DialogNumber(u64::MAX),
            remote_tag: String::new(),
            cseq: 0,
        }
    }

    /// The next request; `headers` are whole lines.
    fn request(&mut self, method: &str, headers: &str, body: &str) -> String {
        self.cseq += 1;
        let Self {
            user,
            remote_tag,
            cseq,
            ..
        } = self;
        let tag = match remote_tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        let content = match (method, body) {
            (_, "") => "",
            ("INVITE", _) => "Content-Type: application/sdp\n",
            _ => "Content-Type: text/plain\n",
        };
        format!(
            "{method} sip:GC-1-PersistentChatService-1@contoso.com SIP/2.0\n\
             Via: SIP/2.0/TLS 192.0.2.7:5061;branch=z9hG4bK{user}{cseq}\n\
             Max-Forwards: 70\n\
             From: <sip:{user}@contoso.com>;tag=77;epid=0123456789ab\n\
             To: <sip:GC-1-PersistentChatService-1@contoso.com>{tag}\n\
             Call-ID: one-and-the-same\n\
             CSeq: {cseq} {method}\n\
             {headers}{content}Content-Length: {}\n\n{body}",
            body.len()
        )
    }
}

/// The response of a peer to a request of the server.
fn answer_to(request: &Request, status: u16) -> String {
    let headers = request.headers();
    let get = |name| headers.get(name).unwrap();
    format!(
        "SIP/2.0 {status} Whatever\nVia: {}\nFrom: {}\nTo: {}\nCall-ID: {}\nCSeq: {}\nContent-Length: 0\n\n",
        get(Name::Via),
        get(Name::From),
        get(Name::To),
        get(Name::CallId),
        get(Name::CSeq)
    )
}

/// A message whose head was written with plain line ends.
fn parse(text: &str) -> Message {
    let (head, body) = text.split_once("\n\n").unwrap();
    let text = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
    Message::parse(text.as_bytes()).unwrap()
}

fn body(request: &Request) -> &str {
    std::str::from_utf8(request.body()).unwrap()
}
