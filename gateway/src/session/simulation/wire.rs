//! The texts of a legacy client and of a pool, written plainly.

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::dialog::Dialog;
use holdover_protocol::sip::{Message, Method, Name, Request, Response, Status, respond};

use super::random::Random;

pub(super) const USER: &str = "sip:ann@contoso.com";
const CHANNEL: &str = "sip:channel@contoso.com";
const XMLNS: &str = "urn:parlano:xml:ns:xccos";

/// The client's end of a channel dialog. Its Via has no branch, as real clients inside dialogs have none.
#[derive(Clone, Debug)]
pub(super) struct ClientDialog {
    pub(super) number: u64,
    cseq: u32,
}

impl ClientDialog {
    pub(super) fn invite(number: u64) -> (Self, Dialog) {
        let dialog = Self { number, cseq: 1 };
        let invite = dialog.write(&Method::Invite, 1, "", None);
        (dialog, Dialog::accept(&invite, "here").unwrap())
    }

    pub(super) fn cseq(&self) -> u32 {
        self.cseq
    }

    pub(super) fn request(&mut self, method: &Method, body: Option<&str>) -> (u32, Box<Request>) {
        self.cseq += 1;
        (
            self.cseq,
            Box::new(self.write(method, self.cseq, ";tag=here", body)),
        )
    }

    fn write(&self, method: &Method, cseq: u32, to_tag: &str, body: Option<&str>) -> Request {
        let body = body.unwrap_or_default();
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: text/plain\r\n"
        };
        let text = format!(
            "{method} {CHANNEL} SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.1:5060\r\nMax-Forwards: 70\r\n\
             From: <{USER}>;tag=there;epid=0123456789ab\r\nTo: <{CHANNEL}>{to_tag}\r\nCall-ID: call-{}\r\n\
             CSeq: {cseq} {method}\r\nContact: <{USER};gruu>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.number,
            body.len(),
        );
        match Message::parse(text.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!("a response"),
        }
    }

    /// Whether a message belongs to this dialog.
    pub(super) fn owns(&self, message: &Message) -> bool {
        message.headers().call_id() == Ok(&format!("call-{}", self.number))
    }
}

/// Refusals after which a document comes again.
pub(super) const FOR_NOW: &[u16] = &[500, 503, 504, 486];

/// How a client or its front end may refuse a document. What opens or closes rooms is refused for now only: what comes of it
/// otherwise is for tests of its own.
pub(super) fn refusals(body: &str) -> &'static [u16] {
    let is_of_windows = ["rpl:join", "rpl:bjoin", "rpl:part"];
    if is_of_windows.iter().any(|name| body.contains(name)) {
        FOR_NOW
    } else {
        &[500, 503, 504, 413, 403, 603]
    }
}

pub(super) fn response_to(request: &Request, status: u16) -> Response {
    let text = respond(request, Status::new(status).unwrap(), None).header(Name::UserAgent, "sim");
    match Message::parse(&text.finish()).unwrap() {
        Message::Response(response) => response,
        Message::Request(_) => unreachable!("a request"),
    }
}

