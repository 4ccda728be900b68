//! Dialogs: who opens one, what goes through it, and how it ends.

use super::*;
use crate::pool::LegClosed;

const OFFER: &str = "v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=session\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
                     m=message 5060 sip null\r\na=accept-types:text/plain\r\n";

#[test]
fn rfc3261_12_1_1_invite_makes_a_dialog() {
    let mut bench = Bench::new(settings());
    let record =
        "Record-Route: <sip:fe1.contoso.com;lr>\nRecord-Route: <sip:edge.contoso.com;lr>\n";
    bench.receive(&Peer::new("ann").request("INVITE", record, OFFER));
    let accepted = bench.response();
    let headers = accepted.headers();
    assert_eq!(accepted.status().code(), 200);
    assert!(headers.to().unwrap().tag().is_some());
    let routes: Vec<_> = headers.all(Name::RecordRoute).collect();
    assert_eq!(
        routes,
        ["<sip:fe1.contoso.com;lr>", "<sip:edge.contoso.com;lr>"]
    );
    assert_eq!(
        headers.get(Name::Contact),
        Some("<sip:server-1@192.0.2.1:5041;transport=tls>")
    );
    assert_eq!(
        headers.get(Name::SessionExpires),
        Some("1800;refresher=uac")
    );
    assert!(
        headers
            .content_type()
            .unwrap()
            .unwrap()
            .is("application/sdp")
    );
    let sdp = std::str::from_utf8(accepted.body()).unwrap();
    assert!(sdp.contains("m=message"), "{sdp}");
    assert_eq!(
        bench.opened,
        [(DialogNumber(0), "sip:ann@contoso.com".to_owned())]
    );

    // Without a body there is no offer, and so no answer.
    bench.receive(&Peer::new("bob").request("INVITE", "", ""));
    assert!(bench.response().body().is_empty());
}

#[test]
fn rfc3325_the_asserted_identity_is_the_user() {
    let invite = |identity: &str| {
        let mut bench = Bench::new(settings());
        bench.receive(&Peer::new("ann").request("INVITE", identity, ""));
        let status = bench.status();
        (status, bench.opened.pop().map(|(_, user)| user))
    };
    let user = |name: &str| Some(format!("sip:{name}@contoso.com"));
    assert_eq!(invite(""), (200, user("ann")));
    assert_eq!(
        invite("P-Asserted-Identity: \"Bob\" <sip:Bob@contoso.com>, <tel:+4912345>\n"),
        (200, user("bob"))
    );
    assert_eq!(
        invite(
            "P-Asserted-Identity: <tel:+4912345>\nP-Asserted-Identity: <sips:bob@contoso.com>\n"
        ),
        (200, user("bob"))
    );
    assert_eq!(invite("P-Asserted-Identity: <tel:+4912345>\n"), (403, None));
}

#[test]
fn only_the_pool_and_its_server_can_be_dialled() {
    let dial = |uri: &str| {
        let mut bench = Bench::new(settings());
        let invite = Peer::new("ann").request("INVITE", "", "");
        let (_, rest) = invite.split_once('\n').unwrap();
        bench.receive(&format!("INVITE {uri} SIP/2.0\n{rest}"));
        bench.status()
    };
    assert_eq!(dial("sip:server-1@contoso.com;transport=tls"), 200);
    assert_eq!(dial("sip:gc-1-persistentchatservice-1@CONTOSO.com"), 200);
    assert_eq!(dial("sip:ocschat@contoso.com"), 404);
    assert_eq!(dial("sip:contoso.com"), 404);
}

#[test]
fn fact_dialogs_of_users_that_agree_in_call_id_and_tag_are_two() {
    let mut bench = Bench::new(settings());
    let (mut ann, mut bob) = (bench.open("ann"), bench.open("bob"));
    bench.receive(&ann.request("INFO", "", "<a/>"));
    bench.receive(&bob.request("INFO", "", "<b/>"));
    let delivered: Vec<_> = bench
        .delivered
        .iter()
        .map(|(dialog, _, document)| (*dialog, document.as_ref()))
        .collect();
    assert_eq!(
        delivered,
        [(ann.dialog, &b"<a/>"[..]), (bob.dialog, &b"<b/>"[..])]
    );
    // The tag of one with the address of another is no dialog.
    let mut mixed = Peer::new("ann");
    mixed.remote_tag.clone_from(&bob.remote_tag);
    mixed.cseq = 9;
    bench.receive(&mixed.request("INFO", "", "<c/>"));
    assert_eq!(bench.status(), 481);
}

