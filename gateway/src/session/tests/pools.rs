//! Several pools behind one client, and pools that are away for a while.

use super::*;

pub(super) const OTHER: PoolId = PoolId(1);

/// Rooms whose value starts with `q` live on the other pool.
pub(super) struct TwoPools;

impl Decisions for TwoPools {
    fn version(&self) -> u64 {
        1
    }

    fn admit(&self, _: Act) -> Decided<Option<PoolId>> {
        Ok(None).into()
    }

    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        self.shows_unlisted() || self.legacy_of(pool, migrated).is_some()
    }

    fn offers_all(&self) -> bool {
        self.shows_unlisted()
    }

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        let decided = Directory.resolve(act, legacy);
        let pool = if legacy.value().starts_with('q') {
            OTHER
        } else {
            POOL
        };
        Decided {
            outcome: decided.outcome.map(|target| Target { pool, ..target }),
            ..decided
        }
    }

    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        Directory.legacy_of(pool, migrated)
    }

    fn shows_unlisted(&self) -> bool {
        true
    }

    fn default_pool(&self) -> PoolId {
        POOL
    }

    fn preferences_pool(&self) -> PoolId {
        OTHER
    }

    fn domains(&self, pool: PoolId) -> Option<(&str, &str)> {
        (pool == POOL).then_some(("old.example", "new.example"))
    }

    fn pools(&self) -> &[PoolId] {
        &[POOL, OTHER]
    }
}

impl Session {
    pub(super) fn ask(&mut self, body: &str) -> Vec<Output> {
        self.cseq += 1;
        let request = Box::new(request("INFO", self.cseq, ";tag=here", body));
        self.core.handle_downstream(self.now, request, &TwoPools);
        self.drain()
    }

    pub(super) fn hear(&mut self, pool: PoolId, content: &str) -> Vec<Output> {
        let event = LegEvent::Document(envelope(content).into());
        self.core.handle_leg(self.now, pool, event, &TwoPools);
        self.drain()
    }

    pub(super) fn lose(&mut self, pool: PoolId) -> Vec<Output> {
        self.close(pool, LegClosed::Unreachable)
    }

    fn close(&mut self, pool: PoolId, reason: LegClosed) -> Vec<Output> {
        let event = LegEvent::Closed(reason);
        self.core.handle_leg(self.now, pool, event, &TwoPools);
        self.drain()
    }

    /// Answers what was sent to the client, until nothing more comes; the documents it got.
    pub(super) fn read(&mut self, outputs: Vec<Output>) -> Vec<String> {
        let mut waiting: std::collections::VecDeque<Output> = outputs.into();
        let mut read = Vec::new();
        while let Some(output) = waiting.pop_front() {
            let Output::Downstream(message) = output else {
                continue;
            };
            let whole = text(&message);
            if whole.starts_with("INFO ") {
                waiting.extend(self.answer(cseq_of(&message), 200));
                read.push(whole.split_once("\r\n\r\n").unwrap().1.to_owned());
            }
        }
        read
    }

    /// Waits for the leg to be opened again; the documents sent on it.
    pub(super) fn retry(&mut self, pool: PoolId) -> Vec<(u64, String)> {
        let at = self.core.poll_timeout().unwrap();
        let outputs = self.wait(at - self.now);
        assert!(
            outputs.contains(&Output::OpenLeg(pool, Opening::Again)),
            "{outputs:?}"
        );
        sent(&outputs)
    }
}

/// What was sent to pools: number and text.
pub(super) fn sent(outputs: &[Output]) -> Vec<(u64, String)> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { id, body, .. } => Some((id.0, text(body))),
        _ => None,
    });
    sent.collect()
}

