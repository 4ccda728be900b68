//! Single rules of the session core, told one by one. The [simulation](super::simulation) holds all of them at once.

mod bounds;
mod drain;
mod follow;
mod front_end;
mod pools;
mod posting;
mod receipts;
mod returns;
mod shut;
mod untold;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::dialog::Dialog;
use holdover_protocol::sip::{Message, Request, Response};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;

use super::*;
use crate::decide::{Decided, Decisions, Moment, Refusal, RefusalReason, Target};
use crate::peer::{Attachment, ClientNumber, ConnectionNumber, SentBy, Way};
use crate::pool::{LegClosed, LegEvent, Opening, PoolId, Receipt, SendId};

const POOL: PoolId = PoolId(0);
const POOL_TIMEOUT: Duration = Duration::from_secs(10);
const INFO_TIMEOUT: Duration = Duration::from_secs(32);
const GRACE: Duration = Duration::from_secs(60);

/// `old.example/x` is `new.example/x`; `old.example/gone` is retired, `old.example/a` and `/b` were merged.
struct Directory;

impl Decisions for Directory {
    fn version(&self) -> u64 {
        1
    }

    fn admit(&self, _: Act) -> Decided<Option<PoolId>> {
        Ok(None).into()
    }

    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        migrated.value() != "gone"
            && (self.shows_unlisted() || self.legacy_of(pool, migrated).is_some())
    }

    fn offers_all(&self) -> bool {
        self.shows_unlisted()
    }

    fn pools(&self) -> &[PoolId] {
        &[PoolId(0)]
    }

    fn resolve(&self, _: Act, legacy: &RoomUri) -> Decided {
        let value = match legacy.value() {
            "gone" => {
                let reason = RefusalReason::Retired;
                return Err(Refusal {
                    reason,
                    text: "closed in 2019".into(),
                })
                .into();
            }
            "a" | "b" => "ab",
            value => value,
        };
        Ok(Target {
            pool: POOL,
            migrated: RoomUri::new("new.example", value).unwrap(),
        })
        .into()
    }

    fn legacy_of(&self, _: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        RoomUri::new("old.example", migrated.value()).ok()
    }

    fn shows_unlisted(&self) -> bool {
        false
    }

    fn default_pool(&self) -> PoolId {
        POOL
    }
}

struct Session {
    core: SessionCore,
    now: Instant,
    cseq: u32,
}

fn parse(text: &str) -> Message {
    Message::parse(text.as_bytes()).unwrap()
}

