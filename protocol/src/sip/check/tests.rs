//! One message of each class of fault. The verdicts on the RFCs' own messages are in `tests/torture.rs`.

use super::*;
use crate::sip::{Decoded, Decoder};

const INFO: &str = "INFO sip:channel@contoso.com SIP/2.0\r\n\
    Via: SIP/2.0/tcp 10.0.0.5:50123\r\n\
    From: <sip:alice@contoso.com>;tag=7;epid=0123456789ab\r\n\
    To: <sip:channel@contoso.com>;tag=8\r\n\
    Max-Forwards: 70\r\n\
    CSeq: 2 INFO\r\n\
    Call-ID: call\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 5\r\n\r\nhello";

/// What the decoder says to INFO with one text in it replaced.
fn verdict(from: &str, to: &str) -> Result<(), Fault> {
    assert!(INFO.contains(from), "{from}");
    let mut decoder = Decoder::default();
    decoder.push(INFO.replace(from, to).as_bytes());
    match decoder.decode() {
        Decoded::Message(_) => Ok(()),
        Decoded::Malformed { fault, .. } => Err(fault),
        other => panic!("{other:?}"),
    }
}

fn reason(from: &str, to: &str) -> String {
    let fault = verdict(from, to).unwrap_err();
    assert_eq!(fault.status, Status::BAD_REQUEST, "{fault}");
    fault.reason.into_owned()
}

#[test]
fn what_real_clients_leave_out_is_not_missed() {
    assert_eq!(verdict(INFO, INFO), Ok(()));
    assert_eq!(verdict("Max-Forwards: 70\r\n", ""), Ok(()));
    assert_eq!(verdict("Content-Type: text/plain\r\n", ""), Ok(()));
    // RFC 2543, RFC 4475 §3.4.1: no tag in From.
    assert_eq!(verdict(";tag=7;epid=0123456789ab", ""), Ok(()));
    assert_eq!(
        verdict(
            "Max-Forwards: 70",
            "Contact: <sip:a@10.0.0.5:50123;transport=tcp>;proxy=replace"
        ),
        Ok(())
    );
}

#[test]
fn rfc3261_section_8_1_1_and_rfc4475_section_3_3_1_mandatory_fields() {
    for (field, line) in [
        ("Via", "Via: SIP/2.0/tcp 10.0.0.5:50123\r\n"),
        (
            "From",
            "From: <sip:alice@contoso.com>;tag=7;epid=0123456789ab\r\n",
        ),
        ("To", "To: <sip:channel@contoso.com>;tag=8\r\n"),
        ("CSeq", "CSeq: 2 INFO\r\n"),
        ("Call-ID", "Call-ID: call\r\n"),
    ] {
        assert_eq!(reason(line, ""), format!("Missing {field} header field"));
    }
}

#[test]
fn rfc4475_section_3_3_8_fields_that_must_not_be_repeated() {
    for (field, line) in [
        ("From", "From: <sip:alice@contoso.com>;tag=7"),
        ("To", "t: <sip:channel@contoso.com>;tag=8"),
        ("CSeq", "CSEQ: 2 INFO"),
        ("Call-ID", "i: call"),
        ("Max-Forwards", "Max-Forwards: 70"),
        ("Content-Type", "c: text/plain"),
        ("Content-Length", "l: 5"),
    ] {
        let both = format!("{line}\r\nCall-ID: call");
        let found = match field {
            // Their own line comes later.
            "Content-Type" | "Content-Length" => reason("Max-Forwards: 70", line),
            "Max-Forwards" => reason("Call-ID: call", &both),
            _ => reason("Max-Forwards: 70", &format!("{line}\r\n{line}")),
        };
        assert_eq!(found, format!("More than one {field} header field"));
    }
    assert_eq!(
        verdict("Max-Forwards: 70", "Via: SIP/2.0/TCP edge;branch=z9hG4bK1"),
        Ok(())
    );
}