fn document(envid: impl std::fmt::Display, content: &str) -> String {
    format!(r#"<xccos ver="1" envid="{envid}" xmlns="{XMLNS}">{content}</xccos>"#)
}

fn chanid(key: usize, room: &RoomUri) -> String {
    format!(
        r#"<chanid key="{key}" domain="{}" value="{}"/>"#,
        room.domain(),
        room.value()
    )
}

fn chanib(room: &RoomUri, content: &str) -> String {
    format!(r#"<chanib uri="{room}" name="R" description="">{content}</chanib>"#)
}

/// A command of the client.
pub(super) fn command(envid: u64, verb: &str, rooms: &[RoomUri]) -> String {
    let data: String = match verb {
        "join" | "bjoin" => rooms
            .iter()
            .enumerate()
            .map(|(key, room)| chanid(key, room))
            .collect(),
        "chansrch" => r#"<qib qtype="BYNAME" criteria="" extended="false"/>"#.to_owned(),
        "getinv" => r#"<inv inviteId="3" domain="contoso.com"/>"#.to_owned(),
        "getserverinfo" => r#"<sib domain="contoso.com" infoType="123"/>"#.to_owned(),
        "bccontext" => {
            let rooms: String = rooms
                .iter()
                .map(|room| format!(r#"<chanib uri="{room}"/>"#))
                .collect();
            format!(r#"{rooms}<bcq><last cnt="25"/></bcq>"#)
        }
        "getpref" => {
            r#"<pref label="kedzie.GroupChannels" seqid="1" createdefault="true"/>"#.to_owned()
        }
        _ => rooms
            .iter()
            .map(|room| format!(r#"<chanib uri="{room}"/>"#))
            .collect(),
    };
    document(
        envid,
        &format!(r#"<cmd id="cmd:{verb}" seqid="1"><data>{data}</data></cmd>"#),
    )
}

/// A post of the client.
pub(super) fn post(envid: u64, room: &RoomUri, text: &str) -> String {
    let chat = format!(
        r#"<grpchat id="grpchat" seqid="1" chanUri="{room}" author="{USER}" ts="2026-11-22T10:00:00Z"><chat>{text}</chat></grpchat>"#
    );
    document(envid, &chat)
}

/// A message that a pool sends to everybody in a room.
pub(super) fn fan_out(room: &RoomUri, text: &str) -> String {
    format!(
        r#"<grpchat id="grpchat" seqid="1" chanUri="{room}" author="sip:bob@contoso.com" ts="2026-11-22T10:00:00Z"><chat>{text}</chat><rtf>x</rtf></grpchat>"#
    )
}

pub(super) fn reply(name: &str, command: u64, code: u16, data: &str) -> String {
    let seqid = 1;
    format!(
        r#"<rpl id="{name}" seqid="1"><commandid seqid="{seqid}" envid="{command}"/><resp code="{code}">TEXT</resp><data>{data}</data></rpl>"#
    )
}

pub(super) fn joined(rooms: &[RoomUri], failed: &[RoomUri]) -> String {
    let user = format!(r#"<uib id="0" uri="{USER}"/>"#);
    let rooms: String = rooms
        .iter()
        .map(|room| chanib(room, r#"<aib key="3472" value="0"/>"#))
        .collect();
    let failed: String = failed
        .iter()
        .map(|room| {
            let (value, domain) = (room.value(), room.domain());
            format!(r#"<fib key="OPERATION_FAILED" value="{value}" domain="{domain}"/>"#)
        })
        .collect();
    user + &rooms + &failed
}

pub(super) fn found(rooms: &[RoomUri]) -> String {
    rooms.iter().map(|room| chanib(room, "")).collect()
}

pub(super) fn history(room: &RoomUri) -> String {
    let message = format!(
        r#"<msg id="grpchat" chanUri="{room}" author="{USER}" ts="2026-11-22T09:00:00Z"><chat>old</chat></msg>"#
    );
    chanib(room, &message)
}

pub(super) fn arrived(rooms: &[RoomUri]) -> String {
    let rooms: String = rooms
        .iter()
        .map(|room| {
            format!(
                r#"<aib key="3472" domain="{}" value="{}"/>"#,
                room.domain(),
                room.value()
            )
        })
        .collect();
    format!(
        r#"<ntc id="ntc:bjoin" seqid="1"><data><uib uri="sip:bob@contoso.com">{rooms}</uib></data></ntc>"#
    )
}

pub(super) fn left(room: &RoomUri) -> String {
    format!(
        r#"<ntc id="ntc:part" seqid="1"><data>{}</data></ntc>"#,
        chanib(room, r#"<uib uri="sip:bob@contoso.com"/>"#)
    )
}

/// A document of the pool, of one item or of several.
pub(super) fn from_pool(random: &mut Random, items: &str) -> Bytes {
    document(random.next(), items).into()
}
