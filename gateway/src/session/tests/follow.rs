//! Rooms whose place changes while they are open.

use super::pools::{bjoin, chanib, history, live, reply, sent};
use super::*;
use crate::decide::{Notice, Shadow};
use crate::shadow::Difference;
use holdover_config::rules::Every;
use holdover_protocol::xccos::Verb;

const OTHER: PoolId = PoolId(1);

/// What the admin says at present.
pub(super) struct Now {
    version: u64,
    says: Says,
}

#[derive(Clone, Copy)]
pub(super) enum Says {
    Here,
    There,
    No,
}

impl Now {
    pub(super) fn first() -> Self {
        let says = Says::Here;
        Self { version: 1, says }
    }

    pub(super) fn changed(&mut self, says: Says) {
        self.version += 1;
        self.says = says;
    }
}

impl Decisions for Now {
    fn version(&self) -> u64 {
        self.version
    }

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        let decided = Directory.resolve(act, legacy);
        let outcome = match self.says {
            Says::Here => decided.outcome,
            Says::There => decided.outcome.map(|target| Target {
                pool: OTHER,
                ..target
            }),
            Says::No => Err(Refusal {
                reason: RefusalReason::Maintenance,
                text: "Back on Monday.".into(),
            }),
        };
        outcome.into()
    }

    fn admit(&self, act: Act) -> Decided<Option<PoolId>> {
        Directory.admit(act)
    }

    fn take_notice(&self, _: &RoomUri) -> Option<Notice> {
        Some(Notice {
            text: "There is a new client.".into(),
            every: Every::SignIn,
            rule: "new client".parse().unwrap(),
        })
    }

    fn shadow(&self, _: &Verb, legacy: Option<&RoomUri>) -> Option<Shadow> {
        let value = legacy?.value().strip_prefix("shadowed-")?;
        Some(Shadow {
            pool: OTHER,
            migrated: RoomUri::new("new.example", value).ok(),
            rule: "compare".parse().unwrap(),
        })
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
        &[POOL, OTHER]
    }
}

impl Session {
    pub(super) fn say(&mut self, now: &Now, body: &str) -> Vec<Output> {
        self.cseq += 1;
        let request = Box::new(request("INFO", self.cseq, ";tag=here", body));
        self.core.handle_downstream(self.now, request, now);
        self.drain()
    }

    pub(super) fn told(&mut self, now: &Now, pool: PoolId, content: &str) -> Vec<Output> {
        let event = LegEvent::Document(envelope(content).into());
        self.core.handle_leg(self.now, pool, event, now);
        self.drain()
    }

    pub(super) fn notified(&mut self, now: &Now) -> Vec<Output> {
        self.core.handle_decisions_changed(self.now, now);
        self.drain()
    }

    /// The room `r` is open on the first pool.
    pub(super) fn in_room(now: &Now) -> Self {
        let mut session = Self::attached();
        let outputs = session.say(now, &bjoin(&["r"]));
        let (id, _) = sent(&outputs)[0].clone();
        let outputs = session.told(now, POOL, &reply("bjoin", id, &chanib("r")));
        let documents = session.read(outputs);
        assert!(documents[0].contains("old.example/r"), "{documents:?}");
        session
    }
}

/// The pools to which something was sent, with the texts.
pub(super) fn sent_to(outputs: &[Output]) -> Vec<(PoolId, u64, String)> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { pool, id, body } => Some((*pool, id.0, text(body))),
        _ => None,
    });
    sent.collect()
}

#[test]
fn the_next_thing_a_user_does_goes_to_the_new_pool_and_the_window_stays() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    now.changed(Says::There);
    let outputs = session.say(&now, &post("r"));
    let sent = sent_to(&outputs);
    assert_eq!(sent.len(), 3, "{outputs:?}");
    assert!(sent[0].0 == POOL && sent[0].2.contains("cmd:part"));
    assert!(sent[1].0 == OTHER && sent[1].2.contains("cmd:bjoin"));
    assert!(sent[2].0 == OTHER && sent[2].2.contains("grpchat"));
    let joined = reply("bjoin", sent[1].1, &chanib("r"));
    assert!(session.told(&now, OTHER, &joined).is_empty());
    let outputs = session.told(&now, OTHER, &live("r", 1));
    assert_eq!(session.read(outputs).len(), 1);
    let outputs = session.told(&now, POOL, &live("r", 2));
    assert!(outputs.is_empty(), "it is not there any more: {outputs:?}");
}

#[test]
fn a_post_under_way_has_its_receipt_from_where_it_was_sent() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let outputs = session.say(&now, &post("r"));
    let (_, id, _) = sent_to(&outputs)[0].clone();
    now.changed(Says::There);
    assert_eq!(sent_to(&session.notified(&now)).len(), 2);
    let receipt = LegEvent::Receipt {
        id: SendId(id),
        receipt: Receipt::Accepted,
    };
    session.core.handle_leg(session.now, POOL, receipt, &now);
    let outputs = session.drain();
    let Some(Output::Downstream(answer)) = outputs.first() else {
        panic!("{outputs:?}");
    };
    assert!(text(answer).starts_with("SIP/2.0 200 "));
}