fn request(method: &str, cseq: u32, tag: &str, body: &str) -> Request {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: text/plain\r\n"
    };
    let text = format!(
        "{method} sip:channel@contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.1:5060\r\n\
         From: <sip:ann@contoso.com>;tag=there;epid=0123456789ab\r\nTo: <sip:channel@contoso.com>{tag}\r\n\
         Call-ID: c\r\nCSeq: {cseq} {method}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match parse(&text) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

impl Session {
    fn attached() -> Self {
        Self::with(Self::settings())
    }

    /// A client that may have so many INFOs to answer.
    fn with_outstanding(outstanding: usize) -> Self {
        let mut settings = Self::settings();
        settings.queue.outstanding = outstanding;
        Self::with(settings)
    }

    fn settings() -> SessionSettings {
        SessionSettings {
            channel_uri: "sip:channel@contoso.com".into(),
            session_expires: 1800,
            queue: QueueLimits {
                messages: 4,
                bytes: 10_000,
                outstanding: 1,
            },
            info_timeout: INFO_TIMEOUT,
            pool_timeout: POOL_TIMEOUT,
            split_timeout: Duration::from_millis(800),
            rooms_per_command: 1_000,
            rooms_per_session: 1_000,
            grace: GRACE,
            xccos: xccos::Limits::DEFAULT,
        }
    }

    fn with(settings: SessionSettings) -> Self {
        let (now, user) = (
            Instant::now(),
            UserUri::parse("sip:ann@contoso.com").unwrap(),
        );
        let mut session = Self {
            core: SessionCore::new(now, user, Arc::new(settings)),
            now,
            cseq: 1,
        };
        session.attach(1);
        session
    }

    /// The client comes back; what it gets.
    fn attach_again(&mut self, connection: u64) -> Vec<Output> {
        self.invite(connection, Way::Own);
        self.drain()
    }

    fn attach(&mut self, connection: u64) {
        self.attach_by(connection, Way::Own);
    }

    fn attach_by(&mut self, connection: u64, way: Way) {
        self.invite(connection, way);
        self.drain();
    }

    fn invite(&mut self, connection: u64, way: Way) {
        let dialog = Dialog::accept(&request("INVITE", 1, "", ""), "here").unwrap();
        let sent_by = SentBy {
            transport: "TCP",
            address: "192.0.2.9:5060".into(),
        };
        self.core.attach(
            self.now,
            dialog,
            &Attachment {
                connection: ConnectionNumber(connection),
                sent_by,
                way,
            },
            1,
        );
        self.cseq = 1;
    }

    fn drain(&mut self) -> Vec<Output> {
        self.drain_with_events().0
    }

    /// What it wants done, and what it tells.
    fn drain_with_events(&mut self) -> (Vec<Output>, Vec<Event>) {
        let (mut outputs, mut events) = (Vec::new(), Vec::new());
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Event(event) => events.push(event),
                output => outputs.push(output),
            }
        }
        (outputs, events)
    }

    fn send(&mut self, method: &str, body: &str) -> Vec<Output> {
        self.cseq += 1;
        let request = request(method, self.cseq, ";tag=here", body);
        self.core
            .handle_downstream(self.now, Box::new(request), &Directory);
        self.drain()
    }

    fn post(&mut self, room: &str) -> Vec<Output> {
        self.send("INFO", &post(room))
    }

    fn leg(&mut self, event: LegEvent) -> Vec<Output> {
        self.core.handle_leg(self.now, POOL, event, &Directory);
        self.drain()
    }

    fn receipt(&mut self, id: u64, receipt: Receipt) -> Vec<Output> {
        self.leg(LegEvent::Receipt {
            id: SendId(id),
            receipt,
        })
    }

    fn document(&mut self, content: &str) -> Vec<Output> {
        self.leg(LegEvent::Document(envelope(content).into()))
    }

    /// The client answers an INFO.
    fn answer(&mut self, cseq: u32, status: u16) -> Vec<Output> {
        self.answer_to("INFO", cseq, status)
    }

    fn answer_to(&mut self, method: &str, cseq: u32, status: u16) -> Vec<Output> {
        let text = format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/TCP 192.0.2.9:5060\r\nFrom: <sip:channel@contoso.com>;tag=here\r\n\
             To: <sip:ann@contoso.com>;tag=there\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
        );
        let response: Response = match parse(&text) {
            Message::Response(response) => response,
            Message::Request(_) => panic!("a request"),
        };
        self.core.handle_response(self.now, &response);
        self.drain()
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.core.handle_timeout(self.now);
        self.drain()
    }

    fn join(&mut self, room: &str) -> Vec<Output> {
        self.send("INFO", &command("join", &chanid(room)))
    }

    fn part(&mut self, room: &str) -> Vec<Output> {
        let room = format!(r#"<chanib uri="ma-chan://old.example/{room}"/>"#);
        self.send("INFO", &command("part", &room))
    }

    /// Opens a room under one of its names; answers the reply the client gets.
    fn open(&mut self, room: &str, migrated: &str) {
        let outputs = self.join(room);
        let Some(Output::Send { id, .. }) = outputs.last() else {
            panic!("{outputs:?}")
        };
        let id = id.0;
        let outputs = self.document(&joined(id, migrated));
        let [Output::Downstream(info)] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        let cseq = cseq_of(info);
        self.answer(cseq, 200);
    }
}

fn envelope(content: &str) -> String {
    format!(r#"<xccos ver="1" envid="77" xmlns="urn:parlano:xml:ns:xccos">{content}</xccos>"#)
}

fn command(verb: &str, data: &str) -> String {
    envelope(&format!(
        r#"<cmd id="cmd:{verb}" seqid="1"><data>{data}</data></cmd>"#
    ))
}

fn chanid(room: &str) -> String {
    format!(r#"<chanid key="0" domain="old.example" value="{room}"/>"#)
}

fn busy() -> Receipt {
    Receipt::Refused {
        status: 503,
        reason: "busy".into(),
    }
}

fn post(room: &str) -> String {
    envelope(&format!(
        r#"<grpchat id="grpchat" seqid="1" chanUri="ma-chan://old.example/{room}"><chat>hello</chat></grpchat>"#
    ))
}

fn fan_out(room: &str, text: &str) -> String {
    format!(
        r#"<grpchat id="grpchat" seqid="1" chanUri="ma-chan://new.example/{room}"><chat>{text}</chat></grpchat>"#
    )
}

fn joined(id: u64, room: &str) -> String {
    format!(
        r#"<rpl id="rpl:join" seqid="1"><commandid seqid="1" envid="{id}"/><resp code="200">SUCCESS_OK</resp><data><chanib uri="ma-chan://new.example/{room}" name="R"/></data></rpl>"#
    )
}

fn text(message: &Bytes) -> String {
    String::from_utf8(message.to_vec()).unwrap()
}

fn cseq_of(info: &Bytes) -> u32 {
    Message::parse(info)
        .unwrap()
        .headers()
        .cseq()
        .unwrap()
        .number
}

/// What was sent to the client.
fn first_downstream(outputs: &[Output]) -> &Bytes {
    let message = outputs.iter().find_map(|output| match output {
        Output::Downstream(message) => Some(message),
        _ => None,
    });
    message.unwrap()
}

fn downstream(outputs: &[Output]) -> Vec<String> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Downstream(message) => Some(text(message)),
        _ => None,
    });
    sent.collect()
}

