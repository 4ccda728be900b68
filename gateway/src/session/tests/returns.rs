//! Clients that give a dialog up and come back, or have nothing to come back to.

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
