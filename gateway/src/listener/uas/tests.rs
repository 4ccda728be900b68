//! The user agent server between the texts of a client and its outputs.

use std::sync::atomic::{AtomicBool, Ordering};

use holdover_protocol::xccos::Document;

use super::*;
use crate::admission::Turned;
use crate::decide::{Refusal, RefusalReason};
use crate::peer::{ConnectionNumber, SentBy, Way};
use crate::registrar::Proof;

const HOUR: Duration = Duration::from_secs(3600);
const SIGN_IN: Duration = Duration::from_secs(30);
const LOOKUP: &str = "sip:ocschat@contoso.com";
const CHANNEL: &str = "sip:channel@contoso.com";

struct Client {
    uas: UserAgentServer,
    now: Instant,
    user: &'static str,
    epid: &'static str,
    cseq: u32,
    gate: Arc<Doorkeeper>,
}

/// Keeps Carl out for good and Dora for now.
#[derive(Debug, Default)]
struct Doorkeeper {
    down: AtomicBool,
}

impl Gate for Doorkeeper {
    fn sign_in(&self, caller: &Caller, _: Timestamp) -> Result<(), Turned> {
        let (reason, retry_after) = match caller.user.user() {
            "carl" => (RefusalReason::Rule, None),
            "dora" => (RefusalReason::Maintenance, Some(60)),
            _ => return Ok(()),
        };
        let text = "Back on Monday.".into();
        Err(Turned {
            refusal: Refusal { reason, text },
            retry_after,
        })
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }
}

impl Client {
    fn new() -> Self {
        let gate = Arc::<Doorkeeper>::default();
        let settings = UasSettings {
            service: Service {
                lookup_uri: LOOKUP.parse().unwrap(),
                channel_uri: CHANNEL.parse().unwrap(),
                session_expires: 1800,
                xccos: xccos::Limits::DEFAULT,
            },
            policy: Arc::new(Policy {
                domain: "contoso.com".into(),
                expires: HOUR,
                proof: Proof::None,
            }),
            gate: Arc::clone(&gate) as _,
            listener: "clients".parse().unwrap(),
            sign_in_timeout: SIGN_IN,
        };
        let sent_by = SentBy {
            transport: "TCP",
            address: "192.0.2.9:5060".into(),
        };
        let attachment = Attachment {
            connection: ConnectionNumber(1),
            sent_by,
            way: Way::Own,
        };
        let now = Instant::now();
        Self {
            uas: UserAgentServer::new(
                now,
                Arc::new(settings),
                attachment,
                ([192, 0, 2, 7], 50_000).into(),
                1,
            ),
            now,
            user: "sip:ann@contoso.com",
            epid: "0123456789ab",
            cseq: 0,
            gate,
        }
    }

    fn signed_in() -> Self {
        let mut client = Self::new();
        let outputs = client.send("REGISTER", "sip:contoso.com", "call", "", "");
        assert!(matches!(
            &outputs[..],
            [
                UasOutput::Send(_),
                UasOutput::Event(UasEvent::SignedIn { .. })
            ]
        ));
        client
    }

    /// Sends a request; REGISTER and SUBSCRIBE go to the user.
    fn send(
        &mut self,
        method: &str,
        uri: &str,
        call: &str,
        tag: &str,
        body: &str,
    ) -> Vec<UasOutput> {
        self.cseq += 1;
        let to = if matches!(method, "REGISTER" | "SUBSCRIBE") {
            self.user
        } else {
            uri
        };
        let tag = if tag.is_empty() {
            String::new()
        } else {
            format!(";tag={tag}")
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: text/plain\r\n"
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.1:5060\r\nMax-Forwards: 70\r\n\
             From: <{}>;tag=there;epid={}\r\nTo: <{to}>{tag}\r\nCall-ID: {call}\r\nCSeq: {} {method}\r\n\
             Event: vnd-microsoft-provisioning-v2\r\nContact: <{};gruu>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.user,
            self.epid,
            self.cseq,
            self.user,
            body.len(),
        );
        self.uas.handle(
            self.now,
            Duration::ZERO,
            Message::parse(text.as_bytes()).unwrap(),
        );
        self.drain()
    }

    fn drain(&mut self) -> Vec<UasOutput> {
        std::iter::from_fn(|| self.uas.poll_output()).collect()
    }

