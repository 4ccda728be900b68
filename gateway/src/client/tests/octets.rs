//! What a client writes, octet by octet, and what it makes of answers.

use std::time::Duration;

use holdover_protocol::sip::Name;
use holdover_protocol::sip::digest::{Authenticator, Credentials, Ha1, NonceKey, Verdict};
use holdover_protocol::xccos::verb::BackChatReply;
use holdover_protocol::xccos::{Command, Document, Item, ReplyData};
use jiff::Timestamp;

use super::bench::{
    Bench, CHANNEL, PROVISIONED, REGISTERED, body, reply, request, room, without_chance,
};
use crate::client::{Answer, Event, Failure, Password, Refusal, Step};

#[test]
fn register_as_it_goes_out() {
    let bench = Bench::new(None);
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(
        without_chance(&bench.sent[0]),
        "REGISTER sip:contoso.com SIP/2.0\n\
         Via: SIP/2.0/tcp 192.0.2.7:50123;branch=z9hG4bK_\n\
         Max-Forwards: 70\n\
         From: <sip:ann@contoso.com>;tag=_;epid=000000000abc\n\
         To: <sip:ann@contoso.com>\n\
         Call-ID: _\n\
         CSeq: 1 REGISTER\n\
         User-Agent: Test/1\n\
         Contact: <sip:192.0.2.7:50123;transport=tcp>;methods=\"INVITE, MESSAGE, INFO, SUBSCRIBE, OPTIONS, BYE, \
         CANCEL, NOTIFY, ACK, REFER, BENOTIFY\";proxy=replace\n\
         Supported: gruu-10, adhoclist, msrtc-event-categories\n\
         Event: registration\n\
         Allow-Events: presence\n\
         ms-keep-alive: UAC;hop-hop=yes\n\
         Content-Length: 0\n\n"
    );
}

#[test]
fn the_way_to_the_channel_as_it_goes_out() {
    let mut bench = Bench::new(None);
    bench.sign_in();
    let starts: Vec<_> = bench
        .sent
        .iter()
        .map(|text| {
            text.lines()
                .next()
                .unwrap()
                .strip_suffix(" SIP/2.0")
                .unwrap_or("200")
        })
        .collect();
    assert_eq!(
        starts,
        [
            "REGISTER sip:contoso.com",
            "SUBSCRIBE sip:ann@contoso.com",
            "INVITE sip:ocschat@contoso.com",
            "ACK sip:ocschat@contoso.com",
            "INFO sip:ocschat@contoso.com",
            "200",
            "BYE sip:ocschat@contoso.com",
            "INVITE sip:channel@contoso.com;opaque=srvr:1",
            "ACK sip:pool.contoso.com:5061;transport=tcp",
            "INFO sip:pool.contoso.com:5061;transport=tcp",
        ]
    );
    let invite = without_chance(&bench.sent[2]);
    assert!(
        invite.starts_with(
            "INVITE sip:ocschat@contoso.com SIP/2.0\n\
         Via: SIP/2.0/tcp 192.0.2.7:50123\n\
         Max-Forwards: 70\n\
         From: <sip:ann@contoso.com>;tag=_;epid=000000000abc\n\
         To: <sip:ocschat@contoso.com>\n\
         Call-ID: _\n\
         CSeq: 1 INVITE\n\
         User-Agent: Test/1\n\
         Supported: ms-sender\n\
         Contact: <sip:ann@contoso.com:50123;maddr=192.0.2.7;transport=tcp>;proxy=replace\n\
         Content-Type: application/sdp\n"
        ),
        "{invite}"
    );
    assert!(invite.contains("\nm=message "), "{invite}");
    let info = without_chance(bench.last("INFO"));
    assert!(
        info.starts_with(
            "INFO sip:pool.contoso.com:5061;transport=tcp SIP/2.0\n\
         Via: SIP/2.0/tcp 192.0.2.7:50123\n\
         Max-Forwards: 70\n\
         From: <sip:ann@contoso.com>;tag=_;epid=000000000abc\n\
         To: <sip:channel@contoso.com;opaque=srvr:1>;tag=srv;epid=feed\n\
         Call-ID: _\n\
         CSeq: 2 INFO\n\
         User-Agent: Test/1\n\
         Content-Type: text/plain\n\
         Content-Length: "
        ),
        "{info}"
    );
}

