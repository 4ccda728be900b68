use super::*;

/// A server's log, a client's log, and what is between messages in both.
const SERVER: &str = r#"TL_INFO(TF_COMPONENT) [0]0B4.0F0::11/22/2026-09:00:00.000.00000001 (SIPStack)something
TL_INFO(TF_PROTOCOL) [0]0B4.0F0::11/22/2026-09:00:00.001.00000002 (SIPStack,trace.cpp(1))$$begin_record
Trace-Correlation-Id: 1
Instance-Id: 0000001
Direction: outgoing;source="local"
Peer: pc.contoso.com:5041
Message-Type: request
Start-Line: INFO sip:ann@contoso.com SIP/2.0
FROM: <sip:room@contoso.com>;tag=1
To: <sip:ann@contoso.com>;tag=2
Call-ID: c1
CSEQ: 2 INFO
Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1
ms-new-header: hello ann
Content-Type: text/plain
CONTENT-LENGTH: 9999
Message-Body: <xccos xmlns="urn:parlano:xml:ns:xccos" ver="1" envid="7">
<rpl id="rpl:newverb" seqid="1" odd="secret words"><commandid seqid="1" envid="3"/><resp code="499">secret words</resp><data><box>secret words</box></data></rpl>
</xccos>
$$end_record
"#;
const CLIENT: &str = "11/22/2026|09:00:00.000 1A4:5C8 INFO  :: Sending Packet - 192.0.2.1:5061 (From Local Address: 192.0.2.2:50000) 300 bytes:\n\
11/22/2026|09:00:00.001 1A4:5C8 INFO  :: NEGOTIATE sip:192.0.2.1:5061 SIP/2.0\n\
Via: SIP/2.0/TLS 192.0.2.2:50000\nFrom: <sip:contoso.com>;tag=1\nTo: <sip:contoso.com>\nCall-ID: c2\nCSeq: 1 NEGOTIATE\nContent-Length: 0\n\n\
11/22/2026|09:00:00.002 1A4:5C8 INFO  :: End of Sending Packet - 192.0.2.1:5061\n\
11/22/2026|09:00:00.003 1A4:5C8 INFO  :: SIP/2.0 200 OK\n\
Via: SIP/2.0/TLS 192.0.2.2:50000\nFrom: <sip:contoso.com>;tag=1\nTo: <sip:contoso.com>;tag=2\nCall-ID: c2\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n\
11/22/2026|09:00:00.004 1A4:5C8 INFO  :: End of Data Received -\n";

fn found(report: &Report) -> Vec<(Kind, &str, usize)> {
    let finding = |finding: &'_ Finding| (finding.kind, finding.line);
    let named = report.findings.iter();
    named
        .map(|it| (finding(it).0, it.what.as_str(), finding(it).1))
        .collect()
}

#[test]
fn a_record_of_a_server_is_read_and_judged() {
    let text = SERVER.replace("9999", "100");
    let trace = read(&text);
    assert_eq!(trace.messages.len(), 1);
    let report = judge(&trace);
    assert_eq!((report.messages, report.documents, report.cut), (1, 1, 0));
    let found = found(&report);
    for expected in [
        (Kind::Header, "ms-new-header", 8),
        (Kind::Verb, "rpl:newverb", 8),
        (Kind::Element, "data/box", 8),
        (Kind::Attribute, "rpl/@odd", 8),
        (Kind::Code, "resp 499", 8),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    assert!(!format!("{report:?}").contains("secret"));
    assert!(!format!("{report:?}").contains("ann"));
    let answered = |id| {
        report
            .questions
            .iter()
            .any(|it| it.id == id && it.line == Some(8))
    };
    assert!(answered("result-codes") && answered("other-commands"));
    assert!(!answered("topic"));
}

#[test]
fn an_unknown_notice_answers_a_question() {
    let text = SERVER.replace("rpl", "ntc").replace("9999", "100");
    let report = judge(&read(&text));
    let other = |it: &&Question| it.id == "other-commands" && it.line == Some(8);
    assert!(report.questions.iter().any(|it| other(&it)));
}

#[test]
fn the_log_of_a_client_is_read_and_judged() {
    let trace = read(CLIENT);
    assert_eq!(trace.messages.len(), 2);
    assert_eq!(trace.messages[0].line, 2);
    let report = judge(&trace);
    let found = found(&report);
    assert!(
        found
            .iter()
            .any(|it| it.0 == Kind::Method && it.1 == "NEGOTIATE"),
        "{found:?}"
    );
    assert!(
        report
            .questions
            .iter()
            .any(|it| it.id == "options" && it.seen.as_deref() == Some("200"))
    );
}

#[test]
fn the_encoding_and_the_line_ends_of_a_file_do_not_matter() {
    let expected = read(CLIENT);
    let crlf = CLIENT.replace('\n', "\r\n");
    let little: Vec<u8> = crlf.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = crlf.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let files = [
        [b"\xEF\xBB\xBF".as_slice(), crlf.as_bytes()].concat(),
        [b"\xFF\xFE".as_slice(), &little].concat(),
        [b"\xFE\xFF".as_slice(), &big].concat(),
        little.clone(),
        big,
        // Half a character at the end.
        [&little, b"x".as_slice()].concat(),
    ];
    for file in files {
        assert_eq!(read(&decode_text(&file)), expected);
    }
}

#[test]
fn what_ends_early_is_cut_and_its_body_is_not_judged() {
    let report = judge(&read(SERVER));
    assert_eq!((report.cut, report.documents), (1, 0));
    for end in 0..SERVER.len() {
        let trace = read(SERVER.get(..end).unwrap());
        let _report = judge(&trace);
        assert!(trace.messages.iter().all(|message| message.is_cut));
    }
    let half = SERVER.split_once("Content-Type").unwrap().0;
    let trace = read(&format!("{half}{SERVER}"));
    assert_eq!(
        trace.messages.len(),
        2,
        "the next record begins a new message"
    );
}

#[test]
fn a_message_that_is_too_long_is_counted() {
    let text = SERVER.replace("secret words", &"x".repeat(LONGEST_MESSAGE / 2));
    let trace = read(&text);
    assert_eq!((trace.messages.len(), trace.too_long), (0, 1));
}

#[test]
fn words_that_stand_in_the_place_of_a_name_are_not_shown() {
    let text = SERVER
        .replace("rpl:newverb", "rpl:meet me at nine")
        .replace("9999", "100");
    let report = judge(&read(&text));
    assert!(!format!("{report:?}").contains("meet"));
}
