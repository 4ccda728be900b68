//! Clients that give a dialog up and come back, or have nothing to come back to.

use super::pools::{OTHER, TwoPools, bjoin};
use super::*;

#[test]
fn what_was_not_read_when_a_dialog_ends_is_read_in_the_next_on_its_connection() {
    let mut session = Session::attached();
    session.open("x", "x");
    let first = session.document(&fan_out("x", "one"));
    session.document(&fan_out("x", "two"));
    assert!(
        session
            .answer(cseq_of(first_downstream(&first)), 481)
            .is_empty()
    );
    session.document(&fan_out("x", "three"));
    let mut read = Vec::new();
    let mut outputs = session.attach_again(1);
    while let [Output::Downstream(info)] = &outputs[..] {
        read.push(text(info));
        outputs = session.answer(cseq_of(info), 200);
    }
    let texts = ["one", "two", "three"].map(|text| format!("<chat>{text}"));
    assert_eq!(read.len(), 3, "{read:?}");
    assert!(
        read.iter()
            .zip(&texts)
            .all(|(read, text)| read.contains(text)),
        "{read:?}"
    );
}

#[test]
fn what_was_not_read_is_not_for_another_connection() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.document(&fan_out("x", "one"));
    session.send("BYE", "");
    session.document(&fan_out("x", "two"));
    assert!(session.attach_again(2).is_empty());
}

#[test]
fn too_much_to_read_for_a_client_that_may_come_back_closes_its_connection() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.send("BYE", "");
    for _ in 0..4 {
        assert!(session.document(&fan_out("x", "m")).is_empty());
    }
    let outputs = session.document(&fan_out("x", "m"));
    let reason = CloseReason::Slow { queued: 4 };
    assert_eq!(outputs, [Output::CloseConnection(reason)]);
}

#[test]
fn a_room_that_the_client_did_not_see_opening_is_asked_for_again() {
    let mut session = Session::attached();
    let chanid = r#"<chanid domain="old.example" value="x"/>"#;
    session.send("INFO", &command("join", chanid));
    session.document(&joined(1, "x"));
    session.send("BYE", "");
    session.document(&fan_out("x", "one"));
    assert!(session.attach_again(1).is_empty());
    assert_eq!(session.core.open_rooms(), 0);
}

#[test]
fn a_session_that_nobody_can_come_back_to_ends_at_once() {
    let mut session = Session::attached();
    assert_eq!(session.send("BYE", "").len(), 1);
    assert_eq!(session.core.poll_timeout(), Some(session.now));
    let outputs = session.wait(Duration::ZERO);
    assert_eq!(outputs, [Output::Finished(FinishReason::NothingOpen)]);
}

#[test]
fn a_history_of_more_rooms_than_may_wait_is_not_taken_apart_any_further() {
    let mut session = Session::attached();
    session.open("x", "x");
    let room = r#"<chanib uri="ma-chan://new.example/x"/>"#;
    let filler = format!("<filler>{}</filler>", "x".repeat(500_000));
    let history = format!(
        r#"<rpl id="rpl:bccontext" seqid="1"><resp code="200"/><data>{}</data>{filler}</rpl>"#,
        room.repeat(10_000)
    );
    let outputs = session.document(&history);
    let closed =
        |output: &Output| matches!(output, Output::CloseConnection(CloseReason::Slow { .. }));
    assert!(outputs.iter().any(closed), "{outputs:?}");
}

/// Rules that ask of the network, listener or build of the client: for this one, rooms are on this pool.
struct OfCaller(PoolId);

impl Decisions for OfCaller {
    fn version(&self) -> u64 {
        1
    }

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        let decided = Directory.resolve(act, legacy);
        let pool = self.0;
        Decided {
            outcome: decided.outcome.map(|target| Target { pool, ..target }),
            generation: u64::from(pool.0),
            ..decided
        }
    }

    fn admit(&self, act: Act) -> Decided<Option<PoolId>> {
        Directory.admit(act)
    }

    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        Directory.legacy_of(pool, migrated)
    }

    fn shows_unlisted(&self) -> bool {
        true
    }

    fn offers(&self, _: PoolId, _: &RoomUri) -> bool {
        true
    }

    fn offers_all(&self) -> bool {
        true
    }

    fn default_pool(&self) -> PoolId {
        POOL
    }

    fn pools(&self) -> &[PoolId] {
        TwoPools.pools()
    }
}

impl Session {
    /// Comes as another client, or from another network, on a connection of its own or on the one it has.
    fn come_as_another(&mut self, connection: u64) {
        self.core.handle_other_caller();
        self.attach(connection);
    }

    fn info_by(&mut self, body: &str, decisions: &dyn Decisions) -> (Vec<Output>, Vec<Event>) {
        self.cseq += 1;
        let request = Box::new(request("INFO", self.cseq, ";tag=here", body));
        self.core.handle_downstream(self.now, request, decisions);
        self.drain_with_events()
    }
}

/// The pools that were sent something, and what.
fn sent_to(outputs: &[Output]) -> Vec<(PoolId, String)> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { pool, body, .. } => Some((*pool, text(body))),
        _ => None,
    });
    sent.collect()
}

#[test]
fn rooms_of_a_client_that_comes_back_from_another_network_are_decided_anew() {
    let mut session = Session::attached();
    session.open("x", "x");
    session
        .core
        .handle_connection_lost(session.now, ConnectionNumber(1));
    session.drain();
    session.come_as_another(2);
    let (outputs, events) = session.info_by(&bjoin(&["x"]), &OfCaller(OTHER));
    let [(left, part), (joined, asked)] = &sent_to(&outputs)[..] else {
        panic!("{outputs:?}");
    };
    assert!(
        part.contains("cmd:part") && asked.contains("cmd:bjoin"),
        "{part} {asked}"
    );
    assert_eq!((*left, *joined), (POOL, OTHER));
    let decided = events.iter().find_map(|event| match event {
        Event::Decided { decided, .. } => Some(decided),
        _ => None,
    });
    let decided = decided.unwrap();
    let pool = decided
        .outcome
        .as_ref()
        .map(|target| target.as_ref().unwrap().pool);
    assert_eq!((pool, decided.generation), (Ok(OTHER), 1));
}

#[test]
fn windows_that_another_build_comes_back_to_on_its_connection_are_moved() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.send("BYE", "");
    session.come_as_another(1);
    let (outputs, _) = session.info_by(&post("x"), &OfCaller(OTHER));
    let joins = sent_to(&outputs);
    assert!(
        joins
            .iter()
            .any(|(pool, text)| *pool == OTHER && text.contains("cmd:bjoin")),
        "{joins:?}"
    );
    assert!(
        joins
            .iter()
            .any(|(pool, text)| *pool == OTHER && text.contains("<chat>")),
        "{joins:?}"
    );
}

#[test]
fn a_decision_about_a_room_on_its_way_names_the_pool_of_its_rule() {
    let mut session = Session::attached();
    let outputs = session.join("x");
    assert_eq!(sent_to(&outputs).len(), 1);
    // Decided otherwise before the pool has answered: it is asked there again, and the record says what is decided.
    session.core.handle_other_caller();
    let (outputs, events) = session.info_by(&command("join", &chanid("x")), &OfCaller(OTHER));
    assert_eq!(sent_to(&outputs)[0].0, POOL);
    let decided = events.iter().find_map(|event| match event {
        Event::Decided { decided, .. } => decided.outcome.clone().ok().flatten(),
        _ => None,
    });
    assert_eq!(decided.map(|target| target.pool), Some(OTHER));
}