#[test]
fn the_final_response_to_info_is_the_pools_receipt() {
    let mut bench = Bench::new(settings());
    let mut ann = bench.open("ann");
    for _ in 0..3 {
        bench.receive(&ann.request("INFO", "", "<a/>"));
    }
    assert!(bench.sent.is_empty());
    let refused = Receipt::Refused {
        status: 413,
        reason: "Too long".into(),
    };
    // In whatever order the pool decides.
    bench.receipt(ann.dialog, 1, refused);
    let response = bench.response();
    assert_eq!(
        (response.status().code(), response.reason()),
        (413, "Too long")
    );
    assert_eq!(response.headers().cseq().unwrap().number, 3);
    bench.receipt(ann.dialog, 0, Receipt::Accepted);
    assert_eq!(bench.status(), 200);
    bench.receipt(ann.dialog, 2, Receipt::Unknown);
    assert_eq!(bench.status(), 504);
    // A second receipt answers nothing.
    bench.receipt(ann.dialog, 2, Receipt::Accepted);
    assert!(bench.sent.is_empty());
}

#[test]
fn documents_go_out_in_order_one_at_a_time() {
    let mut bench = Bench::new(settings());
    let ann = bench.open("ann");
    for document in ["<one/>", "<two/>", "<three/>"] {
        bench.document(ann.dialog, document);
    }
    let first = bench.request(&Method::Info);
    assert_eq!(body(&first), "<one/>");
    let headers = first.headers();
    let from = headers.from().unwrap();
    assert_eq!(
        from.uri_text(),
        "sip:GC-1-PersistentChatService-1@contoso.com"
    );
    assert_eq!(from.tag(), Some(ann.remote_tag.as_str()));
    let to = headers.to().unwrap();
    assert_eq!((to.tag(), to.epid()), (Some("77"), Some("0123456789ab")));
    assert_eq!(headers.get(Name::ContentType), Some("text/plain"));
    assert_eq!(headers.get(Name::MaxForwards), Some("70"));
    // Provisional responses and those to something else change nothing.
    bench.receive(&answer_to(&first, 100));
    bench.receive(&answer_to(&first, 200).replace("CSeq: 1 INFO", "CSeq: 7 INFO"));
    assert!(bench.sent.is_empty());
    bench.receive(&answer_to(&first, 200));
    let second = bench.request(&Method::Info);
    assert_eq!(body(&second), "<two/>");
    assert_eq!(second.headers().cseq().unwrap().number, 2);
    assert_ne!(
        second.headers().get(Name::Via),
        first.headers().get(Name::Via)
    );
    // A refused document is not sent again.
    bench.receive(&answer_to(&second, 503));
    assert_eq!(body(&bench.request(&Method::Info)), "<three/>");
    assert!(bench.closed.is_empty());
}

