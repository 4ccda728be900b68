//! The leg core, message by message.

mod ends;
mod lookup;
mod refresh;

use std::time::{Duration, Instant};

use holdover_protocol::sip::{Message, Request, Response};

use super::*;
use crate::pool::Receipt;

const LIMIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn context(lookup: bool, outstanding: usize) -> Arc<Context> {
    Arc::new(Context {
        settings: Arc::new(LegSettings {
            uri: "sip:GC-1-PersistentChatService-1@contoso.com".into(),
            lookup,
            limit: LIMIT,
            outstanding,
            xccos: xccos::Limits::default(),
        }),
        transport: "TLS",
        sent_by: "192.0.2.1:40000".into(),
        address: "192.0.2.1".into(),
    })
}

/// A leg and the pool's script.
struct Bench {
    now: Instant,
    leg: LegCore,
    signs: Vec<Sign>,
    events: Vec<LegEvent>,
    refused: Vec<u16>,
    /// The channel INVITE.
    invite: Option<Request>,
    cseq: u32,
}

fn request(bytes: &[u8]) -> Request {
    match Message::parse(bytes).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response: {}", String::from_utf8_lossy(bytes)),
    }
}

/// A response as a pool writes it.
fn response(to: &Request, status: &str, to_tag: &str, more: &str) -> Response {
    let headers = to.headers();
    let tag = match headers.to().unwrap().tag() {
        None if !to_tag.is_empty() => format!(";tag={to_tag}"),
        _ => String::new(),
    };
    let text = format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         {more}Content-Length: 0\r\n\r\n",
        headers.get(Name::Via).unwrap(),
        headers.get(Name::From).unwrap(),
        headers.get(Name::To).unwrap(),
        headers.get(Name::CallId).unwrap(),
        headers.get(Name::CSeq).unwrap(),
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a request"),
    }
}

impl Bench {
    fn new(lookup: bool, outstanding: usize) -> (Self, Request) {
        let now = Instant::now();
        let user = UserUri::parse("sip:ann@contoso.com").unwrap();
        let leg = LegCore::new(now, context(lookup, outstanding), user, 0x2a, 1);
        let mut bench = Self {
            now,
            leg,
            signs: Vec::new(),
            events: Vec::new(),
            refused: Vec::new(),
            invite: None,
            cseq: 0,
        };
        let invite = bench.sent_one("INVITE");
        (bench, invite)
    }

    /// With a channel dialog; `more` goes into the 200.
    fn open(outstanding: usize, more: &str) -> Self {
        let (mut bench, invite) = Self::new(false, outstanding);
        bench.answer(&invite, "200 OK", more);
        bench.sent_one("ACK");
        assert_eq!(bench.take_signs(), [Sign::Good]);
        bench.invite = Some(invite);
        bench
    }

    fn drain(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(output) = self.leg.poll_output() {
            match output {
                Output::Send(bytes) => sent.push(String::from_utf8(bytes.to_vec()).unwrap()),
                Output::Deliver(event) => self.events.push(event),
                Output::Saw(sign) => self.signs.push(sign),
                Output::Refused(status) => self.refused.push(status.code()),
            }
        }
        sent
    }

