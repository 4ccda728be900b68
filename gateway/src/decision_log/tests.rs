//! What is remembered, what is forgotten and what is found.

use std::thread;

use super::*;

fn user(number: usize) -> UserUri {
    UserUri::parse(&format!("user{number}@contoso.com")).unwrap()
}

fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

fn record(number: usize) -> Record {
    Record {
        at: Timestamp::UNIX_EPOCH,
        user: user(number % 3),
        network: None,
        listener: None,
        client: None,
        act: Act::Read,
        room: Some(room(&number.to_string())),
        outcome: Verdict::Refused {
            reason: RefusalReason::Unlisted,
            text: "This room is not known here.".into(),
        },
        rule: None,
        generation: u64::try_from(number).unwrap(),
    }
}

fn generations(found: &[Arc<Record>]) -> Vec<u64> {
    found.iter().map(|record| record.generation).collect()
}

#[test]
fn the_newest_come_first_and_the_oldest_are_forgotten() {
    let log = DecisionLog::new(4);
    for number in 0..7 {
        log.push(record(number));
    }
    let all = |limit| generations(&log.last(&Filter::default(), limit));
    assert_eq!(all(9), [6, 5, 4, 3]);
    assert_eq!(all(2), [6, 5]);
}

#[test]
fn a_user_or_a_room_is_asked_for() {
    let log = DecisionLog::new(100);
    for number in 0..9 {
        log.push(record(number));
    }
    let of_user = Filter {
        user: Some(user(1)),
        room: None,
    };
    assert_eq!(generations(&log.last(&of_user, 9)), [7, 4, 1]);
    // As in the directory, domains compare in any case.
    let of_room = Filter {
        user: None,
        room: Some("ma-chan://CONTOSO.com/4".parse().unwrap()),
    };
    assert_eq!(generations(&log.last(&of_room, 9)), [4]);
    let of_both = Filter {
        room: Some(room("5")),
        ..of_user
    };
    assert!(log.last(&of_both, 9).is_empty());
}

#[test]
fn what_a_client_calls_itself_is_cut() {
    let log = DecisionLog::new(1);
    let mut long = record(0);
    long.client = Some("ü".repeat(CLIENT_BYTES).into());
    log.push(long);
    let found = log.last(&Filter::default(), 1);
    assert_eq!(found[0].client.as_deref().map(str::len), Some(CLIENT_BYTES));
}

#[test]
fn many_at_a_time_lose_nothing_that_is_to_be_kept() {
    let log = DecisionLog::new(64);
    thread::scope(|scope| {
        for worker in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..1_000 {
                    log.push(record(worker * 1_000 + number));
                }
            });
        }
    });
    let found = log.last(&Filter::default(), 1_000);
    assert_eq!(found.len(), 64);
    // Each worker's own come in its order.
    for worker in 0..4 {
        let own = |generation: &u64| generation / 1_000 == worker;
        let of_worker: Vec<u64> = generations(&found).into_iter().filter(own).collect();
        assert!(of_worker.is_sorted_by(|a, b| a > b), "{of_worker:?}");
    }
}