#[test]
fn two_clients_of_one_second_write_the_same_call_ids_and_tags() {
    let (one, other) = (Bench::new(None), Bench::new(None));
    assert_eq!(one.sent, other.sent);
}

#[test]
fn record_routes_are_followed_backwards() {
    let mut bench = Bench::new(None);
    bench.answer("REGISTER", "200 OK", REGISTERED);
    bench.answer("SUBSCRIBE", "200 OK", PROVISIONED);
    bench.answer(
        "INVITE",
        "200 OK",
        "Record-Route: <sip:far.contoso.com;lr>, <sip:mid.contoso.com;lr>\r\nRecord-Route: <sip:near.contoso.com;lr>\r\n",
    );
    let info = request(bench.last("INFO"));
    let routes: Vec<_> = info.headers().all(Name::Route).collect();
    assert_eq!(
        routes,
        [
            "<sip:near.contoso.com;lr>",
            "<sip:mid.contoso.com;lr>",
            "<sip:far.contoso.com;lr>"
        ]
    );
}

#[test]
fn a_challenge_is_answered_with_the_same_cseq_call_id_and_branch() {
    let nonces = NonceKey::new([7; 32], Duration::from_secs(60));
    let server = Authenticator::new("contoso.com", nonces);
    let mut bench = Bench::new(Some("pa:ss"));
    let bare = request(&bench.sent[0]);
    let challenge = server.challenge(Duration::ZERO, false);
    let challenge = format!("Proxy-Authenticate: {challenge}\r\n");
    bench.answer("REGISTER", "407 Proxy Authentication Required", &challenge);
    let proved = request(bench.last("REGISTER"));
    for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
        assert_eq!(bare.headers().get(name), proved.headers().get(name));
    }
    let value = proved.headers().get(Name::ProxyAuthorization).unwrap();
    assert!(
        value.contains("uri=\"(null)\"") && !value.contains("pa:ss"),
        "{value}"
    );
    let ha1 = Ha1::new("ann@contoso.com", "contoso.com", "pa:ss");
    let credentials = Credentials::parse(value).unwrap();
    let verdict = server.check(&credentials, "REGISTER", &[ha1], Duration::ZERO);
    assert_eq!(verdict, Verdict::Accepted);

    // The second challenge says that the password is wrong: a real client would try 31 times.
    bench.answer("REGISTER", "407 Proxy Authentication Required", &challenge);
    assert!(matches!(bench.failure(), Failure::WrongPassword(_)));
    assert!(!format!("{:?}", bench.client).contains("pa:ss"));
}

#[test]
fn without_a_password_it_is_asked_for_and_waited_for() {
    let mut bench = Bench::new(None);
    bench.answer(
        "REGISTER",
        "407 Proxy Authentication Required",
        "Proxy-Authenticate: NTLM realm=\"x\"\r\nProxy-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\n",
    );
    assert!(matches!(bench.events[..], [Event::PasswordNeeded]));
    bench.wait(Duration::from_secs(600));
    assert!(!bench.is_closed);
    bench
        .client
        .set_password(bench.now, Password::new("secret"));
    bench.drain();
    assert!(
        request(bench.last("REGISTER"))
            .headers()
            .get(Name::ProxyAuthorization)
            .is_some()
    );
    bench.answer("REGISTER", "200 OK", REGISTERED);
    assert!(matches!(bench.events.last(), Some(Event::SignedIn)));
}

