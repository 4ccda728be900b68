//! The running pool: its thread, its commits and its legs.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use holdover_protocol::xccos::verb::{BackChat, Join};
use holdover_protocol::xccos::{
    Command, Document, Envelope, GroupChat, Item, Limits, Notice, Reply, ReplyData,
};

use super::store::{Head, run_sql};
use super::*;
use crate::pool::{LegEvent, Receipt};

/// Longest wait for something that must come.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

const ROOMS: &str = r#"
[[category]]
name = "Trading"

[[room]]
name = "Deals"
value = "deals"
category = "Trading"
privacy = "open"
"#;

struct Channel(SyncSender<LegEvent>);

impl LegSink for Channel {
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed> {
        self.0.try_send(event).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => LegClosed::Overflow,
        })
    }
}

/// A session: a leg and the events that came on it.
struct Session {
    leg: EmbeddedLeg,
    events: Receiver<LegEvent>,
    next: u64,
}

impl Session {
    fn open(pool: &EmbeddedPool, user: &str, capacity: usize) -> Self {
        let (sender, events) = sync_channel(capacity);
        let user = UserUri::parse(&format!("sip:{user}@contoso.com")).unwrap();
        let leg = pool.open_leg(user, Arc::new(Channel(sender)));
        Self {
            leg,
            events,
            next: 1,
        }
    }

    fn event(&self) -> LegEvent {
        self.events.recv_timeout(TEST_TIMEOUT).expect("an event")
    }

    fn send(&mut self, document: Bytes) -> SendId {
        let id = SendId(self.next);
        self.next += 1;
        self.leg.send(id, document).unwrap();
        id
    }