#[test]
fn rfc4475_sections_3_1_2_1_to_3_1_2_15_malformed_fields() {
    for (field, from, to) in [
        (
            "Via",
            "Via: SIP/2.0/tcp 10.0.0.5:50123",
            "Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
        ),
        ("Via", "10.0.0.5:50123", "10.0.0.5:50123;branch=z9hG4bK"), // §3.2.1
        ("CSeq", "2 INFO", "36893488147419103232 INFO"),
        ("CSeq", "2 INFO", "INFO"),
        ("Max-Forwards", "70", "300"),
        ("Max-Forwards", "70", "-1"),
        (
            "To",
            "<sip:channel@contoso.com>;tag=8",
            "\"Mr. J. User <sip:channel@contoso.com>",
        ),
        (
            "To",
            "<sip:channel@contoso.com>;tag=8",
            "\"Watson\" < sip:t.watson@example.org >",
        ),
        ("From", "From: ", "From: Bell, Alexander "),
        (
            "Contact",
            "Max-Forwards: 70",
            "Contact: sip:a@example.com?Route=%3Csip:x%3E",
        ),
        (
            "Contact",
            "Max-Forwards: 70",
            "m: \"Joe\" <sip:joe@example.org>;;;;",
        ),
        (
            "Record-Route",
            "Max-Forwards: 70",
            "Record-Route: <sip:p.example.com;lr",
        ),
        ("Route", "Max-Forwards: 70", "Route: p.example.com"),
        ("Call-ID", "Call-ID: call", "Call-ID:"),
        ("Call-ID", "Call-ID: call", "Call-ID: two words"),
    ] {
        assert_eq!(
            reason(from, to),
            format!("Malformed {field} header field"),
            "{to}"
        );
    }
}

#[test]
fn rfc4475_sections_3_1_2_7_to_3_1_2_11_the_request_line() {
    let uri = "sip:channel@contoso.com SIP";
    for (to, expected) in [
        ("<sip:channel@contoso.com> SIP", "Malformed Request-URI"),
        ("sip:channel@contoso.com; lr SIP", "Malformed Request-Line"),
        (" sip:channel@contoso.com  SIP", "Malformed Request-Line"),
        (
            "sip:channel@contoso.com?Route=%3Csip:example.com%3E SIP",
            "Malformed Request-URI",
        ),
        ("sip:2001:db8::10 SIP", "Malformed Request-URI"), // RFC 5118 §4.2
    ] {
        assert_eq!(reason(uri, to), expected, "{to}");
    }
    assert_eq!(
        reason("SIP/2.0\r\nVia", "SIP/2.0  \r\nVia"),
        "Malformed Request-Line"
    );
    assert_eq!(reason("INFO sip", "IN<FO sip"), "Malformed Request-Line");
}

#[test]
fn rfc4475_section_3_1_2_16_another_version() {
    let fault = verdict("SIP/2.0\r\nVia", "SIP/7.0\r\nVia").unwrap_err();
    assert_eq!(fault.status, Status::VERSION_NOT_SUPPORTED);
}

#[test]
fn rfc4475_sections_3_1_2_17_and_3_1_2_18_methods_that_differ() {
    assert_eq!(reason("2 INFO", "2 BYE"), "CSeq method does not match");
    let fault = verdict("INFO sip", "NEWMETHOD sip").unwrap_err();
    assert_eq!(fault.status, Status::NOT_IMPLEMENTED);
}

const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP gw;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
    To: <sip:c@d>;tag=2\r\nCall-ID: call\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n";

fn response(from: &str, to: &str) -> Result<Message, Fault> {
    assert!(OK.contains(from), "{from}");
    Message::parse(OK.replace(from, to).as_bytes())
}

#[test]
fn rfc4475_sections_3_1_1_12_and_3_1_1_13_reason_phrases() {
    for (line, reason) in [
        ("200 = 2**3 * 5**2 но", "= 2**3 * 5**2 но"),
        ("100 ", ""),
        ("100", ""),
    ] {
        let Ok(Message::Response(response)) = response("200 OK", line) else {
            panic!("{line}");
        };
        assert_eq!(response.reason(), reason);
    }
}

#[test]
fn rfc4475_sections_3_1_2_5_and_3_1_2_19_numbers_in_responses() {
    for code in ["4294967301", "700", "099", "20", "2000", "+20", "-200", "x"] {
        assert!(
            response("200 OK", &format!("{code} better not break")).is_err(),
            "{code}"
        );
    }
    assert!(response("1 INFO", "9292394834772304023312 INFO").is_err());
    assert!(response("SIP/2.0 200", "SIP/3.0 200").is_err());
}

#[test]
fn rfc3261_section_8_1_3_3_and_rfc4475_section_3_3_10_responses_of_others() {
    for more in [
        "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\r\nFrom",
        "v: SIP/2.0/UDP a, SIP/2.0/UDP b\r\nFrom",
    ] {
        assert!(response("From", more).is_err(), "{more}");
    }
}

