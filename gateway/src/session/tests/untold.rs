//! What happens to rooms before the client has read that they are open, and to histories it looks at meanwhile.

use super::pools::{OTHER, bjoin, chanib, history, live, lost, numbers, reply, sent};
use super::*;

pub(super) fn fib(room: &str) -> String {
    format!(r#"<fib key="OPERATION_FAILED" value="{room}" domain="new.example"/>"#)
}

pub(super) fn part(room: &str) -> String {
    command(
        "part",
        &format!(r#"<chanib uri="ma-chan://old.example/{room}"/>"#),
    )
}

pub(super) fn look_back(room: &str) -> String {
    let room = format!(r#"<chanib uri="ma-chan://old.example/{room}"/>"#);
    command(
        "bccontext",
        &format!(r#"{room}<bcq><last cnt="25"/></bcq>"#),
    )
}

/// A session that asked for a room of each pool; the first let it in, the other has not answered. The number of what the
/// other was sent.
fn half_joined() -> (Session, u64) {
    let mut session = Session::attached();
    let parts = sent(&session.ask(&bjoin(&["x", "q1"])));
    let outputs = session.hear(POOL, &reply("bjoin", parts[0].0, &chanib("x")));
    assert!(outputs.is_empty(), "{outputs:?}");
    (session, parts[1].0)
}

/// What a pool is asked for once its lost leg is back and it let the user into these rooms.
fn rejoin(session: &mut Session, rooms: &str) -> Vec<(u64, String)> {
    session.lose(POOL);
    let again = session.retry(POOL);
    sent(&session.hear(POOL, &reply("bjoin", again[0].0, rooms)))
}

#[test]
fn a_late_answer_whose_rooms_were_left_is_not_given() {
    let mut session = Session::attached();
    let parts = sent(&session.ask(&bjoin(&["x", "q1", "q2"])));
    session.hear(POOL, &reply("bjoin", parts[0].0, &chanib("x")));
    let unread = session.wait(Duration::from_millis(800));
    let late = chanib("q1") + &fib("q2");
    session.hear(OTHER, &reply("bjoin", parts[1].0, &late));
    session.ask(&part("q1"));
    let read = session.read(unread);
    let answers = read.iter().filter(|body| body.contains("rpl:bjoin"));
    assert_eq!(answers.count(), 1, "{read:?}");
}

#[test]
fn a_late_answer_tells_only_what_is_new() {
    let mut session = Session::attached();
    let parts = sent(&session.ask(&bjoin(&["x", "q1", "q2"])));
    session.hear(POOL, &reply("bjoin", parts[0].0, &chanib("x")));
    let outputs = session.wait(Duration::from_millis(800));
    session.read(outputs);
    let late = chanib("q1") + &fib("q2");
    let outputs = session.hear(OTHER, &reply("bjoin", parts[1].0, &late));
    let read = session.read(outputs);
    assert!(read[0].contains("old.example/q1\""), "{read:?}");
    assert!(!read[0].contains("<fib"), "{read:?}");
}

#[test]
fn nothing_is_said_of_a_room_that_was_lost_before_its_opening_was_read() {
    let mut session = Session::attached();
    let chanid = r#"<chanid domain="old.example" value="x"/>"#;
    let asked = sent(&session.ask(&command("join", chanid)));
    session.hear(POOL, &joined(asked[0].0, "x"));
    session.hear(POOL, &live("x", 1));
    rejoin(&mut session, &fib("x"));
    assert_eq!(session.core.open_rooms(), 0);
    session.send("BYE", "");
    let outputs = session.attach_again(1);
    assert!(downstream(&outputs).is_empty(), "{outputs:?}");
}

#[test]
fn an_answer_says_that_a_room_cannot_be_had_that_was_lost_before_it() {
    let (mut session, other) = half_joined();
    session.hear(POOL, &live("x", 1));
    rejoin(&mut session, &fib("x"));
    let outputs = session.hear(OTHER, &reply("bjoin", other, &chanib("q1")));
    let read = session.read(outputs);
    assert_eq!(read.len(), 1, "{read:?}");
    assert!(read[0].contains("old.example/q1\""), "{read:?}");
    assert!(read[0].contains(r#"<fib key="OPERATION_FAILED" value="x""#));
    assert!(!read[0].contains("old.example/x\""), "{read:?}");
}

#[test]
fn a_search_is_answered_though_its_only_room_was_left_since() {
    let mut session = Session::attached();
    session.open("x", "x");
    let unread = session.hear(POOL, &live("x", 1));
    let search = r#"<qib qtype="BYNAME" criteria="" extended="false"/>"#;
    let parts = sent(&session.ask(&command("chansrch", search)));
    session.hear(OTHER, &reply("chansrch", parts[1].0, ""));
    session.hear(POOL, &reply("chansrch", parts[0].0, &chanib("x")));
    session.ask(&part("x"));
    let read = session.read(unread);
    assert!(read.iter().any(|body| body.contains("rpl:chansrch")));
}

#[test]
fn a_history_that_came_before_its_room_was_told_does_not_count_as_seen() {
    let (mut session, other) = half_joined();
    let gap = rejoin(&mut session, &chanib("x"));
    let looked = sent(&session.ask(&look_back("x")));
    let outputs = session.hear(POOL, &reply("bccontext", looked[0].0, &history("x", 1..=2)));
    session.read(outputs);
    session.hear(POOL, &reply("bccontext", gap[0].0, &history("x", 1..=2)));
    let outputs = session.hear(OTHER, &reply("bjoin", other, &chanib("q1")));
    assert_eq!(numbers(&session.read(outputs)), [1, 2]);
}

/// Looks at a room's history twice while its gap is being closed; what comes when the gap is.
fn look_twice(
    (mut session, bjoin): (Session, u64),
    looks: [std::ops::RangeInclusive<u32>; 2],
    gap: std::ops::RangeInclusive<u32>,
) -> Vec<u32> {
    let asked = sent(&session.hear(POOL, &reply("bjoin", bjoin, &chanib("x"))));
    for seen in looks {
        let looked = sent(&session.ask(&look_back("x")));
        let answer = reply("bccontext", looked[0].0, &history("x", seen));
        let outputs = session.hear(POOL, &answer);
        session.read(outputs);
    }
    let outputs = session.hear(POOL, &reply("bccontext", asked[0].0, &history("x", gap)));
    numbers(&session.read(outputs))
}

#[test]
fn what_any_look_showed_while_a_gap_was_closed_does_not_come_again() {
    assert_eq!(look_twice(lost(), [3..=5, 5..=6], 1..=7), [7]);
}

#[test]
fn what_is_between_two_looks_comes_where_nothing_was_known() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.lose(POOL);
    let bjoin = session.retry(POOL)[0].0;
    assert_eq!(look_twice((session, bjoin), [3..=4, 7..=8], 1..=8), [5, 6]);
}

#[test]
fn what_is_between_what_waits_and_a_look_comes_where_nothing_was_known() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.lose(POOL);
    let bjoin = session.retry(POOL)[0].0;
    let asked = sent(&session.hear(POOL, &reply("bjoin", bjoin, &chanib("x"))));
    // More than may be held back: the last are left to the history.
    for number in 1..=6 {
        session.hear(POOL, &live("x", number));
    }
    let looked = sent(&session.ask(&look_back("x")));
    let answer = reply("bccontext", looked[0].0, &history("x", 6..=7));
    let outputs = session.hear(POOL, &answer);
    session.read(outputs);
    let outputs = session.hear(POOL, &reply("bccontext", asked[0].0, &history("x", 1..=8)));
    assert_eq!(numbers(&session.read(outputs)), [1, 2, 3, 4, 5, 8]);
}
