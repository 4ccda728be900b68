//! How calls fail and legs end.

use super::super::call::ABANDONED;
use super::*;

#[test]
fn closing_says_bye_and_tells_the_session_nothing() {
    let mut bench = Bench::open(1, "");
    bench.leg.close(bench.now);
    assert_eq!(bench.sent(), ["BYE"]);
    assert_eq!(bench.take_events(), []);
    assert!(bench.leg.is_over());
    assert_eq!(bench.leg.poll_timeout(), None);
}

#[test]
fn a_bye_of_the_pool_ends_the_leg() {
    let mut bench = Bench::open(1, "");
    bench.send(1);
    bench.sent_one("INFO");
    bench.ask("BYE", "", "");
    assert_eq!(bench.sent(), ["SIP/2.0 200"]);
    assert_eq!(bench.take_events(), [LegEvent::Closed(LegClosed::Pool)]);
    bench.ask("INFO", "Content-Type: text/plain\r\n", "<late/>");
    assert_eq!(bench.sent(), ["SIP/2.0 481"]);
}

#[test]
fn a_lost_connection_ends_the_leg_without_a_word() {
    let mut bench = Bench::open(1, "");
    bench.leg.lost(bench.now);
    assert_eq!(
        bench.take_events(),
        [LegEvent::Closed(LegClosed::Unreachable)]
    );
    assert!(bench.leg.is_over());
}

#[test]
fn refusals_say_whether_another_try_makes_sense() {
    for (status, code, sign) in [
        ("403 Forbidden", 403, Sign::Good),
        ("404 Not Found", 404, Sign::Good),
        ("407 Prove It", 407, Sign::Good),
        ("480 Later", 480, Sign::Failing),
        ("503 Busy", 503, Sign::Failing),
        ("603 No", 603, Sign::Good),
    ] {
        let (mut bench, invite) = Bench::new(false, 1);
        bench.send(1);
        bench.answer(&invite, status, "");
        let ack = bench.sent_one("ACK");
        assert_eq!(
            ack.headers().get(Name::Via),
            invite.headers().get(Name::Via)
        );
        let unopened = [LegEvent::Closed(LegClosed::Unopened)];
        assert_eq!(bench.take_events(), unopened, "{status}");
        assert_eq!(bench.take_signs(), [sign], "{status}");
        assert_eq!(bench.refused, [code]);
        assert!(bench.leg.is_over());
    }
}

#[test]
fn an_invite_without_an_answer_is_given_up_and_a_late_yes_is_turned_down() {
    let (mut bench, invite) = Bench::new(false, 1);
    bench.send(1);
    bench.wait(LIMIT);
    let late = [
        refused(1, 504, "the pool did not take it in time"),
        LegEvent::Closed(LegClosed::Unopened),
    ];
    assert_eq!(bench.take_events(), late);
    assert_eq!(bench.take_signs(), [Sign::Silent]);
    assert!(!bench.leg.is_over());
    bench.answer(&invite, "200 OK", "");
    assert_eq!(bench.sent(), ["ACK", "BYE"]);
    assert!(bench.leg.is_over());
    // Without any answer it is forgotten.
    let (mut bench, _) = Bench::new(false, 1);
    bench.leg.close(bench.now);
    bench.wait(ABANDONED);
    assert!(bench.leg.is_over());
    assert_eq!(bench.take_events(), []);
}

#[test]
fn rfc3261_13_2_2_4_repeated_and_forked_answers_get_an_ack_and_forks_a_bye() {
    let mut bench = Bench::open(1, "");
    let invite = bench.invite.clone().unwrap();
    bench.answer(&invite, "200 OK", "");
    assert_eq!(bench.sent(), ["ACK"]);
    let fork = response(&invite, "200 OK", "fork", "Contact: <sip:fork@h>\r\n");
    bench.leg.handle_response(bench.now, &fork);
    let sent = bench.drain();
    assert!(sent[0].starts_with("ACK sip:fork@h ") && sent[1].starts_with("BYE sip:fork@h "));
    assert!(sent[1].contains(";tag=fork\r\n"));
    assert_eq!(bench.take_events(), []);
    // What comes after the time of a transaction is nobody's.
    bench.wait(33 * SECOND);
    bench.answer(&invite, "200 OK", "");
    assert_eq!(bench.sent(), [""; 0]);
}