const UAS: Uas<'_> = Uas {
    methods: &[Method::Invite, Method::Info, Method::Register, Method::Ack],
    schemes: &["sip", "sips"],
    extensions: &["timer"],
    bodies: &[
        (Method::Info, &["text/plain"]),
        (Method::Invite, &["application/sdp"]),
    ],
};

/// What a server says to INFO with some texts in it replaced: status, and the field its answer carries.
fn inspected(changes: &[(&str, &str)]) -> Option<(u16, String)> {
    let text = changes
        .iter()
        .fold(INFO.to_owned(), |text, (from, to)| text.replace(from, to));
    let Ok(Message::Request(request)) = Message::parse(text.as_bytes()) else {
        panic!("no sound request: {text}");
    };
    let fault = UAS.check(&request).err()?;
    let header = fault
        .headers
        .first()
        .map(|(name, value)| format!("{name}: {value}"));
    Some((fault.status.code(), header.unwrap_or_default()))
}

fn refused(status: u16, header: &str) -> Option<(u16, String)> {
    Some((status, header.to_owned()))
}

#[test]
fn an_ordinary_request_passes_inspection() {
    assert_eq!(inspected(&[]), None);
}

#[test]
fn rfc3261_section_8_2_1_methods() {
    let allow = "Allow: INVITE, INFO, REGISTER, ACK";
    assert_eq!(inspected(&[("INFO", "PUBLISH")]), refused(405, allow));
    assert_eq!(inspected(&[("INFO", "RE%47IST%45R")]), refused(501, allow));
    assert_eq!(inspected(&[("INFO", "info")]), refused(501, allow));
}

#[test]
fn rfc4475_sections_3_3_2_to_3_3_4_schemes() {
    let uri = "sip:channel@contoso.com SIP";
    for other in [
        "nobodyKnowsThisScheme:totallyopaquecontent SIP",
        "soap.beep://192.0.2.103:3002 SIP",
    ] {
        assert_eq!(inspected(&[(uri, other)]), refused(416, ""));
    }
    let to = ("<sip:channel@contoso.com>;tag=8", "isbn:2983792873");
    assert_eq!(inspected(&[("INFO", "REGISTER"), to]), refused(400, ""));
    assert_eq!(inspected(&[to]), None);
}

#[test]
fn rfc4475_section_3_3_5_extensions() {
    let require = |tags| ("Max-Forwards: 70", tags);
    assert_eq!(inspected(&[require("Require: Timer")]), None);
    assert_eq!(
        inspected(&[require(
            "Require: timer, nothingSupportsThis\r\nRequire: norThis"
        )]),
        refused(420, "Unsupported: nothingSupportsThis, norThis")
    );
    // Real clients send this; it is for proxies.
    assert_eq!(inspected(&[require("Proxy-Require: ms-benotify")]), None);
    // RFC 3261 §8.2.2.3
    assert_eq!(inspected(&[("INFO", "ACK"), require("Require: x")]), None);
}

#[test]
fn rfc4475_section_3_3_6_bodies() {
    let accept = "Accept: text/plain";
    assert_eq!(
        inspected(&[("text/plain", "Text/Plain;charset=UTF-8")]),
        None
    );
    assert_eq!(
        inspected(&[("text/plain", "application/unknownformat")]),
        refused(415, accept)
    );
    assert_eq!(
        inspected(&[("Content-Type: text/plain\r\n", "")]),
        refused(415, accept)
    );
    assert_eq!(
        inspected(&[
            ("Content-Type: text/plain\r\n", ""),
            ("5\r\n\r\nhello", "0\r\n\r\n")
        ]),
        None
    );
    assert_eq!(inspected(&[("text/plain", "text/")]), refused(400, ""));
    assert_eq!(
        inspected(&[("Max-Forwards: 70", "e: gzip")]),
        refused(415, "Accept-Encoding: identity")
    );
    assert_eq!(
        inspected(&[("INFO", "REGISTER"), ("text/plain", "x/y")]),
        None
    );
}

#[test]
fn rfc4475_section_3_3_15_answers_nobody_accepts() {
    let invite = ("INFO", "INVITE");
    let sdp = ("text/plain", "application/sdp");
    let accept = |types| ("Max-Forwards: 70", types);
    assert_eq!(inspected(&[invite, sdp]), None);
    assert_eq!(
        inspected(&[invite, sdp, accept("Accept: text/x, application/*;q=0.5")]),
        None
    );
    assert_eq!(
        inspected(&[invite, sdp, accept("Accept: text/nobodyKnowsThis")]),
        refused(406, "")
    );
}
