//! The messages of RFC 4475 and RFC 5118, each with the verdict that its `index.tsv` asks for.
//!
//! Their octets are not part of this repository. The folder that holds them is `HOLDOVER_CONFORMANCE`, or
//! `../shared/conformance` beside the workspace; without it these tests say that they were skipped.

#[cfg(test)]
mod torture {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};

    use holdover_protocol::sip::{
        Decoded, Decoder, Fault, Host, KeepAlive, Message, Method, Name, Scheme, SipUri, Uas,
    };

    /// What this server says to a message, in the words of the index.
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Verdict {
        /// A request it would process, or a response it would take.
        Accept,
        /// A request it answers so and goes on.
        Answer(u16),
        /// A response it does not take.
        Drop,
        /// It waits for more.
        Wait,
        /// It answers so, if it says anything, and closes.
        Close(Option<u16>),
    }
    use Verdict::{Accept, Answer, Close, Drop, Wait};

    /// Serves calls and registrations as RFC 4475 supposes: SDP is understood, no extension is.
    const UAS: Uas<'_> = Uas {
        methods: &[
            Method::Invite,
            Method::Ack,
            Method::Bye,
            Method::Cancel,
            Method::Options,
            Method::Register,
            Method::Message,
        ],
        schemes: &["sip", "sips"],
        extensions: &[],
        bodies: &[
            (Method::Invite, &["application/sdp"]),
            (Method::Message, &["text/plain", "multipart/mixed"]),
        ],
    };

    fn answered(message: &Message, fault: &Fault) -> Option<u16> {
        let answer = fault.answer(message, "local", &[])?.finish();
        let Some(Message::Response(response)) = read_answer(&answer) else {
            panic!("not a response: {answer:?}");
        };
        assert_eq!(response.status(), fault.status);
        for (name, value) in &fault.headers {
            assert_eq!(response.headers().get(*name), Some(value.as_str()));
        }
        Some(response.status().code())
    }

    /// The answer to a faulty request has the faults of the fields it copies: only its frame is looked at.
    fn read_answer(bytes: &[u8]) -> Option<Message> {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        match decoder.decode() {
            Decoded::Message(message) => Some(message),
            Decoded::Malformed { message, .. } => message,
            _ => None,
        }
    }

    /// Everything a stream of these octets leads to, keep-alives left out.
    fn verdicts(octets: &[u8]) -> Vec<(Verdict, Option<Message>)> {
        let mut decoder = Decoder::default();
        decoder.push(octets);
        let mut verdicts = Vec::new();
        loop {
            match decoder.decode() {
                Decoded::NeedMore { .. } => {
                    if decoder.is_mid_message() {
                        verdicts.push((Wait, None));
                    }
                    return verdicts;
                }
                Decoded::KeepAlive(KeepAlive::Ping | KeepAlive::Pong) => {}
                Decoded::Message(message) => {
                    let verdict = match &message {
                        Message::Response(_) => Accept,
                        Message::Request(request) => match UAS.check(request) {
                            Ok(()) => Accept,
                            Err(fault) => Answer(answered(&message, &fault).unwrap()),
                        },
                    };
                    verdicts.push((verdict, Some(message)));
                }
                Decoded::Malformed { message, fault } => {
                    let verdict = match message.as_ref().and_then(|it| answered(it, &fault)) {
                        Some(status) => Answer(status),
                        None => Drop,
                    };
                    verdicts.push((verdict, message));
                }
                Decoded::Fatal { message, fault } => {
                    let status = message.as_ref().and_then(|it| answered(it, &fault));
                    verdicts.push((Close(status), message));
                }
            }
        }
    }

    fn corpus(name: &str) -> Option<PathBuf> {
        let root = std::env::var_os("HOLDOVER_CONFORMANCE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
            PathBuf::from,
        );
        let folder = root.join(name);
        if folder.is_dir() {
            return Some(folder);
        }
        // Past the harness, which would keep what a passing test prints to itself.
        let warning = format!("SKIPPED: no {} with torture messages\n", folder.display());
        io::stderr().write_all(warning.as_bytes()).unwrap();
        None
    }

    /// The rows of an index: each a map from its heading to its text.
    fn index(folder: &Path) -> Vec<BTreeMap<String, String>> {
        let text = fs::read_to_string(folder.join("index.tsv")).unwrap();
        let mut lines = text.lines();
        let headings: Vec<_> = lines.next().unwrap().split('\t').collect();
        lines
            .map(|line| {
                let fields = line.split('\t').map(str::to_owned);
                headings
                    .iter()
                    .map(|&it| it.to_owned())
                    .zip(fields)
                    .collect()
            })
            .collect()
    }

    /// What the index asks for: on a stream where it says something else there, as a user agent server otherwise. Where it
    /// allows several answers, the first.
    fn expected(row: &BTreeMap<String, String>) -> Vec<Verdict> {
        match row.get("stream").map_or("same", String::as_str) {
            "same" => {}
            // The INVITE's body is one octet longer than its Content-Length. That octet begins no message.
            "TWO messages: REGISTER, then an INVITE" => return vec![Accept, Accept, Close(None)],
            "wait for more; close when none comes in time" => return vec![Wait],
            "400 if it can, then close: framing is lost"
            | "400 and close: no Content-Length on a stream" => return vec![Close(Some(400))],
            other => panic!("{}: unknown stream verdict {other:?}", row["name"]),
        }
        let first = row["uas"].split([' ', ';', ':']).next().unwrap();
        vec![match first {
            "200" | "accept" => Accept,
            // This server asks for no credentials, and dates do not matter to it: the index has 200 for both.
            "401" if row["uas"].ends_with("else 200") => Accept,
            "drop" => Drop,
            status => Answer(status.parse().unwrap()),
        }]
    }

    fn check(folder: &str, count: usize) {
        let Some(folder) = corpus(folder) else { return };
        let rows = index(&folder);
        assert_eq!(rows.len(), count);
        let mut wrong = Vec::new();
        for row in &rows {
            let octets = fs::read(folder.join(&row["file"])).unwrap();
            let found: Vec<_> = verdicts(&octets).into_iter().map(|it| it.0).collect();
            if found != expected(row) {
                wrong.push(format!(
                    "{}: {found:?}, not {:?}",
                    row["name"],
                    expected(row)
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn rfc4475_every_message_gets_its_verdict() {
        check("rfc4475", 49);
    }

    #[test]
    fn rfc5118_every_message_gets_its_verdict() {
        check("rfc5118", 12);
    }

    fn message(folder: &str, name: &str) -> Option<Message> {
        let octets = fs::read(corpus(folder)?.join(name).with_extension("dat")).unwrap();
        verdicts(&octets).swap_remove(0).1
    }

    #[test]
    fn rfc4475_section_3_1_1_1_wsinv_is_read_through_all_its_white_space() {
        let Some(message) = message("rfc4475", "wsinv") else {
            return;
        };
        let headers = message.headers();
        assert_eq!(headers.to().unwrap().tag(), Some("1918181833n"));
        let from = headers.from().unwrap();
        assert_eq!(from.display_name().as_deref(), Some(r#"J Rosenberg \""#));
        assert_eq!(from.tag(), Some("98asjd8"));
        assert_eq!(headers.max_forwards(), Ok(Some(68)));
        assert_eq!(headers.cseq().unwrap().number, 9);
        assert_eq!(headers.get(Name::Subject), Some(""));
        assert_eq!(headers.vias().count(), 3);
        assert_eq!(
            headers.get_other("unknownheaderwithunusualvalue"),
            Some(";;,,;;,;")
        );
        let contact = headers.contacts().next().unwrap().unwrap();
        let address = contact.address().unwrap();
        assert_eq!(
            address.display_name().as_deref(),
            Some(r#"Quoted string """#)
        );
        assert_eq!(address.param("newparam"), Some("newvalue"));
        assert_eq!(address.param("secondparam"), Some(""));
        assert_eq!(address.param("q"), Some("0.33"));
        let route = headers.routes().next().unwrap().unwrap();
        assert_eq!(
            route.uri().as_sip().unwrap().param("unknown-no-value"),
            Some("")
        );
        assert_eq!(message.body().len(), 150);
    }

    #[test]
    fn rfc4475_section_3_1_1_2_intmeth_keeps_every_odd_character() {
        let Some(Message::Request(request)) = message("rfc4475", "intmeth") else {
            return;
        };
        assert_eq!(
            request.method().as_str(),
            "!interesting-Method0123456789_*+`.%indeed'~"
        );
        let uri = SipUri::parse(request.uri()).unwrap();
        assert_eq!(
            uri.user(),
            Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
        );
        assert_eq!(
            uri.password(),
            Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
        );
        let to = request.headers().to().unwrap();
        assert_eq!(
            to.display_name().as_deref(),
            Some("BEL:\x07 NUL:\0 DEL:\x7f")
        );
        let from = request.headers().from().unwrap();
        assert_eq!(
            from.display_name().as_deref(),
            Some("token1~` token2'+_ token3*%!.-")
        );
        assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    }

    #[test]
    fn rfc4475_section_3_1_1_3_to_3_1_1_9_escapes_stay_escapes() {
        let Some(Message::Request(request)) = message("rfc4475", "esc01") else {
            return;
        };
        let uri = SipUri::parse(request.uri()).unwrap();
        assert_eq!(uri.scheme(), Scheme::Sip);
        assert_eq!(uri.user(), Some("sips%3Auser%40example.com"));
        let contact = request.headers().contacts().next().unwrap().unwrap();
        let contact = contact.address().unwrap().uri();
        let same =
            SipUri::parse("sip:caller@host5.example.net;%6C%72;name=v%61lue%25%34%31").unwrap();
        assert!(contact.as_sip().unwrap().equivalent(&same));

        let Some(message) = message("rfc4475", "escnull") else {
            return;
        };
        let users: Vec<_> = message
            .headers()
            .contacts()
            .map(|it| {
                it.unwrap()
                    .address()
                    .unwrap()
                    .uri()
                    .as_sip()
                    .unwrap()
                    .user()
            })
            .collect();
        assert_eq!(users, [Some("%00"), Some("%00%00")]);
    }

    #[test]
    fn rfc4475_section_3_1_1_9_semiuri_has_the_semicolon_in_its_user() {
        let Some(Message::Request(request)) = message("rfc4475", "semiuri") else {
            return;
        };
        let uri = SipUri::parse(request.uri()).unwrap();
        assert_eq!(uri.user(), Some("user;par=u%40example.net"));
        assert_eq!(uri.host(), Host::Name("example.com"));
        assert!(uri.params().is_empty());
    }

    #[test]
    fn rfc4475_section_3_1_1_11_mpart01_body_comes_octet_for_octet() {
        let Some(folder) = corpus("rfc4475") else {
            return;
        };
        let octets = fs::read(folder.join("mpart01.dat")).unwrap();
        let message = Message::parse(&octets).unwrap();
        assert_eq!(message.body().len(), 553);
        assert!(octets.ends_with(message.body()));
    }

    #[test]
    fn rfc4475_sections_3_3_12_and_3_3_13_whose_parameter_it_is() {
        let Some(bare) = message("rfc4475", "cparam01") else {
            return;
        };
        let contact = bare.headers().contacts().next().unwrap().unwrap();
        let address = contact.address().unwrap();
        assert_eq!(address.param("unknownparam"), Some(""));
        assert_eq!(address.uri().as_sip().unwrap().param("unknownparam"), None);

        let Some(bracketed) = message("rfc4475", "cparam02") else {
            return;
        };
        let contact = bracketed.headers().contacts().next().unwrap().unwrap();
        let address = contact.address().unwrap();
        assert_eq!(address.param("unknownparam"), None);
        assert_eq!(
            address.uri().as_sip().unwrap().param("unknownparam"),
            Some("")
        );
    }

    #[test]
    fn rfc5118_sections_4_3_and_4_4_what_is_the_port() {
        let Some(Message::Request(one)) = message("rfc5118", "port-ambiguous") else {
            return;
        };
        let Some(Message::Request(two)) = message("rfc5118", "port-unambiguous") else {
            return;
        };
        let one = SipUri::parse(one.uri()).unwrap();
        let two = SipUri::parse(two.uri()).unwrap();
        assert_eq!(
            (one.host(), one.port()),
            (Host::V6("2001:db8::10:5070"), None)
        );
        assert_eq!(
            (two.host(), two.port()),
            (Host::V6("2001:db8::10"), Some(5070))
        );
    }
}
