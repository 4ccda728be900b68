//! Timers: session expiry, refreshes, requests nobody answers, and the end of the program.

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn rfc4028_10_a_dialog_that_nobody_refreshes_ends_with_bye() {
    let mut bench = Bench::new(settings());
    let ann = bench.open("ann");
    bench.pass(secs(1800));
    assert!(bench.sent.is_empty());
    bench.pass(secs(60));
    bench.request(&Method::Bye);
    assert_eq!(bench.closed, [(ann.dialog, DialogEnd::Expired)]);
}

#[test]
fn fact_update_without_body_and_headers_refreshes() {
    let mut bench = Bench::new(settings());
    let mut ann = bench.open("ann");
    for _ in 0..3 {
        bench.pass(secs(1790));
        bench.receive(&ann.request("UPDATE", "", ""));
        let refreshed = bench.response();
        assert_eq!(refreshed.status().code(), 200);
        assert_eq!(
            refreshed.headers().get(Name::SessionExpires),
            Some("1800;refresher=uac")
        );
    }
    assert!(bench.closed.is_empty());
    bench.pass(secs(1790));
    bench.receive(&ann.request("INVITE", "", ""));
    assert_eq!(bench.status(), 200);
    bench.pass(secs(1790));
    assert!(bench.closed.is_empty());
    assert_eq!(bench.opened.len(), 1, "a second INVITE opens no second leg");
}

#[test]
fn rfc4028_9_the_peer_may_ask_for_less_but_not_for_too_little() {
    let mut bench = Bench::new(settings());
    let timer = "Supported: timer\nSession-Expires: 60\n";
    bench.receive(&Peer::new("ann").request("INVITE", timer, ""));
    let refused = bench.response();
    assert_eq!(refused.status().code(), 422);
    assert_eq!(refused.headers().get(Name::MinSe), Some("90"));
    assert!(bench.opened.is_empty());

    let timer = "Supported: timer\nSession-Expires: 600\n";
    bench.receive(&Peer::new("ann").request("INVITE", timer, ""));
    let accepted = bench.response();
    let headers = accepted.headers();
    assert_eq!(headers.get(Name::SessionExpires), Some("600;refresher=uac"));
    assert_eq!(headers.get(Name::Require), Some("timer"));
    bench.pass(secs(640));
    assert_eq!(bench.closed, [(DialogNumber(0), DialogEnd::Expired)]);
}

#[test]
fn rfc4028_10_this_side_refreshes_where_it_is_asked_to() {
    let mut bench = Bench::new(settings());
    let timer = "Supported: timer\nSession-Expires: 600;refresher=uas\n";
    bench.receive(&Peer::new("ann").request("INVITE", timer, ""));
    bench.sent.clear();
    for _ in 0..3 {
        bench.pass(secs(301));
        let update = bench.request(&Method::Update);
        assert_eq!(
            update.headers().get(Name::SessionExpires),
            Some("600;refresher=uac")
        );
        bench.receive(&answer_to(&update, 200));
    }
    assert!(bench.closed.is_empty());
    // A peer that refuses is not asked again, and the session runs out.
    bench.pass(secs(301));
    let update = bench.request(&Method::Update);
    bench.receive(&answer_to(&update, 501));
    bench.pass(secs(200));
    assert!(bench.sent.is_empty() && bench.closed.is_empty());
    bench.pass(secs(200));
    bench.request(&Method::Bye);
    assert_eq!(bench.closed, [(DialogNumber(0), DialogEnd::Expired)]);
}

#[test]
fn an_update_of_this_side_takes_no_place_in_the_window() {
    let mut bench = Bench::new(settings());
    let timer = "Supported: timer\nSession-Expires: 600;refresher=uas\n";
    bench.receive(&Peer::new("ann").request("INVITE", timer, ""));
    bench.sent.clear();
    bench.pass(secs(301));
    bench.request(&Method::Update);
    bench.document(DialogNumber(0), "<one/>");
    bench.request(&Method::Info);
    bench.document(DialogNumber(0), "<two/>");
    assert!(bench.sent.is_empty());
}

#[test]
fn a_session_interval_below_the_rfcs_is_what_the_switch_says() {
    let mut bench = Bench::new(CoreSettings {
        session_expires: 5,
        ..settings()
    });
    bench.receive(&Peer::new("ann").request("INVITE", "", ""));
    let accepted = bench.response();
    assert_eq!(
        accepted.headers().get(Name::SessionExpires),
        Some("5;refresher=uac")
    );
    bench.pass(secs(38));
    assert_eq!(bench.closed, [(DialogNumber(0), DialogEnd::Expired)]);
}

#[test]
fn rfc3261_17_1_2_2_an_info_that_nobody_answers_ends_the_dialog() {
    let mut bench = Bench::new(settings());
    let (ann, bob) = (bench.open("ann"), bench.open("bob"));
    bench.document(bob.dialog, "<b/>");
    let answered = bench.request(&Method::Info);
    bench.pass(secs(1));
    bench.document(ann.dialog, "<a/>");
    bench.request(&Method::Info);
    bench.receive(&answer_to(&answered, 200));
    bench.pass(secs(31));
    assert!(bench.closed.is_empty());
    bench.pass(secs(1));
    bench.request(&Method::Bye);
    assert_eq!(bench.closed, [(ann.dialog, DialogEnd::Unanswered)]);
}

#[test]
fn at_the_end_requests_in_flight_are_finished_and_dialogs_get_bye() {
    let mut bench = Bench::new(settings());
    let (mut ann, bob) = (bench.open("ann"), bench.open("bob"));
    bench.receive(&ann.request("INFO", "", "<a/>"));
    bench.core.drain(bench.now);
    bench.collect();
    assert!(!bench.drained);
    bench.receive(&ann.request("INFO", "", "<b/>"));
    assert_eq!(bench.status(), 503);
    bench.receive(&Peer::new("carol").request("INVITE", "", ""));
    assert_eq!(bench.status(), 503);
    bench.receipt(ann.dialog, 0, Receipt::Accepted);
    assert!(bench.drained);
    let Message::Response(receipt) = bench.sent.remove(0) else {
        panic!("the receipt comes first");
    };
    assert_eq!(receipt.status().code(), 200);
    assert_eq!(bench.sent.len(), 2);
    let draining = DialogEnd::Draining;
    assert_eq!(
        bench.closed,
        [(ann.dialog, draining), (bob.dialog, draining)]
    );
}

#[test]
fn at_the_end_a_pool_that_says_nothing_is_not_waited_for_long() {
    let mut bench = Bench::new(settings());
    let mut ann = bench.open("ann");
    bench.receive(&ann.request("INFO", "", "<a/>"));
    bench.core.drain(bench.now);
    bench.pass(secs(4));
    assert!(!bench.drained);
    bench.pass(secs(1));
    assert!(bench.drained);
    let Message::Response(unknown) = bench.sent.remove(0) else {
        panic!("the INFO is answered");
    };
    assert_eq!(unknown.status().code(), 504);
    bench.request(&Method::Bye);
}
