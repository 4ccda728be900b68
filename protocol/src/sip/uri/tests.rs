//! Reading and printing URIs.

use proptest::prelude::*;

use super::*;
use crate::sip::plain::tests::pieces;

proptest! {
    #[test]
    fn what_is_read_in_one_pass_is_what_the_grammar_says(text in pieces()) {
        let text = text.trim_start_matches('<');
        prop_assert_eq!(Uri::parse(text), Uri::parse_by_grammar(text));
    }
}

#[test]
fn rfc3261_section_19_1_3_examples_in_their_parts() {
    let text = "sips:alice:secret@[2001:db8::10]:5061;transport=tcp;lr?subject=project%20x&priority=urgent";
    let uri = SipUri::parse(text).unwrap();
    assert_eq!(uri.scheme(), Scheme::Sips);
    assert_eq!(uri.user(), Some("alice"));
    assert_eq!(uri.password(), Some("secret"));
    assert_eq!(uri.host(), Host::V6("2001:db8::10"));
    assert_eq!(uri.port(), Some(5061));
    assert_eq!(uri.param("Transport"), Some("tcp"));
    assert_eq!(uri.param("lr"), Some(""));
    assert_eq!(uri.headers(), Some("subject=project%20x&priority=urgent"));
    assert_eq!(uri.to_string(), text);
}

#[test]
fn what_office_communications_server_writes_is_read() {
    for text in [
        "sip:alice@contoso.com;opaque=user:epid:BqjNTHPrAlmIkmxSbOSGrgAA;gruu",
        "sip:pool.contoso.com:5061;transport=tls;ms-fe=fe1.contoso.com",
        "sip:pool.contoso.com:5061;transport=tls;ms-role-rs-from;ms-opaque=ab12;lr",
        "sip:alice@contoso.com:50123;maddr=10.0.0.5;transport=tcp",
        "sip:GC-1-PersistentChatService-1@contoso.com",
        "sip:my_host.contoso.com.",
    ] {
        assert_eq!(SipUri::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn schemes_compare_in_any_case() {
    assert_eq!(SipUri::parse("SIP:a@b").unwrap().to_string(), "sip:a@b");
    assert_eq!(Uri::parse("SipS:a@b").unwrap().scheme(), "sips");
}

#[test]
fn rfc4475_section_3_3_2_and_3_3_4_other_schemes_are_uris_too() {
    for text in [
        "nobodyKnowsThisScheme:totallyopaquecontent",
        "soap.beep://192.0.2.103:3002",
        "isbn:2983792873",
        "http://www.example.com",
    ] {
        let uri = Uri::parse(text).unwrap();
        assert!(uri.as_sip().is_none());
        assert_eq!(uri.to_string(), text);
        assert!(SipUri::parse(text).is_err());
    }
}

#[test]
fn rfc3261_section_25_1_what_is_no_uri() {
    for bad in [
        "",
        "alice",
        "alice@example.com",
        ":x",
        "1x:y",
        "x:",
        "tel:1 2",
        "http://<a>",
        "sip:",
        "sip:@example.com",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@example.com",
        "sip:a%4@example.com",
        "sip:a%zz@example.com",
        "sip:ä@example.com",
        "sip:a:p;w@example.com",
        "sip:a@.example.com",
        "sip:a@ex..com",
        "sip:a@exämple.com",
        "sip:a@example.com:",
        "sip:a@example.com:65536",
        "sip:a@example.com:+1",
        "sip:a@example.com:50x",
        "sip:a@example.com;",
        "sip:a@example.com;;lr",
        "sip:a@example.com;=x",
        "sip:a@example.com;x=",
        "sip:a@example.com; lr",
        "sip:a@example.com;x=\"y\"",
        "sip:a@example.com?",
        "sip:a@example.com?x",
        "sip:a@example.com?=y",
        "sip:a@example.com?x=y&",
        "sip:a@example.com/x",
        "sip:<a@example.com>",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn rfc5118_section_4_2_addresses_without_brackets_are_refused() {
    assert!(Uri::parse("sip:2001:db8::10").is_err());
    assert!(Uri::parse("sip:a@[2001:db8::10").is_err());
    assert!(Uri::parse("sip:a@[]").is_err());
    assert!(Uri::parse("sip:a@[example.com]").is_err());
    assert!(Uri::parse("sip:a@[20010:db8::1]").is_err());
}

#[test]
fn rfc5118_section_4_10_three_colons_are_tolerated() {
    let uri = SipUri::parse("sip:user@[2001:db8:::192.0.2.1]").unwrap();
    assert_eq!(uri.host(), Host::V6("2001:db8:::192.0.2.1"));
}

#[test]
fn rfc3261_section_25_1_ipv4_addresses_have_four_octets() {
    let host = |text| SipUri::parse(text).map(|uri| uri.host());
    assert_eq!(host("sip:192.0.2.4"), Ok(Host::V4("192.0.2.4")));
    assert_eq!(host("sip:4.example.com"), Ok(Host::Name("4.example.com")));
    for bad in [
        "sip:192.0.2",
        "sip:192.0.2.256",
        "sip:192.0.2.4.5",
        "sip:192.0.2.0004",
        "sip:12",
    ] {
        assert!(host(bad).is_err(), "{bad}");
    }
}

prop_compose! {
    fn user()(text in "[a-zA-Z0-9;?/&=+$,_.!~*'()-]{1,12}", escape in "(%[0-9a-fA-F]{2})?") -> String {
        text + &escape
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z][a-z0-9_-]{0,8}){0,3}",
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        "\\[([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\\]",
        "\\[([0-9a-f]{1,4}:){1,5}:[0-9a-f]{1,4}\\]",
    ]
}

/// Any SIP URI, put together part by part.
pub(in crate::sip) fn sip_uri() -> impl Strategy<Value = String> {
    let userinfo = proptest::option::of((user(), proptest::option::of("[a-z0-9&=+$,]{0,8}")));
    let params = proptest::collection::vec("[a-z-]{1,8}(=[a-z0-9:/&+$\\[\\]-]{1,8})?", 0..4);
    let headers = proptest::collection::vec("[a-z]{1,8}=[a-z0-9:/?+$-]{0,8}", 0..3);
    (
        "sips?",
        userinfo,
        host(),
        proptest::option::of(any::<u16>()),
        params,
        headers,
    )
        .prop_map(|(scheme, userinfo, host, port, params, headers)| {
            let userinfo = userinfo.map_or_else(String::new, |(user, password)| {
                let password = password.map_or_else(String::new, |password| format!(":{password}"));
                format!("{user}{password}@")
            });
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let params: String = params.iter().map(|param| format!(";{param}")).collect();
            let headers = match headers.join("&") {
                joined if joined.is_empty() => joined,
                joined => format!("?{joined}"),
            };
            format!("{scheme}:{userinfo}{host}{port}{params}{headers}")
        })
}

proptest! {
    #[test]
    fn what_is_parsed_prints_as_it_was(text in sip_uri()) {
        let uri = SipUri::parse(&text).unwrap();
        prop_assert_eq!(uri.to_string(), text.as_str());
        prop_assert!(uri.equivalent(&uri));
    }

    #[test]
    fn what_any_text_parses_to_prints_to_the_same(text in "(sips?:)?[ -~]{0,40}") {
        if let Ok(uri) = Uri::parse(&text) {
            let printed = uri.to_string();
            prop_assert_eq!(Uri::parse(&printed).unwrap(), uri);
        }
    }
}
