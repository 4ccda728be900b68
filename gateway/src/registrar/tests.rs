//! REGISTER as real clients send it (`facts/sipe-client.md`, Login and Authentication).

use holdover_protocol::sip::Message;
use holdover_protocol::sip::digest::{Challenge, NonceKey};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const WALL: Duration = Duration::from_secs(1_800_000_000);

fn policy(proof: Proof) -> Policy {
    Policy {
        domain: "contoso.com".into(),
        expires: HOUR,
        proof,
    }
}

fn open() -> Policy {
    policy(Proof::None)
}

fn digest() -> Policy {
    let authenticator = Authenticator::new("contoso.com", NonceKey::new([7; 32], HOUR));
    let ann = Ha1::new("ann@contoso.com", "contoso.com", "right").to_hex();
    let users = Users::parse(
        "users.toml",
        &format!("[users]\n\"ann@contoso.com\" = \"{ann}\"\n"),
    );
    policy(Proof::Digest {
        authenticator,
        users: users.unwrap().into(),
        guesses: Arc::default(),
    })
}

/// A REGISTER of `user` with further lines.
fn register(user: &str, lines: &str) -> Request {
    let text = format!(
        "REGISTER sip:contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.1:5060;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}>;tag=1;epid=0123456789ab\r\nTo: <sip:{user}>\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    request(&text)
}

fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

struct Client {
    registrar: Registrar,
    policy: Policy,
    now: Instant,
    wall: Duration,
}

impl Client {
    fn of(policy: Policy) -> Self {
        Self {
            registrar: Registrar::default(),
            policy,
            now: Instant::now(),
            wall: WALL,
        }
    }

    fn send(&mut self, request: &Request) -> (String, Change) {
        let Self {
            registrar,
            policy,
            now,
            wall,
        } = self;
        let peer = IpAddr::from([192, 0, 2, 1]);
        let (answer, change) = registrar.register(*now, *wall, request, peer, "here", policy);
        (String::from_utf8(answer.to_vec()).unwrap(), change)
    }

    /// Sends without credentials, and again with those that answer the challenge.
    fn sign_in(&mut self, user: &str, password: &str) -> (String, Change) {
        let (challenge, change) = self.send(&register(user, ""));
        assert_eq!(change, Change::Challenged, "{challenge}");
        self.answer(&challenge, user, password)
    }

    fn answer(&mut self, challenge: &str, user: &str, password: &str) -> (String, Change) {
        let credentials = credentials(challenge, user, password);
        self.send(&register(
            user,
            &format!("Proxy-Authorization: {credentials}\r\n"),
        ))
    }
}

fn credentials(challenge: &str, user: &str, password: &str) -> String {
    let value = header(challenge, "Proxy-Authenticate").unwrap();
    let ha1 = Ha1::new(user, "contoso.com", password);
    let challenge = Challenge::parse(value).unwrap();
    // Real clients hash this text for want of a Request-URI.
    challenge.answer(user, &ha1, "REGISTER", "(null)", "cnonce", 1)
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.split("\r\n");
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn ann() -> UserUri {
    UserUri::parse("sip:ann@contoso.com").unwrap()
}

#[test]
fn fact_login_row_1_headers_of_the_200() {
    let mut client = Client::of(open());
    let contact = "Contact: <sip:192.0.2.1:5060;transport=tcp>;proxy=replace;+sip.instance=\"<urn:uuid:AB>\"\r\n";
    let (answer, change) = client.send(&register("ann@contoso.com", contact));
    assert_eq!(change, Change::SignedIn(ann()));
    assert_eq!(
        answer,
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/tcp 192.0.2.1:5060;branch=z9hG4bK1\r\n\
         From: <sip:ann@contoso.com>;tag=1;epid=0123456789ab\r\nTo: <sip:ann@contoso.com>;tag=here\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:192.0.2.1:5060;transport=tcp>;proxy=replace;+sip.instance=\"<urn:uuid:AB>\";expires=3600\r\n\
         Expires: 3600\r\nSupported: msrtc-event-categories\r\n\
         Allow-Events: vnd-microsoft-provisioning-v2\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_contact_that_names_its_expiry_gets_the_granted_one_only() {
    let mut client = Client::of(open());
    let (answer, _) = client.send(&register(
        "ann@contoso.com",
        "Contact: <sip:a@192.0.2.1>;expires=7200\r\n",
    ));
    assert_eq!(answer.matches("expires=").count(), 1, "{answer}");
    assert!(answer.contains("expires=3600"), "{answer}");
}

#[test]
fn digest_sign_in_repeats_the_request_with_credentials() {
    let mut client = Client::of(digest());
    let (answer, change) = client.send(&register("ann@contoso.com", ""));
    assert_eq!(change, Change::Challenged);
    assert!(answer.starts_with("SIP/2.0 407 "), "{answer}");
    assert!(client.registrar.user().is_none());
    let (answer, change) = client.answer(&answer, "ann@contoso.com", "right");
    assert_eq!(change, Change::SignedIn(ann()));
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
}

#[test]
fn digest_wrong_password_is_403_and_the_third_hangs_up() {
    let mut client = Client::of(digest());
    for attempt in 1..=3 {
        let (answer, change) = client.sign_in("ann@contoso.com", "wrong");
        // Never another challenge: the client would try 31 times and hang.
        assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
        let expected = Change::Refused {
            user: Some(ann()),
            reason: Refused::WrongPassword,
            hang_up: attempt == 3,
        };
        assert_eq!(change, expected);
    }
    assert!(client.registrar.user().is_none());
}

#[test]
fn digest_guesses_on_new_connections_are_not_looked_at() {
    let mut client = Client::of(digest());
    let mut refused = 0;
    let mut reported = 0;
    for _ in 0..1000 {
        // On a new connection each time.
        client.registrar = Registrar::default();
        let (answer, change) = client.sign_in("ann@contoso.com", "wrong");
        match change {
            Change::Refused { reason, .. } => {
                reported += 1;
                refused += usize::from(reason == Refused::WrongPassword);
            }
            Change::RefusedAgain { .. } => {
                assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
                let seconds = header(&answer, "Retry-After").unwrap();
                assert!(seconds.parse::<u64>().unwrap() > 0);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, reported), (4, 5));
    client.registrar = Registrar::default();
    let (answer, _) = client.sign_in("ann@contoso.com", "right");
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    client.now += HOUR;
    client.registrar = Registrar::default();
    let (_, change) = client.sign_in("ann@contoso.com", "right");
    assert_eq!(change, Change::SignedIn(ann()));
}

#[test]
fn digest_credentials_for_another_realm_are_none_and_ours_are_found_beside_them() {
    let mut client = Client::of(digest());
    let (challenge, _) = client.send(&register("ann@contoso.com", ""));
    let ours = credentials(&challenge, "ann@contoso.com", "right");
    let other = ours.replace("realm=\"contoso.com\"", "realm=\"proxy.example\"");
    assert_ne!(ours, other);
    let line = |name: &str, value: &str| format!("{name}: {value}\r\n");
    let foreign = line("Proxy-Authorization", &other) + &line("Authorization", &other);
    for _ in 0..5 {
        let (answer, change) = client.send(&register("ann@contoso.com", &foreign));
        assert_eq!(change, Change::Challenged, "{answer}");
    }
    for lines in [
        foreign.clone() + &line("Proxy-Authorization", &ours),
        line("Authorization", &ours) + &foreign,
    ] {
        client.registrar = Registrar::default();
        let (answer, change) = client.send(&register("ann@contoso.com", &lines));
        assert_eq!(change, Change::SignedIn(ann()), "{answer}");
    }
}

#[test]
fn digest_a_name_may_be_written_in_other_letters_and_with_escapes() {
    let typed = "Jürgen.Öz@contoso.com";
    let user = UserUri::parse(typed).unwrap();
    let hashes = holdover_config::users::spellings(&user, typed);
    let hashes = hashes
        .iter()
        .map(|name| format!("\"{}\"", Ha1::new(name, "contoso.com", "right").to_hex()));
    let file = format!(
        "[users]\n\"{typed}\" = [{}]\n",
        hashes.collect::<Vec<_>>().join(", ")
    );
    let policy = digest();
    let Proof::Digest { users, .. } = &policy.proof else {
        panic!("no digest");
    };
    users.replace(Arc::new(Users::parse("users.toml", &file).unwrap()));
    let mut client = Client::of(policy);
    for (from, name) in [
        ("j%C3%BCrgen.%C3%B6z@contoso.com", "jürgen.öz@contoso.com"),
        ("j%C3%BCrgen.%c3%b6z@contoso.com", "Jürgen.Öz@contoso.com"),
        ("J%C3%BCrgen.%C3%96z@Contoso.com", "JÜRGEN.ÖZ@contoso.com"),
        (
            "j%c3%bcrgen%2E%c3%b6z@contoso.com",
            "j%C3%BCrgen.%C3%B6z@contoso.com",
        ),
    ] {
        client.registrar = Registrar::default();
        let (challenge, _) = client.send(&register(from, ""));
        let credentials = credentials(&challenge, name, "right");
        let lines = format!("Proxy-Authorization: {credentials}\r\n");
        let (answer, change) = client.send(&register(from, &lines));
        assert_eq!(change, Change::SignedIn(user.clone()), "{from} {answer}");
    }
}

#[test]
fn digest_unknown_user_is_told_what_a_wrong_password_is_told() {
    let mut client = Client::of(digest());
    let (unknown, _) = client.sign_in("bob@contoso.com", "right");
    let (wrong, _) = client.sign_in("ann@contoso.com", "wrong");
    assert_eq!(unknown.replace("bob@", "ann@"), wrong);
}

#[test]
fn digest_proves_only_the_user_the_request_is_from() {
    let mut client = Client::of(digest());
    let (challenge, _) = client.send(&register("bob@contoso.com", ""));
    let of_ann = credentials(&challenge, "ann@contoso.com", "right");
    let lines = format!("Proxy-Authorization: {of_ann}\r\n");
    let (answer, change) = client.send(&register("bob@contoso.com", &lines));
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    assert!(
        matches!(
            change,
            Change::Refused {
                reason: Refused::WrongPassword,
                ..
            }
        ),
        "{change:?}"
    );
}

#[test]
fn digest_an_old_nonce_is_stale_and_no_failure() {
    let mut client = Client::of(digest());
    let (challenge, _) = client.send(&register("ann@contoso.com", ""));
    client.wall += HOUR * 2;
    let (again, change) = client.answer(&challenge, "ann@contoso.com", "right");
    assert_eq!(change, Change::Challenged);
    let challenge = Challenge::parse(header(&again, "Proxy-Authenticate").unwrap()).unwrap();
    assert!(challenge.is_stale());
    let (_, change) = client.answer(&again, "ann@contoso.com", "right");
    assert_eq!(change, Change::SignedIn(ann()));
}

#[test]
fn digest_another_scheme_counts_as_no_credentials() {
    let mut client = Client::of(digest());
    let (answer, change) = client.send(&register("ann@contoso.com", "Authorization: NTLM x=1\r\n"));
    assert_eq!(change, Change::Challenged, "{answer}");
}

#[test]
fn digest_a_refresh_needs_no_credentials() {
    let mut client = Client::of(digest());
    client.sign_in("ann@contoso.com", "right");
    client.now += HOUR / 2;
    let (answer, change) = client.send(&register("ann@contoso.com", ""));
    assert_eq!(change, Change::Refreshed, "{answer}");
    assert_eq!(client.registrar.expires_at(), Some(client.now + HOUR));
}

#[test]
fn digest_users_may_change_while_they_are_signed_in() {
    let policy = digest();
    let Proof::Digest { users, .. } = &policy.proof else {
        panic!("no digest");
    };
    let users = users.clone();
    let mut client = Client::of(policy);
    assert!(matches!(
        client.sign_in("ann@contoso.com", "right").1,
        Change::SignedIn(_)
    ));
    let ha1 = Ha1::new("bob@contoso.com", "contoso.com", "new").to_hex();
    let only_bob = format!("[users]\n\"bob@contoso.com\" = \"{ha1}\"\n");
    users.replace(Arc::new(Users::parse("users.toml", &only_bob).unwrap()));
    // Ann's sign-in is not refreshed any more, with or without her password.
    let (answer, change) = client.send(&register("ann@contoso.com", ""));
    assert!(
        matches!(
            change,
            Change::Refused {
                reason: Refused::WrongPassword,
                ..
            }
        ),
        "{answer}"
    );

    let mut other = Client::of(client.policy);
    assert!(matches!(
        other.sign_in("bob@contoso.com", "new").1,
        Change::SignedIn(_)
    ));
}

#[test]
fn a_foreign_domain_is_404() {
    let mut client = Client::of(open());
    let (answer, change) = client.send(&register("ann@fabrikam.com", ""));
    assert!(answer.starts_with("SIP/2.0 404 "), "{answer}");
    assert!(
        matches!(
            change,
            Change::Refused {
                reason: Refused::ForeignDomain,
                ..
            }
        ),
        "{change:?}"
    );
    assert!(header(&answer, "ms-diagnostics").is_some(), "{answer}");
}

#[test]
fn a_connection_belongs_to_one_user() {
    let mut client = Client::of(open());
    client.send(&register("ann@contoso.com", ""));
    let (answer, change) = client.send(&register("bob@contoso.com", ""));
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    assert!(
        matches!(
            change,
            Change::Refused {
                reason: Refused::OtherUser,
                ..
            }
        ),
        "{change:?}"
    );
    assert_eq!(client.registrar.user(), Some(&ann()));
}

#[test]
fn rfc3261_10_2_nobody_registers_for_another() {
    let mut client = Client::of(open());
    let ann = "From: <sip:ann@contoso.com>";
    let text = register("ann@contoso.com", "");
    assert_eq!(
        text.headers()
            .get(Name::From)
            .map(|from| from.starts_with("<sip:ann")),
        Some(true)
    );
    let other = format!(
        "REGISTER sip:contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp h\r\n{ann};tag=1\r\n\
         To: <sip:bob@contoso.com>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    let (answer, change) = client.send(&request(&other));
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    assert!(
        matches!(
            change,
            Change::Refused {
                reason: Refused::OtherUser,
                ..
            }
        ),
        "{change:?}"
    );
}

#[test]
fn case_and_parameters_do_not_make_another_user() {
    let mut client = Client::of(open());
    client.send(&register("ann@contoso.com", ""));
    let (_, change) = client.send(&register("Ann@Contoso.COM;transport=tcp", ""));
    assert_eq!(change, Change::Refreshed);
}

#[test]
fn rfc3261_10_2_2_every_form_of_leaving() {
    for lines in [
        "Expires: 0\r\n",
        "Contact: *\r\nExpires: 0\r\n",
        "Contact: <sip:ann@192.0.2.1>;expires=0\r\n",
        "Contact: <sip:ann@192.0.2.1>;expires=0\r\nExpires: 600\r\n",
    ] {
        let mut client = Client::of(open());
        client.send(&register("ann@contoso.com", ""));
        let (answer, change) = client.send(&register("ann@contoso.com", lines));
        assert_eq!(change, Change::SignedOut(ann()), "{lines}");
        assert_eq!(header(&answer, "Expires"), Some("0"), "{lines}");
        assert!(client.registrar.user().is_none(), "{lines}");
    }
}

#[test]
fn rfc3261_10_3_all_contacts_are_named_alone_and_to_leave() {
    for lines in [
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 600\r\n",
        "Contact: *\r\nContact: <sip:ann@192.0.2.1>\r\nExpires: 0\r\n",
    ] {
        let mut client = Client::of(open());
        let (answer, _) = client.send(&register("ann@contoso.com", lines));
        assert!(answer.starts_with("SIP/2.0 400 "), "{lines}{answer}");
        assert!(client.registrar.user().is_none(), "{lines}");
    }
}

#[test]
fn a_contact_that_stays_outweighs_the_header() {
    let mut client = Client::of(open());
    client.send(&register("ann@contoso.com", ""));
    let stays = "Contact: <sip:ann@192.0.2.1>;expires=600\r\nExpires: 0\r\n";
    let (_, change) = client.send(&register("ann@contoso.com", stays));
    assert_eq!(change, Change::Refreshed);
}

#[test]
fn leaving_without_having_come_is_answered_well() {
    let mut client = Client::of(open());
    let (answer, change) = client.send(&register("ann@contoso.com", "Expires: 0\r\n"));
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert_eq!(change, Change::Refreshed);
    assert!(client.registrar.user().is_none());
}

#[test]
fn what_is_not_refreshed_runs_out() {
    let mut client = Client::of(open());
    client.send(&register("ann@contoso.com", ""));
    let end = client.now + HOUR;
    assert_eq!(
        client.registrar.expire(end - Duration::from_millis(1)),
        None
    );
    assert_eq!(client.registrar.expire(end), Some(ann()));
    assert_eq!(client.registrar.expire(end), None);
}

fn subscribe(event: &str) -> String {
    let text = format!(
        "SUBSCRIBE sip:ann@contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp h\r\nFrom: <sip:ann@contoso.com>;tag=1\r\n\
         To: <sip:ann@contoso.com>\r\nCall-ID: c\r\nCSeq: 2 SUBSCRIBE\r\nEvent: {event}\r\nExpires: 0\r\n\
         Proxy-Require: ms-benotify\r\nContent-Length: 0\r\n\r\n"
    );
    String::from_utf8(subscribed(&request(&text), "here").to_vec()).unwrap()
}

#[test]
fn fact_login_row_2_the_provisioning_answer_starts_group_chat() {
    let answer = subscribe(PROVISIONING);
    assert_eq!(header(&answer, "Event"), Some(PROVISIONING));
    assert_eq!(header(&answer, "ms-piggyback-cseq"), Some("1"));
    assert_eq!(header(&answer, "Expires"), Some("0"));
    let other = subscribe("presence;id=1");
    assert_eq!(header(&other, "Event"), Some("presence"));
    assert_eq!(header(&other, "ms-piggyback-cseq"), None);
}

#[test]
fn rfc3261_10_3_a_registration_lasts_no_longer_than_was_asked_for() {
    for (lines, seconds) in [
        ("Expires: 300\r\n", 300),
        ("Expires: 7200\r\n", 3600),
        (
            "Contact: <sip:ann@192.0.2.1>;expires=60\r\nExpires: 300\r\n",
            60,
        ),
        ("", 3600),
    ] {
        let now = Instant::now();
        let mut registrar = Registrar::default();
        let request = register("ann@contoso.com", lines);
        let (answer, _) =
            registrar.register(now, WALL, &request, [192, 0, 2, 1].into(), "t", &open());
        let answer = std::str::from_utf8(&answer).unwrap();
        assert!(
            answer.contains(&format!("\r\nExpires: {seconds}\r\n")),
            "{answer}"
        );
        assert_eq!(
            registrar.expires_at(),
            Some(now + Duration::from_secs(seconds))
        );
    }
}
