//! Who somebody is, and who may come in.

use super::*;
use crate::telemetry::events::sign_in::AssertionFault;

#[test]
fn rfc3325_who_is_not_asserted_clearly_is_refused() {
    let mut front_end = FrontEnd::new();
    let tag = front_end.invite(ANN);
    for (asserted, expected) in [
        ("", AssertionFault::Missing),
        (
            // What the client would like to be.
            "P-Preferred-Identity: <sip:ann@contoso.com>\r\n",
            AssertionFault::Missing,
        ),
        (
            "P-Asserted-Identity: <tel:+4930>\r\n",
            AssertionFault::Unusable,
        ),
        (
            "P-Asserted-Identity: <sip:contoso.com>\r\n",
            AssertionFault::Unusable,
        ),
        (
            "P-Asserted-Identity: <sip:ann@contoso.com\r\n",
            AssertionFault::Unusable,
        ),
        (
            "P-Asserted-Identity: <sip:ann@contoso.com>, <sip:bob@contoso.com>\r\n",
            AssertionFault::Ambiguous,
        ),
        (
            "P-Asserted-Identity: <sip:ann@contoso.com>\r\nP-Asserted-Identity: <sip:bob@contoso.com>\r\n",
            AssertionFault::Ambiguous,
        ),
        (
            "P-Asserted-Identity: <sip:ann@fabrikam.com>\r\n",
            AssertionFault::ForeignDomain,
        ),
        (
            "P-Asserted-Identity: <sip:bob@contoso.com>\r\n",
            AssertionFault::OtherSender,
        ),
    ] {
        for (method, tag) in [("INVITE", ""), ("INFO", &*tag), ("BYE", &*tag)] {
            let outputs = front_end.send(Ask {
                method,
                tag,
                asserted,
                ..ANN
            });
            // Never 401 or 407.
            status_of(&outputs, 403);
            let [_, Output::Event(Event::NotAsserted { reason, .. })] = &outputs[..] else {
                panic!("{asserted}: {outputs:?}");
            };
            assert_eq!(*reason, expected, "{asserted}");
        }
        let ack = Ask {
            method: "ACK",
            tag: &tag,
            asserted,
            ..ANN
        };
        assert!(front_end.send(ack).is_empty());
    }
    assert_eq!(front_end.sessions.len(), 1);
}

#[test]
fn who_may_not_sign_in_now_gets_no_channel() {
    let mut front_end = FrontEnd::new();
    let zoe = Ask {
        from: "sip:zoe@contoso.com",
        asserted: "P-Asserted-Identity: <sip:zoe@contoso.com>\r\n",
        ..ANN
    };
    // A client whose lookup fails gives up for good.
    front_end.invite(Ask { uri: LOOKUP, ..zoe });
    let outputs = front_end.send(zoe);
    let refused = status_of(&outputs, 503);
    assert_eq!(line(&refused, "Retry-After"), Some("60"));
    assert!(refused.contains("Until Monday."), "{refused}");
    assert!(matches!(
        &outputs[1..],
        [Output::Event(Event::TurnedAway(_))]
    ));
    front_end.invite(ANN);
}

#[test]
fn rules_are_asked_about_the_address_that_the_front_end_saw() {
    for (vias, address) in [
        ("SIP/2.0/tcp 10.0.0.5:50001", Some("10.0.0.5")),
        // Not what the client claims, where the front end knows better.
        (
            "SIP/2.0/tcp 10.0.0.5:50001;received=192.0.2.7",
            Some("192.0.2.7"),
        ),
        (
            "SIP/2.0/tcp host;received=192.0.2.7\r\nVia: SIP/2.0/TCP 10.9.9.9",
            Some("192.0.2.7"),
        ),
        ("SIP/2.0/tcp [2001:db8::7]:50001", Some("2001:db8::7")),
        ("SIP/2.0/tcp host", None),
    ] {
        let mut front_end = FrontEnd::new();
        let asserted = format!("{}User-Agent: UCCAPI/3.5\r\n", ANN.asserted);
        let ask = Ask {
            asserted: &asserted,
            ..ANN
        };
        let text = text(ask, 1).replace("SIP/2.0/tcp 10.0.0.5:50001", vias);
        front_end.take(Message::parse(text.as_bytes()).unwrap());
        let caller = &front_end.clients[0].1;
        assert_eq!(caller.user.as_str(), "sip:ann@contoso.com");
        assert_eq!(caller.network, address.map(|it| it.parse().unwrap()));
        assert_eq!(caller.client.as_deref(), Some("UCCAPI/3.5"));
        assert_eq!(caller.listener.as_ref().unwrap().as_str(), "front-ends");
    }
}