    /// The first words of what was sent.
    fn sent(&mut self) -> Vec<String> {
        let first = |message: &String| {
            message
                .split([' ', '\r'])
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        self.drain()
            .iter()
            .map(|message| match first(message) {
                status if status.starts_with("SIP/2.0") => status,
                request => request.split(' ').next().unwrap().to_owned(),
            })
            .collect()
    }

    fn sent_text(&mut self) -> String {
        let mut sent = self.drain();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.pop().unwrap()
    }

    fn sent_one(&mut self, method: &str) -> Request {
        let request = request(self.sent_text().as_bytes());
        assert_eq!(request.method().as_str(), method);
        request
    }

    fn sent_all(&mut self, method: &str) -> Vec<Request> {
        let sent = self.drain();
        let requests: Vec<_> = sent.iter().map(|text| request(text.as_bytes())).collect();
        assert!(
            requests.iter().all(|r| r.method().as_str() == method),
            "{sent:#?}"
        );
        requests
    }

    fn answer(&mut self, to: &Request, status: &str, more: &str) {
        let response = response(to, status, "pool", more);
        self.leg.handle_response(self.now, &response);
    }

    fn send(&mut self, id: u64) {
        let body = Bytes::from(format!("<d{id}/>"));
        self.leg.send(self.now, SendId(id), body).unwrap();
    }

    /// A request of the pool in the channel dialog.
    fn ask_with(&mut self, method: &str, cseq: u32, more: &str, body: &str) {
        let invite = self.invite.as_ref().unwrap().headers();
        let text = format!(
            "{method} sip:ann@192.0.2.1:40000 SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.9;branch=z9hG4bK{cseq}\r\n\
             From: {};tag=pool\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{more}\
             Content-Length: {}\r\n\r\n{body}",
            invite.get(Name::To).unwrap(),
            invite.get(Name::From).unwrap(),
            invite.get(Name::CallId).unwrap(),
            body.len(),
        );
        self.leg.handle_request(self.now, &request(text.as_bytes()));
    }

    fn ask(&mut self, method: &str, more: &str, body: &str) {
        self.cseq += 1;
        self.ask_with(method, self.cseq, more, body);
    }

    fn info(&mut self, body: &str) {
        self.ask("INFO", "Content-Type: text/plain\r\n", body);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.leg.handle_timeout(self.now);
    }

    fn take_signs(&mut self) -> Vec<Sign> {
        std::mem::take(&mut self.signs)
    }

    fn take_events(&mut self) -> Vec<LegEvent> {
        let sent = self.drain();
        assert!(sent.is_empty(), "{sent:#?}");
        std::mem::take(&mut self.events)
    }
}

fn receipt(id: u64, receipt: Receipt) -> LegEvent {
    LegEvent::Receipt {
        id: SendId(id),
        receipt,
    }
}

fn accepted(id: u64) -> LegEvent {
    receipt(id, Receipt::Accepted)
}

fn refused(id: u64, status: u16, reason: &str) -> LegEvent {
    let reason = reason.into();
    receipt(id, Receipt::Refused { status, reason })
}

#[test]
fn the_invite_speaks_as_the_user() {
    let (mut bench, invite) = Bench::new(false, 1);
    let headers = invite.headers();
    let uri = "sip:GC-1-PersistentChatService-1@contoso.com";
    assert_eq!(invite.uri(), uri);
    assert_eq!(headers.get(Name::To).unwrap(), format!("<{uri}>"));
    let from = headers.from().unwrap();
    assert_eq!(from.uri_text(), "sip:ann@contoso.com");
    assert_eq!(LegCore::number_in(from.tag().unwrap()), Some(0x2a));
    for (name, value) in [
        (Name::PAssertedIdentity, "<sip:ann@contoso.com>"),
        (Name::Contact, "<sip:ann@192.0.2.1:40000;transport=tls>"),
        (Name::Supported, "timer"),
        (Name::SessionExpires, "1800"),
        (Name::ContentType, "application/sdp"),
        (Name::MaxForwards, "70"),
        (Name::CSeq, "1 INVITE"),
    ] {
        assert_eq!(headers.get(name), Some(value));
    }
    assert_eq!(headers.get(Name::MinSe), None);
    let via = headers.get(Name::Via).unwrap();
    assert!(
        via.starts_with("SIP/2.0/TLS 192.0.2.1:40000;branch=z9hG4bK"),
        "{via}"
    );
    assert!(
        std::str::from_utf8(invite.body())
            .unwrap()
            .contains("m=message")
    );
    bench.answer(&invite, "100 Trying", "");
    bench.answer(&invite, "183 Session Progress", "");
    assert!(bench.sent().is_empty(), "provisional answers are nothing");
}

#[test]
fn rfc3261_12_requests_follow_the_contact_and_the_route_set() {
    let mut bench = Bench::open(
        1,
        "Contact: <sip:pool@pc1.contoso.com:5041>\r\nRecord-Route: <sip:b.contoso.com;lr>\r\n\
         Record-Route: <sip:a.contoso.com;lr>\r\n",
    );
    bench.send(1);
    let info = bench.sent_text();
    assert!(
        info.starts_with("INFO sip:pool@pc1.contoso.com:5041 SIP/2.0\r\n"),
        "{info}"
    );
    assert!(
        info.contains("Route: <sip:a.contoso.com;lr>\r\nRoute: <sip:b.contoso.com;lr>\r\n"),
        "{info}"
    );
    assert!(
        info.contains(">;tag=pool\r\n") && info.contains("CSeq: 2 INFO\r\n"),
        "{info}"
    );
    assert!(
        info.ends_with("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n<d1/>"),
        "{info}"
    );
}

#[test]
fn documents_wait_for_the_dialog_and_go_in_order_through_the_window() {
    let (mut bench, invite) = Bench::new(false, 2);
    for id in 1..=3 {
        bench.send(id);
    }
    assert!(bench.sent().is_empty());
    bench.answer(&invite, "200 OK", "");
    let sent = bench.drain();
    let bodies: Vec<_> = sent
        .iter()
        .map(|text| text.rsplit('\n').next().unwrap())
        .collect();
    assert_eq!(bodies, ["", "<d1/>", "<d2/>"], "ACK, then two");
    let first = request(sent[1].as_bytes());
    bench.answer(&first, "200 OK", "");
    let third = bench.sent_one("INFO");
    assert_eq!(third.body().as_ref(), b"<d3/>");
    assert_eq!(bench.take_events(), [accepted(1)]);
    // The same answer again is for nobody.
    bench.answer(&first, "200 OK", "");
    assert_eq!(bench.take_events(), []);
}

#[test]
fn too_many_documents_are_an_overflow() {
    let (mut bench, _) = Bench::new(false, 1);
    let full = (0..1000).find_map(|id| bench.leg.send(bench.now, SendId(id), Bytes::new()).err());
    assert_eq!(full, Some(LegClosed::Overflow));
}

#[test]
fn the_answer_to_an_info_is_the_receipt() {
    let mut bench = Bench::open(8, "");
    for id in 1..=5 {
        bench.send(id);
    }
    let infos = bench.sent_all("INFO");
    for (info, status) in infos.iter().zip([
        "202 Accepted",
        "403 No posting here",
        "440 Vetoed",
        "603 Decline",
        "302 Elsewhere",
    ]) {
        bench.answer(info, "100 Trying", "");
        bench.answer(info, status, "");
    }
    let expected = [
        accepted(1),
        refused(2, 403, "No posting here"),
        refused(3, 440, "Vetoed"),
        refused(4, 603, "Decline"),
        refused(5, 302, "Elsewhere"),
    ];
    assert_eq!(bench.take_events(), expected);
}

#[test]
fn fact_busy_is_tried_again_in_a_new_transaction() {
    let mut bench = Bench::open(1, "");
    bench.send(1);
    let first = bench.sent_one("INFO");
    bench.answer(&first, "503 Busy", "Retry-After: 2 (soon);duration=5\r\n");
    bench.wait(SECOND);
    assert!(bench.sent().is_empty());
    bench.wait(2 * SECOND);
    let second = bench.sent_one("INFO");
    assert_eq!(second.body(), first.body());
    assert_ne!(second.headers().cseq(), first.headers().cseq());
    assert_ne!(
        second.headers().get(Name::Via),
        first.headers().get(Name::Via)
    );
    bench.answer(&second, "200 OK", "");
    assert_eq!(bench.take_events(), [accepted(1)]);
}

#[test]
fn fact_a_pool_that_is_always_busy_refuses_in_the_end() {
    let mut bench = Bench::open(1, "");
    bench.send(1);
    let mut tries = 0;
    while bench.events.is_empty() {
        for info in bench.sent_all("INFO") {
            tries += 1;
            bench.answer(&info, "503 Service Unavailable", "");
        }
        let due = bench.leg.poll_timeout().unwrap();
        assert!(due > bench.now || !bench.leg.output.is_empty(), "busy loop");
        bench.drain();
        bench.now = bench.now.max(due);
        bench.leg.handle_timeout(bench.now);
    }
    assert_eq!(tries, 4);
    assert_eq!(bench.events, [refused(1, 503, "Service Unavailable")]);
    assert_eq!(bench.signs, [], "being busy is no failure of the server");
}

#[test]
fn no_answer_within_the_limit_is_unknown() {
    let mut bench = Bench::open(1, "");
    bench.send(1);
    let info = bench.sent_one("INFO");
    bench.wait(LIMIT - SECOND);
    assert_eq!(bench.take_events(), []);
    bench.wait(SECOND);
    assert_eq!(bench.take_events(), [receipt(1, Receipt::Unknown)]);
    assert_eq!(bench.take_signs(), [Sign::Silent]);
    bench.answer(&info, "200 OK", "");
    assert_eq!(bench.take_events(), [], "too late");
}

#[test]
fn rfc3261_12_2_1_2_481_408_and_487_end_the_leg() {
    for (status, told, reason, says_bye) in [
        (
            "481 Gone",
            Some(refused(1, 481, "Gone")),
            LegClosed::Pool,
            false,
        ),
        (
            "487 Gone",
            Some(refused(1, 487, "Gone")),
            LegClosed::Pool,
            false,
        ),
        ("408 Gone", None, LegClosed::Unreachable, true),
    ] {
        let mut bench = Bench::open(2, "");
        bench.send(1);
        bench.send(2);
        let infos = bench.sent_all("INFO");
        bench.answer(&infos[0], status, "");
        assert_eq!(
            bench.sent().contains(&"BYE".to_owned()),
            says_bye,
            "{status}"
        );
        let expected: Vec<_> = told.into_iter().chain([LegEvent::Closed(reason)]).collect();
        assert_eq!(bench.take_events(), expected, "{status}");
        assert!(bench.leg.is_over());
        bench.answer(&infos[1], "200 OK", "");
        assert_eq!(bench.take_events(), [], "nothing follows the end");
        assert_eq!(
            bench.leg.send(bench.now, SendId(3), Bytes::new()),
            Err(LegClosed::Pool)
        );
    }
}

#[test]
fn documents_of_the_pool_are_delivered_once_and_in_order() {
    let mut bench = Bench::open(1, "");
    bench.info("<one/>");
    bench.info("<two/>");
    // The second is repeated, the first comes again late.
    bench.ask_with("INFO", 2, "Content-Type: text/plain\r\n", "<two/>");
    bench.ask_with("INFO", 1, "Content-Type: text/plain\r\n", "<one/>");
    bench.ask("INFO", "Content-Type: text/plain;charset=utf-8\r\n", "");
    bench.ask("INFO", "Content-Type: image/gif\r\n", "GIF");
    assert_eq!(
        bench.sent(),
        [
            "SIP/2.0 200",
            "SIP/2.0 200",
            "SIP/2.0 200",
            "SIP/2.0 500",
            "SIP/2.0 200",
            "SIP/2.0 415"
        ]
    );
    let documents = ["<one/>", "<two/>"].map(|text| LegEvent::Document(text.into()));
    assert_eq!(bench.take_events(), documents);
}

#[test]
fn other_requests_are_answered_as_they_should() {
    let mut bench = Bench::open(1, "");
    bench.ask("OPTIONS", "", "");
    assert!(
        bench
            .sent_text()
            .contains("\r\nAllow: INVITE, ACK, CANCEL, BYE")
    );
    bench.ask("MESSAGE", "", "");
    bench.ask("FROBNICATE", "", "");
    bench.ask("INFO", "Require: magic\r\n", "");
    bench.ask("CANCEL", "", "");
    bench.ask("ACK", "", "");
    assert_eq!(
        bench.sent(),
        ["SIP/2.0 405", "SIP/2.0 501", "SIP/2.0 420", "SIP/2.0 481"]
    );
    // Not of this dialog: another tag of the pool.
    let stranger = format!(
        "INFO sip:a@h SIP/2.0\r\nVia: SIP/2.0/TLS h\r\nFrom: <sip:p@h>;tag=other\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: 99 INFO\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx",
        bench
            .invite
            .as_ref()
            .unwrap()
            .headers()
            .get(Name::From)
            .unwrap(),
        bench.invite.as_ref().unwrap().headers().call_id().unwrap(),
    );
    bench
        .leg
        .handle_request(bench.now, &request(stranger.as_bytes()));
    assert_eq!(bench.sent(), ["SIP/2.0 481"]);
    assert_eq!(bench.take_events(), []);
}

#[test]
fn an_idle_leg_is_small() {
    let bench = Bench::open(8, "Contact: <sip:pool@pc1.contoso.com:5041>\r\n");
    assert_eq!(bench.leg.outbox.poll_timeout(), None);
    assert!(size_of::<LegCore>() <= 512, "{}", size_of::<LegCore>());
}