#[test]
fn where_a_real_client_hangs_this_one_says_so() {
    for (more, said) in [
        (
            "Supported: msrtc-event-categories\r\nAllow-Events: vnd-microsoft-provisioning-v2\r\n",
            "Expires",
        ),
        (
            "Expires: 60\r\nSupported: x, msrtc-event-categories\r\nAllow-Events: vnd-microsoft-provisioning-v2\r\n",
            "msrtc-event-categories",
        ),
        (
            "Expires: 60\r\nSupported: msrtc-event-categories\r\nAllow-Events: a, vnd-microsoft-provisioning-v2\r\n",
            "Allow-Events",
        ),
    ] {
        let mut bench = Bench::new(None);
        bench.answer("REGISTER", "200 OK", more);
        assert!(
            matches!(bench.failure(), Failure::Hangs(what) if what.contains(said)),
            "{more}"
        );
    }
    // A plain 200 to SUBSCRIBE starts nothing.
    let mut bench = Bench::new(None);
    bench.answer("REGISTER", "200 OK", REGISTERED);
    bench.answer(
        "SUBSCRIBE",
        "200 OK",
        "Event: vnd-microsoft-provisioning-v2\r\n",
    );
    assert!(!bench.sent.iter().any(|text| text.starts_with("INVITE")));
    bench.wait(Duration::from_secs(30));
    assert_eq!(*bench.failure(), Failure::Unanswered(Step::Provisioning));
}

#[test]
fn a_benotify_starts_it_too() {
    let mut bench = Bench::new(None);
    bench.answer("REGISTER", "200 OK", REGISTERED);
    let sent = bench.sent.len();
    bench.hear(
        "BENOTIFY sip:ann@contoso.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1\r\nFrom: <sip:ann@contoso.com>;tag=1\r\n\
         To: <sip:ann@contoso.com>;tag=2\r\nCall-ID: n\r\nCSeq: 1 BENOTIFY\r\nEvent: vnd-microsoft-provisioning-v2\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
    );
    // No answer to a BENOTIFY, and the call.
    assert_eq!(bench.sent.len(), sent + 1);
    assert!(bench.sent[sent].starts_with("INVITE sip:ocschat@contoso.com "));
}

#[test]
fn refusals_on_the_way_name_the_step_and_the_reason() {
    let mut bench = Bench::new(None);
    bench.answer("REGISTER", "200 OK", REGISTERED);
    bench.answer("SUBSCRIBE", "200 OK", PROVISIONED);
    let sent = bench.sent.len();
    bench.answer(
        "INVITE",
        "404 Not Found",
        "ms-diagnostics: 20007;reason=\"Nobody here\";component=\"GroupChat\"\r\n",
    );
    assert_eq!(
        bench.failure().to_string(),
        "the server refused the call to the lookup address (INVITE): 404 Nobody here"
    );
    assert_eq!(
        bench.sent.len(),
        sent,
        "real clients send no ACK for a refusal"
    );
}

#[test]
fn a_post_ends_with_its_receipt() {
    let mut bench = Bench::ready();
    let at: Timestamp = "2026-11-22T10:00:00.5Z".parse().unwrap();
    let posted = bench.ask(|client, now| client.post(now, room(), "a\n<b> & \u{1}", at));
    let info = bench.last("INFO").to_owned();
    let Ok(document) = Document::parse(body(&info).to_owned(), &Default::default()) else {
        panic!("{info}");
    };
    let Some(Item::GroupChat(post)) = document.items().next() else {
        panic!("{info}")
    };
    assert_eq!(post.room(), Ok(room()));
    assert_eq!(post.author().as_deref(), Some("sip:ann@contoso.com"));
    assert_eq!(post.ts().as_deref(), Some("2026-11-22T10:00:00Z"));
    assert_eq!(post.chat(), "a\r\n<b> & \u{fffd}");
    assert_eq!(bench.end_of(posted), None);
    bench.answer("INFO", "200 OK", "");
    assert_eq!(bench.end_of(posted), Some(&Ok(Answer::Posted)));

    // Not even 202 counts as delivered.
    let refused = bench.ask(|client, now| client.post(now, room(), "x", at));
    bench.answer("INFO", "202 Accepted", "");
    assert!(matches!(
        bench.end_of(refused),
        Some(Err(Refusal::Sip { .. }))
    ));

    let lost = bench.ask(|client, now| client.post(now, room(), "x", at));
    bench.wait(Duration::from_secs(30));
    assert_eq!(bench.end_of(lost), Some(&Err(Refusal::Unanswered)));
}

