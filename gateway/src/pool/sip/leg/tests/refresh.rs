//! The session timer (RFC 4028).

use super::*;

#[test]
fn rfc4028_9_refreshes_of_the_pool_are_accepted() {
    let mut bench = Bench::open(1, "Session-Expires: 90;refresher=uas\r\n");
    let theirs =
        "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\nContact: <sip:pool@moved>\r\n";
    bench.wait(80 * SECOND);
    bench.ask("UPDATE", theirs, "");
    let answer = bench.sent_text();
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nSession-Expires: 90;refresher=uac\r\nRequire: timer\r\n"),
        "{answer}"
    );
    bench.wait(80 * SECOND);
    assert_eq!(bench.sent(), [""; 0], "the refresh counted");
    bench.send(1);
    let info = bench.sent_text();
    assert!(
        info.starts_with("INFO sip:pool@moved SIP/2.0\r\n"),
        "{info}"
    );
    // A second INVITE without an offer, then one with an offer.
    bench.ask("INVITE", theirs, "");
    let answer = bench.sent_text();
    assert!(
        answer.contains("\r\nContent-Type: application/sdp\r\n") && answer.contains("m=message")
    );
    let offer = sdp_offer();
    bench.ask(
        "INVITE",
        &format!("{theirs}Content-Type: application/sdp\r\n"),
        &offer,
    );
    assert!(bench.sent_text().contains("m=message"));
    bench.ask("UPDATE", "Supported: timer\r\nSession-Expires: 10\r\n", "");
    assert!(bench.sent_text().contains("\r\nMin-SE: 90\r\n"));
    // And then it falls silent.
    bench.wait(200 * SECOND);
    assert_eq!(bench.sent(), ["BYE"]);
    assert_eq!(
        bench.events.last(),
        Some(&LegEvent::Closed(LegClosed::Unreachable))
    );
}

fn sdp_offer() -> String {
    holdover_protocol::sip::sdp::offer("192.0.2.9")
}

#[test]
fn rfc4028_7_2_we_refresh_by_update_at_half_time() {
    let mut bench = Bench::open(1, "Session-Expires: 600\r\n");
    for _ in 0..3 {
        bench.wait(299 * SECOND);
        assert_eq!(bench.sent(), [""; 0]);
        bench.wait(SECOND);
        let update = bench.sent_one("UPDATE");
        let headers = update.headers();
        assert_eq!(headers.get(Name::SessionExpires), Some("600;refresher=uac"));
        assert_eq!(headers.get(Name::Supported), Some("timer"));
        assert!(update.body().is_empty());
        // facts/xccos.md §1.2: old servers say nothing about the timer here.
        bench.answer(&update, "200 OK", "Contact: <sip:pool@moved>\r\n");
    }
    bench.send(1);
    assert!(
        bench
            .sent_text()
            .starts_with("INFO sip:pool@moved SIP/2.0\r\n")
    );
}

#[test]
fn rfc4028_7_4_an_interval_that_is_too_small_is_raised() {
    let (mut bench, invite) = Bench::new(false, 1);
    bench.answer(
        &invite,
        "422 Session Interval Too Small",
        "Min-SE: 3600\r\n",
    );
    let sent = bench.drain();
    assert!(sent[0].starts_with("ACK ") && sent[0].contains(";tag=pool\r\n"));
    let again = request(sent[1].as_bytes());
    let headers = again.headers();
    assert_eq!(headers.get(Name::SessionExpires), Some("3600"));
    assert_eq!(headers.get(Name::MinSe), Some("3600"));
    assert_eq!(headers.get(Name::CSeq), Some("2 INVITE"));
    assert_eq!(headers.call_id(), invite.headers().call_id());
    bench.answer(&again, "200 OK", "Session-Expires: 3600;refresher=uac\r\n");
    bench.sent_one("ACK");
    bench.wait(1800 * SECOND);
    let update = bench.sent_one("UPDATE");
    bench.answer(&update, "422 Too Small", "Min-SE: 7200\r\n");
    let update = bench.sent_one("UPDATE");
    assert_eq!(
        update.headers().get(Name::SessionExpires),
        Some("7200;refresher=uac")
    );
    // One that asks for what was offered would go on for ever.
    let (mut bench, invite) = Bench::new(false, 1);
    bench.answer(&invite, "422 Too Small", "Min-SE: 100\r\n");
    assert_eq!(bench.sent(), ["ACK"]);
    assert_eq!(bench.take_events(), [LegEvent::Closed(LegClosed::Unopened)]);
}

#[test]
fn a_refresh_that_fails_ends_the_leg() {
    for (status, reason, says_bye) in [
        (Some("481 Gone"), LegClosed::Pool, false),
        (Some("408 Gone"), LegClosed::Unreachable, true),
        (None, LegClosed::Unreachable, true),
    ] {
        let mut bench = Bench::open(1, "Session-Expires: 600\r\n");
        bench.wait(300 * SECOND);
        let update = bench.sent_one("UPDATE");
        match status {
            Some(status) => bench.answer(&update, status, ""),
            None => bench.wait(LIMIT),
        }
        assert_eq!(!bench.sent().is_empty(), says_bye, "{status:?}");
        assert_eq!(
            bench.take_events(),
            [LegEvent::Closed(reason)],
            "{status:?}"
        );
    }
    // A refusal that says nothing of the dialog is tried again.
    let mut bench = Bench::open(1, "Session-Expires: 600\r\n");
    bench.wait(300 * SECOND);
    let update = bench.sent_one("UPDATE");
    bench.answer(&update, "500 Oops", "");
    bench.wait(6 * SECOND);
    bench.sent_one("UPDATE");
    assert_eq!(bench.take_events(), []);
}
