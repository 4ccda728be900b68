//! Rooms that are shut for a while, and what happens to them meanwhile.

use super::follow::{Now, Says, sent_to};
use super::pools::{bjoin, chanib, history, live, numbers, reply};
use super::untold::{fib, look_back, part};
use super::*;

/// The room `r` may be used again. What comes when its history has these messages.
fn back(session: &mut Session, now: &mut Now, known: std::ops::RangeInclusive<u32>) -> Vec<u32> {
    now.changed(Says::Here);
    let bjoin = sent_to(&session.notified(now))[0].1;
    let outputs = session.told(now, POOL, &reply("bjoin", bjoin, &chanib("r")));
    let (_, asked, text) = sent_to(&outputs)[0].clone();
    assert!(text.contains("cmd:bccontext"), "{text}");
    let answer = reply("bccontext", asked, &history("r", known));
    let outputs = session.told(now, POOL, &answer);
    numbers(&session.read(outputs))
}

fn shut(session: &mut Session, now: &mut Now) {
    now.changed(Says::No);
    session.notified(now);
}

#[test]
fn what_was_missed_comes_though_nothing_was_said_before() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    shut(&mut session, &mut now);
    assert_eq!(back(&mut session, &mut now, 1..=2), [1, 2]);
}

#[test]
fn a_history_that_came_meanwhile_is_seen() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let looked = sent_to(&session.say(&now, &look_back("r")))[0].1;
    shut(&mut session, &mut now);
    let answer = reply("bccontext", looked, &history("r", 1..=2));
    let outputs = session.told(&now, POOL, &answer);
    assert!(session.read(outputs)[0].contains("<chat>m2"));
    assert_eq!(back(&mut session, &mut now, 1..=3), [3]);
}

#[test]
fn what_was_known_of_a_room_stays_known_when_its_gap_was_being_closed() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let outputs = session.told(&now, POOL, &live("r", 1));
    session.read(outputs);
    let closed = LegEvent::Closed(LegClosed::Unreachable);
    session.core.handle_leg(session.now, POOL, closed, &now);
    session.drain();
    let bjoin = session.retry(POOL)[0].0;
    let outputs = session.told(&now, POOL, &reply("bjoin", bjoin, &chanib("r")));
    let gap = sent_to(&outputs)[0].1;
    shut(&mut session, &mut now);
    let outputs = session.told(&now, POOL, &reply("bccontext", gap, &history("r", 1..=2)));
    assert!(downstream(&outputs).is_empty(), "{outputs:?}");
    assert_eq!(back(&mut session, &mut now, 1..=3), [2, 3]);
}

#[test]
fn a_room_whose_opening_was_not_read_is_asked_for_again() {
    let mut now = Now::first();
    let mut session = Session::attached();
    let asked = sent_to(&session.say(&now, &bjoin(&["r"])))[0].1;
    session.told(&now, POOL, &reply("bjoin", asked, &chanib("r")));
    shut(&mut session, &mut now);
    session.cseq += 1;
    let bye = Box::new(request("BYE", session.cseq, ";tag=here", ""));
    session.core.handle_downstream(session.now, bye, &now);
    session.attach_again(1);
    now.changed(Says::Here);
    let outputs = session.notified(&now);
    assert!(sent_to(&outputs).is_empty(), "nobody has it: {outputs:?}");
}

#[test]
fn a_second_request_that_fails_leaves_the_window() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let again = sent_to(&session.say(&now, &bjoin(&["r"])))[0].1;
    shut(&mut session, &mut now);
    let outputs = session.told(&now, POOL, &reply("bjoin", again, &fib("r")));
    session.read(outputs);
    assert_eq!(back(&mut session, &mut now, 1..=1), [1]);
}

#[test]
fn a_second_request_that_comes_late_does_not_open_the_room() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let again = sent_to(&session.say(&now, &bjoin(&["r"])))[0].1;
    shut(&mut session, &mut now);
    let outputs = session.told(&now, POOL, &reply("bjoin", again, &chanib("r")));
    session.read(outputs);
    let outputs = session.told(&now, POOL, &live("r", 1));
    assert!(downstream(&outputs).is_empty(), "{outputs:?}");
}

#[test]
fn nothing_is_remembered_of_a_room_that_is_left_meanwhile() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let outputs = session.told(&now, POOL, &live("r", 1));
    session.read(outputs);
    shut(&mut session, &mut now);
    session.say(&now, &part("r"));
    session.core.check_bounds();
}

#[test]
fn what_was_known_of_a_room_stays_known_when_another_name_of_it_is_opened_meanwhile() {
    let mut now = Now::first();
    let mut session = Session::attached();
    let asked = sent_to(&session.say(&now, &bjoin(&["a"])))[0].1;
    let outputs = session.told(&now, POOL, &reply("bjoin", asked, &chanib("ab")));
    session.read(outputs);
    let outputs = session.told(&now, POOL, &live("ab", 1));
    session.read(outputs);
    let asked = sent_to(&session.say(&now, &bjoin(&["b"])))[0].1;
    shut(&mut session, &mut now);
    let outputs = session.told(&now, POOL, &reply("bjoin", asked, &chanib("ab")));
    session.read(outputs);
    session.notified(&now);
    now.changed(Says::Here);
    let bjoin = sent_to(&session.notified(&now))[0].1;
    let outputs = session.told(&now, POOL, &reply("bjoin", bjoin, &chanib("ab")));
    let asked = sent_to(&outputs)[0].1;
    let answer = reply("bccontext", asked, &history("ab", 1..=2));
    let outputs = session.told(&now, POOL, &answer);
    assert_eq!(numbers(&session.read(outputs)), [2, 2]);
}
