//! Clients that come through a front end: its connection is not theirs.

use holdover_protocol::sip::{Status, respond};

use super::*;

const SILENCE: Duration = Duration::from_secs(1800);
const BEHIND: Way = Way::FrontEnd {
    client: ClientNumber(7),
};

fn behind() -> Session {
    let mut session = Session::attached();
    session.attach_by(2, BEHIND);
    session
}

impl Session {
    fn break_off(&mut self, connection: u64) -> Vec<Output> {
        self.core
            .handle_connection_lost(self.now, ConnectionNumber(connection));
        self.drain()
    }

    fn move_to(&mut self, connection: u64) -> Vec<Output> {
        let attachment = Attachment {
            connection: ConnectionNumber(connection),
            sent_by: SentBy {
                transport: "TLS",
                address: "192.0.2.9:5062".into(),
            },
            way: Way::FrontEnd {
                client: ClientNumber(0),
            },
        };
        self.core.handle_moved(self.now, &attachment);
        self.drain()
    }

    fn is_gone(&mut self) -> bool {
        // Without rooms to come back to the session is over, or about to be.
        self.core.is_finished()
            || downstream(&self.send("UPDATE", ""))[0].starts_with("SIP/2.0 481 ")
    }
}

#[test]
fn rfc5057_a_client_that_is_not_reached_is_gone_behind_a_front_end() {
    for (status, is_gone) in [
        (404, true),
        (410, true),
        (430, true),
        (477, true),
        (480, true),
        (502, true),
        (604, true),
        (481, true),
        (403, false),
        (500, false),
        (503, false),
    ] {
        for way in [BEHIND, Way::Own] {
            let mut session = Session::attached();
            session.attach_by(2, way);
            session.open("x", "x");
            let info = downstream(&session.document(&fan_out("x", "hello"))).remove(0);
            session.answer(cseq_of(&info.into()), status);
            let expected = is_gone && (way == BEHIND || status == 481);
            assert_eq!(session.is_gone(), expected, "{status} {way:?}");
        }
    }
}

#[test]
fn a_client_that_is_silent_for_long_is_asked_for_a_sign_of_life() {
    let mut session = behind();
    for (number, status) in [(1, 200), (2, 405)] {
        let due = session.now + SILENCE;
        assert_eq!(session.core.poll_timeout(), Some(due));
        let asked = downstream(&session.wait(SILENCE)).remove(0);
        assert!(asked.starts_with("OPTIONS "), "{asked}");
        assert!(asked.contains("To: <sip:ann@contoso.com>;tag=there"));
        // Whatever it is answered, the client is there.
        let answer_by = session.now + INFO_TIMEOUT;
        assert_eq!(session.core.poll_timeout(), Some(answer_by));
        session.answer_to("OPTIONS", number, status);
    }
    session.now += SILENCE / 2;
    assert!(!session.is_gone());
    let due = session.now + SILENCE;
    assert_eq!(session.core.poll_timeout(), Some(due), "it said something");

    session.wait(SILENCE);
    let outputs = session.wait(INFO_TIMEOUT);
    let silent = Output::CloseConnection(CloseReason::Silent);
    assert!(outputs.contains(&silent), "{outputs:?}");
    assert!(session.is_gone());

    // A client with a connection of its own is there as long as that.
    assert_eq!(Session::attached().core.poll_timeout(), None);
}

