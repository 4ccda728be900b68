//! What the documents of a client or a pool may cost, and that nothing that is too much is lost in silence.

use std::collections::BTreeSet;

use holdover_protocol::translate::rooms_named;
use holdover_protocol::xccos::{Document, Limits, Verb};

use super::follow::{Now, Says};
use super::pools::{OTHER, TwoPools, bjoin, chanib, reply, sent};
use super::*;

/// All names are those of one room of the pool.
struct Merged;

impl Decisions for Merged {
    fn version(&self) -> u64 {
        1
    }

    fn resolve(&self, _: Act, _: &RoomUri) -> Decided {
        Ok(Target {
            pool: POOL,
            migrated: RoomUri::new("new.example", "one").unwrap(),
        })
        .into()
    }

    fn admit(&self, act: Act) -> Decided<Option<PoolId>> {
        Directory.admit(act)
    }

    fn legacy_of(&self, _: PoolId, _: &RoomUri) -> Option<RoomUri> {
        None
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
        &[POOL]
    }
}

/// What a client was told, or a session tells, of each room of a reply.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    opened: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Told {
    fn of(replies: &[String]) -> Self {
        let mut told = Self::default();
        for text in replies {
            let document = Document::parse(text.clone(), &Limits::OWN).unwrap();
            for element in document.elements() {
                let room = || {
                    let value = element.attr("value").unwrap_or_default();
                    let uri = element.attr("uri").unwrap_or_default();
                    uri.rsplit('/').next().unwrap().to_owned() + &value
                };
                let is_new = match element.name() {
                    "chanib" => told.opened.insert(room()),
                    "fib" => told.failed.insert(room()),
                    _ => true,
                };
                assert!(is_new, "{} is told twice", room());
            }
        }
        assert!(told.opened.is_disjoint(&told.failed));
        told
    }
}

impl Session {
    /// An INFO of the client: what comes of it, and what is told.
    fn info(&mut self, body: &str, decisions: &dyn Decisions) -> (Vec<Output>, Vec<Event>) {
        self.cseq += 1;
        let request = Box::new(request("INFO", self.cseq, ";tag=here", body));
        self.core.handle_downstream(self.now, request, decisions);
        self.drain_with_events()
    }

    /// A document of a pool, as it is.
    fn said(
        &mut self,
        pool: PoolId,
        document: String,
        decisions: &dyn Decisions,
    ) -> (Vec<Output>, Vec<Event>) {
        let event = LegEvent::Document(document.into());
        self.core.handle_leg(self.now, pool, event, decisions);
        self.drain_with_events()
    }
}

fn names(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("r{number}")).collect()
}

fn bjoin_of(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bjoin(&names)
}

