//! The end of a session while Holdover shuts down.

use super::*;

#[test]
fn a_post_under_way_gets_its_receipt_before_the_session_ends() {
    let mut session = Session::attached();
    session.post("x");
    session.core.handle_drain();
    assert_eq!(session.drain(), []);
    assert!(!session.core.is_finished());

    assert_status(&session.post("x"), 503);
    let outputs = session.receipt(1, Receipt::Accepted);
    assert_status(&outputs, 200);
    let end = Output::Finished(FinishReason::Drain);
    assert_eq!(outputs.last(), Some(&end));
}

#[test]
fn a_post_without_a_receipt_is_answered_before_the_session_is_cut() {
    let mut session = Session::attached();
    session.post("x");
    session.core.handle_drain();
    assert_eq!(session.drain(), []);
    session.core.handle_cut();
    let outputs = session.drain();
    assert_status(&outputs, 504);
    let end = Output::Finished(FinishReason::Drain);
    assert_eq!(outputs.last(), Some(&end));
}