    fn document(&self) -> Document {
        match self.event() {
            LegEvent::Document(bytes) => Document::parse(bytes, &Limits::default()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn message(&self) -> String {
        let document = self.document();
        let Some(Item::GroupChat(view)) = document.items().next() else {
            panic!("no message");
        };
        view.chat().into_owned()
    }

    fn receipt(&self, of: SendId) -> Receipt {
        match self.event() {
            LegEvent::Receipt { id, receipt } if id == of => receipt,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, command: &Command) -> Reply {
        let id = self.send(Envelope::new(1).command(1, command).finish());
        assert_eq!(self.receipt(id), Receipt::Accepted);
        let document = self.document();
        let Some(Item::Reply(view)) = document.items().next() else {
            panic!("no reply");
        };
        Reply::read(view).unwrap()
    }

    fn join(&mut self) {
        let reply = self.ask(&Command::Join(Join { room: deals() }));
        assert_eq!(reply.outcome.code, 200);
    }

    fn history(&mut self) -> Vec<String> {
        let query = BackChat {
            room: deals(),
            last: Some(500),
        };
        match self.ask(&Command::BackChat(query)).data {
            ReplyData::BackChat(reply) => reply.rooms[0]
                .messages
                .iter()
                .map(|message| message.chat.clone())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn deals() -> RoomUri {
    RoomUri::new("contoso.com", "deals").unwrap()
}

fn post(text: &str) -> Bytes {
    let post = GroupChat {
        room: deals(),
        author: None,
        ts: Some("2009-01-01T00:00:00Z".into()),
        chat: text.to_owned(),
    };
    Envelope::new(1).group_chat(1, &post).finish()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        load_text(&folder.path(), "rooms.toml", ROOMS, Timestamp::UNIX_EPOCH).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("rooms.db")
    }

    fn pool(&self) -> EmbeddedPool {
        EmbeddedPool::open(&self.path(), EmbeddedOptions::new("contoso.com")).unwrap()
    }
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_after_a_restart() {
    let folder = Folder::new();
    let texts: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
    {
        let pool = folder.pool();
        let mut ann = Session::open(&pool, "ann", 1000);
        ann.join();
        let ids: Vec<SendId> = texts.iter().map(|text| ann.send(post(text))).collect();
        for (id, text) in ids.into_iter().zip(&texts) {
            assert_eq!(ann.receipt(id), Receipt::Accepted);
            assert_eq!(ann.message(), *text);
        }
    }
    let pool = folder.pool();
    let mut ann = Session::open(&pool, "ann", 1000);
    assert_eq!(ann.history(), texts);
    ann.join();
    let id = ann.send(post("next"));
    assert_eq!(ann.receipt(id), Receipt::Accepted);
    assert_eq!(ann.message(), "next");
    let store = Store::open_existing(&folder.path()).unwrap();
    let key = store.rooms().unwrap()[0].key;
    assert_eq!(store.head(key).unwrap().id, 101);
}

#[test]
fn what_was_acknowledged_survives_a_crash() {
    let folder = Folder::new();
    let pool = folder.pool();
    let mut ann = Session::open(&pool, "ann", 1000);
    ann.join();
    for _ in 0..10 {
        let id = ann.send(post("hello"));
        assert_eq!(ann.receipt(id), Receipt::Accepted);
        ann.message();
    }
    // The files as a killed process would leave them.
    let crashed = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("rooms.db{suffix}");
        std::fs::copy(folder.0.path().join(&name), crashed.path().join(&name)).unwrap();
    }
    let rooms = list(&crashed.path().join("rooms.db")).unwrap();
    assert_eq!(rooms[0].messages, 10);
}

/// Looks into the database from outside whenever it hears of a post.
struct Witness {
    path: PathBuf,
    events: SyncSender<LegEvent>,
    durable: SyncSender<Head>,
}

impl LegSink for Witness {
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed> {
        let store = Store::open_existing(&self.path).unwrap();
        let key = store.rooms().unwrap()[0].key;
        self.durable.send(store.head(key).unwrap()).unwrap();
        self.events.send(event).unwrap();
        Ok(())
    }
}

#[test]
fn nothing_is_told_before_it_is_durable() {
    let folder = Folder::new();
    let pool = folder.pool();
    let (sender, events) = sync_channel(1000);
    let (durable, heads) = sync_channel(1000);
    let user = UserUri::parse("sip:ann@contoso.com").unwrap();
    let witness = Witness {
        path: folder.path(),
        events: sender,
        durable,
    };
    let leg = pool.open_leg(user, Arc::new(witness));
    let mut ann = Session {
        leg,
        events,
        next: 1,
    };
    ann.join();
    heads.try_iter().for_each(drop);
    for number in 1..=20 {
        let id = ann.send(post("hello"));
        assert_eq!(ann.receipt(id), Receipt::Accepted);
        assert_eq!(ann.message(), "hello");
        // Seen at the receipt and at the copy.
        for _ in 0..2 {
            let head = heads.recv_timeout(TEST_TIMEOUT).unwrap();
            assert_eq!(head.id, number);
        }
    }
}

#[test]
fn a_failing_disk_refuses_posts_and_nobody_hears_them() {
    let folder = Folder::new();
    run_sql(
        &folder.path(),
        "CREATE TABLE broken (room INTEGER REFERENCES room (key) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER break AFTER INSERT ON message WHEN new.text = 'poison'
         BEGIN INSERT INTO broken VALUES (-1); END;",
    );
    let pool = folder.pool();
    let (mut ann, mut bob) = (
        Session::open(&pool, "ann", 100),
        Session::open(&pool, "bob", 100),
    );
    bob.join();
    ann.join();
    bob.document();
    let id = ann.send(post("poison"));
    assert!(matches!(
        ann.receipt(id),
        Receipt::Refused { status: 500, .. }
    ));
    let id = ann.send(post("fine"));
    assert_eq!(ann.receipt(id), Receipt::Accepted);
    assert_eq!(ann.message(), "fine");
    assert_eq!(bob.message(), "fine");
    assert_eq!(bob.history(), ["fine"]);
}

#[test]
fn a_leg_that_does_not_keep_up_is_dropped_and_leaves_its_rooms() {
    let folder = Folder::new();
    let pool = folder.pool();
    let (mut ann, mut slow) = (
        Session::open(&pool, "ann", 1000),
        Session::open(&pool, "slow", 4),
    );
    ann.join();
    slow.join();
    ann.document();
    let ids: Vec<SendId> = (0..5).map(|_| ann.send(post("hello"))).collect();
    let mut departed = false;
    let mut receipts = 0;
    while receipts < ids.len() || !departed {
        match ann.event() {
            LegEvent::Receipt { receipt, .. } => {
                assert_eq!(receipt, Receipt::Accepted);
                receipts += 1;
            }
            LegEvent::Document(bytes) => {
                let document = Document::parse(bytes, &Limits::default()).unwrap();
                if let Some(Item::Notice(view)) = document.items().next() {
                    departed = matches!(Notice::read(view).unwrap(), Notice::Part(_));
                }
            }
            LegEvent::Closed(reason) => panic!("{reason}"),
        }
    }
    assert_eq!(
        slow.leg.send(SendId(99), post("late")),
        Err(LegClosed::Overflow)
    );
    assert_eq!(slow.events.try_iter().count(), 4);
}

#[test]
fn a_dropped_leg_leaves_its_rooms() {
    let folder = Folder::new();
    let pool = folder.pool();
    let (mut ann, mut bob) = (
        Session::open(&pool, "ann", 100),
        Session::open(&pool, "bob", 100),
    );
    ann.join();
    bob.join();
    ann.document();
    drop(bob);
    let document = ann.document();
    let Some(Item::Notice(view)) = document.items().next() else {
        panic!("no notice");
    };
    assert!(matches!(Notice::read(view).unwrap(), Notice::Part(_)));
}

#[test]
fn a_shutdown_finishes_what_was_sent_and_ends_every_leg() {
    let folder = Folder::new();
    let pool = folder.pool();
    let mut ann = Session::open(&pool, "ann", 1000);
    ann.join();
    let ids: Vec<SendId> = (0..50).map(|_| ann.send(post("last words"))).collect();
    pool.shutdown();
    for id in ids {
        assert_eq!(ann.receipt(id), Receipt::Accepted);
        ann.message();
    }
    assert_eq!(ann.event(), LegEvent::Closed(LegClosed::Pool));
    assert_eq!(ann.leg.send(SendId(99), post("late")), Err(LegClosed::Pool));
    pool.shutdown();
    let late = Session::open(&pool, "bob", 10);
    assert_eq!(late.leg.send(SendId(1), post("x")), Err(LegClosed::Pool));
}

#[test]
fn a_database_is_served_by_one_pool() {
    let folder = Folder::new();
    let pool = folder.pool();
    let second = EmbeddedPool::open(&folder.path(), EmbeddedOptions::new("contoso.com"));
    assert!(matches!(second, Err(PoolError::InUse)));
    drop(pool);
    folder.pool();
}

#[test]
fn what_hinders_the_lock_is_named() {
    let folder = Folder::new();
    let path = folder.path();
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    std::fs::create_dir(&lock).unwrap();
    let told = EmbeddedPool::open(&path, EmbeddedOptions::new("contoso.com")).unwrap_err();
    let lock = Path::new(&lock).display().to_string();
    assert!(told.to_string().contains(&lock), "{told}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_the_lock_is_not_waited_for() {
    let folder = Folder::new();
    let path = folder.path();
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &lock, kind, 0o600.into(), 0).unwrap();
    let opened = EmbeddedPool::open(&path, EmbeddedOptions::new("contoso.com"));
    assert!(matches!(opened, Err(PoolError::Lock { .. })));
    assert!(matches!(check(&path), Err(PoolError::Lock { .. })));
}

#[test]
fn a_domain_that_no_identifier_can_have_is_refused() {
    let folder = Folder::new();
    let opened = EmbeddedPool::open(&folder.path(), EmbeddedOptions::new("con toso"));
    assert!(matches!(opened, Err(PoolError::Domain { .. })));
}

#[test]
fn many_legs_hear_the_same_in_the_same_order() {
    const LEGS: usize = 16;
    const POSTS: usize = 25;
    let folder = Folder::new();
    let pool = folder.pool();
    let mut sessions: Vec<Session> = (0..LEGS)
        .map(|number| Session::open(&pool, &format!("user{number}"), 10_000))
        .collect();
    sessions.iter_mut().for_each(Session::join);
    let heard: Vec<Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter_mut()
            .enumerate()
            .map(|(number, session)| {
                scope.spawn(move || {
                    for count in 0..POSTS {
                        session.send(post(&format!("{number}:{count}")));
                    }
                    let (mut heard, mut receipts) = (Vec::new(), 0);
                    while heard.len() < LEGS * POSTS || receipts < POSTS {
                        match session.event() {
                            LegEvent::Receipt { receipt, .. } => {
                                assert_eq!(receipt, Receipt::Accepted);
                                receipts += 1;
                            }
                            LegEvent::Document(bytes) => {
                                let document = Document::parse(bytes, &Limits::default()).unwrap();
                                if let Some(Item::GroupChat(view)) = document.items().next() {
                                    heard.push(view.chat().into_owned());
                                }
                            }
                            LegEvent::Closed(reason) => panic!("{reason}"),
                        }
                    }
                    heard
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let history = sessions[0].history();
    assert_eq!(history.len(), LEGS * POSTS);
    for leg in heard {
        assert_eq!(leg, history);
    }
    for number in 0..LEGS {
        let own: Vec<&String> = history
            .iter()
            .filter(|text| text.starts_with(&format!("{number}:")))
            .collect();
        let sent: Vec<String> = (0..POSTS)
            .map(|count| format!("{number}:{count}"))
            .collect();
        assert_eq!(own, sent.iter().collect::<Vec<_>>(), "a sender's own order");
    }
}

/// Looks until the pool says so.
fn looks(pool: &EmbeddedPool, wanted: impl Fn(&Result<(), String>) -> bool) {
    let until = Instant::now() + TEST_TIMEOUT;
    loop {
        let looked = pool.look();
        if wanted(&looked) {
            return;
        }
        assert!(Instant::now() < until, "{looked:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_of_the_thread_is_told_at_once() {
    let folder = Folder::new();
    let (tell, told) = std::sync::mpsc::channel();
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clock = Arc::clone(&fails);
    let options = EmbeddedOptions {
        clock: Arc::new(move || {
            assert!(!clock.load(Ordering::Acquire), "a fault of the program");
            Timestamp::UNIX_EPOCH
        }),
        on_failure: Arc::new(move |what| tell.send(what.to_owned()).unwrap()),
        ..EmbeddedOptions::new("contoso.com")
    };
    let pool = EmbeddedPool::open(&folder.path(), options).unwrap();
    let mut ann = Session::open(&pool, "ann", 1000);
    ann.join();
    looks(&pool, Result::is_ok);
    fails.store(true, Ordering::Release);
    ann.send(post("poison"));
    let what = told.recv_timeout(TEST_TIMEOUT).unwrap();
    assert!(what.starts_with("its thread ended by a fault"), "{what}");
    looks(&pool, |looked| looked == &Err(what.clone()));
    pool.shutdown();
    assert!(told.try_recv().is_err(), "it was told twice");
}

#[test]
fn a_database_that_cannot_be_written_shows_until_it_can() {
    let folder = Folder::new();
    let pool = folder.pool();
    let mut ann = Session::open(&pool, "ann", 1000);
    ann.join();
    looks(&pool, Result::is_ok);
    let refuse =
        "CREATE TRIGGER full BEFORE INSERT ON message BEGIN SELECT RAISE(FAIL, 'full'); END";
    run_sql(&folder.path(), refuse);
    let id = ann.send(post("lost"));
    assert!(matches!(
        ann.receipt(id),
        Receipt::Refused { .. } | Receipt::Unknown
    ));
    looks(&pool, |looked| {
        looked
            .as_ref()
            .is_err_and(|what| what.contains("the database failed"))
    });
    // Nobody posts, and it is noticed all the same that it works again.
    run_sql(&folder.path(), "DROP TRIGGER full");
    looks(&pool, Result::is_ok);
}