#[test]
fn what_is_for_a_client_waits_for_its_front_end_and_what_may_be_lost_comes_again() {
    let mut session = behind();
    session.open("x", "x");
    let sent = downstream(&session.document(&fan_out("x", "on the way"))).remove(0);
    let id = match &session.post("x")[..] {
        [Output::Send { id, .. }] => id.0,
        other => panic!("{other:?}"),
    };
    assert!(session.break_off(2).is_empty());
    assert!(session.document(&fan_out("x", "meanwhile")).is_empty());
    assert!(session.receipt(id, Receipt::Accepted).is_empty());
    // The end of a connection that it is not on says nothing.
    session.break_off(1);

    session.now += GRACE / 2;
    let outputs = downstream(&session.move_to(3));
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    assert!(outputs.contains(&sent), "the very same, number and branch");
    let receipts = outputs.iter().filter(|it| it.starts_with("SIP/2.0 200 "));
    assert_eq!(receipts.count(), 1);
    let next = downstream(&session.answer(cseq_of(&sent.into()), 200)).remove(0);
    assert!(next.contains("meanwhile"), "{next}");
    assert!(next.contains("Via: SIP/2.0/TLS 192.0.2.9:5062;"), "{next}");
    assert!(!session.is_gone());
}

#[test]
fn a_front_end_that_stays_away_ends_the_session() {
    let mut session = behind();
    session.open("x", "x");
    session.break_off(2);
    let until = session.now + GRACE;
    assert_eq!(session.core.poll_timeout(), Some(until));
    let outputs = session.wait(GRACE);
    let over = Output::Finished(FinishReason::GraceOver);
    assert_eq!(outputs.last(), Some(&over));
}

#[test]
fn the_same_client_keeps_its_rooms_and_another_claims_them() {
    for (client, delivered) in [(7, 1), (8, 0)] {
        let mut session = behind();
        session.open("x", "x");
        let client = ClientNumber(client);
        let way = Way::FrontEnd { client };
        session.attach_by(3, way);
        let outputs = session.document(&fan_out("x", "hello"));
        assert_eq!(downstream(&outputs).len(), delivered, "{client:?}");
    }
}

