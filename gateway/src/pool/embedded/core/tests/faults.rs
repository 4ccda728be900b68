//! Documents that make no sense, and a disk that fails.

use std::sync::{Arc, Mutex};

use holdover_protocol::xccos::block::PreferenceBlock;
use holdover_protocol::xccos::verb::SetPreference;

use super::*;
use crate::pool::embedded::store::run_sql;

/// Makes every commit fail that stores a message with this text, at the commit and not before.
const BREAK_COMMIT: &str = "
    CREATE TABLE broken (room INTEGER REFERENCES room (key) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER break AFTER INSERT ON message WHEN new.text = 'poison'
    BEGIN INSERT INTO broken VALUES (-1); END;";

/// Makes the write itself fail.
const BREAK_WRITE: &str = "
    CREATE TRIGGER break AFTER INSERT ON message WHEN new.text = 'poison'
    BEGIN SELECT raise(ABORT, 'no'); END;";

fn document(items: &str) -> String {
    format!("<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">{items}</xccos>")
}

#[test]
fn a_document_without_sense_is_refused() {
    let mut world = World::new();
    let ann = world.leg("ann");
    let command = "<cmd id=\"cmd:requri\" seqid=\"1\"><data/></cmd>";
    let post = "<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"ma-chan://contoso.com/open\" ts=\"x\"><chat>hi</chat></grpchat>";
    for (text, status) in [
        (String::new(), 400),
        ("hello".to_owned(), 400),
        ("<xccos>".to_owned(), 400),
        (format!("<other>{command}</other>"), 400),
        (document(""), 400),
        (document("<rpl id=\"rpl:join\" seqid=\"1\"/><x/>"), 400),
        (document(&format!("{post}{post}")), 400),
        (document(&format!("{post}{command}")), 400),
        (document("<grpchat ts=\"x\"><chat>hi</chat></grpchat>"), 400),
        (document(&command.repeat(17)), 413),
    ] {
        assert_eq!(refused(world.send(ann, text.clone())), status, "{text}");
        assert!(world.inbox(ann).is_empty());
    }
    assert_eq!(
        world.send(ann, document(&command.repeat(16))),
        Receipt::Accepted
    );
    assert_eq!(world.inbox(ann).len(), 16);
}

#[test]
fn a_command_without_sense_is_answered() {
    let mut world = World::new();
    let ann = world.leg("ann");
    for (name, data, code) in [
        ("cmd:join", "", 400),
        (
            "cmd:join",
            "<chanid key=\"0\" domain=\"contoso.com\"/>",
            400,
        ),
        ("cmd:bccontext", "<chanib uri=\"http://contoso.com\"/>", 400),
        ("cmd:frobnicate", "<x/>", 501),
        ("frobnicate", "", 501),
    ] {
        let text = document(&format!(
            "<cmd id=\"{name}\" seqid=\"4\"><data>{data}</data></cmd>"
        ));
        assert_eq!(world.send(ann, text), Receipt::Accepted);
        let inbox = world.inbox(ann);
        let Some(Item::Reply(reply)) = inbox[0].items().next() else {
            panic!("no reply");
        };
        assert_eq!(reply.code(), code, "{name}");
        assert_eq!(reply.command_id().unwrap().seqid, "4");
        assert_eq!(
            reply.verb().token(),
            name.strip_prefix("cmd:").unwrap_or(name)
        );
    }
}

/// One batch: a join, a good post, a bad one, a question, a preference. Who rests on the commit is refused.
fn one_bad_batch(break_it: &str) {
    let mut world = World::new();
    run_sql(&world.path(), break_it);
    let (ann, bob, zoe) = (world.leg("ann"), world.leg("bob"), world.leg("zoe"));
    world.join(ann, "open");
    world.join(bob, "open");
    world.post(ann, "open", "before");

    world.core.refresh();
    let post = |text: &str| {
        let post = GroupChat {
            room: room("open"),
            author: None,
            ts: Some("x".into()),
            chat: text.to_owned(),
        };
        Envelope::new(1).group_chat(1, &post).finish()
    };
    let join = Command::Join(Join { room: room("open") });
    let history = Command::BackChat(BackChat {
        room: room("open"),
        last: None,
    });
    let preference = Command::SetPreference(SetPreference {
        preference: PreferenceBlock {
            label: "a".into(),
            seqid: 0,
            create_default: None,
            content: None,
        },
    });
    let ask = |command: &Command| Envelope::new(1).command(1, command).finish();
    let now = Ticks::from(world.now);
    let mut run = |leg, bytes| world.core.handle(leg, SendId(0), bytes, now);
    let outcomes = [
        run(zoe, ask(&join)),
        run(ann, post("good")),
        run(ann, post("poison")),
        run(bob, ask(&history)),
        run(bob, ask(&preference)),
        run(bob, post("late")),
    ];
    assert!(world.core.commit().is_err());
    let resting: Vec<bool> = outcomes
        .iter()
        .map(|outcome| outcome.rests_on_commit.is_some())
        .collect();
    assert_eq!(resting, [false, true, true, true, true, true]);

    // Nothing of it was kept, and the room goes on with the next number and time.
    assert_eq!(world.texts(ann, "open"), ["before"]);
    assert_eq!(world.post(ann, "open", "after"), Receipt::Accepted);
    assert_eq!(world.texts(ann, "open"), ["before", "after"]);
    assert_eq!(world.messages(zoe).len(), 1, "the join holds");
    let store = Store::open_existing(&world.path()).unwrap();
    let key = world.core.catalog.by_value("open").unwrap().key;
    assert_eq!(store.head(key).unwrap().id, 2);
    assert_eq!(store.preference("sip:bob@contoso.com", "a").unwrap(), None);
}

#[test]
fn a_failed_commit_undoes_the_batch() {
    one_bad_batch(BREAK_COMMIT);
}

#[test]
fn a_failed_write_undoes_the_batch() {
    one_bad_batch(BREAK_WRITE);
}

#[test]
fn what_the_database_fails_at_is_told_without_what_was_said() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let mut world = World::with(ROOMS, |options| {
        options.on_failure = Arc::new(move |what| heard.lock().unwrap().push(what.to_owned()));
    });
    let ann = world.leg("ann");
    world.join(ann, "open");
    run_sql(&world.path(), BREAK_WRITE);
    assert_eq!(world.post(ann, "open", "poison"), Receipt::Unknown);
    let told = told.lock().unwrap();
    let [first, ..] = told.as_slice() else {
        panic!("nothing was told");
    };
    assert!(
        first.starts_with("cannot use its database: the database failed: "),
        "{first}"
    );
    assert!(!first.contains("poison"), "{first}");
}