    /// Opens a dialog and answers our tag and what else came of it.
    fn invite(&mut self, uri: &str, call: &str) -> (String, Vec<UasOutput>) {
        let mut outputs = self.send("INVITE", uri, call, "", "");
        let accepted = text_of(&outputs.remove(0));
        assert!(accepted.starts_with("SIP/2.0 200 "), "{accepted}");
        let to = line(&accepted, "To").unwrap();
        let tag = to.split(";tag=").nth(1).unwrap().to_owned();
        self.send("ACK", uri, call, &tag, "");
        (tag, outputs)
    }

    fn channel(&mut self, call: &str) -> (String, ChannelId, Endpoint) {
        let (tag, mut outputs) = self.invite(CHANNEL, call);
        match outputs.pop() {
            Some(UasOutput::Open {
                channel, endpoint, ..
            }) => (tag, channel, endpoint),
            other => panic!("no channel: {other:?}"),
        }
    }
}

fn text_of(output: &UasOutput) -> String {
    match output {
        UasOutput::Send(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("nothing was sent: {other:?}"),
    }
}

fn line<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn assert_status(outputs: &[UasOutput], status: u16) -> String {
    let answer = text_of(&outputs[0]);
    assert!(
        answer.starts_with(&format!("SIP/2.0 {status} ")),
        "{answer}"
    );
    answer
}

const REQURI: &str = r#"<xccos ver="1" envid="139132350" xmlns="urn:parlano:xml:ns:xccos"><cmd id="cmd:requri" seqid="1"><data/></cmd></xccos>"#;

#[test]
fn whom_the_rules_turn_away_is_told_why_and_whether_to_try_again() {
    for (user, status, retry) in [
        ("sip:carl@contoso.com", 403, None),
        ("sip:dora@contoso.com", 503, Some("60")),
    ] {
        let mut client = Client::new();
        client.user = user;
        let outputs = client.send("REGISTER", "sip:contoso.com", "call", "", "");
        let answer = assert_status(&outputs, status);
        assert!(answer.contains("Back on Monday."), "{answer}");
        assert_eq!(line(&answer, "Retry-After"), retry);
        assert!(matches!(
            &outputs[1],
            UasOutput::Event(UasEvent::SignInRefused {
                reason: Refused::NotNow,
                ..
            })
        ));
        assert_eq!(client.uas.user(), None);
    }
}

#[test]
fn whoever_comes_while_the_gateway_goes_down_is_turned_away() {
    let mut client = Client::signed_in();
    let mut late = Client::new();
    for gate in [&client.gate, &late.gate] {
        gate.down.store(true, Ordering::Release);
    }
    for outputs in [
        late.send("REGISTER", "sip:contoso.com", "call", "", ""),
        client.send("REGISTER", "sip:contoso.com", "call", "", ""),
        client.send("INVITE", LOOKUP, "lookup", "", ""),
        client.send("INVITE", CHANNEL, "channel", "", ""),
    ] {
        let answer = assert_status(&outputs, 503);
        assert_eq!(line(&answer, "Retry-After"), Some("10"));
        assert_eq!(outputs.len(), 1, "{outputs:?}");
    }
    assert_eq!(late.uas.user(), None);
    // It is as it was for what is under way.
    assert!(client.uas.user().is_some());
}

#[test]
fn lookup_tells_the_channel_uri_and_ends() {
    let mut client = Client::signed_in();
    let (tag, rest) = client.invite(LOOKUP, "lookup");
    assert!(rest.is_empty(), "{rest:?}");
    let outputs = client.send("INFO", LOOKUP, "lookup", &tag, REQURI);
    assert_status(&outputs, 200);
    let reply = text_of(&outputs[1]);
    assert!(
        reply.starts_with("INFO sip:ann@contoso.com;gruu SIP/2.0\r\n"),
        "{reply}"
    );
    // The client finds its session by exactly the URI it invited.
    assert_eq!(
        line(&reply, "From"),
        Some(format!("<{LOOKUP}>;tag={tag}").as_str())
    );
    let body = reply.split("\r\n\r\n").nth(1).unwrap().to_owned();
    let document = Document::parse(body.clone(), &xccos::Limits::DEFAULT).unwrap();
    assert!(body.contains(&format!("<uib uri=\"{CHANNEL}\"")), "{body}");
    assert!(
        body.contains(r#"<commandid seqid="1" envid="139132350"/>"#),
        "{body}"
    );
    assert_eq!(document.items().count(), 1);
    assert!(matches!(
        outputs[2],
        UasOutput::Event(UasEvent::LookupAnswered { .. })
    ));
    assert_eq!(outputs.len(), 3);
    assert_status(&client.send("BYE", LOOKUP, "lookup", &tag, ""), 200);
    assert_status(&client.send("INFO", LOOKUP, "lookup", &tag, REQURI), 481);
}

#[test]
fn lookup_answer_has_session_expires() {
    let mut client = Client::signed_in();
    // Without it a client falls into a storm of UPDATEs after its first refused message.
    let outputs = client.send("INVITE", LOOKUP, "lookup", "", "");
    let accepted = assert_status(&outputs, 200);
    assert_eq!(
        line(&accepted, "Session-Expires"),
        Some("1800;refresher=uac")
    );
}

#[test]
fn lookup_knows_no_other_command_and_survives_rubbish() {
    let mut client = Client::signed_in();
    let (tag, _) = client.invite(LOOKUP, "lookup");
    let other = REQURI.replace("requri", "getinv");
    let outputs = client.send("INFO", LOOKUP, "lookup", &tag, &other);
    assert_status(&outputs, 200);
    assert!(text_of(&outputs[1]).contains(r#"code="501""#));
    assert_status(&client.send("INFO", LOOKUP, "lookup", &tag, "<xccos"), 400);
    assert_status(&client.send("UPDATE", LOOKUP, "lookup", &tag, ""), 200);
    assert_status(&client.send("INFO", LOOKUP, "lookup", &tag, REQURI), 200);
}

#[test]
fn channel_requests_go_to_the_session() {
    let mut client = Client::signed_in();
    let (tag, channel, endpoint) = client.channel("chat");
    assert_eq!(endpoint.user.as_str(), "sip:ann@contoso.com");
    assert_eq!(&*endpoint.epid, "0123456789ab");
    let outputs = client.send("INFO", CHANNEL, "chat", &tag, REQURI);
    assert!(matches!(&outputs[..], [UasOutput::Request(id, _)] if *id == channel));
    let outputs = client.send("BYE", CHANNEL, "chat", &tag, "");
    assert!(matches!(&outputs[..], [UasOutput::Request(id, _)] if *id == channel));
    assert_status(&client.send("INFO", CHANNEL, "chat", &tag, REQURI), 481);
}

#[test]
fn nothing_but_register_before_the_sign_in() {
    let mut client = Client::new();
    for method in ["INVITE", "SUBSCRIBE", "INFO"] {
        // Never 401 or 407: a client that was not challenged repeats the request without end.
        assert_status(&client.send(method, CHANNEL, "c", "", ""), 403);
    }
}

#[test]
fn anybody_may_ask_whether_the_server_is_there_and_it_is_no_event() {
    for mut client in [Client::new(), Client::signed_in()] {
        for user in [
            "sip:monitor@load-balancer.example.com",
            "sip:ann@contoso.com",
        ] {
            client.user = user;
            for (uri, status) in [
                ("sip:contoso.com", 200),
                ("sip:192.0.2.9:5060;transport=tcp", 200),
                (LOOKUP, 200),
                (CHANNEL, 200),
                ("sip:bob@contoso.com", 404),
            ] {
                let outputs = client.send("OPTIONS", uri, "c", "", "");
                assert_status(&outputs, status);
                assert_eq!(outputs.len(), 1, "{outputs:?}");
            }
        }
    }
    // In a dialog it is of a user.
    let outputs = Client::new().send("OPTIONS", CHANNEL, "c", "tag", "");
    assert_status(&outputs, 403);
}

#[test]
fn rfc3261_18_2_1_answers_say_where_a_client_is() {
    let mut client = Client::new();
    let outputs = client.send("REGISTER", "sip:contoso.com", "call", "", "");
    let answer = assert_status(&outputs, 200);
    let via = line(&answer, "Via").unwrap();
    assert_eq!(via, "SIP/2.0/tcp 192.0.2.1:5060;received=192.0.2.7");
}

#[test]
fn another_users_from_is_refused() {
    let mut client = Client::signed_in();
    let (tag, ..) = client.channel("chat");
    client.user = "sip:bob@contoso.com";
    for (method, tag) in [
        ("INVITE", ""),
        ("INFO", &*tag),
        ("BYE", &*tag),
        ("SUBSCRIBE", ""),
    ] {
        let outputs = client.send(method, CHANNEL, "chat", tag, "");
        assert_status(&outputs, 403);
        assert!(matches!(
            outputs[1],
            UasOutput::Event(UasEvent::WrongUser { .. })
        ));
        assert_eq!(outputs.len(), 2);
    }
    assert!(client.send("ACK", CHANNEL, "chat", &tag, "").is_empty());
    client.user = "sip:ann@contoso.com";
    assert!(matches!(
        &client.send("INFO", CHANNEL, "chat", &tag, REQURI)[..],
        [UasOutput::Request(..)]
    ));
}

#[test]
fn an_unknown_uri_is_404_and_a_known_one_is_known_in_any_spelling() {
    let mut client = Client::signed_in();
    assert_status(
        &client.send("INVITE", "sip:nobody@contoso.com", "c1", "", ""),
        404,
    );
    assert_status(
        &client.send("INVITE", "sip:channel@fabrikam.com", "c2", "", ""),
        404,
    );
    let outputs = client.send(
        "INVITE",
        "sip:Channel@CONTOSO.com;transport=tls",
        "c3",
        "",
        "",
    );
    assert_status(&outputs, 200);
    assert!(matches!(outputs[1], UasOutput::Open { .. }));
}

#[test]
fn rfc3261_12_2_2_an_unknown_dialog_is_481() {
    let mut client = Client::signed_in();
    let (tag, ..) = client.channel("chat");
    for method in ["INFO", "BYE", "UPDATE", "INVITE"] {
        assert_status(&client.send(method, CHANNEL, "chat", "other", ""), 481);
        assert_status(&client.send(method, CHANNEL, "other", &tag, ""), 481);
    }
    assert!(client.send("ACK", CHANNEL, "other", &tag, "").is_empty());
}

#[test]
fn endpoints_that_share_call_id_and_tags_have_dialogs_of_their_own() {
    let mut client = Client::signed_in();
    let (first_tag, first, _) = client.channel("chat");
    client.epid = "ba9876543210";
    let (second_tag, second, endpoint) = client.channel("chat");
    assert_ne!(first, second);
    assert_eq!(&*endpoint.epid, "ba9876543210");
    let outputs = client.send("INFO", CHANNEL, "chat", &second_tag, REQURI);
    assert!(matches!(&outputs[..], [UasOutput::Request(id, _)] if *id == second));
    client.epid = "0123456789ab";
    let outputs = client.send("INFO", CHANNEL, "chat", &first_tag, REQURI);
    assert!(matches!(&outputs[..], [UasOutput::Request(id, _)] if *id == first));
}

#[test]
fn responses_find_their_channel_and_strays_are_dropped() {
    let mut client = Client::signed_in();
    let (tag, channel, _) = client.channel("chat");
    let mut answer = |call: &str| {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK1\r\n\
             From: <{CHANNEL}>;tag={tag}\r\nTo: <sip:ann@contoso.com>;tag=there;epid=0123456789ab\r\n\
             Call-ID: {call}\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
        );
        client.uas.handle(
            client.now,
            Duration::ZERO,
            Message::parse(text.as_bytes()).unwrap(),
        );
        client.drain()
    };
    assert!(matches!(&answer("chat")[..], [UasOutput::Response(id, _)] if *id == channel));
    assert!(answer("other").is_empty());
}

#[test]
fn dialogs_of_one_connection_are_bounded() {
    let mut client = Client::signed_in();
    let mut open = Vec::new();
    for call in 0..MAX_DIALOGS {
        let (tag, ..) = client.channel(&format!("chat-{call}"));
        open.push((format!("chat-{call}"), tag));
    }
    // A session beyond the limit would live as long as the connection, and nobody could reach it.
    let outputs = client.send("INVITE", CHANNEL, "one-more", "", "");
    assert_status(&outputs, 503);
    assert_eq!(outputs.len(), 1);
    for (call, tag) in &open {
        let outputs = client.send("INFO", CHANNEL, call, tag, REQURI);
        assert!(matches!(&outputs[..], [UasOutput::Request(..)]), "{call}");
    }
    // One that ended makes room, and is let go of.
    client.send("BYE", CHANNEL, &open[3].0, &open[3].1, "");
    let outputs = client.send("INVITE", CHANNEL, "again", "", "");
    assert!(matches!(
        &outputs[..],
        [
            UasOutput::Forget(_),
            UasOutput::Send(_),
            UasOutput::Open { .. }
        ]
    ));
}

#[test]
fn lookups_of_one_connection_are_bounded() {
    let mut client = Client::signed_in();
    let tags: Vec<String> = (0..=MAX_DIALOGS)
        .map(|call| client.invite(LOOKUP, &format!("l-{call}")).0)
        .collect();
    assert_status(&client.send("INFO", LOOKUP, "l-0", &tags[0], REQURI), 481);
    let last = MAX_DIALOGS;
    assert_status(
        &client.send("INFO", LOOKUP, &format!("l-{last}"), &tags[last], REQURI),
        200,
    );
}

#[test]
fn who_does_not_sign_in_is_hung_up_on() {
    let mut client = Client::new();
    let deadline = client.now + SIGN_IN;
    assert_eq!(client.uas.poll_timeout(), deadline);
    client
        .uas
        .handle_timeout(deadline - Duration::from_millis(1));
    assert!(client.drain().is_empty());
    client.uas.handle_timeout(deadline);
    assert!(matches!(
        &client.drain()[..],
        [UasOutput::Close(CloseReason::NoSignIn)]
    ));
}

#[test]
fn a_registration_that_runs_out_ends_the_sessions() {
    let mut client = Client::signed_in();
    let (_, channel, _) = client.channel("chat");
    let deadline = client.uas.poll_timeout();
    assert_eq!(deadline, client.now + HOUR);
    client.uas.handle_timeout(deadline);
    let outputs = client.drain();
    assert!(matches!(&outputs[0], UasOutput::SignedOut(channels) if *channels == [channel]));
    assert!(matches!(
        outputs[1],
        UasOutput::Event(UasEvent::SignedOut { expired: true, .. })
    ));
    assert!(matches!(outputs[2], UasOutput::Close(CloseReason::Expired)));
}

#[test]
fn signing_out_ends_the_sessions_also_of_dialogs_that_said_bye() {
    let mut client = Client::signed_in();
    let (tag, first, _) = client.channel("chat");
    client.send("BYE", CHANNEL, "chat", &tag, "");
    let (tag, second, _) = client.channel("again");
    client.cseq += 1;
    let text = format!(
        "REGISTER sip:contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp h\r\nFrom: <{0}>;tag=1\r\nTo: <{0}>\r\n\
         Call-ID: r\r\nCSeq: {1} REGISTER\r\nExpires: 0\r\nContent-Length: 0\r\n\r\n",
        client.user, client.cseq
    );
    client.uas.handle(
        client.now,
        Duration::ZERO,
        Message::parse(text.as_bytes()).unwrap(),
    );
    let outputs = client.drain();
    assert_status(&outputs, 200);
    assert!(matches!(&outputs[1], UasOutput::SignedOut(channels) if *channels == [first, second]));
    assert_status(&client.send("INFO", CHANNEL, "again", &tag, REQURI), 403);
    assert_eq!(client.uas.poll_timeout(), client.now + SIGN_IN);
}

#[test]
fn rfc3261_8_2_what_is_not_understood_is_said_so() {
    let mut client = Client::signed_in();
    let answer = assert_status(&client.send("PUBLISH", CHANNEL, "c", "", ""), 405);
    assert!(line(&answer, "Allow").is_some(), "{answer}");
    assert_status(&client.send("FROB", CHANNEL, "c", "", ""), 501);
    assert_status(&client.send("INVITE", "tel:+123", "c", "", ""), 416);
    let options = assert_status(&client.send("OPTIONS", CHANNEL, "c", "", ""), 200);
    assert!(
        line(&options, "Allow").is_some_and(|allow| allow.contains("INVITE")),
        "{options}"
    );
}

#[test]
fn rfc3261_9_2_a_cancel_finds_nothing_to_cancel() {
    let mut client = Client::signed_in();
    let (tag, _) = client.invite(CHANNEL, "channel");
    for tag in [tag.as_str(), ""] {
        assert_status(&client.send("CANCEL", CHANNEL, "channel", tag, ""), 481);
    }
}

#[test]
fn a_user_agent_that_is_too_long_to_be_kept_is_refused() {
    let register = |length| {
        let mut client = Client::new();
        let text = format!(
            "REGISTER sip:contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.1:5060\r\n\
             From: <sip:ann@contoso.com>;tag=there\r\nTo: <sip:ann@contoso.com>\r\nCall-ID: call\r\n\
             CSeq: 1 REGISTER\r\nUser-Agent: {}\r\nContent-Length: 0\r\n\r\n",
            "x".repeat(length),
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        client.uas.handle(client.now, Duration::ZERO, message);
        match client.drain().swap_remove(0) {
            UasOutput::Send(answer) => String::from_utf8(answer.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert!(register(512).starts_with("SIP/2.0 200 "));
    let refused = register(513);
    assert!(refused.starts_with("SIP/2.0 400 "), "{refused}");
    assert!(
        refused.contains("User-Agent header field is too long"),
        "{refused}"
    );
}
