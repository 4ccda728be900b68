//! Posts and their receipts.

use super::*;

#[test]
fn a_post_is_acknowledged_when_the_pool_has_it() {
    let mut session = Session::attached();
    let outputs = session.post("x");
    assert!(
        matches!(
            &outputs[..],
            [Output::OpenLeg(POOL, Opening::First), Output::Send { .. }]
        ),
        "{outputs:?}"
    );
    let outputs = session.receipt(1, Receipt::Accepted);
    assert_status(&outputs, 200);
    assert!(
        session.receipt(1, Receipt::Accepted).is_empty(),
        "answered twice"
    );
}

#[test]
fn a_refused_post_is_refused_with_a_code_that_clients_survive() {
    for (by_pool, for_client) in [
        (403, 403),
        (413, 413),
        (503, 503),
        (401, 403),
        (407, 403),
        (481, 503),
        (408, 503),
        (302, 503),
        (603, 503),
    ] {
        let mut session = Session::attached();
        session.post("x");
        let refused = Receipt::Refused {
            status: by_pool,
            reason: "no".into(),
        };
        assert_status(&session.receipt(1, refused), for_client);
    }
}

#[test]
fn a_post_without_a_receipt_is_unknown_in_time_and_once() {
    let mut session = Session::attached();
    session.post("x");
    assert_eq!(
        session.core.poll_timeout(),
        Some(session.now + POOL_TIMEOUT)
    );
    assert!(
        session
            .wait(POOL_TIMEOUT - Duration::from_millis(1))
            .is_empty()
    );
    session.now += Duration::from_millis(1);
    session.core.handle_timeout(session.now);
    let outputs: Vec<Output> = std::iter::from_fn(|| session.core.poll_output()).collect();
    assert_status(&outputs, 504);
    let told = Output::Event(Event::PostUnknown {
        legacy: "ma-chan://old.example/x".parse().unwrap(),
        pool: POOL,
        request: ("c".into(), session.cseq),
        id: SendId(1),
    });
    assert!(outputs.contains(&told), "{outputs:?}");
    assert!(session.receipt(1, Receipt::Accepted).is_empty());
}

#[test]
fn a_post_to_a_retired_room_is_refused_with_its_note_and_goes_nowhere() {
    let mut session = Session::attached();
    let outputs = session.post("gone");
    assert_status(&outputs, 403);
    assert!(downstream(&outputs)[0].contains("closed in 2019"));
    assert_eq!(outputs.len(), 1);
}

#[test]
fn an_answer_goes_only_to_the_connection_that_asked() {
    let mut session = Session::attached();
    session.post("x");
    session
        .core
        .handle_connection_lost(session.now, ConnectionNumber(1));
    session.drain();
    session.attach(2);
    assert!(session.receipt(1, Receipt::Accepted).is_empty());
}

#[test]
fn a_post_is_answered_after_bye_while_the_connection_is_there() {
    let mut session = Session::attached();
    session.post("x");
    assert_status(&session.send("BYE", ""), 200);
    assert_status(&session.receipt(1, Receipt::Accepted), 200);
}