pub(super) fn bjoin(rooms: &[&str]) -> String {
    let chanids: String = rooms
        .iter()
        .map(|room| format!(r#"<chanid domain="old.example" value="{room}"/>"#))
        .collect();
    command("bjoin", &chanids)
}

pub(super) fn reply(verb: &str, id: u64, data: &str) -> String {
    format!(
        r#"<rpl id="rpl:{verb}" seqid="1"><commandid seqid="1" envid="{id}"/><resp code="200">SUCCESS_OK</resp><data>{data}</data></rpl>"#
    )
}

pub(super) fn chanib(room: &str) -> String {
    format!(r#"<chanib uri="ma-chan://new.example/{room}" name="R"/>"#)
}

fn message(room: &str, number: u32) -> String {
    format!(
        r#"id="grpchat" chanUri="ma-chan://new.example/{room}" author="sip:bob@contoso.com" ts="2026-01-01T00:00:{number:02}Z"><chat>m{number}</chat>"#
    )
}

pub(super) fn live(room: &str, number: u32) -> String {
    format!("<grpchat seqid=\"1\" {}</grpchat>", message(room, number))
}

pub(super) fn history(room: &str, numbers: std::ops::RangeInclusive<u32>) -> String {
    let messages: String = numbers
        .map(|number| format!("<msg {}</msg>", message(room, number)))
        .collect();
    format!(r#"<chanib uri="ma-chan://new.example/{room}">{messages}</chanib>"#)
}

/// The numbers of the messages in documents for the client.
pub(super) fn numbers(documents: &[String]) -> Vec<u32> {
    let texts = documents
        .iter()
        .filter_map(|document| document.split_once("<chat>m"));
    texts
        .map(|(_, rest)| rest.split_once('<').unwrap().0.parse().unwrap())
        .collect()
}

#[test]
fn a_post_that_never_left_is_refused_and_not_doubted() {
    for (reason, status) in [
        (LegClosed::Unopened, " 503 "),
        (LegClosed::Unreachable, " 504 "),
        (LegClosed::Pool, " 504 "),
    ] {
        let mut session = Session::attached();
        let outputs = session.ask(&post("x"));
        assert!(
            outputs.contains(&Output::OpenLeg(POOL, Opening::First)),
            "{outputs:?}"
        );
        let outputs = session.close(POOL, reason);
        let Some(Output::Downstream(answer)) = outputs.first() else {
            panic!("{outputs:?}")
        };
        assert!(text(answer).contains(status), "{}", text(answer));
    }
}

#[test]
fn a_bjoin_of_rooms_on_two_pools_is_answered_once_in_the_clients_order() {
    let mut session = Session::attached();
    let parts = sent(&session.ask(&bjoin(&["q1", "x", "q2", "gone"])));
    let [(first, to_other), (second, to_pool)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert!(
        to_other.contains("\"q1\"") && to_other.contains("\"q2\"") && !to_other.contains("\"x\"")
    );
    assert!(to_pool.contains("\"x\"") && !to_pool.contains("\"q1\""));
    assert!(
        session
            .hear(POOL, &reply("bjoin", *second, &chanib("x")))
            .is_empty()
    );
    let outputs = session.hear(
        OTHER,
        &reply("bjoin", *first, &(chanib("q2") + &chanib("q1"))),
    );
    let read = session.read(outputs);
    assert_eq!(read.len(), 1, "{read:?}");
    let places = ["old.example/q1", "old.example/x", "old.example/q2", "<fib"].map(|part| {
        read[0]
            .find(part)
            .unwrap_or_else(|| panic!("{part} is not in {}", read[0]))
    });
    assert!(places.is_sorted(), "{}", read[0]);
    assert!(read[0].contains(r#"value="gone""#));
    assert!(!read[0].contains("new.example"), "{}", read[0]);
    assert_eq!(session.core.open_rooms(), 3);
}

#[test]
fn a_silent_pool_costs_its_own_rooms_only_and_a_late_one_brings_them_after_all() {
    let mut session = Session::attached();
    let parts = sent(&session.ask(&bjoin(&["x", "q1"])));
    session.hear(POOL, &reply("bjoin", parts[0].0, &chanib("x")));
    let outputs = session.wait(Duration::from_millis(800));
    let read = session.read(outputs);
    assert_eq!(read.len(), 1, "{read:?}");
    assert!(
        read[0].contains("old.example/x\"") && read[0].contains(r#"value="q1""#),
        "{}",
        read[0]
    );
    let outputs = session.hear(OTHER, &reply("bjoin", parts[1].0, &chanib("q1")));
    let late = session.read(outputs);
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(
        late[0].contains("rpl:bjoin") && late[0].contains("old.example/q1\""),
        "{}",
        late[0]
    );
    assert_eq!(session.core.open_rooms(), 2);
}

#[test]
fn rooms_that_cannot_be_entered_are_in_no_list() {
    let search = r#"<qib qtype="BYNAME" criteria=""/>"#;
    let own = r#"<qassoc domain="old.example" type="MEMBER"/>"#;
    let invitations = r#"<inv inviteId="1" domain="contoso.com"/>"#;
    for (verb, data) in [
        ("chansrch", search),
        ("getinv", invitations),
        ("getassociations", own),
    ] {
        let mut session = Session::attached();
        let outputs = session.send("INFO", &command(verb, data));
        let asked = sent(&outputs);
        let Some((id, _)) = asked.first() else {
            panic!("{verb}: {outputs:?}");
        };
        let rooms = [chanib("x"), chanib("gone")].concat();
        let event = LegEvent::Document(envelope(&reply(verb, *id, &rooms)).into());
        session
            .core
            .handle_leg(session.now, POOL, event, &Directory);
        let outputs = session.drain();
        let read = session.read(outputs);
        assert!(read[0].contains("old.example/x"), "{verb}: {}", read[0]);
        assert!(!read[0].contains("gone"), "{verb}: {}", read[0]);
    }
}

#[test]
fn a_search_asks_all_pools_and_is_answered_once() {
    let mut session = Session::attached();
    let search = command(
        "chansrch",
        r#"<qib qtype="BYNAME" criteria="" extended="false"/>"#,
    );
    let parts = sent(&session.ask(&search));
    assert_eq!(parts.len(), 2);
    assert!(
        session
            .hear(OTHER, &reply("chansrch", parts[1].0, &chanib("q1")))
            .is_empty()
    );
    let outputs = session.hear(POOL, &reply("chansrch", parts[0].0, &chanib("x")));
    let read = session.read(outputs);
    let places = ["old.example/x", "old.example/q1"].map(|room| read[0].find(room).unwrap());
    assert!(places.is_sorted(), "{}", read[0]);
}

#[test]
fn a_pool_that_is_away_is_told_of_at_once_and_the_others_go_on() {
    let mut session = Session::attached();
    let parts = sent(&session.ask(&bjoin(&["x", "q1"])));
    session.hear(POOL, &reply("bjoin", parts[0].0, &chanib("x")));
    let outputs = session.hear(OTHER, &reply("bjoin", parts[1].0, &chanib("q1")));
    session.read(outputs);
    let outputs = session.lose(OTHER);
    assert!(
        outputs.is_empty(),
        "the client notices nothing: {outputs:?}"
    );
    assert_status(&session.ask(&post("q1")), 503);
    let outputs = session.ask(&post("x"));
    assert!(
        matches!(&outputs[..], [Output::Send { pool: POOL, .. }]),
        "{outputs:?}"
    );
    assert_eq!(session.core.open_rooms(), 2);
}

#[test]
fn posts_on_a_lost_leg_are_unknown() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.post("x");
    assert_status(&session.lose(POOL), 504);
    assert_eq!(session.core.open_rooms(), 1);
}

/// A session with one open room in which messages 1 to 3 were seen, whose leg was lost and opened again: the number of
/// the `bjoin` on the new leg.
pub(super) fn lost() -> (Session, u64) {
    let mut session = Session::attached();
    session.open("x", "x");
    for number in 1..=3 {
        let outputs = session.hear(POOL, &live("x", number));
        assert_eq!(numbers(&session.read(outputs)), [number]);
    }
    assert!(session.lose(POOL).is_empty());
    let again = session.retry(POOL);
    let [(id, bjoin)] = &again[..] else {
        panic!("{again:?}")
    };
    assert!(
        bjoin.contains("cmd:bjoin") && bjoin.contains(r#"value="x""#),
        "{bjoin}"
    );
    let id = *id;
    (session, id)
}

#[test]
fn what_a_lost_leg_missed_is_delivered_once_and_in_order() {
    let (mut session, id) = lost();
    let asked = sent(&session.hear(POOL, &reply("bjoin", id, &chanib("x"))));
    let [(id, asked)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert!(asked.contains("cmd:bccontext"), "{asked}");
    // These come before the history does; the first is in it.
    assert!(session.hear(POOL, &live("x", 6)).is_empty());
    assert!(session.hear(POOL, &live("x", 7)).is_empty());
    let outputs = session.hear(POOL, &reply("bccontext", *id, &history("x", 2..=6)));
    assert_eq!(numbers(&session.read(outputs)), [4, 5, 6, 7]);
    let outputs = session.hear(POOL, &live("x", 8));
    assert_eq!(numbers(&session.read(outputs)), [8]);
}

#[test]
fn a_gap_larger_than_one_look_is_looked_at_again() {
    let (mut session, id) = lost();
    let asked = sent(&session.hear(POOL, &reply("bjoin", id, &chanib("x"))));
    let short: u64 = asked[0].0;
    // Nothing known in the last fifty: more are fetched.
    let outputs = session.hear(POOL, &reply("bccontext", short, &history("x", 10..=59)));
    let more = sent(&outputs);
    assert!(more[0].1.contains(r#"cnt="500""#), "{more:?}");
    let outputs = session.hear(POOL, &reply("bccontext", more[0].0, &history("x", 1..=7)));
    assert_eq!(numbers(&session.read(outputs)), [4, 5, 6, 7]);
}

#[test]
fn a_pool_that_stays_away_is_tried_again_later_each_time() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.lose(POOL);
    let mut last = Duration::ZERO;
    for _ in 0..4 {
        let pause = session.core.poll_timeout().unwrap() - session.now;
        assert!(pause > last / 2, "{pause:?} after {last:?}");
        last = pause;
        session.retry(POOL);
        session.lose(POOL);
    }
    assert!(last > Duration::from_millis(300), "{last:?}");
}

#[test]
fn a_room_that_the_pool_no_longer_opens_is_given_up() {
    let (mut session, id) = lost();
    let failed = r#"<fib key="OPERATION_FAILED" value="x" domain="new.example"/>"#;
    session.hear(POOL, &reply("bjoin", id, failed));
    assert_eq!(session.core.open_rooms(), 0);
}

#[test]
fn a_leg_on_which_nothing_is_joined_in_time_is_given_up() {
    let (mut session, _) = lost();
    let outputs = session.wait(POOL_TIMEOUT);
    assert!(outputs.contains(&Output::CloseLeg(POOL)), "{outputs:?}");
    session.retry(POOL);
}

#[test]
fn preferences_are_kept_by_the_pool_that_is_named() {
    let mut session = Session::attached();
    for (verb, pref) in [
        (
            "setpref",
            r#"<pref label="kedzie.GroupChannels" seqid="1" createdefault="false" content="eA=="/>"#,
        ),
        (
            "getpref",
            r#"<pref label="kedzie.GroupChannels" seqid="1" createdefault="true"/>"#,
        ),
    ] {
        let outputs = session.ask(&command(verb, pref));
        let pools: Vec<PoolId> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Send { pool, .. } => Some(*pool),
                _ => None,
            })
            .collect();
        assert_eq!(pools, [OTHER], "{verb}");
    }
}

#[test]
fn what_is_said_late_is_not_taken_for_the_answer_to_something_else() {
    let mut session = Session::attached();
    let asked = sent(&session.ask(&bjoin(&["x"])));
    session.lose(POOL);
    let search = command("chansrch", r#"<qib qtype="BYNAME" criteria=""/>"#);
    let search = sent(&session.ask(&search));
    let outputs = session.hear(POOL, &reply("bjoin", asked[0].0, &chanib("x")));
    assert!(outputs.is_empty(), "{outputs:?}");
    assert!(search.iter().all(|(id, _)| *id != asked[0].0));
    assert_eq!(session.core.open_rooms(), 0);
}

#[test]
fn a_lost_leg_is_not_opened_to_leave_a_room_that_was_not_joined() {
    let mut session = Session::attached();
    session.ask(&bjoin(&["x"]));
    let outputs = session.lose(POOL);
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::OpenLeg(..)))
            && sent(&outputs).is_empty(),
        "{outputs:?}"
    );
}

#[test]
fn a_pool_whose_rooms_were_all_left_is_not_reached_again() {
    let mut session = Session::attached();
    session.open("x", "x");
    session.lose(POOL);
    let part = command("part", r#"<chanib uri="ma-chan://old.example/x"/>"#);
    let outputs = session.ask(&part);
    session.read(outputs);
    let outputs = session.wait(Duration::from_secs(10));
    assert!(outputs.is_empty(), "{outputs:?}");
}

#[test]
fn what_stands_for_a_server_is_in_the_domain_of_its_reader() {
    let mut session = Session::attached();
    let ask = command(
        "getserverinfo",
        r#"<sib domain="old.example" infoType="123"/>"#,
    );
    let parts = sent(&session.ask(&ask));
    let domains = ["new.example", "old.example"];
    for ((_, asked), domain) in parts.iter().zip(domains) {
        assert!(asked.contains(&format!("domain=\"{domain}\"")), "{asked}");
    }
    let info = |domain| format!(r#"<sib infoType="123" rootUri="ma-cat://{domain}/root"/>"#);
    session.hear(
        OTHER,
        &reply("getserverinfo", parts[1].0, &info("other.example")),
    );
    let outputs = session.hear(
        POOL,
        &reply("getserverinfo", parts[0].0, &info("new.example")),
    );
    let read = session.read(outputs);
    assert!(read[0].contains("ma-cat://old.example/root"), "{}", read[0]);
    // What the client does with it is understood where it came from.
    let browse = command("getnode", r#"<node uri="ma-cat://old.example/root"/>"#);
    let outputs = session.ask(&browse);
    let sent = sent(&outputs);
    assert!(sent[0].1.contains("ma-cat://new.example/root"), "{sent:?}");
}

#[test]
fn a_pool_cannot_make_a_session_remember_rooms_that_nobody_opened() {
    let mut session = Session::attached();
    session.open("x", "x");
    let ask = command(
        "bccontext",
        r#"<chanib uri="ma-chan://old.example/x"/><bcq><last cnt="25"/></bcq>"#,
    );
    let id = sent(&session.ask(&ask))[0].0;
    let told = (0..100).map(|number| history(&format!("foreign{number}"), 1..=2));
    let told: String = told.chain([history("x", 1..=2)]).collect();
    session.hear(POOL, &reply("bccontext", id, &told));
    assert_eq!(session.core.tracks.sizes().0, 1);
}
