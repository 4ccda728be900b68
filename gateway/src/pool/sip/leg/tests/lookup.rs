//! Asking a lookup service for the address to dial.

use super::*;

fn looked_up(bench: &mut Bench, reply: &str) {
    let body = format!(
        "<xccos ver=\"1\" envid=\"7\" xmlns=\"urn:parlano:xml:ns:xccos\"><rpl id=\"rpl:requri\" seqid=\"1\">\
         {reply}</rpl></xccos>"
    );
    bench.info(&body);
}

const FOUND: &str =
    "<resp code=\"200\">SUCCESS_OK</resp><data><uib uri=\"sip:channel7@contoso.com\"/></data>";

fn asked() -> (Bench, Request) {
    let (mut bench, invite) = Bench::new(true, 1);
    bench.answer(&invite, "200 OK", "Session-Expires: 90\r\n");
    let sent = bench.drain();
    assert!(sent[0].starts_with("ACK "));
    let question = request(sent[1].as_bytes());
    let body = std::str::from_utf8(question.body()).unwrap().to_owned();
    assert!(
        body.contains("<cmd id=\"cmd:requri\" seqid=\"1\"><data/></cmd>"),
        "{body}"
    );
    bench.invite = Some(invite);
    (bench, question)
}

#[test]
fn with_a_lookup_the_answer_is_dialled() {
    let (mut bench, question) = asked();
    bench.send(1);
    bench.answer(&question, "200 OK", "");
    looked_up(&mut bench, FOUND);
    let sent = bench.drain();
    assert!(sent[0].starts_with("SIP/2.0 200 OK"));
    assert!(sent[1].starts_with("BYE sip:GC-1"));
    let invite = request(sent[2].as_bytes());
    assert_eq!(invite.uri(), "sip:channel7@contoso.com");
    let lookup = bench.invite.replace(invite.clone()).unwrap();
    assert_ne!(invite.headers().call_id(), lookup.headers().call_id());
    // Another instance of the lookup service answers too.
    let fork = response(&lookup, "200 OK", "fork", "");
    bench.leg.handle_response(bench.now, &fork);
    assert_eq!(bench.sent(), ["ACK", "BYE"]);
    bench.answer(&invite, "200 OK", "");
    assert_eq!(bench.sent(), ["ACK", "INFO"]);
    assert_eq!(bench.take_events(), []);
}

#[test]
fn a_lookup_that_finds_nothing_ends_the_leg() {
    for reply in [
        "<resp code=\"500\">SERVER_ERROR</resp><data/>",
        "<resp code=\"200\">SUCCESS_OK</resp><data/>",
        "<resp code=\"200\">SUCCESS_OK</resp><data><uib uri=\"mailto:x\"/></data>",
    ] {
        let (mut bench, _) = asked();
        looked_up(&mut bench, reply);
        assert_eq!(bench.sent(), ["SIP/2.0 200", "BYE"], "{reply}");
        assert_eq!(bench.take_events(), [LegEvent::Closed(LegClosed::Unopened)]);
    }
    let (mut bench, question) = asked();
    bench.answer(&question, "503 Busy", "");
    assert_eq!(bench.sent(), ["BYE"]);
    assert_eq!(bench.take_events(), [LegEvent::Closed(LegClosed::Unopened)]);
    let (mut bench, _) = asked();
    bench.wait(LIMIT);
    assert_eq!(bench.sent(), ["BYE"]);
    assert_eq!(bench.take_events(), [LegEvent::Closed(LegClosed::Unopened)]);
    assert_eq!(bench.take_signs(), [Sign::Good, Sign::Silent]);
}