fn set(names: Vec<String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

/// The shortest of a few times that something takes: what else runs on the machine only makes one longer.
fn shortest(mut run: impl FnMut()) -> Duration {
    let times = (0..3).map(|_| {
        let begin = Instant::now();
        run();
        begin.elapsed()
    });
    times.min().unwrap()
}

#[test]
fn many_items_cost_no_more_than_one_of_their_size() {
    // With a document of its own for each item this would be a thousand times as much.
    let head = format!("<!-- {} -->", "c".repeat(600_000));
    let item = r#"<rpl id="x"/>"#;
    let many = envelope(&(head.clone() + &item.repeat(1_000)));
    let one = envelope(&(head + "<rpl id=\"x\">" + &item.repeat(999) + "</rpl>"));
    let time = |document: &String| {
        shortest(|| {
            let mut session = Session::attached();
            let (outputs, _) = session.said(POOL, document.clone(), &Directory);
            assert!(outputs.is_empty(), "{outputs:?}");
        })
    };
    let (many, one) = (time(&many), time(&one));
    assert!(many < one * 30, "{many:?} for many, {one:?} for one");
}

#[test]
fn an_item_takes_nothing_along_of_what_stands_around_it() {
    let mut session = Session::attached();
    session.open("x", "x");
    let post = fan_out("x", "hello");
    let document = envelope(&format!("<!-- {} -->{post}{post}", "c".repeat(600_000)));
    let (outputs, _) = session.said(POOL, document, &Directory);
    let info = text(first_downstream(&outputs));
    assert!(info.contains("<chat>hello</chat>"), "{info}");
    assert!(info.len() < 1_000, "{} octets", info.len());
    assert!(session.core.is_attached());
}

#[test]
fn items_beyond_the_bound_are_dropped_and_told_of() {
    let mut session = Session::attached();
    session.open("x", "x");
    let other = fan_out("y", "other").repeat(999);
    let (heard, dropped) = (fan_out("x", "heard"), fan_out("x", "dropped"));
    let document = envelope(&(other + &heard + &dropped));
    let (outputs, events) = session.said(POOL, document, &Directory);
    let read = session.read(outputs);
    assert_eq!(read.len(), 1);
    assert!(read[0].contains("heard"), "{read:?}");
    let is_fault = |event: &Event| {
        matches!(
            event,
            Event::Malformed {
                from: Side::Upstream,
                ..
            }
        )
    };
    assert_eq!(
        events.iter().filter(|event| is_fault(event)).count(),
        1,
        "{events:?}"
    );
}

#[test]
fn more_rooms_at_once_than_a_client_may_name_are_refused_one_by_one_and_told_of_once() {
    let mut session = Session::attached();
    let (outputs, events) = session.info(&bjoin_of(&names(0, 15_000)), &TwoPools);
    let asked = sent(&outputs);
    let [(id, asked)] = &asked[..] else {
        panic!("{} documents", asked.len());
    };
    let asked = Document::parse(asked.clone(), &Limits::OWN).unwrap();
    assert_eq!(rooms_named(&asked).len(), 1_000);
    assert!(events.len() < 100, "{} events", events.len());
    let too_many = Event::TooManyRooms {
        verb: Verb::BatchJoin,
        refused: 14_000,
        per_command: 1_000,
        per_session: 1_000,
    };
    assert!(events.contains(&too_many), "{events:?}");
    let rooms: String = names(0, 1_000).iter().map(|name| chanib(name)).collect();
    let (outputs, events) = session.said(POOL, envelope(&reply("bjoin", *id, &rooms)), &TwoPools);
    assert!(events.len() < 100, "{} events", events.len());
    let told = Told::of(&session.read(outputs));
    assert_eq!(told.opened, set(names(0, 1_000)));
    assert_eq!(told.failed, set(names(1_000, 15_000)));
    assert_eq!(session.core.open_rooms(), 1_000);
}

#[test]
fn a_session_has_only_so_many_rooms() {
    let mut session = Session::with(SessionSettings {
        rooms_per_session: 20,
        ..Session::settings()
    });
    let open = |session: &mut Session, names: &[String], opened: &[String]| {
        let (outputs, events) = session.info(&bjoin_of(names), &TwoPools);
        let id = sent(&outputs)[0].0;
        let rooms: String = opened.iter().map(|name| chanib(name)).collect();
        let (outputs, _) = session.said(POOL, envelope(&reply("bjoin", id, &rooms)), &TwoPools);
        let is_told = |event: &Event| matches!(event, Event::TooManyRooms { .. });
        (
            Told::of(&session.read(outputs)),
            events.into_iter().filter(is_told).count(),
        )
    };
    let (told, events) = open(&mut session, &names(0, 15), &names(0, 15));
    assert_eq!((told.opened.len(), told.failed.len(), events), (15, 0, 0));
    // Those that it has may be asked for again.
    let (told, events) = open(&mut session, &names(10, 30), &names(10, 20));
    assert_eq!(told.failed, set(names(20, 30)));
    assert_eq!((told.opened.len(), events), (10, 1));
    // A single one is refused in words.
    let outputs = session.ask(&command("join", &chanid("new")));
    assert!(sent(&outputs).is_empty());
    let read = session.read(outputs);
    assert!(
        read[0].contains(r#"code="413""#) && read[0].contains("Too many rooms."),
        "{read:?}"
    );
    session.part("r3");
    assert_eq!(
        sent(&session.ask(&command("join", &chanid("new")))).len(),
        1
    );
}

#[test]
fn any_other_command_that_names_too_many_rooms_is_refused_whole() {
    for verb in ["bccontext", "surprise", "join"] {
        let mut session = Session::attached();
        let rooms: String = names(0, 1_000).iter().map(|name| chanid(name)).collect();
        let first = r#"<chanib uri="ma-chan://old.example/x"/><bcq><last cnt="1"/></bcq>"#;
        let (outputs, events) =
            session.info(&command(verb, &(first.to_owned() + &rooms)), &TwoPools);
        assert!(sent(&outputs).is_empty(), "{verb}");
        assert_eq!(events.len(), 1, "{verb}: {events:?}");
        let read = session.read(outputs);
        assert_eq!(read.len(), 1, "{verb}");
        assert!(read[0].contains(r#"code="413""#), "{verb}: {}", read[0]);
        assert_eq!(session.core.rooms.len(), 0);
    }
}

#[test]
fn refused_rooms_are_told_of_in_few_lines() {
    let mut session = Session::attached();
    let gone = vec!["gone".to_owned(); 900];
    let (outputs, events) = session.info(&bjoin_of(&gone), &TwoPools);
    assert_eq!(session.read(outputs).len(), 1);
    assert!(events.len() <= 65, "{} events", events.len());
    let untold = 2 * 900 - 64;
    let verb = Verb::BatchJoin;
    assert!(
        events.contains(&Event::RoomsSummed { verb, untold }),
        "{events:?}"
    );
}

#[test]
fn leaving_any_number_of_rooms_is_answered_and_told_of_in_few_lines() {
    let mut session = Session::attached();
    session.open("r1", "r1");
    session.open("r19000", "r19000");
    let rooms = names(0, 20_000);
    let rooms = rooms
        .iter()
        .map(|room| format!(r#"<chanib uri="ma-chan://old.example/{room}"/>"#));
    let rooms: String = rooms.collect();
    let (outputs, events) = session.info(&command("part", &rooms), &Directory);
    assert_eq!(session.core.open_rooms(), 0);
    assert_eq!(sent(&outputs).len(), 2);
    assert!(events.len() < 100, "{} events", events.len());
    let read = session.read(outputs);
    assert!(read[0].contains("rpl:part") && read[0].contains("r19999"));
}

/// Opens rooms, waits until the client knows of all of them, and leaves them again.
fn come_and_go(count: usize) {
    let mut session = Session::with(SessionSettings {
        rooms_per_command: 100_000,
        rooms_per_session: 100_000,
        ..Session::settings()
    });
    let names = names(0, count);
    let (outputs, _) = session.info(&bjoin_of(&names), &TwoPools);
    let id = sent(&outputs)[0].0;
    let rooms: String = names.iter().map(|name| chanib(name)).collect();
    let (outputs, _) = session.said(POOL, envelope(&reply("bjoin", id, &rooms)), &TwoPools);
    assert_eq!(Told::of(&session.read(outputs)).opened.len(), count);
    let rooms = names
        .iter()
        .map(|room| format!(r#"<chanib uri="ma-chan://old.example/{room}"/>"#));
    session.info(&command("part", &rooms.collect::<String>()), &TwoPools);
    assert_eq!(session.core.rooms.len(), 0);
}

#[test]
fn what_a_room_costs_does_not_grow_with_their_number() {
    let few = shortest(|| come_and_go(250));
    let many = shortest(|| come_and_go(8_000));
    // 32 times as many; with a search for each it is a thousand times as much.
    assert!(many < few * 160, "{many:?} for 8000, {few:?} for 250");
}

#[test]
fn a_large_room_of_many_merged_ones_is_refused_before_it_is_repeated() {
    let mut session = Session::attached();
    let names = names(0, 500);
    let (outputs, _) = session.info(&bjoin_of(&names), &Merged);
    let id = sent(&outputs)[0].0;
    let large = format!(
        r#"<chanib uri="ma-chan://new.example/one"><info id="x">{}</info></chanib>"#,
        "x".repeat(900_000)
    );
    let (outputs, events) = session.said(POOL, envelope(&reply("bjoin", id, &large)), &Merged);
    let too_long = |event: &Event| {
        matches!(
            event,
            Event::TooLong {
                pool: POOL,
                verb: Some(_),
                ..
            }
        )
    };
    assert!(events.iter().any(too_long), "{events:?}");
    // The pool has let the user in: it is told that nobody is there.
    let parted = sent(&outputs);
    assert!(
        parted.len() == 1 && parted[0].1.contains("cmd:part"),
        "{parted:?}"
    );
    let told = Told::of(&session.read(outputs));
    assert_eq!((told.opened, told.failed), (BTreeSet::new(), set(names)));
    assert_eq!(session.core.open_rooms(), 0);
    // What nobody asked for is dropped, and the log says so.
    let (outputs, _) = session.info(&bjoin_of(&self::names(0, 500)), &Merged);
    let id = sent(&outputs)[0].0;
    let small = chanib("one");
    let (outputs, _) = session.said(POOL, envelope(&reply("bjoin", id, &small)), &Merged);
    assert_eq!(Told::of(&session.read(outputs)).opened.len(), 500);
    let notice = format!("<ntc id=\"ntc:x\"><data>{large}</data></ntc>");
    let (outputs, events) = session.said(POOL, envelope(&notice), &Merged);
    assert!(outputs.is_empty(), "{} outputs", outputs.len());
    assert!(
        matches!(&events[..], [Event::TooLong { verb: None, .. }]),
        "{events:?}"
    );
    assert!(session.core.is_attached());
}

/// The pool's rooms have short names.
struct Longer;

impl Decisions for Longer {
    fn version(&self) -> u64 {
        1
    }

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        let value = legacy.value().trim_start_matches("long-");
        TwoPools.resolve(act, &RoomUri::new("old.example", value).unwrap())
    }

    fn admit(&self, act: Act) -> Decided<Option<PoolId>> {
        TwoPools.admit(act)
    }

    fn legacy_of(&self, _: PoolId, _: &RoomUri) -> Option<RoomUri> {
        None
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
    /// Joins rooms under names that are so many times longer, and hears that the pools, which may say no more at once, let it
    /// into all of them: what the client reads, and what is told.
    fn join_longer(&mut self, rooms: &[(PoolId, char)], times: usize) -> (Told, Vec<Event>) {
        let asked: Vec<String> = rooms.iter().flat_map(|(_, letter)| of(*letter)).collect();
        let asked: Vec<String> = asked.iter().map(|name| longer(name, times)).collect();
        let answers = sent(&self.info(&bjoin_of(&asked), &Longer).0);
        assert_eq!(answers.len(), rooms.len());
        let (mut read, mut told) = (Vec::new(), Vec::new());
        for ((pool, letter), (id, _)) in rooms.iter().zip(answers) {
            let chanibs: String = of(*letter).map(|name| chanib(&name)).collect();
            let document = envelope(&reply("bjoin", id, &chanibs));
            self.core.settings = Arc::new(SessionSettings {
                xccos: Limits {
                    bytes: document.len(),
                    ..Limits::DEFAULT
                },
                ..Self::settings()
            });
            let (outputs, events) = self.said(*pool, document, &Longer);
            told.extend(events);
            read.extend(self.read(outputs));
        }
        (Told::of(&read), told)
    }
}

fn of(letter: char) -> impl Iterator<Item = String> {
    (0..400).map(move |number| format!("{letter}{number}"))
}

fn longer(name: &str, times: usize) -> String {
    "long-".repeat(times) + name
}

#[test]
fn an_answer_that_grows_over_what_a_pool_may_say_at_once_reaches_the_client() {
    for pools in [vec![(POOL, 'r')], vec![(POOL, 'r'), (OTHER, 'q')]] {
        let mut session = Session::attached();
        let (told, _) = session.join_longer(&pools, 3);
        assert_eq!(told.failed, BTreeSet::new());
        assert_eq!(told.opened.len(), 400 * pools.len());
        // The session knows that the client knows.
        let rooms = &session.core.rooms;
        let mut windows = rooms.windows().into_iter();
        assert!(windows.all(|(room, _)| rooms.has_window(&room)));
        session.send("BYE", "");
        session.attach_again(1);
        assert_eq!(session.core.open_rooms(), 400 * pools.len());
    }
}

#[test]
fn an_answer_that_is_too_long_for_the_client_is_refused_and_its_rooms_are_left() {
    for pools in [vec![(POOL, 'r')], vec![(POOL, 'r'), (OTHER, 'q')]] {
        let mut session = Session::attached();
        let (told, events) = session.join_longer(&pools, 30);
        assert_eq!(told.opened, BTreeSet::new());
        assert_eq!(told.failed.len(), 400 * pools.len());
        let too_long = |event: &&Event| matches!(event, Event::TooLong { verb: Some(_), .. });
        assert_eq!(events.iter().filter(too_long).count(), pools.len());
        assert_eq!(session.core.rooms.len(), 0);
        // The pools are told that nobody is in them: room by room, or by the end of the leg.
        let leaving = session.core.leaving.len();
        assert!(
            leaving == 400 - 16 || session.core.legs.is_empty(),
            "{leaving}"
        );
    }
}

#[test]
fn a_room_that_the_pool_says_nothing_of_is_answered_all_the_same() {
    for asked in [vec!["x", "y"], vec!["x", "y", "q1", "q2"]] {
        let mut session = Session::attached();
        let answers = sent(&session.ask(&bjoin(&asked)));
        let mut read = Vec::new();
        for ((id, _), (pool, room)) in answers.iter().zip([(POOL, "x"), (OTHER, "q1")]) {
            let outputs = session.hear(pool, &reply("bjoin", *id, &chanib(room)));
            read.extend(session.read(outputs));
        }
        let (opened, failed): (Vec<&str>, Vec<&str>) =
            asked.iter().partition(|room| ["x", "q1"].contains(*room));
        let set = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let told = Told::of(&read);
        assert_eq!((told.opened, told.failed), (set(opened), set(failed)));
    }
}

#[test]
fn many_rooms_that_are_shut_at_once_are_left_by_one_command_and_told_of_in_few_lines() {
    let mut session = Session::attached();
    let mut now = Now::first();
    let names = names(0, 300);
    let (outputs, _) = session.info(&bjoin_of(&names), &now);
    let id = sent(&outputs)[0].0;
    let rooms: String = names.iter().map(|name| chanib(name)).collect();
    let (outputs, _) = session.said(POOL, envelope(&reply("bjoin", id, &rooms)), &now);
    assert_eq!(Told::of(&session.read(outputs)).opened.len(), 300);
    now.changed(Says::No);
    session.core.handle_decisions_changed(session.now, &now);
    let (outputs, events) = session.drain_with_events();
    let [(_, part)] = &sent(&outputs)[..] else {
        panic!("{} outputs", outputs.len());
    };
    assert!(part.contains("cmd:part") && part.contains("r0\"") && part.contains("r299\""));
    assert_eq!(events.len(), 65);
}