#[test]
fn a_command_ends_with_the_reply_that_names_it() {
    let mut bench = Bench::ready();
    let first = bench.ask(|client, now| client.history(now, room(), 5));
    let info = bench.last("INFO").to_owned();
    assert!(
        body(&info).contains("<cmd id=\"cmd:bccontext\" seqid=\"1\">"),
        "{info}"
    );
    let envid = body(&info)
        .split_once("envid=\"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0
        .to_owned();
    let second = bench.ask(|client, now| client.history(now, room(), 6));
    let named = format!("<commandid seqid=\"1\" envid=\"{envid}\"/>");
    bench.info(CHANNEL, &reply("bccontext", &named, "200", ""));
    // The reply may come before the receipt.
    let nothing = ReplyData::BackChat(BackChatReply { rooms: Vec::new() });
    assert_eq!(bench.end_of(first), Some(&Ok(Answer::Reply(nothing))));
    assert_eq!(bench.end_of(second), None);
    assert!(bench.sent.last().unwrap().starts_with("SIP/2.0 200 OK\r\n"));
    bench.answer("INFO", "503 Service Unavailable", "");
    assert!(matches!(
        bench.end_of(second),
        Some(Err(Refusal::Sip { .. }))
    ));
}

#[test]
fn a_join_fails_by_its_code_or_by_its_room() {
    let mut bench = Bench::ready();
    let by_code = bench.ask(|client, now| client.join(now, room()));
    bench.info(CHANNEL, &reply("join", "", "403", ""));
    let refusal = Refusal::Reply {
        code: 403,
        text: "TEXT".into(),
    };
    assert_eq!(bench.end_of(by_code), Some(&Err(refusal)));
    let by_room = bench.ask(|client, now| client.join(now, room()));
    let data = "<fib key=\"OPERATION_FAILED\" value=\"1a\" domain=\"contoso.com\"/>";
    bench.info(CHANNEL, &reply("join", "", "200", data));
    assert_eq!(
        bench.end_of(by_room),
        Some(&Err(Refusal::Room("OPERATION_FAILED".into())))
    );
}

#[test]
fn what_a_real_client_drops_is_told() {
    let mut bench = Bench::ready();
    let message = "<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"ma-chan://contoso.com/1a\" author=\"sip:b@contoso.com\">\
                   <chat>hi</chat></grpchat>";
    let two = format!(
        "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">{message}{message}</xccos>"
    );
    bench.info(CHANNEL, &two);
    assert!(
        matches!(bench.events[..], [Event::Message(_), Event::Dropped(_)]),
        "{:?}",
        bench.events
    );
    bench.events.clear();
    bench.info(CHANNEL, "<xccos");
    assert!(
        matches!(bench.events[..], [Event::Dropped(_)]),
        "{:?}",
        bench.events
    );
    assert!(
        bench.sent.last().unwrap().starts_with("SIP/2.0 200 OK\r\n"),
        "it has arrived all the same"
    );
}

#[test]
fn an_info_is_placed_by_from_and_then_by_call_id() {
    let mut bench = Bench::ready();
    bench.info("sip:stranger@contoso.com", "<xccos/>");
    assert!(bench.sent.last().unwrap().starts_with("SIP/2.0 481 "));
    bench.invite = bench.invite.replace("Call-ID: ", "Call-ID: foreign");
    bench.info(CHANNEL, "<xccos/>");
    assert!(bench.sent.last().unwrap().starts_with("SIP/2.0 487 "));
    assert!(bench.events.is_empty(), "{:?}", bench.events);
}

#[test]
fn the_session_is_refreshed_as_the_lookup_said() {
    let mut bench = Bench::ready();
    // Nothing has been sent since: the keep-alives are counted out.
    let updates = |bench: &Bench| {
        bench
            .sent
            .iter()
            .filter(|text| text.starts_with("UPDATE "))
            .count()
    };
    bench.wait(Duration::from_secs(1789));
    assert_eq!(updates(&bench), 0);
    bench.wait(Duration::from_secs(1));
    assert_eq!(updates(&bench), 1);
    let update = request(bench.last("UPDATE"));
    assert!(update.headers().get(Name::Contact).is_none() && update.body().is_empty());
    bench.wait(Duration::from_secs(1790));
    assert_eq!(updates(&bench), 1, "none before the last one was answered");
    bench.answer("UPDATE", "200 OK", "");
    bench.wait(Duration::from_secs(1790));
    assert_eq!(updates(&bench), 2);
}

#[test]
fn the_registration_is_refreshed_half_a_minute_early_in_the_same_call() {
    let mut bench = Bench::new(None);
    let first = request(&bench.sent[0]);
    bench.sign_in();
    bench.sent.clear();
    bench.wait(Duration::from_secs(3569));
    assert!(!bench.sent.iter().any(|text| text.starts_with("REGISTER")));
    bench.wait(Duration::from_secs(1));
    let second = request(bench.last("REGISTER"));
    assert_eq!(
        first.headers().get(Name::CallId),
        second.headers().get(Name::CallId)
    );
    assert_eq!(second.headers().get(Name::CSeq), Some("2 REGISTER"));
    bench.answer("REGISTER", "200 OK", REGISTERED);
    assert!(
        matches!(bench.events.last(), Some(Event::Ready { .. })),
        "{:?}",
        bench.events
    );
}

#[test]
fn silence_is_broken_as_often_as_the_server_wants() {
    let mut bench = Bench::new(None);
    bench.answer(
        "REGISTER",
        "200 OK",
        &format!("{REGISTERED}ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=20\r\n"),
    );
    bench.wait(Duration::from_secs(19));
    assert!(bench.sent.last().unwrap().starts_with("SUBSCRIBE"));
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.sent.last().unwrap(), "\r\n\r\n");
    assert_eq!(
        bench.client.poll_timeout(),
        Some(bench.now + Duration::from_secs(10))
    );
}

