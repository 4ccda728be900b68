//! Clients that come through a front end: its connection is not theirs.

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
        session.answer(number, status);
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