fn assert_status(outputs: &[Output], status: u16) {
    let sent = downstream(outputs);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(
        sent[0].starts_with(&format!("SIP/2.0 {status} ")),
        "{}",
        sent[0]
    );
}

#[test]
fn merged_rooms_are_told_under_every_open_name() {
    let mut session = Session::attached();
    session.open("a", "ab");
    session.open("b", "ab");
    let first = session.document(&fan_out("ab", "hi"));
    assert!(downstream(&first)[0].contains("ma-chan://old.example/a\""));
    let Output::Downstream(info) = &first[0] else {
        panic!("{first:?}")
    };
    let second = session.answer(cseq_of(info), 200);
    assert!(downstream(&second)[0].contains("ma-chan://old.example/b\""));
}

#[test]
fn one_info_at_a_time() {
    let mut session = Session::attached();
    session.open("x", "x");
    let first = session.document(&fan_out("x", "one"));
    assert!(session.document(&fan_out("x", "two")).is_empty());
    let Output::Downstream(info) = &first[0] else {
        panic!("{first:?}")
    };
    let second = session.answer(cseq_of(info), 200);
    assert!(downstream(&second)[0].contains("two"));
}

#[test]
fn a_slow_client_loses_its_connection_and_keeps_its_rooms() {
    let mut session = Session::attached();
    session.open("x", "x");
    let mut outputs = Vec::new();
    for number in 0..6 {
        outputs.extend(session.document(&fan_out("x", &number.to_string())));
    }
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::CloseConnection(CloseReason::Slow { .. }))),
        "{outputs:?}"
    );
    assert_eq!(
        (session.core.open_rooms(), session.core.is_attached()),
        (1, false)
    );
}

#[test]
fn a_silent_client_loses_its_connection() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.document(&fan_out("x", "hi"));
    let outputs = session.wait(INFO_TIMEOUT);
    assert_eq!(outputs, [Output::CloseConnection(CloseReason::Silent)]);
}

#[test]
fn leaving_is_answered_at_once_and_nothing_of_the_room_follows() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.document(&fan_out("x", "outstanding"));
    session.document(&fan_out("x", "queued"));
    let outputs = session.part("x");
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Send { .. })),
        "{outputs:?}"
    );
    let next = session.answer(2, 200);
    assert!(downstream(&next)[0].contains("rpl:part"), "{next:?}");
    assert!(session.document(&fan_out("x", "late")).is_empty());
    assert!(session.answer(3, 200).is_empty());
}

#[test]
fn a_room_parted_while_its_bjoin_is_under_way_stays_closed() {
    let mut session = Session::attached();
    let rooms = ["x", "y"].map(chanid);
    session.send("INFO", &command("bjoin", &rooms.concat()));
    let outputs = session.part("x");
    assert!(downstream(&outputs)[1].contains("rpl:part"));
    session.answer(1, 200);
    let reply = joined(1, "x").replace("rpl:join", "rpl:bjoin").replace(
        "</data>",
        r#"<chanib uri="ma-chan://new.example/y" name="R"/></data>"#,
    );
    let told = downstream(&session.document(&reply));
    assert!(
        told[0].contains("old.example/y") && !told[0].contains("old.example/x"),
        "{told:?}"
    );
    assert_eq!(session.core.open_rooms(), 1);
}

#[test]
fn a_second_join_that_is_accepted_opens_the_room_though_the_first_failed() {
    let mut session = Session::attached();
    session.join("x");
    session.join("x");
    session.receipt(1, busy());
    session.document(&joined(2, "x"));
    assert_eq!(session.core.open_rooms(), 1);
}

