//! Framing: where messages begin and end, however they come.

use proptest::prelude::*;

use super::*;
use crate::sip::{Name, Request};

const HEAD: &str = "Via: SIP/2.0/tcp 10.0.0.5:50123\r\nFrom: <sip:alice@contoso.com>;tag=7\r\n\
    To: <sip:channel@contoso.com>;tag=8\r\nCall-ID: call\r\nCSeq: 2 INFO\r\n";

fn info(rest: &str) -> String {
    format!("INFO sip:channel@contoso.com SIP/2.0\r\n{HEAD}{rest}")
}

/// What one finding amounts to, in a form that can be compared.
fn outcome(decoded: &Decoded) -> String {
    let shown = |message: &Option<Message>| message.as_ref().map(content);
    match decoded {
        Decoded::NeedMore { .. } => "more".to_owned(),
        Decoded::KeepAlive(kind) => format!("{kind:?}"),
        Decoded::Message(message) => content(message),
        Decoded::Malformed { message, fault } => format!("malformed {fault} {:?}", shown(message)),
        Decoded::Fatal { message, fault } => format!("fatal {fault} {:?}", shown(message)),
    }
}

fn content(message: &Message) -> String {
    let start = match message {
        Message::Request(request) => format!("{} {}", request.method(), request.uri()),
        Message::Response(response) => format!("{} {}", response.status(), response.reason()),
    };
    let headers: Vec<_> = message.headers().iter().collect();
    format!("{start} {headers:?} {:?}", message.body())
}

/// Everything a stream leads to when it comes in these pieces.
fn outcomes<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Vec<String> {
    let mut decoder = Decoder::new(limits);
    let mut outcomes = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            let decoded = decoder.decode();
            if matches!(decoded, Decoded::NeedMore { .. }) {
                break;
            }
            outcomes.push(outcome(&decoded));
        }
    }
    outcomes
}