impl Session {
    /// The client, or its front end, answers the INFO that was sent last.
    fn answer_info(&mut self, info: &str, status: u16, lines: &str) -> Vec<Output> {
        let Ok(Message::Request(request)) = Message::parse(info.as_bytes()) else {
            panic!("no request: {info}");
        };
        let text = respond(&request, Status::new(status).unwrap(), None).finish();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let text = text.replacen("Content-Length", &format!("{lines}Content-Length"), 1);
        let Ok(Message::Response(response)) = Message::parse(text.as_bytes()) else {
            panic!("no response: {text}");
        };
        self.core.handle_response(self.now, &response);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// Waits until something is due.
    fn wait_for_due(&mut self) -> (Duration, Vec<Output>) {
        let due = self.core.poll_timeout().unwrap();
        let pause = due - self.now;
        (pause, self.wait(pause))
    }
}

fn body_of(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn what_is_refused_for_now_is_sent_again_before_anything_else() {
    for status in [503, 504, 500, 486] {
        for way in [BEHIND, Way::Own] {
            let mut session = Session::attached();
            session.attach_by(2, way);
            session.open("x", "x");
            let first = downstream(&session.document(&fan_out("x", "first"))).remove(0);
            assert!(session.document(&fan_out("x", "second")).is_empty());
            assert_eq!(session.answer_info(&first, status, ""), []);
            let (pause, outputs) = session.wait_for_due();
            assert_eq!(pause, Duration::from_millis(500));
            let again = downstream(&outputs).remove(0);
            assert_eq!(body_of(&again), body_of(&first), "{status}");
            assert_ne!(cseq_of(&again.clone().into()), cseq_of(&first.into()));
            // Longer each time, and as long as is asked for.
            assert_eq!(
                session.answer_info(&again, status, "Retry-After: 5 (busy)\r\n"),
                []
            );
            let (pause, outputs) = session.wait_for_due();
            assert_eq!(pause, Duration::from_secs(5));
            let again = downstream(&outputs).remove(0);
            let next = downstream(&session.answer_info(&again, 200, "")).remove(0);
            assert!(next.contains("second"), "{next}");
        }
    }
}

#[test]
fn another_connection_of_the_front_end_is_another_way() {
    let mut session = behind();
    session.open("x", "x");
    let info = downstream(&session.document(&fan_out("x", "hello"))).remove(0);
    session.answer_info(&info, 503, "Retry-After: 30\r\n");
    let again = downstream(&session.move_to(3)).remove(0);
    assert_eq!(body_of(&again), body_of(&info));
}

#[test]
fn a_front_end_that_is_always_busy_does_not_reach_the_client() {
    let mut session = behind();
    session.open("x", "x");
    let begun = session.now;
    let mut info = downstream(&session.document(&fan_out("x", "hello"))).remove(0);
    let mut tries = 0;
    let outputs = loop {
        let outputs = session.answer_info(&info, 503, "");
        if !outputs.is_empty() {
            break outputs;
        }
        tries += 1;
        info = downstream(&session.wait_for_due().1).remove(0);
    };
    assert!(
        outputs.contains(&Output::Event(Event::Detached)),
        "{outputs:?}"
    );
    assert!((5..10).contains(&tries), "{tries}");
    assert_eq!(session.now - begun, INFO_TIMEOUT);
    // Once the client comes back it reads it.
    session.invite(2, BEHIND);
    let outputs = session.drain();
    assert!(downstream(&outputs)[0].contains("hello"), "{outputs:?}");
}

#[test]
fn what_is_refused_for_good_is_dropped_once_and_said_to_be() {
    for status in [413, 403, 415, 407, 513, 603, 302] {
        for way in [BEHIND, Way::Own] {
            let mut session = Session::attached();
            session.attach_by(2, way);
            session.open("x", "x");
            let info = downstream(&session.document(&fan_out("x", "large"))).remove(0);
            session.document(&fan_out("x", "next"));
            let outputs = session.answer_info(&info, status, "");
            assert!(
                outputs.contains(&Output::Event(Event::NotDelivered { status })),
                "{outputs:?}"
            );
            let next = downstream(&outputs).remove(0);
            assert!(next.contains("next"), "{next}");
            session.answer_info(&next, 200, "");
            assert!(!session.is_gone());
        }
    }
}

#[test]
fn a_client_that_cannot_be_told_that_a_room_is_open_is_not_in_it() {
    let mut session = behind();
    let outputs = session.join("x");
    let Some(Output::Send { id, .. }) = outputs.last() else {
        panic!("{outputs:?}");
    };
    let id = id.0;
    let info = downstream(&session.document(&joined(id, "x"))).remove(0);
    let outputs = session.answer_info(&info, 413, "");
    let parts = outputs.iter().filter(
        |output| matches!(output, Output::Send { body, .. } if text(body).contains("cmd:part")),
    );
    assert_eq!(parts.count(), 1, "{outputs:?}");
    let failed = downstream(&outputs).remove(0);
    assert!(
        failed.contains("rpl:join") && failed.contains("code=\"413\""),
        "{failed}"
    );
    // That one is the last word.
    let outputs = session.answer_info(&failed, 413, "");
    assert!(downstream(&outputs).is_empty(), "{outputs:?}");
    assert_eq!(session.core.open_rooms(), 0);
}

#[test]
fn nothing_is_sent_behind_an_answer_that_opens_a_room_and_the_order_is_kept() {
    let mut session = Session::with_outstanding(3);
    session.attach_by(2, BEHIND);
    session.open("x", "x");
    let sent: Vec<String> = ["one", "two", "three"]
        .into_iter()
        .map(|text| downstream(&session.document(&fan_out("x", text))).remove(0))
        .collect();
    for info in &sent {
        session.answer_info(info, 503, "");
    }
    let (_, outputs) = session.wait_for_due();
    let again: Vec<String> = downstream(&outputs);
    let bodies =
        |all: &[String]| -> Vec<String> { all.iter().map(|one| body_of(one).to_owned()).collect() };
    assert_eq!(bodies(&again), bodies(&sent));
}
