//! `holdover trace`: what the program says of a log, and what it does not.

use std::fs;

use holdover_tests::binary::run;
use serde_json::Value;

/// A record of a server whose message has words of people in every place that could hold them.
const LOG: &str = "TL_INFO(TF_PROTOCOL) [0]0B4.0F0::11/22/2026-09:00:00.001.00000002 (SIPStack)$$begin_record\r\n\
Direction: incoming\r\n\
Start-Line: INFO sip:secretroom@contoso.com SIP/2.0\r\n\
From: \"secret name\" <sip:secretuser@contoso.com>;tag=1;epid=2\r\n\
To: <sip:secretroom@contoso.com>;tag=2\r\n\
Call-ID: secretcall\r\n\
CSeq: 2 INFO\r\n\
Max-Forwards: 70\r\n\
Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1\r\n\
Proxy-Authorization: Kerberos response=\"secretticket\"\r\n\
X-Odd: secretvalue\r\n\
Content-Type: text/plain\r\n\
Content-Length: 100\r\n\
Message-Body: <xccos xmlns=\"urn:parlano:xml:ns:xccos\" ver=\"1\" envid=\"7\">\
<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"ma-chan://contoso.com/secretid\" author=\"sip:secretuser@contoso.com\" ts=\"secret\">\
<chat>secret words</chat><rtf>secret words</rtf></grpchat></xccos>\r\n\
$$end_record\r\n";

#[test]
fn a_log_is_judged_without_what_people_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let units: Vec<u8> = LOG.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(
        folder.path().join("server.log"),
        [b"\xFF\xFE".as_slice(), &units].concat(),
    )
    .unwrap();
    let output = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = run(folder.path(), &arguments, "");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("secret"), "{text}");
        text
    };
    assert!(output("trace read server.log").contains("INFO"));
    let text = output("trace judge server.log");
    assert!(
        text.contains("x-odd") && text.contains("grpchat/rtf"),
        "{text}"
    );
    assert!(
        text.contains("[x] what stands beside the plain text of a message: rtf, line 3"),
        "{text}"
    );
    let report: Value =
        serde_json::from_str(&output("trace judge server.log --format json")).unwrap();
    let finding = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["what"] == "grpchat/rtf");
    let finding = finding.unwrap();
    assert_eq!(
        (&finding["kind"], &finding["line"]),
        (&"element".into(), &3.into())
    );
}

#[test]
fn a_file_without_messages_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("other.log"), "nothing\n").unwrap();
    let output = run(folder.path(), &["trace", "judge", "other.log"], "");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("other.log has no SIP message"), "{errors}");
}