#[test]
fn a_wider_window_is_used() {
    let mut bench = Bench::new(CoreSettings {
        window: 2,
        ..settings()
    });
    let ann = bench.open("ann");
    for document in ["<one/>", "<two/>", "<three/>"] {
        bench.document(ann.dialog, document);
    }
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn rfc3261_12_2_requests_take_the_route_of_the_invite() {
    let mut bench = Bench::new(settings());
    let invite = "Record-Route: <sip:fe1.contoso.com;lr>, <sip:edge.contoso.com;lr>\n\
                  Contact: <sip:ann@192.0.2.9:5099;transport=tls>\n";
    bench.receive(&Peer::new("ann").request("INVITE", invite, ""));
    bench.sent.clear();
    bench.document(DialogNumber(0), "<one/>");
    let info = bench.request(&Method::Info);
    assert_eq!(info.uri(), "sip:ann@192.0.2.9:5099;transport=tls");
    let routes: Vec<_> = info.headers().all(Name::Route).collect();
    assert_eq!(
        routes,
        ["<sip:fe1.contoso.com;lr>", "<sip:edge.contoso.com;lr>"]
    );
}

#[test]
fn a_peer_that_has_forgotten_the_dialog_loses_it() {
    for status in [408, 481, 487] {
        let mut bench = Bench::new(settings());
        let ann = bench.open("ann");
        bench.document(ann.dialog, "<one/>");
        let info = bench.request(&Method::Info);
        bench.receive(&answer_to(&info, status));
        assert_eq!(bench.closed, [(ann.dialog, DialogEnd::Gone)], "{status}");
        assert!(bench.sent.is_empty());
    }
}

#[test]
fn rfc3261_15_1_2_bye_ends_the_dialog_and_answers_what_is_pending() {
    let mut bench = Bench::new(settings());
    let mut ann = bench.open("ann");
    bench.receive(&ann.request("INFO", "", "<a/>"));
    bench.receive(&ann.request("BYE", "", ""));
    let statuses: Vec<_> = bench
        .sent
        .drain(..)
        .map(|message| match message {
            Message::Response(response) => response.status().code(),
            Message::Request(request) => panic!("{request:?}"),
        })
        .collect();
    assert_eq!(statuses, [487, 200]);
    assert_eq!(bench.closed, [(ann.dialog, DialogEnd::Peer)]);
    bench.receive(&ann.request("INFO", "", "<b/>"));
    assert_eq!(bench.status(), 481);
    // What the pool still says is for nobody.
    bench.document(ann.dialog, "<late/>");
    assert!(bench.sent.is_empty());
}

#[test]
fn a_leg_that_the_pool_closes_ends_the_dialog_with_bye() {
    let mut bench = Bench::new(settings());
    let mut ann = bench.open("ann");
    bench.receive(&ann.request("INFO", "", "<a/>"));
    bench.leg(ann.dialog, LegEvent::Closed(LegClosed::Pool));
    let Message::Response(response) = bench.sent.remove(0) else {
        panic!("what became of the document is unknown, and that is said first");
    };
    assert_eq!(response.status().code(), 504);
    let bye = bench.request(&Method::Bye);
    assert_eq!(bench.closed, [(ann.dialog, DialogEnd::Pool)]);
    bench.receive(&answer_to(&bye, 200));
    assert!(bench.sent.is_empty());
}

#[test]
fn what_waits_is_bounded_both_ways() {
    let mut bench = Bench::new(settings());
    let (mut ann, bob) = (bench.open("ann"), bench.open("bob"));
    for _ in 0..64 {
        bench.receive(&ann.request("INFO", "", "<a/>"));
    }
    assert!(bench.sent.is_empty());
    bench.receive(&ann.request("INFO", "", "<a/>"));
    assert_eq!(bench.status(), 503);
    assert_eq!(bench.delivered.len(), 64);

    // One on its way and 512 behind it.
    for _ in 0..513 {
        bench.document(bob.dialog, "<b/>");
    }
    assert_eq!(body(&bench.request(&Method::Info)), "<b/>");
    bench.document(bob.dialog, "<b/>");
    bench.request(&Method::Bye);
    assert_eq!(bench.closed, [(bob.dialog, DialogEnd::Slow)]);
}

#[test]
fn every_method_gets_its_answer() {
    let mut bench = Bench::new(settings());
    let outside = |method: &str| Peer::new("ann").request(method, "", "");
    bench.receive(&outside("OPTIONS"));
    let options = bench.response();
    assert_eq!(options.status().code(), 200);
    assert!(options.headers().lists(Name::Allow, "INFO"));
    for (method, status) in [
        ("REGISTER", 405),
        ("MESSAGE", 405),
        ("FLY", 501),
        ("CANCEL", 481),
        ("INFO", 481),
        ("BYE", 481),
        ("UPDATE", 481),
    ] {
        bench.receive(&outside(method));
        assert_eq!(bench.status(), status, "{method}");
    }
    bench.receive(&outside("ACK"));
    assert!(bench.sent.is_empty());

    let mut ann = bench.open("ann");
    let invite_cseq = ann.cseq;
    bench.receive(&ann.request("OPTIONS", "", ""));
    assert_eq!(bench.status(), 200);
    bench.receive(&ann.request("CANCEL", "", ""));
    assert_eq!(bench.status(), 481);
    ann.cseq = invite_cseq - 1;
    bench.receive(&ann.request("ACK", "", ""));
    assert!(bench.sent.is_empty());
    // RFC 3261 §12.2.2: a number that was passed already.
    ann.cseq = 0;
    bench.receive(&ann.request("INFO", "", "<a/>"));
    assert_eq!(bench.status(), 500);
    ann.cseq = 9;
    bench.receive(&ann.request("INFO", "Require: 100rel\n", "<a/>"));
    let refused = bench.response();
    assert_eq!(refused.status().code(), 420);
    assert_eq!(refused.headers().get(Name::Unsupported), Some("100rel"));
    assert!(bench.delivered.is_empty());
}