#[test]
fn a_message_that_has_come_in_part_is_counted_and_can_be_given_up() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.held(), 0);
    let head = info("Content-Length: 50000\r\n\r\n");
    decoder.push(head.as_bytes());
    decoder.push(&[b'x'; 10_000]);
    assert!(matches!(
        decoder.decode(),
        Decoded::NeedMore { hint: 40_000 }
    ));
    assert!(decoder.held() >= head.len() + 10_000, "{}", decoder.held());
    let fault = Fault::new(Status::SERVICE_UNAVAILABLE, "too much");
    match decoder.give_up(fault) {
        Decoded::Fatal {
            message: Some(message),
            fault,
        } => {
            let answer = fault.answer(&message, "tag", &[]).unwrap().finish();
            assert!(answer.starts_with(b"SIP/2.0 503 "));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(decoder.held(), 0);
    // Without a head there is nobody to answer.
    let mut decoder = Decoder::default();
    decoder.push(b"INFO sip:ch");
    assert!(matches!(decoder.decode(), Decoded::NeedMore { .. }));
    let fault = Fault::new(Status::SERVICE_UNAVAILABLE, "too much");
    assert!(matches!(
        decoder.give_up(fault),
        Decoded::Fatal { message: None, .. }
    ));
}

#[test]
fn the_longest_body_can_be_set_between_messages() {
    let mut decoder = Decoder::default();
    decoder.limit_body(3);
    decoder.push(info("Content-Length: 3\r\n\r\nabc").as_bytes());
    assert!(matches!(decoder.decode(), Decoded::Message(_)));
    decoder.limit_body(4);
    decoder.push(info("Content-Length: 4\r\n\r\nabcd").as_bytes());
    assert!(matches!(decoder.decode(), Decoded::Message(_)));
    decoder.limit_body(3);
    decoder.push(info("Content-Length: 4\r\n\r\n").as_bytes());
    assert!(
        matches!(decoder.decode(), Decoded::Fatal { message: Some(_), fault } if fault.status.code() == 413)
    );
}

fn first(stream: &str) -> Decoded {
    let mut decoder = Decoder::default();
    decoder.push(stream.as_bytes());
    decoder.decode()
}

fn request(stream: &str) -> Request {
    match first(stream) {
        Decoded::Message(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn fatal_status(decoded: Decoded) -> u16 {
    match decoded {
        Decoded::Fatal { fault, .. } => fault.status.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rfc3261_section_18_3_messages_are_cut_by_content_length() {
    let stream = info("Content-Length: 5\r\n\r\nhello") + &info("l:0\r\n\r\n");
    let mut decoder = Decoder::default();
    decoder.push(stream.as_bytes());
    let Decoded::Message(one) = decoder.decode() else {
        panic!()
    };
    assert_eq!(&one.body()[..], b"hello");
    let Decoded::Message(two) = decoder.decode() else {
        panic!()
    };
    assert!(two.body().is_empty());
    assert!(!decoder.is_mid_message());
    assert!(matches!(decoder.decode(), Decoded::NeedMore { hint: 1 }));
}

#[test]
fn an_idle_decoder_holds_no_memory() {
    let mut decoder = Decoder::default();
    decoder.buffer().reserve(16 * 1024);
    decoder.push(info("l: 0\r\n\r\n").as_bytes());
    assert!(matches!(decoder.decode(), Decoded::Message(_)));
    assert!(matches!(decoder.decode(), Decoded::NeedMore { .. }));
    assert_eq!(decoder.buffer().capacity(), 0);
}

#[test]
fn a_body_that_is_missing_is_hinted_at() {
    let mut decoder = Decoder::default();
    decoder.push(info("Content-Length: 9999\r\n\r\n123").as_bytes());
    assert!(matches!(decoder.decode(), Decoded::NeedMore { hint: 9996 }));
    assert!(decoder.is_mid_message());
}

#[test]
fn large_bodies_come_whole() {
    let body = "0123456789".repeat(COPIED_BODY / 5);
    let text = info(&format!("l: {}\r\n\r\n{body}", body.len()));
    assert_eq!(request(&text).body(), body.as_bytes());
}

#[test]
fn rfc5626_section_4_4_1_keep_alives() {
    let of = |stream: &'static str| outcomes([stream.as_bytes()], Limits::default());
    assert_eq!(of("\r\n"), ["Pong"]);
    assert_eq!(of("\r\n\r\n"), ["Pong", "Ping"]);
    assert_eq!(of("\r\n\r\n\r\n"), ["Pong", "Ping", "Pong"]);
    let mut decoder = Decoder::default();
    decoder.push(b"\r");
    assert!(matches!(decoder.decode(), Decoded::NeedMore { .. }));
    assert!(decoder.is_mid_message());
}

#[test]
fn a_message_between_them_parts_two_line_ends() {
    let stream = format!("\r\n{}\r\n", info("l: 0\r\n\r\n"));
    let found = outcomes([stream.as_bytes()], Limits::default());
    assert_eq!((found[0].as_str(), found[2].as_str()), ("Pong", "Pong"));
}

#[test]
fn rfc3261_section_7_3_1_folded_lines_are_one_value() {
    let text =
        info("Subject:\r\n one\r\n\t two  \r\n \r\nX-Other : a\r\n b\r\nL\r\n : 0\r\nl: 0\r\n\r\n");
    // A name cannot be folded: what comes before the fold is a line without a colon.
    assert!(matches!(first(&text), Decoded::Malformed { .. }));
    let request = request(&text.replace("L\r\n : 0\r\n", ""));
    assert_eq!(request.headers().get(Name::Subject), Some("one  \t two"));
    assert_eq!(request.headers().get_other("x-other"), Some("a   b"));
}

#[test]
fn unknown_fields_and_their_order_are_kept() {
    let request = request(&info("X-B: 1\r\nx-a:2\r\nX-B: 3\r\nl: 0\r\n\r\n"));
    let tail: Vec<_> = request.headers().iter().skip(5).collect();
    assert_eq!(tail, [("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("l", "0")]);
}

#[test]
fn rfc4475_sections_3_1_2_3_and_3_3_9_lengths_nobody_can_trust() {
    for lengths in [
        "Content-Length: -999\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 13\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nl: 6\r\n",
        "",
    ] {
        let decoded = first(&info(&format!("{lengths}\r\nhello")));
        let Decoded::Fatal {
            message: Some(message),
            fault,
        } = &decoded
        else {
            panic!("{lengths:?}: {decoded:?}");
        };
        assert_eq!(fault.status.code(), 400);
        assert!(fault.answer(message, "tag", &[]).is_some());
    }
}

#[test]
fn two_lengths_that_agree_are_a_fault_but_framing_holds() {
    let mut decoder = Decoder::default();
    decoder.push(info("l: 5\r\nl: 5\r\n\r\nhello").as_bytes());
    decoder.push(info("l: 0\r\n\r\n").as_bytes());
    assert!(matches!(
        decoder.decode(),
        Decoded::Malformed {
            message: Some(_),
            ..
        }
    ));
    assert!(matches!(decoder.decode(), Decoded::Message(_)));
}

#[test]
fn after_a_malformed_message_the_stream_goes_on() {
    for bad in [
        "No colon\r\n",
        "Bad name: x\r\n",
        ": x\r\n",
        "(x): y\r\n",
        "Contact: <\r\n",
    ] {
        let mut decoder = Decoder::default();
        decoder.push(info(&format!("{bad}l: 5\r\n\r\nhello")).as_bytes());
        decoder.push(info("l: 0\r\n\r\n").as_bytes());
        let decoded = decoder.decode();
        let Decoded::Malformed {
            message: Some(message),
            fault,
        } = &decoded
        else {
            panic!("{bad}: {decoded:?}");
        };
        assert_eq!(fault.status.code(), 400, "{bad}");
        assert_eq!(&message.body()[..], b"hello");
        assert!(matches!(decoder.decode(), Decoded::Message(_)), "{bad}");
    }
}

#[test]
fn rfc3261_section_7_heads_that_are_not_utf8_are_answered() {
    let mut stream = info("Subject: \u{fc}x\r\nl: 0\r\n\r\n").into_bytes();
    let at = stream.iter().position(|&byte| byte == 0xc3).unwrap();
    stream[at] = 0xff;
    stream[at + 1] = 0xe2;
    let mut decoder = Decoder::default();
    decoder.push(&stream);
    let Decoded::Malformed {
        message: Some(message),
        fault,
    } = decoder.decode()
    else {
        panic!()
    };
    assert_eq!(fault.reason, "Header fields that are not UTF-8");
    assert_eq!(message.headers().get(Name::Subject), Some("??x"));
    assert_eq!(message.headers().call_id(), Ok("call"));
}

#[test]
fn rfc3261_section_7_line_ends_that_are_no_crlf_end_the_connection() {
    let sound = info("l: 0\r\n\r\n");
    assert_eq!(fatal_status(first(&sound.replace("\r\n", "\n"))), 400);
    assert_eq!(
        fatal_status(first(&sound.replacen("call\r\n", "call\n", 1))),
        400
    );
    assert_eq!(
        fatal_status(first(&sound.replacen("call\r\n", "call\rX: y\r\n", 1))),
        400
    );
    assert_eq!(
        fatal_status(first(&sound.replacen("call\r\n", "call\r\r\n", 1))),
        400
    );
}

#[test]
fn what_is_not_sip_ends_the_connection_at_its_first_byte() {
    for stream in [
        "\u{16}\u{3}\u{1}",
        "\n",
        "\0",
        "\r\r\n",
        " INFO",
        "<xml>",
        "{}",
    ] {
        let decoded = first(stream);
        assert!(
            matches!(decoded, Decoded::Fatal { message: None, .. }),
            "{stream:?}: {decoded:?}"
        );
    }
}

#[test]
fn a_dead_decoder_takes_nothing_in() {
    let mut decoder = Decoder::default();
    decoder.push(b"\0");
    assert!(matches!(decoder.decode(), Decoded::Fatal { .. }));
    decoder.push(info("l: 0\r\n\r\n").as_bytes());
    assert!(matches!(decoder.decode(), Decoded::NeedMore { hint: 0 }));
    assert_eq!(decoder.buffer().capacity(), 0);
    assert!(!decoder.is_mid_message());
}

#[test]
fn limits_are_exact() {
    let text = info("l: 5\r\n\r\nhello");
    let exact = Limits {
        head: text.len() - 5,
        body: 5,
        headers: 6,
    };
    let found = |limits| outcomes([text.as_bytes()], limits).remove(0);
    assert!(found(exact).starts_with("INFO"));
    assert!(
        found(Limits {
            head: exact.head - 1,
            ..exact
        })
        .starts_with("fatal 513")
    );
    assert!(
        found(Limits {
            headers: 5,
            ..exact
        })
        .starts_with("fatal 513")
    );
    assert!(found(Limits { body: 4, ..exact }).starts_with("fatal 413"));
}

#[test]
fn a_body_over_the_limit_is_skipped_where_others_share_the_connection() {
    let large = info("l: 9\r\n\r\nhello you");
    let text = format!("{large}{}", info("l: 2\r\n\r\nhi"));
    let limits = Limits {
        body: 5,
        ..Limits::default()
    };
    for size in 1..=text.len() {
        let mut decoder = Decoder::new(limits);
        decoder.skip_bodies(9);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            decoder.push(piece);
            loop {
                let decoded = decoder.decode();
                if matches!(decoded, Decoded::NeedMore { .. }) {
                    break;
                }
                found.push(outcome(&decoded));
            }
        }
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("malformed 413"), "{found:?}");
        assert!(
            found[1].starts_with("INFO") && found[1].ends_with("b\"hi\""),
            "{found:?}"
        );
        assert!(!decoder.is_mid_message());
    }
    // What is still to come takes no memory, and what is longer than may be skipped ends the connection.
    let mut decoder = Decoder::new(limits);
    decoder.skip_bodies(1_000_000);
    decoder.push(info("l: 900000\r\n\r\n").as_bytes());
    assert!(matches!(decoder.decode(), Decoded::Malformed { .. }));
    decoder.push(&[b'x'; 500_000]);
    assert!(matches!(
        decoder.decode(),
        Decoded::NeedMore { hint: 400_000 }
    ));
    assert_eq!(decoder.held(), 0);
    assert!(decoder.is_mid_message());
    decoder.skip_bodies(8);
    decoder.push(&[b'x'; 400_000]);
    decoder.push(large.as_bytes());
    assert!(matches!(decoder.decode(), Decoded::Fatal { .. }));
}

#[test]
fn a_head_without_an_end_is_given_up_at_the_limit() {
    let limits = Limits {
        head: 1000,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(limits);
    for sent in 1.. {
        decoder.push(b"x");
        match decoder.decode() {
            Decoded::NeedMore { .. } => assert!(sent < 1000),
            other => {
                assert_eq!((sent, fatal_status(other)), (1000, 513));
                break;
            }
        }
    }
}

#[test]
fn exactly_one_message() {
    let text = info("l: 5\r\n\r\nhello");
    assert!(Message::parse(text.as_bytes()).is_ok());
    for other in [
        text.strip_suffix("o").unwrap().to_owned(),
        format!("{text}x"),
        format!("\r\n{text}"),
        String::new(),
    ] {
        assert!(Message::parse(other.as_bytes()).is_err(), "{other}");
    }
}

/// Streams with a bit of everything that may follow one another.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just(info("l: 0\r\n\r\n")),
        Just(info(
            "Subject:\r\n folded\r\n  twice\r\nl\t: 5\r\n\r\nhello"
        )),
        Just(info("No colon\r\nContent-Length: 3\r\n\r\n\r\n\r")),
        Just(format!("SIP/2.0 200 OK\r\n{HEAD}l: 0\r\n\r\n")),
        Just(format!("SIP/2.0 999 OK\r\n{HEAD}l: 2\r\n\r\n\r\n")),
        Just(info("l: 5000\r\n\r\n") + &"body\n".repeat(1000)),
        Just(info("l: 1\r\nl: 2\r\n\r\n")),
        Just(info("\n")),
        "[ -~\r\n]{0,40}",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_is_the_same(stream in stream(), sizes in proptest::collection::vec(1usize..700, 1..20)) {
        let limits = Limits { head: 2000, body: 8000, headers: 12 };
        let whole = outcomes([stream.as_slice()], limits);
        prop_assert_eq!(&outcomes(stream.chunks(1), limits), &whole);
        let mut rest = stream.as_slice();
        let pieces = sizes.iter().cycle().map_while(|&size| {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(&outcomes(pieces, limits), &whole);
    }
}

/// Numbers that look random and are the same in each run.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// One to four small damages: a byte changed, removed, doubled, or a piece copied to another place.
fn damaged(sound: &[u8], random: &mut Lcg) -> Vec<u8> {
    const TELLING: &[u8] = b"\r\n \t:;,<>\"\\@=%?[]*\0\x7f\x80\xff0-";
    let mut bytes = sound.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = TELLING[random.below(TELLING.len())],
            1 => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, bytes[at]),
            _ => {
                let end = (at + random.below(60)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

#[test]
fn twenty_thousand_damaged_streams_do_no_harm() {
    let sound = [
        info(
            "Contact: \"A \\\" B\" <sip:alice@[2001:db8::1]:5061;transport=tls?x=y>;q=0.5;proxy=replace, <sip:b@c>\r\n\
              Route: <sip:p1;lr>\r\n ,\r\n <sip:p2;lr>\r\nSession-Expires: 1800;refresher=uac\r\nAccept: text/plain, */*\r\n\
              Expires: 300\r\nSupported: timer, ms-sender\r\nContent-Type: text/plain;charset=UTF-8\r\n\
              Content-Length: 5\r\n\r\nhello\r\n\r\n",
        ),
        format!("SIP/2.0 200 OK\r\n{HEAD}Content-Length: 0\r\n\r\n") + &info("l: 2\r\n\r\n{}"),
    ];
    let limits = Limits {
        head: 4096,
        body: 4096,
        headers: 64,
    };
    let mut random = Lcg(4475);
    let mut sound_ones = 0;
    for round in 0..20_000 {
        let stream = damaged(sound[round % 2].as_bytes(), &mut random);
        let mut decoder = Decoder::new(limits);
        let mut found = 0;
        for piece in stream.chunks(1 + random.below(stream.len())) {
            decoder.push(piece);
            loop {
                match decoder.decode() {
                    Decoded::NeedMore { .. } => break,
                    Decoded::KeepAlive(_) => {}
                    Decoded::Message(message) => {
                        look_at_everything(&message);
                        sound_ones += 1;
                    }
                    Decoded::Malformed { message, fault } | Decoded::Fatal { message, fault } => {
                        if let Some(message) = message {
                            look_at_everything(&message);
                            check_answer(&message, &fault);
                        }
                    }
                }
                found += 1;
            }
            assert!(decoder.buffer.len() <= limits.head + limits.body);
        }
        assert!(found <= stream.len());
    }
    // Were all refused, nothing would have been tested.
    assert!(sound_ones > 5_000, "{sound_ones}");
}

/// Every typed view of a message, whether it is sound or not.
fn look_at_everything(message: &Message) {
    let headers = message.headers();
    let texts = [
        headers
            .from()
            .map_or_else(|error| error.to_string(), |it| it.to_string()),
        headers.to().map_or_else(
            |error| error.to_string(),
            |it| format!("{:?}", it.display_name()),
        ),
        format!("{:?} {:?}", headers.cseq(), headers.max_forwards()),
        format!(
            "{:?} {:?}",
            headers.content_type(),
            headers.session_expires()
        ),
        format!("{:?} {:?}", headers.expires(), headers.min_se()),
        format!(
            "{:?}",
            headers
                .vias()
                .map(|via| via.map(|it| it.branch()))
                .collect::<Vec<_>>()
        ),
        format!(
            "{:?}",
            headers
                .contacts()
                .map(|contact| contact.map(|it| it.expires()))
                .collect::<Vec<_>>()
        ),
        format!(
            "{:?}",
            headers
                .routes()
                .chain(headers.record_routes())
                .collect::<Vec<_>>()
        ),
        format!("{:?}", headers.list(Name::Accept).collect::<Vec<_>>()),
    ];
    assert!(texts.iter().all(|text| text.len() < 100_000));
}

/// An answer is one whole message whatever it answers, and adds no line.
fn check_answer(message: &Message, fault: &Fault) {
    let Some(answer) = fault.answer(message, "tag", &[]) else {
        return;
    };
    let answer = answer.finish();
    let mut decoder = Decoder::default();
    decoder.push(&answer);
    match decoder.decode() {
        Decoded::Message(read)
        | Decoded::Malformed {
            message: Some(read),
            ..
        } => {
            assert!(
                matches!(&read, Message::Response(response) if response.status() == fault.status)
            );
            assert!(read.body().is_empty() && decoder.buffer.is_empty());
        }
        other => panic!("{other:?}"),
    }
}
