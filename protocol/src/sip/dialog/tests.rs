use proptest::prelude::*;

use super::*;
use crate::sip::message::{Message, Response};
use crate::sip::write::{MessageBuilder, respond};

const INVITE: &str = "INVITE sip:channel@contoso.com;opaque=app:chat SIP/2.0\r\n\
    Via: SIP/2.0/tls 192.0.2.7:50123\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@contoso.com>;tag=1804289383;epid=0123456789ab\r\n\
    To: <sip:channel@contoso.com;opaque=app:chat>\r\n\
    Call-ID: 6B8Bg4567a327Bi23C6m6433x2C8Bb8E1Fx1E7Dx\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@contoso.com;opaque=user:epid:Zu9;gruu>\r\n\
    Supported: ms-sender\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

const HOP: Hop<'_> = Hop {
    transport: "TLS",
    sent_by: "192.0.2.1:5061",
    unique: 0xbeef,
};

fn request(text: impl AsRef<[u8]>) -> Request {
    match Message::parse(text.as_ref()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

fn response(text: impl AsRef<[u8]>) -> Response {
    match Message::parse(text.as_ref()).unwrap() {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a request"),
    }
}

fn accepted(invite: &str) -> Dialog {
    Dialog::accept(&request(invite), "srv1").unwrap()
}

/// A request of the legacy client inside the dialog of [`INVITE`], as it sends them: no branch, no Contact.
fn inside(method: &str, cseq: u32, more: &str) -> Request {
    request(format!(
        "{method} sip:channel@contoso.com;opaque=app:chat SIP/2.0\r\n\
         Via: SIP/2.0/tls 192.0.2.7:50123\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@contoso.com>;tag=1804289383;epid=0123456789ab\r\n\
         To: <sip:channel@contoso.com;opaque=app:chat>;tag=srv1\r\n\
         Call-ID: 6B8Bg4567a327Bi23C6m6433x2C8Bb8E1Fx1E7Dx\r\n\
         CSeq: {cseq} {method}\r\n\
         {more}Content-Length: 0\r\n\r\n"
    ))
}

fn text(builder: MessageBuilder) -> String {
    String::from_utf8(builder.finish().to_vec()).unwrap()
}

#[test]
fn what_is_too_long_to_be_kept_for_life_is_refused() {
    let call_id = "6B8Bg4567a327Bi23C6m6433x2C8Bb8E1Fx1E7Dx";
    let contact = "Contact: <sip:alice@contoso.com;opaque=user:epid:Zu9;gruu>";
    let long = |length: usize| "x".repeat(length);
    let routes = |count: usize| {
        let route = format!(
            "Record-Route: <sip:proxy.contoso.com;lr;opaque={}>\r\n",
            long(400)
        );
        format!("{}{contact}", route.repeat(count))
    };
    for (was, now, refused) in [
        (call_id, long(256), None),
        (call_id, long(257), Some("Call-ID")),
        ("1804289383", long(256), None),
        ("1804289383", long(257), Some("From")),
        ("0123456789ab", long(257), Some("From")),
        (
            "sip:alice@contoso.com>;tag",
            format!("sip:{}@contoso.com>;tag", long(2000)),
            Some("From"),
        ),
        (
            "To: <sip:channel@contoso.com;opaque=app:chat>",
            format!("To: <sip:c@h;opaque={}>", long(2000)),
            Some("To"),
        ),
        (
            contact,
            format!("Contact: <sip:{}@contoso.com>", long(900)),
            None,
        ),
        (
            contact,
            format!("Contact: <sip:{}@contoso.com>", long(1100)),
            Some("Contact"),
        ),
        (contact, routes(8), None),
        (contact, routes(12), Some("Record-Route")),
    ] {
        let accepted = Dialog::accept(&request(INVITE.replacen(was, &now, 1)), "srv1");
        let reason = accepted
            .err()
            .map(|fault| (fault.status, fault.reason.to_string()));
        let expected = refused.map(|header| {
            (
                Status::BAD_REQUEST,
                format!("{header} header field too long"),
            )
        });
        assert_eq!(reason, expected, "{} bytes for {was}", now.len());
    }
    // Nor later on.
    let mut dialog = accepted(INVITE);
    let longer = format!("Contact: <sip:{}@contoso.com>\r\n", long(2000));
    let refused = dialog.accept_request(&inside("UPDATE", 2, &longer));
    assert_eq!(refused.unwrap_err().status, Status::BAD_REQUEST);
}

#[test]
fn fact_info_to_the_client_has_from_exactly_as_invited_and_to_with_epid() {
    let mut dialog = accepted(INVITE);
    let info = dialog
        .request(&Method::Info, &HOP)
        .body("text/plain", b"<xccos/>");
    assert_eq!(
        text(info),
        "INFO sip:alice@contoso.com;opaque=user:epid:Zu9;gruu SIP/2.0\r\n\
         Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKbeef\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:channel@contoso.com;opaque=app:chat>;tag=srv1\r\n\
         To: <sip:alice@contoso.com>;tag=1804289383;epid=0123456789ab\r\n\
         Call-ID: 6B8Bg4567a327Bi23C6m6433x2C8Bb8E1Fx1E7Dx\r\n\
         CSeq: 1 INFO\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: 8\r\n\r\n<xccos/>"
    );
    assert!(text(dialog.request(&Method::Info, &HOP)).contains("\r\nCSeq: 2 INFO\r\n"));
    assert_eq!(dialog.local_cseq(), 2);
}

#[test]
fn fact_client_without_contact_is_reached_at_its_from_uri() {
    let contact = "Contact: <sip:alice@contoso.com;opaque=user:epid:Zu9;gruu>\r\n";
    let mut dialog = accepted(&INVITE.replace(contact, ""));
    let info = text(dialog.request(&Method::Info, &HOP));
    assert!(
        info.starts_with("INFO sip:alice@contoso.com SIP/2.0\r\n"),
        "{info}"
    );
}

#[test]
fn rfc3261_12_1_1_peer_without_tag_and_epid() {
    let invite = INVITE.replace(";tag=1804289383;epid=0123456789ab", "");
    let mut dialog = accepted(&invite);
    let info = text(dialog.request(&Method::Info, &HOP));
    assert!(
        info.contains("\r\nTo: <sip:alice@contoso.com>\r\n"),
        "{info}"
    );
    assert_eq!(dialog.remote_epid(), None);
}

#[test]
fn rfc3261_12_1_1_route_set_is_the_record_route_in_order() {
    let invite = INVITE.replace(
        "Contact:",
        "Record-Route: <sip:p1.contoso.com;lr>, <sip:p2.contoso.com;lr>\r\n\
         Record-Route: <sip:p3.contoso.com;lr>;x=y\r\nContact:",
    );
    let info = text(accepted(&invite).request(&Method::Info, &HOP));
    assert!(info.starts_with("INFO sip:alice@contoso.com;opaque=user:epid:Zu9;gruu SIP/2.0\r\n"));
    assert!(
        info.contains(
            "\r\nRoute: <sip:p1.contoso.com;lr>\r\nRoute: <sip:p2.contoso.com;lr>\r\n\
             Route: <sip:p3.contoso.com;lr>;x=y\r\nFrom:"
        ),
        "{info}"
    );
}

#[test]
fn rfc3261_12_2_1_1_strict_router_gets_the_request_uri_and_the_target_comes_last() {
    let invite = INVITE.replace(
        "Contact:",
        "Record-Route: <sip:p1.contoso.com;x=y>, <sip:p2.contoso.com;lr>\r\nContact:",
    );
    let info = text(accepted(&invite).request(&Method::Info, &HOP));
    assert!(
        info.starts_with("INFO sip:p1.contoso.com;x=y SIP/2.0\r\n"),
        "{info}"
    );
    assert!(
        info.contains(
            "\r\nMax-Forwards: 70\r\nRoute: <sip:p2.contoso.com;lr>\r\n\
             Route: <sip:alice@contoso.com;opaque=user:epid:Zu9;gruu>\r\nFrom:"
        ),
        "{info}"
    );
}

#[test]
fn invite_inside_a_dialog_starts_none() {
    let fault = Dialog::accept(&inside("INVITE", 9, ""), "srv2").unwrap_err();
    assert_eq!(fault.status, Status::NO_SUCH_DIALOG);
}

#[test]
fn rfc3261_19_3_tag_that_would_write_a_parameter_of_its_own_is_refused() {
    for (old, new) in [("1804289383", "\"1;epid=2\""), ("0123456789ab", "\"a b\"")] {
        let fault = Dialog::accept(&request(INVITE.replace(old, new)), "srv1").unwrap_err();
        assert_eq!(fault.status, Status::BAD_REQUEST, "{new}");
    }
}

#[test]
fn rfc3261_12_2_2_requests_are_taken_in_order_only() {
    let mut dialog = accepted(INVITE);
    let key = dialog.key();
    let mut take = |method, cseq| {
        let request = inside(method, cseq, "");
        assert_eq!(
            DialogKey::of_request(&request).unwrap().as_ref(),
            Some(&key)
        );
        dialog
            .accept_request(&request)
            .map_err(|fault| fault.status)
    };
    assert_eq!(take("ACK", 1), Ok(Incoming::Uncounted));
    assert_eq!(take("INFO", 2), Ok(Incoming::New));
    assert_eq!(take("INFO", 2), Ok(Incoming::Retransmission));
    assert_eq!(take("INFO", 7), Ok(Incoming::New));
    assert_eq!(take("INFO", 6), Err(Status::SERVER_INTERNAL_ERROR));
    assert_eq!(take("BYE", 7), Err(Status::SERVER_INTERNAL_ERROR));
    assert_eq!(take("ACK", 1), Ok(Incoming::Uncounted));
    assert_eq!(take("CANCEL", 1), Ok(Incoming::Uncounted));
    assert_eq!(take("INFO", 7), Ok(Incoming::Retransmission));
    assert_eq!(take("BYE", 8), Ok(Incoming::New));
}

#[test]
fn fact_same_cseq_with_new_credentials_is_a_new_request() {
    let mut dialog = accepted(INVITE);
    let with = |response: u32| {
        inside(
            "INFO",
            2,
            &format!("Proxy-Authorization: Digest response=\"{response}\"\r\n"),
        )
    };
    assert_eq!(
        dialog.accept_request(&inside("INFO", 2, "")),
        Ok(Incoming::New)
    );
    assert_eq!(dialog.accept_request(&with(1)), Ok(Incoming::New));
    assert_eq!(
        dialog.accept_request(&with(1)),
        Ok(Incoming::Retransmission)
    );
    assert_eq!(dialog.accept_request(&with(2)), Ok(Incoming::New));
}

#[test]
fn the_invite_itself_can_be_repeated() {
    let mut dialog = accepted(INVITE);
    let again = dialog.accept_request(&request(INVITE));
    assert_eq!(again, Ok(Incoming::Retransmission));
}

#[test]
fn rfc3311_5_2_update_with_contact_moves_the_target_and_one_without_does_not() {
    let mut dialog = accepted(INVITE);
    let before = dialog.key();
    dialog.accept_request(&inside("UPDATE", 2, "")).unwrap();
    let info = text(dialog.request(&Method::Info, &HOP));
    assert!(
        info.starts_with("INFO sip:alice@contoso.com;opaque="),
        "{info}"
    );

    let contact = "Contact: <sip:alice@192.0.2.9:5060>\r\n";
    dialog.accept_request(&inside("INFO", 3, contact)).unwrap();
    let info = text(dialog.request(&Method::Info, &HOP));
    assert!(
        info.starts_with("INFO sip:alice@contoso.com;opaque="),
        "{info}"
    );

    dialog
        .accept_request(&inside("UPDATE", 4, contact))
        .unwrap();
    let info = text(dialog.request(&Method::Info, &HOP));
    assert!(
        info.starts_with("INFO sip:alice@192.0.2.9:5060 SIP/2.0\r\n"),
        "{info}"
    );
    assert!(info.contains("\r\nFrom: <sip:channel@contoso.com;opaque=app:chat>;tag=srv1\r\n"));
    assert_eq!(dialog.key(), before);
}

#[test]
fn rfc3261_12_2_1_2_answer_to_our_update_moves_the_target_and_one_without_contact_does_not() {
    let mut dialog = accepted(INVITE);
    let answer = |update: MessageBuilder, more: &str| {
        let update = request(text(update));
        let answer = text(respond(&update, Status::OK, None));
        response(answer.replace("Content-Length", &format!("{more}Content-Length")))
    };
    for (more, target) in [
        ("Contact: <sip:alice@192.0.2.8>\r\n", "sip:alice@192.0.2.8"),
        ("", "sip:alice@192.0.2.8"),
        ("Contact: *\r\n", "sip:alice@192.0.2.8"),
    ] {
        let answered = answer(dialog.request(&Method::Update, &HOP), more);
        dialog.refreshed_by(&answered);
        let next = request(text(dialog.request(&Method::Info, &HOP)));
        assert_eq!(next.uri(), target, "{more}");
    }
}

#[test]
fn fact_two_clients_of_one_second_have_two_dialogs() {
    let bob = INVITE.replace("From: <sip:alice@", "From: <sip:bob@");
    assert_ne!(accepted(INVITE).key(), accepted(&bob).key());
    let other_endpoint = INVITE.replace("0123456789ab", "ba9876543210");
    assert_ne!(accepted(INVITE).key(), accepted(&other_endpoint).key());
}

#[test]
fn a_request_without_a_to_tag_belongs_to_no_dialog() {
    assert_eq!(DialogKey::of_request(&request(INVITE)), Ok(None));
}

#[test]
fn an_idle_dialog_is_small() {
    assert!(size_of::<Dialog>() <= 112, "{} bytes", size_of::<Dialog>());
    let dialog = accepted(INVITE);
    assert!(
        dialog.text.packed.len() < 300,
        "{}",
        dialog.text.packed.len()
    );
}

#[test]
fn rfc3261_17_1_1_3_ack_of_a_refusal_keeps_branch_and_number_and_takes_the_tag() {
    let mut invitation = invitation();
    let invite = request(invitation.request(&HOP).finish());
    let refusal = response(respond(&invite, Status::NOT_FOUND, Some("x")).finish());
    let Ok(Progress::Refused(status)) = invitation.on_response(&refusal) else {
        panic!("not refused");
    };
    assert_eq!(status, Status::NOT_FOUND);
    let ack = text(invitation.ack_refusal(&refusal, &HOP).unwrap());
    assert!(
        ack.starts_with("ACK sip:room@contoso.com;opaque=a SIP/2.0\r\n"),
        "{ack}"
    );
    assert!(ack.contains(";branch=z9hG4bKbeef\r\n"), "{ack}");
    assert!(
        ack.contains("\r\nTo: <sip:room@contoso.com;opaque=a>;tag=x\r\n"),
        "{ack}"
    );
    assert!(ack.contains("\r\nCSeq: 1 ACK\r\n"), "{ack}");
}

#[test]
fn answers_to_an_earlier_try_or_another_call_are_foreign() {
    let mut invitation = invitation();
    let first = request(invitation.request(&HOP).finish());
    let late = response(respond(&first, Status::OK, Some("x")).finish());
    let second = text(invitation.request(&HOP));
    assert!(second.contains("\r\nCSeq: 2 INVITE\r\n"));
    assert!(matches!(
        invitation.on_response(&late),
        Ok(Progress::Foreign)
    ));

    let ok = text(respond(&request(&second), Status::OK, Some("x")));
    assert!(matches!(
        invitation.on_response(&response(&ok)),
        Ok(Progress::Established(_))
    ));
    for (old, new) in [
        ("call-1", "call-2"),
        (";tag=cli", ";tag=cll"),
        ("INVITE", "INFO"),
    ] {
        let foreign = response(ok.replace(old, new));
        assert!(
            matches!(invitation.on_response(&foreign), Ok(Progress::Foreign)),
            "{old}"
        );
    }
    let trying = response(respond(&request(&second), Status::RINGING, Some("x")).finish());
    assert!(matches!(
        invitation.on_response(&trying),
        Ok(Progress::Provisional)
    ));
}

#[test]
fn rfc3261_12_1_2_client_reverses_the_record_route() {
    let mut invitation = invitation();
    let invite = request(invitation.request(&HOP).finish());
    let ok = respond(&invite, Status::OK, Some("x"))
        .header(
            Name::RecordRoute,
            "<sip:p1.contoso.com;lr>, <sip:p2.contoso.com;lr>",
        )
        .header(Name::Contact, "<sip:room@192.0.2.1:5061>");
    let Ok(Progress::Established(mut dialog)) = invitation.on_response(&response(ok.finish()))
    else {
        panic!("not established");
    };
    let _bye = dialog.request(&Method::Bye, &HOP);
    let ack = text(dialog.ack(&HOP));
    assert!(ack.contains("\r\nCSeq: 1 ACK\r\n"), "{ack}");
    assert!(
        ack.starts_with("ACK sip:room@192.0.2.1:5061 SIP/2.0\r\n"),
        "{ack}"
    );
    assert!(
        ack.contains("\r\nRoute: <sip:p2.contoso.com;lr>\r\nRoute: <sip:p1.contoso.com;lr>\r\n"),
        "{ack}"
    );
}

fn invitation() -> Invitation {
    Invitation::new(&Invite {
        target: "sip:room@contoso.com;opaque=a",
        from: "sip:alice@contoso.com",
        tag: "cli",
        epid: Some("0123456789ab"),
        call_id: "call-1",
    })
}

/// Both ends of a dialog between an invitation of ours and a server of ours.
fn pair(proxies: usize) -> [Dialog; 2] {
    let mut invitation = invitation();
    let routes = (0..proxies).map(|at| format!("<sip:p{at}.contoso.com;lr>"));
    let invite = invitation
        .request(&HOP)
        .header(Name::Contact, "<sip:alice@192.0.2.7:50123>");
    let invite = request(
        routes
            .fold(invite, |invite, route| {
                invite.header(Name::RecordRoute, route)
            })
            .finish(),
    );
    let server = Dialog::accept(&invite, "srv").unwrap();
    let ok = respond(&invite, Status::OK, Some(server.local_tag()))
        .record_routes_from(&invite)
        .header(Name::Contact, "<sip:192.0.2.1:5061>");
    let Ok(Progress::Established(client)) = invitation.on_response(&response(ok.finish())) else {
        panic!("not established");
    };
    [*client, server]
}

proptest! {
    #[test]
    fn two_ends_agree_whoever_speaks(
        turns in prop::collection::vec((0_usize..2, 0_usize..4, any::<bool>()), 1..24),
        proxies in 0_usize..3,
    ) {
        let mut ends = pair(proxies);
        let ack = request(ends[0].ack(&HOP).finish());
        prop_assert_eq!(DialogKey::of_request(&ack).unwrap(), Some(ends[1].key()));
        prop_assert_eq!(ends[1].accept_request(&ack), Ok(Incoming::Uncounted));
        let mut earlier: [Option<Request>; 2] = [None, None];
        for (speaker, method, twice) in turns {
            let listener = 1 - speaker;
            let methods = [Method::Info, Method::Update, Method::Message, Method::Options];
            let sent = ends[speaker].request(&methods[method], &HOP);
            let sent = request(sent.body("text/plain", b"hello").finish());
            prop_assert_eq!(sent.headers().routes().count(), proxies);
            prop_assert_eq!(DialogKey::of_request(&sent).unwrap(), Some(ends[listener].key()));
            prop_assert_eq!(ends[listener].accept_request(&sent), Ok(Incoming::New));
            if twice {
                let again = ends[listener].accept_request(&sent);
                prop_assert_eq!(again, Ok(Incoming::Retransmission));
            }
            if let Some(old) = &earlier[speaker] {
                prop_assert!(ends[listener].accept_request(old).is_err());
            }
            let ok = response(respond(&sent, Status::OK, None).finish());
            prop_assert_eq!(DialogKey::of_response(&ok).unwrap(), Some(ends[speaker].key()));
            prop_assert_eq!(ok.headers().cseq().unwrap().number, ends[speaker].local_cseq());
            earlier[speaker] = Some(sent);
        }
    }

    #[test]
    fn the_text_of_a_dialog_comes_back_as_it_was_put_in(parts in prop::array::uniform9("[^\\p{Cc}]{0,9}")) {
        let [call_id, local_uri, local_tag, local_epid, remote_uri, remote_tag, remote_epid, target, routes] =
            parts.each_ref().map(String::as_str);
        let text = Text::new(&Parts {
            call_id, local_uri, local_tag, local_epid, remote_uri, remote_tag, remote_epid, target, routes,
        });
        let back = text.parts();
        prop_assert_eq!(
            [
                back.call_id, back.local_uri, back.local_tag, back.local_epid, back.remote_uri,
                back.remote_tag, back.remote_epid, back.target, back.routes,
            ],
            parts.each_ref().map(String::as_str)
        );
    }
}