#[test]
fn a_join_that_the_pool_refuses_is_reported_with_room_and_pool_and_told_in_words() {
    for (resp, code, told) in [
        (
            r#"<resp code="404">NO_SUCH_NODE</resp>"#,
            404,
            "does not exist on the server",
        ),
        (
            r#"<resp code="403">ERROR_PERMISSION</resp>"#,
            403,
            "You are not a member",
        ),
        (r#"<resp code="404"/>"#, 404, "does not exist on the server"),
        (r#"<resp code="499">ODD</resp>"#, 499, "did not let you in"),
        // The pool's own sentence is better than ours.
        (
            r#"<resp code="403">Ask Bob &amp; Ann.</resp>"#,
            403,
            "Ask Bob &amp; Ann.",
        ),
    ] {
        let mut session = Session::attached();
        session.join("x");
        let reply =
            format!(r#"<rpl id="rpl:join" seqid="1"><commandid seqid="1" envid="1"/>{resp}</rpl>"#);
        let event = LegEvent::Document(envelope(&reply).into());
        session
            .core
            .handle_leg(session.now, POOL, event, &Directory);
        let outputs: Vec<Output> = std::iter::from_fn(|| session.core.poll_output()).collect();
        let events = outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        });
        let events: Vec<&Event> = events.collect();
        let [
            Event::NotJoined {
                legacy,
                pool,
                code: said,
            },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((legacy.value(), *pool, *said), ("x", POOL, Some(code)));
        let sent = downstream(&outputs);
        let code = format!("code=\"{code}\"");
        assert!(
            sent[0].contains(told) && sent[0].contains(&code),
            "{sent:?}"
        );
        assert_eq!(session.core.open_rooms(), 0);
    }
}

#[test]
fn a_failed_history_does_not_stop_a_join() {
    let mut session = Session::attached();
    session.join("x");
    session.send(
        "INFO",
        &command(
            "bccontext",
            r#"<chanib uri="ma-chan://old.example/x"/><bcq><last cnt="1"/></bcq>"#,
        ),
    );
    session.receipt(2, busy());
    session.document(&joined(1, "x"));
    assert_eq!(session.core.open_rooms(), 1);
}

#[test]
fn a_join_that_timed_out_is_parted_so_that_nobody_stays_in_the_room() {
    let mut session = Session::attached();
    session.join("x");
    let outputs = session.wait(POOL_TIMEOUT);
    let part = outputs.iter().find_map(|output| match output {
        Output::Send { body, .. } => Some(text(body)),
        _ => None,
    });
    assert!(
        part.is_some_and(|part| part.contains("cmd:part")),
        "{outputs:?}"
    );
}

#[test]
fn a_reply_to_the_connection_before_is_not_told_to_the_next() {
    let mut session = Session::attached();
    session.join("x");
    session
        .core
        .handle_connection_lost(session.now, ConnectionNumber(1));
    session.drain();
    session.attach(2);
    assert!(session.document(&joined(1, "x")).is_empty());
}

#[test]
fn the_grace_period_keeps_the_rooms_and_then_parts_them() {
    let mut session = Session::attached();
    session.open("x", "x");
    session
        .core
        .handle_connection_lost(session.now, ConnectionNumber(1));
    session.drain();
    assert!(session.wait(GRACE - Duration::from_millis(1)).is_empty());
    let outputs = session.wait(Duration::from_millis(1));
    assert_eq!(
        outputs,
        [
            Output::CloseLeg(POOL),
            Output::Finished(FinishReason::GraceOver)
        ]
    );
}

#[test]
fn an_unasked_join_is_not_told_and_unasked_history_is() {
    let mut session = Session::attached();
    session.open("x", "x");
    assert!(session.document(&joined(99, "x")).is_empty());
    let history = joined(99, "x").replace("rpl:join", "rpl:bccontext");
    assert!(downstream(&session.document(&history))[0].contains("rpl:bccontext"));
}

#[test]
fn nothing_but_one_command_or_one_post_is_taken() {
    let mut session = Session::attached();
    let one = r#"<cmd id="cmd:getinv" seqid="1"><data/></cmd>"#;
    for body in [
        "<xccos".to_owned(),
        envelope(""),
        envelope(&one.repeat(2)),
        envelope("<odd/>"),
    ] {
        let outputs = session.send("INFO", &body);
        assert_status(&outputs, 400);
        assert_eq!(outputs.len(), 1);
    }
}

#[test]
fn updates_are_answered_with_session_expires() {
    let mut session = Session::attached();
    let sent = downstream(&session.send("UPDATE", ""));
    assert!(
        sent[0].contains("Session-Expires: 1800;refresher=uac\r\n"),
        "{sent:?}"
    );
}
