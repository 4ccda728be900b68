//! The end of a session while Holdover shuts down.

use holdover_config::rules::Act;
use holdover_protocol::sip::Message;

use super::*;
use crate::pool::Receipt;
use crate::session::{Decided, Target};

struct SameRooms;

impl Decisions for SameRooms {
    fn version(&self) -> u64 {
        1
    }

    fn admit(&self, _: Act) -> Decided<Option<PoolId>> {
        Ok(None).into()
    }

    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        self.shows_unlisted() || self.legacy_of(pool, migrated).is_some()
    }

    fn offers_all(&self) -> bool {
        self.shows_unlisted()
    }

    fn pools(&self) -> &[PoolId] {
        &[PoolId(0)]
    }

    fn resolve(&self, _: Act, legacy: &RoomUri) -> Decided {
        Ok(Target {
            pool: PoolId(0),
            migrated: legacy.clone(),
        })
        .into()
    }

    fn legacy_of(&self, _: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        Some(migrated.clone())
    }

    fn shows_unlisted(&self) -> bool {
        true
    }

    fn default_pool(&self) -> PoolId {
        PoolId(0)
    }
}

fn request(method: &str, cseq: u32, to_tag: &str) -> Box<Request> {
    let body = "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">\
                <grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"ma-chan://contoso.com/1\" \
                ts=\"2026-11-22T12:00:00Z\"><chat>hi</chat></grpchat></xccos>";
    let text = format!(
        "{method} sip:channel@contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.7\r\n\
         From: <sip:ann@contoso.com>;tag=1\r\nTo: <sip:channel@contoso.com>{to_tag}\r\n\
         Call-ID: call\r\nCSeq: {cseq} {method}\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => Box::new(request),
        Message::Response(_) => panic!("a response"),
    }
}

#[test]
fn a_post_under_way_gets_its_receipt_before_the_session_ends() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let settings = SessionSettings {
        channel_uri: "sip:channel@contoso.com".into(),
        session_expires: 1800,
        queue: QueueLimits {
            messages: 16,
            bytes: 10_000,
            outstanding: 1,
        },
        info_timeout: 32 * second,
        pool_timeout: 32 * second,
        split_timeout: Duration::from_millis(800),
        grace: second,
        xccos: xccos::Limits::DEFAULT,
    };
    let user = UserUri::parse("sip:ann@contoso.com").unwrap();
    let mut core = SessionCore::new(now, user, Arc::new(settings));
    let attachment = Attachment {
        connection: 1,
        sent_by: SentBy {
            transport: "TCP",
            address: "192.0.2.1:5060".into(),
        },
        way: Way::Own,
    };
    let dialog = Dialog::accept(&request("INVITE", 1, ""), "l").unwrap();
    core.attach(now, dialog, &attachment, 1);
    core.handle_downstream(now, request("INFO", 2, ";tag=l"), &SameRooms);
    core.handle_drain();
    let outputs: Vec<Output> = std::iter::from_fn(|| core.poll_output()).collect();
    let id = outputs.iter().find_map(|output| match output {
        Output::Send { id, .. } => Some(*id),
        _ => None,
    });
    assert!(!core.is_finished(), "{outputs:?}");

    core.handle_downstream(now, request("INFO", 3, ";tag=l"), &SameRooms);
    assert_starts(core.poll_output(), "SIP/2.0 503 ");
    let receipt = Receipt::Accepted;
    let event = LegEvent::Receipt {
        id: id.unwrap(),
        receipt,
    };
    core.handle_leg(now, PoolId(0), event, &SameRooms);
    assert_starts(core.poll_output(), "SIP/2.0 200 ");
    let last = std::iter::from_fn(|| core.poll_output()).last();
    assert_eq!(last, Some(Output::Finished(FinishReason::Drain)));
}

fn assert_starts(output: Option<Output>, start: &str) {
    match output {
        Some(Output::Downstream(octets)) => assert!(octets.starts_with(start.as_bytes())),
        other => panic!("{other:?}"),
    }
}
