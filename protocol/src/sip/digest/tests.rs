use std::slice::from_ref;

use proptest::prelude::*;

use super::*;

const REALM: &str = "contoso.com";
const NOW: Duration = Duration::from_secs(1_700_000_000);
const LIFETIME: Duration = Duration::from_secs(600);

fn authenticator() -> Authenticator {
    Authenticator::new(REALM, NonceKey::new([42; 32], LIFETIME))
}

fn md5_hex(text: &str) -> String {
    hex(hash(&[text.as_bytes()]))
}

#[test]
fn rfc1321_a5_hash_and_hex_are_those_of_md5() {
    assert_eq!(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
}

#[test]
fn rfc2617_3_5_example_is_accepted() {
    let ha1 = Ha1::new("Mufasa", "testrealm@host.com", "Circle Of Life");
    assert_eq!(ha1.to_hex(), "939e7578ed9e3c518a452acee763bce9");
    let credentials = Credentials::parse(
        r#"Digest username="Mufasa", realm="testrealm@host.com",
           nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,
           cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1",
           opaque="5ccc069c403ebaf9f0171e9517f40e41""#
            .replace('\n', " ")
            .leak(),
    )
    .unwrap();
    assert!(credentials.proves(&ha1, "GET"));
    assert!(!credentials.proves(&ha1, "POST"));
    assert_eq!(credentials.nonce_count(), Some(1));
}

#[test]
fn rfc2617_3_5_example_is_what_the_client_side_answers() {
    let challenge = Challenge::parse(
        r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
    )
    .unwrap();
    let ha1 = Ha1::new("Mufasa", challenge.realm(), "Circle Of Life");
    let answer = challenge.answer("Mufasa", &ha1, "GET", "/dir/index.html", "0a4f113b", 1);
    assert!(answer.contains(r#"response="6629fae49393a05397450978507c4ef1""#));
    assert!(answer.ends_with(
        r#", qop=auth, nc=00000001, cnonce="0a4f113b", opaque="5ccc069c403ebaf9f0171e9517f40e41""#
    ));
}

#[test]
fn fact_sipe_uri_null_and_unquoted_qop_are_verified_as_sent() {
    let server = authenticator();
    let nonce = server.challenge(NOW, false).nonce;
    let ha1 = Ha1::new("alice", REALM, "secret");
    let ha2 = md5_hex("REGISTER:(null)");
    let response = md5_hex(&format!(
        "{}:{nonce}:00000001:abcd:auth:{ha2}",
        ha1.to_hex()
    ));
    let value = format!(
        "Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"(null)\", \
         qop=auth, nc=00000001, cnonce=\"abcd\", response=\"{response}\""
    );
    let credentials = Credentials::parse(&value).unwrap();
    assert_eq!(
        server.check(&credentials, "REGISTER", from_ref(&ha1), NOW),
        Verdict::Accepted
    );
    assert_eq!(
        server.check(&credentials, "INVITE", from_ref(&ha1), NOW),
        Verdict::Refused
    );
}

#[test]
fn rfc2617_3_2_2_1_no_qop_means_the_old_hash_and_a_stray_count_means_nothing() {
    let server = authenticator();
    let nonce = server.challenge(NOW, false).nonce;
    let ha1 = Ha1::new("alice", REALM, "secret");
    let ha2 = md5_hex("REGISTER:sip:contoso.com");
    let response = md5_hex(&format!("{}:{nonce}:{ha2}", ha1.to_hex()));
    let value = format!(
        "Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"sip:contoso.com\", \
         nc=\"1\", response=\"{response}\""
    );
    let credentials = Credentials::parse(&value).unwrap();
    assert_eq!(credentials.nonce_count(), None);
    assert_eq!(
        server.check(&credentials, "REGISTER", from_ref(&ha1), NOW),
        Verdict::Accepted
    );
}

#[test]
fn rfc7616_3_3_old_nonce_with_the_right_password_is_stale_with_the_wrong_one_refused() {
    let server = authenticator();
    let challenge = server.challenge(NOW, false);
    let later = NOW + LIFETIME + Duration::from_secs(1);
    let right = Ha1::new("alice", REALM, "secret");
    let wrong = Ha1::new("alice", REALM, "Secret");
    let answer = challenge.answer("alice", &right, "REGISTER", "sip:contoso.com", "c", 1);
    let credentials = Credentials::parse(&answer).unwrap();
    let check = |hashes: &[Ha1], now| server.check(&credentials, "REGISTER", hashes, now);
    assert_eq!(check(from_ref(&right), NOW), Verdict::Accepted);
    assert_eq!(check(from_ref(&right), later), Verdict::Stale);
    assert_eq!(check(from_ref(&wrong), NOW), Verdict::Refused);
    assert_eq!(check(from_ref(&wrong), later), Verdict::Refused);
    assert_eq!(check(&[], NOW), Verdict::Refused);
    assert_eq!(check(&[wrong, right.clone()], NOW), Verdict::Accepted);

    let restarted = Authenticator::new(REALM, NonceKey::new([43; 32], LIFETIME));
    let verdict = restarted.check(&credentials, "REGISTER", from_ref(&right), NOW);
    assert_eq!(verdict, Verdict::Stale);
    let again = Challenge::parse(&restarted.challenge(NOW, true).to_string()).unwrap();
    assert!(again.is_stale());
    let fresh = Challenge::parse("Digest realm=r, nonce=n, stale=FALSE").unwrap();
    assert!(!fresh.is_stale());
}

#[test]
fn rfc3261_22_3_of_several_credentials_those_for_the_realm_are_picked() {
    let server = authenticator();
    let of = |realm: &str| {
        let challenge =
            Authenticator::new(realm, NonceKey::new([1; 32], LIFETIME)).challenge(NOW, false);
        let ha1 = Ha1::new("alice", realm, "secret");
        challenge.answer("alice", &ha1, "REGISTER", "sip:contoso.com", "c", 1)
    };
    let (ours, other) = (of(REALM), of("other.example"));
    let pick = |values: &[&str]| {
        let picked = server.pick(values.iter().copied());
        picked.map(|credentials| credentials.realm().to_owned())
    };
    assert_eq!(pick(&[]), None);
    assert_eq!(pick(&[&other, "NTLM x=1", "Digest ?"]), None);
    assert_eq!(pick(&["NTLM x=1", &other, &ours]).as_deref(), Some(REALM));
    assert_eq!(pick(&[&ours, &other]).as_deref(), Some(REALM));
}

#[test]
fn credentials_for_another_realm_are_refused() {
    let server = authenticator();
    let mut challenge = server.challenge(NOW, false);
    challenge.realm = "fabrikam.com".into();
    let ha1 = Ha1::new("alice", REALM, "secret");
    let answer = challenge.answer("alice", &ha1, "REGISTER", "sip:contoso.com", "c", 1);
    let credentials = Credentials::parse(&answer).unwrap();
    assert_eq!(
        server.check(&credentials, "REGISTER", from_ref(&ha1), NOW),
        Verdict::Refused
    );
}

#[test]
fn an_unknown_user_cannot_sign_in_with_the_hash_of_nobody() {
    let server = authenticator();
    let answer = server.challenge(NOW, false).answer(
        "ghost",
        &Ha1(0),
        "REGISTER",
        "sip:contoso.com",
        "c",
        1,
    );
    let credentials = Credentials::parse(&answer).unwrap();
    assert_eq!(
        server.check(&credentials, "REGISTER", &[], NOW),
        Verdict::Refused
    );
}

#[test]
fn the_challenge_is_written_as_rfc2617_3_2_1_has_it() {
    let challenge = Challenge {
        realm: "a \"b\"\r\nX: y".into(),
        nonce: "n".into(),
        opaque: None,
        protected: true,
        stale: true,
    };
    assert_eq!(
        challenge.to_string(),
        r#"Digest realm="a \"b\"  X: y", nonce="n", algorithm=MD5, qop="auth", stale=true"#
    );
}

#[test]
fn credentials_that_cannot_be_checked_are_told_apart() {
    let good = r#"Digest username="a", realm="r", nonce="n", uri="u", response="00000000000000000000000000000000""#;
    assert!(Credentials::parse(good).is_ok());
    let error = |value: &str| Credentials::parse(value).map(|_| ()).unwrap_err();
    assert_eq!(error("NTLM qop=\"auth\""), DigestError::Scheme);
    assert_eq!(error(""), DigestError::Scheme);
    assert_eq!(error("Digest"), DigestError::Missing("response"));
    assert_eq!(
        error(&good.replace("nonce", "once")),
        DigestError::Missing("nonce")
    );
    assert_eq!(
        error(&format!("{good}, REALM=x")),
        DigestError::Repeated("realm")
    );
    assert_eq!(
        error(&format!("{good}, algorithm=MD5-sess")),
        DigestError::Algorithm
    );
    assert_eq!(error(&format!("{good}, qop=auth-int")), DigestError::Qop);
    assert_eq!(
        error(&format!("{good}, qop=auth")),
        DigestError::Missing("nc")
    );
    assert_eq!(
        error(&format!("{good}, qop=auth, nc=1")),
        DigestError::Missing("cnonce")
    );
    for count in ["+1", "123456789", "\"\"", "x"] {
        let value = format!("{good}, qop=auth, nc={count}, cnonce=c");
        assert_eq!(error(&value), DigestError::Hex, "{count}");
    }
    for response in ["+0000000000000000000000000000000", "0", ""] {
        let value = good.replace("00000000000000000000000000000000", response);
        assert_eq!(error(&value), DigestError::Hex, "{response}");
    }
}

#[test]
fn challenges_that_cannot_be_answered_are_told_apart() {
    let error = |value: &str| Challenge::parse(value).unwrap_err();
    assert_eq!(error("NTLM realm=\"r\""), DigestError::Scheme);
    assert_eq!(error("Digest realm=r"), DigestError::Missing("nonce"));
    assert_eq!(
        error("Digest realm=r, nonce=n, algorithm=SHA-256"),
        DigestError::Algorithm
    );
    assert_eq!(
        error("Digest realm=r, nonce=n, qop=\"auth-int\""),
        DigestError::Qop
    );
}

#[test]
fn stored_hash_is_read_in_either_case_and_not_shown() {
    let ha1 = Ha1::new("alice", REALM, "secret");
    let read: Ha1 = ha1.to_hex().to_uppercase().parse().unwrap();
    assert_eq!(read.to_hex(), ha1.to_hex());
    assert_eq!(format!("{ha1:?}"), "Ha1(..)");
    assert_eq!("abc".parse::<Ha1>().unwrap_err(), DigestError::Hex);
}

proptest! {
    #[test]
    fn client_and_server_agree(
        user in "[^\\p{Cc}]{1,12}",
        password in "[^\\p{Cc}]{0,12}",
        other in "[^\\p{Cc}]{0,12}",
        uri in "[^\\p{Cc}]{0,20}",
        cnonce in "[^\\p{Cc}]{0,8}",
        protected: bool,
        count in 1_u32..,
        now in 0_u64..1 << 40,
    ) {
        let server = authenticator();
        let now = Duration::from_millis(now);
        let ha1 = Ha1::new(&user, server.realm(), &password);
        let mut offered = server.challenge(now, false);
        offered.protected = protected;
        let challenge = Challenge::parse(&offered.to_string()).unwrap();
        prop_assert_eq!(&challenge, &offered);
        let answer = challenge.answer(&user, &ha1, "REGISTER", &uri, &cnonce, count);
        let credentials = Credentials::parse(&answer).unwrap();
        prop_assert_eq!(credentials.username(), &user);
        prop_assert_eq!(credentials.nonce_count(), protected.then_some(count));
        prop_assert_eq!(
            server.check(&credentials, "REGISTER", from_ref(&ha1), now),
            Verdict::Accepted
        );
        let other_ha1 = Ha1::new(&user, server.realm(), &other);
        prop_assert_eq!(
            server.check(&credentials, "REGISTER", from_ref(&other_ha1), now) == Verdict::Accepted,
            other == password
        );
    }

    #[test]
    fn no_header_value_panics(value in "Digest [a-z=\", \\\\]{0,80}") {
        let _ = (Credentials::parse(&value).is_ok(), Challenge::parse(&value).is_ok());
    }
}