#[test]
fn a_room_that_is_shut_refuses_with_the_text_and_comes_back_with_what_was_missed() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    let outputs = session.told(&now, POOL, &live("r", 1));
    session.read(outputs);

    now.changed(Says::No);
    let outputs = session.notified(&now);
    let sent = sent_to(&outputs);
    assert!(
        sent.len() == 1 && sent[0].2.contains("cmd:part"),
        "{sent:?}"
    );
    let outputs = session.say(&now, &post("r"));
    let Some(Output::Downstream(answer)) = outputs.first() else {
        panic!("{outputs:?}");
    };
    let answer = text(answer);
    assert!(answer.starts_with("SIP/2.0 403 ") && answer.contains("Back on Monday."));
    assert!(session.told(&now, POOL, &live("r", 2)).is_empty());

    now.changed(Says::Here);
    let sent = sent_to(&session.notified(&now));
    assert!(
        sent.len() == 1 && sent[0].2.contains("cmd:bjoin"),
        "{sent:?}"
    );
    let outputs = session.told(&now, POOL, &reply("bjoin", sent[0].1, &chanib("r")));
    let sent = sent_to(&outputs);
    assert!(sent[0].2.contains("cmd:bccontext"), "{sent:?}");
    let missed = reply("bccontext", sent[0].1, &history("r", 1..=3));
    let outputs = session.told(&now, POOL, &missed);
    assert_eq!(pools::numbers(&session.read(outputs)), [2, 3]);
}

#[test]
fn a_room_the_new_pool_does_not_let_the_user_into_is_lost_there() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    now.changed(Says::There);
    let sent = sent_to(&session.notified(&now));
    let refused = reply(
        "bjoin",
        sent[1].1,
        "<fib key=\"OPERATION_FAILED\" value=\"r\" domain=\"new.example\"/>",
    );
    session.told(&now, OTHER, &refused);
    assert_eq!(session.core.open_rooms(), 0);
}

#[test]
fn a_room_that_is_being_joined_follows_once_it_is_open() {
    let mut now = Now::first();
    let mut session = Session::attached();
    let outputs = session.say(&now, &bjoin(&["r"]));
    let (id, _) = sent(&outputs)[0].clone();
    now.changed(Says::There);
    assert!(session.notified(&now).is_empty());
    let outputs = session.told(&now, POOL, &reply("bjoin", id, &chanib("r")));
    let sent = sent_to(&outputs);
    assert!(
        sent[0].0 == POOL && sent[0].2.contains("cmd:part"),
        "{sent:?}"
    );
    assert!(
        sent[1].0 == OTHER && sent[1].2.contains("cmd:bjoin"),
        "{sent:?}"
    );
}

#[test]
fn a_client_that_comes_back_asks_for_its_rooms_where_they_are_now() {
    let mut now = Now::first();
    let mut session = Session::in_room(&now);
    session
        .core
        .handle_connection_lost(session.now, ConnectionNumber(1));
    now.changed(Says::There);
    session.attach(2);
    let sent = sent_to(&session.say(&now, &bjoin(&["r"])));
    assert!(
        sent[0].0 == POOL && sent[0].2.contains("cmd:part"),
        "{sent:?}"
    );
    assert!(
        sent[1].0 == OTHER && sent[1].2.contains("cmd:bjoin"),
        "{sent:?}"
    );
}

#[test]
fn a_notice_comes_below_the_first_history_and_once_in_a_sign_in() {
    let now = Now::first();
    let mut session = Session::in_room(&now);
    let ask = |session: &mut Session| {
        let room = r#"<chanib uri="ma-chan://old.example/r"/><bcq><last cnt="25"/></bcq>"#;
        let outputs = session.say(&now, &command("bccontext", room));
        let (_, id, _) = sent_to(&outputs)[0].clone();
        let outputs = session.told(&now, POOL, &reply("bccontext", id, &history("r", 1..=1)));
        session.read(outputs)
    };
    let documents = ask(&mut session);
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert!(documents[1].contains("There is a new client."));
    assert!(documents[1].contains("ma-chan://old.example/r"));
    assert_eq!(ask(&mut session).len(), 1);
}

#[test]
fn a_second_pool_is_asked_for_history_too_and_the_answers_are_compared() {
    let now = Now::first();
    let mut session = Session::attached();
    let mut ask = |second: String| {
        let room = r#"<chanib uri="ma-chan://old.example/shadowed-r"/><bcq><last cnt="25"/></bcq>"#;
        let sent = sent_to(&session.say(&now, &command("bccontext", room)));
        assert!(
            sent[0].0 == OTHER && sent[0].2.contains("new.example/r"),
            "{sent:?}"
        );
        assert!(sent[1].0 == POOL && sent[1].2.contains("new.example/shadowed-r"));
        assert!(
            session
                .told(&now, OTHER, &reply("bccontext", sent[0].1, &second))
                .is_empty()
        );
        let first = reply("bccontext", sent[1].1, &history("shadowed-r", 1..=3));
        let event = LegEvent::Document(envelope(&first).into());
        session.core.handle_leg(session.now, POOL, event, &now);
        let outputs: Vec<Output> = std::iter::from_fn(|| session.core.poll_output()).collect();
        let difference = outputs.iter().find_map(|output| match output {
            Output::Event(Event::Compared { difference, .. }) => Some(*difference),
            _ => None,
        });
        session.read(outputs);
        difference.unwrap()
    };
    assert_eq!(ask(history("r", 1..=3)), None);
    let (missing, extra) = (1, 0);
    assert_eq!(
        ask(history("r", 2..=3)),
        Some(Difference::Items { missing, extra })
    );
}