#[test]
fn a_forgotten_session_begins_anew_but_not_for_ever() {
    let mut bench = Bench::ready();
    let at = Timestamp::UNIX_EPOCH;
    for _ in 0..3 {
        let asked = bench.ask(|client, now| client.post(now, room(), "x", at));
        bench.answer("INFO", "481 Gone", "");
        assert_eq!(bench.end_of(asked), Some(&Err(Refusal::SessionLost)));
        assert!(
            bench
                .sent
                .iter()
                .any(|text| text.starts_with("BYE sip:pool.contoso.com"))
        );
        bench.call_channel();
    }
    bench.ask(|client, now| client.post(now, room(), "x", at));
    bench.answer("INFO", "481 Gone", "");
    assert_eq!(*bench.failure(), Failure::Forgotten);
}

#[test]
fn signing_out_hangs_up_and_unregisters() {
    let mut bench = Bench::ready();
    let open = bench.ask(|client, now| client.command(now, &Command::GetAssociations));
    bench.client.sign_out(bench.now);
    bench.drain();
    assert_eq!(bench.end_of(open), Some(&Err(Refusal::SessionLost)));
    let bye = bench
        .sent
        .iter()
        .position(|text| text.starts_with("BYE "))
        .unwrap();
    let register = bench
        .sent
        .iter()
        .position(|text| text.starts_with("REGISTER "))
        .unwrap();
    assert!(bye < register);
    let register = request(&bench.sent[register]);
    assert_eq!(register.headers().expires(), Some(0));
    bench.answer("BYE", "200 OK", "");
    assert!(!bench.is_closed);
    bench.answer("REGISTER", "200 OK", "Expires: 0\r\n");
    assert!(matches!(bench.events.last(), Some(Event::SignedOut)) && bench.is_closed);
}

#[test]
fn a_server_that_does_not_answer_is_left_all_the_same() {
    let mut bench = Bench::ready();
    bench.client.sign_out(bench.now);
    bench.drain();
    bench.wait(Duration::from_secs(5));
    assert!(matches!(bench.events.last(), Some(Event::SignedOut)) && bench.is_closed);
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn what_is_over_stays_over() {
    let mut bench = Bench::ready();
    bench.client.handle_closed();
    bench.drain();
    assert_eq!(*bench.failure(), Failure::Disconnected);
    bench.events.clear();
    bench.client.sign_out(bench.now);
    let asked = bench.ask(|client, now| client.search(now, ""));
    assert_eq!(bench.end_of(asked), Some(&Err(Refusal::NotReady)));
    assert_eq!(bench.events.len(), 1, "{:?}", bench.events);
}
