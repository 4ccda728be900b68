//! Two clients and a gateway in one process.

use std::time::{Duration, Instant};

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::{Notice, ReplyData};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::client::{
    Answer, Client, Driver, Event, Failure, Password, Profile, Refusal, Server, Ticket,
};
use crate::pool::embedded::load_text;
use crate::run::Gateway;
use crate::telemetry::Telemetry;

const CONFIG: &str = r#"
[gateway]
domain = "contoso.com"

[[listener]]
name = "open"
address = "127.0.0.1:0"
sign_in = "open"

[[listener]]
name = "digest"
address = "127.0.0.1:0"
sign_in = { digest = { users = "users.toml", realm = "contoso.com" } }

[[pool]]
name = "here"
embedded = { database = "rooms.db", domain = "pchat.contoso.com" }

[directory]
rooms = ["rooms.csv"]
"#;

const ROOMS: &str = r#"
[[category]]
name = "Trading"
allowed = ["*@contoso.com"]

[[room]]
name = "Deals"
value = "new-deals"
category = "Trading"
privacy = "open"
members = ["*@contoso.com"]

[[room.message]]
author = "carol@contoso.com"
text = "Good morning"
at = 2026-11-02T08:00:00Z

[[room]]
name = "Board"
value = "new-board"
category = "Trading"
privacy = "closed"
members = ["carol@contoso.com"]
"#;

const DIRECTORY: &str = "\
legacy,pool,migrated,state,name,note
ma-chan://contoso.com/OLD-Deals,here,ma-chan://pchat.contoso.com/new-deals,migrated,Deals,
ma-chan://contoso.com/OLD-Offers,here,ma-chan://pchat.contoso.com/new-deals,merged,Deals,
ma-chan://contoso.com/OLD-Board,here,ma-chan://pchat.contoso.com/new-board,migrated,Board,
ma-chan://contoso.com/OLD-Gone,,,retired,Gone,Ask the help desk.
";

fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

struct House {
    open: Server,
    digest: Server,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl House {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        load_text(&at("rooms.db"), "rooms.toml", ROOMS, Timestamp::UNIX_EPOCH).unwrap();
        std::fs::write(at("rooms.csv"), DIRECTORY).unwrap();
        std::fs::write(at("users.toml"), users()).unwrap();
        let loaded = match holdover_config::parse("holdover.toml", CONFIG, folder.path()) {
            Ok(loaded) => loaded,
            Err(faults) => panic!("{}", faults.render(false)),
        };
        let gateway = Gateway::build(loaded.settings, Telemetry::new())
            .await
            .unwrap();
        let mut servers = gateway
            .addresses()
            .map(|(_, address)| Server::tcp(&address.to_string()).unwrap());
        let (open, digest) = (servers.next().unwrap(), servers.next().unwrap());
        drop(servers);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(gateway.run(stop.clone()));
        Self {
            open,
            digest,
            stop,
            serving,
            _folder: folder,
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

fn users() -> String {
    let ha1 = holdover_protocol::sip::digest::Ha1::new("ann@contoso.com", "contoso.com", "pa:ss");
    format!("[users]\n\"ann@contoso.com\" = \"{}\"\n", ha1.to_hex())
}

fn profile(user: &str, seed: u64) -> Profile {
    let mut profile = Profile::new(UserUri::parse(user).unwrap(), seed);
    profile.patience = Duration::from_secs(20);
    profile
}

async fn ready(server: &Server, profile: &Profile) -> Driver {
    let mut driver = Driver::connect(server, profile).await.unwrap();
    loop {
        match driver.next().await.expect("the client ended") {
            Event::Ready { channel } => {
                assert!(channel.starts_with("sip:"), "{channel}");
                return driver;
            }
            Event::Failed(failure) => panic!("{failure}"),
            _ => {}
        }
    }
}

/// The end of what was asked, and what happened meanwhile.
async fn end_of(
    driver: &mut Driver,
    ask: impl FnOnce(&mut Client, Instant) -> Ticket,
) -> (Result<Answer, Refusal>, Vec<Event>) {
    let asked = ask(driver.client(), Instant::now());
    let mut others = Vec::new();
    loop {
        match driver.next().await.expect("the client ended") {
            Event::Done { ticket, result } if ticket == asked => return (result, others),
            event => others.push(event),
        }
    }
}

async fn sign_out(mut driver: Driver) {
    driver.client().sign_out(Instant::now());
    let mut last = None;
    while let Some(event) = driver.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::SignedOut)), "{last:?}");
}

#[tokio::test]
async fn two_users_chat_under_old_identifiers() {
    let house = House::build().await;
    // The same seed: tags, Call-IDs and envelope ids of the two are equal.
    let mut ann = ready(&house.open, &profile("ann@contoso.com", 7)).await;
    let mut bob = ready(&house.open, &profile("bob@contoso.com", 7)).await;

    let (found, _) = end_of(&mut ann, |client, now| client.search(now, "")).await;
    let Ok(Answer::Reply(ReplyData::ChannelSearch(found))) = found else {
        panic!("{found:?}")
    };
    let names: Vec<_> = found
        .rooms
        .iter()
        .map(|room| (room.uri.value(), room.name.as_deref()))
        .collect();
    assert!(names.contains(&("OLD-Deals", Some("Deals"))), "{names:?}");
    assert!(
        names.iter().all(|(value, _)| value.starts_with("OLD-")),
        "{names:?}"
    );

    let deals = room("OLD-Deals");
    let (joined, _) = end_of(&mut ann, |client, now| client.join(now, deals.clone())).await;
    let Ok(Answer::Reply(ReplyData::Join(joined))) = joined else {
        panic!("{joined:?}")
    };
    assert_eq!(joined.rooms[0].uri, deals);

    let (history, _) = end_of(&mut ann, |client, now| {
        client.history(now, deals.clone(), 25)
    })
    .await;
    let Ok(Answer::Reply(ReplyData::BackChat(history))) = history else {
        panic!("{history:?}")
    };
    assert_eq!(history.rooms[0].room, deals);
    assert_eq!(history.rooms[0].messages[0].chat, "Good morning");

    // Bob knows the room by the identifier of one that was merged into it.
    let offers = room("OLD-Offers");
    let (joined, _) = end_of(&mut bob, |client, now| client.join(now, offers.clone())).await;
    assert!(joined.is_ok(), "{joined:?}");
    let Some(Event::Notice(Notice::Join(arrivals) | Notice::BatchJoin(arrivals))) =
        ann.next().await
    else {
        panic!("nobody said that bob came");
    };
    assert_eq!(&*arrivals[0].user.uri, "sip:bob@contoso.com");
    assert_eq!(arrivals[0].rooms[0].room, deals);

    let text = "<&> \"grüße\"\nsecond line";
    let now = Timestamp::now();
    let (posted, mut told) = end_of(&mut ann, |client, at| {
        client.post(at, deals.clone(), text, now)
    })
    .await;
    assert_eq!(posted, Ok(Answer::Posted));
    if told.is_empty() {
        told.extend(ann.next().await);
    }
    let Event::Message(echo) = &told[0] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (&echo.room, &*echo.chat),
        (&deals, "<&> \"grüße\"\r\nsecond line")
    );
    let Some(Event::Message(heard)) = bob.next().await else {
        panic!("bob heard nothing")
    };
    assert_eq!((&heard.room, &heard.chat), (&offers, &echo.chat));
    assert_eq!(heard.author.as_deref(), Some("sip:ann@contoso.com"));

    let (posted, _) = end_of(&mut bob, |client, at| {
        client.post(at, offers.clone(), "yes", now)
    })
    .await;
    assert_eq!(posted, Ok(Answer::Posted));
    let Some(Event::Message(heard)) = ann.next().await else {
        panic!("ann heard nothing")
    };
    assert_eq!((&heard.room, &*heard.chat), (&deals, "yes"));

    let (parted, _) = end_of(&mut bob, |client, now| client.part(now, offers.clone())).await;
    assert!(parted.is_ok(), "{parted:?}");
    let Some(Event::Notice(Notice::Part(departures))) = ann.next().await else {
        panic!("nobody said that bob left");
    };
    assert_eq!(departures[0].room, deals);

    sign_out(bob).await;
    sign_out(ann).await;
    house.close().await;
}

#[tokio::test]
async fn refusals_arrive_with_their_words() {
    let house = House::build().await;
    let mut ann = ready(&house.open, &profile("ann@contoso.com", 1)).await;
    let (retired, _) = end_of(&mut ann, |client, now| client.join(now, room("OLD-Gone"))).await;
    let Err(Refusal::Reply { text, .. }) = retired else {
        panic!("{retired:?}")
    };
    assert!(text.contains("Ask the help desk."), "{text}");
    let (closed, _) = end_of(&mut ann, |client, now| client.join(now, room("OLD-Board"))).await;
    assert!(matches!(closed, Err(Refusal::Reply { .. })), "{closed:?}");
    let now = Timestamp::now();
    let (posted, _) = end_of(&mut ann, |client, at| {
        client.post(at, room("OLD-Board"), "let me in", now)
    })
    .await;
    assert!(matches!(posted, Err(Refusal::Sip { .. })), "{posted:?}");
    let rooms = vec![room("OLD-Deals"), room("OLD-Gone")];
    let (joined, _) = end_of(&mut ann, |client, now| client.join_all(now, rooms)).await;
    let Ok(Answer::Reply(ReplyData::Join(joined))) = joined else {
        panic!("{joined:?}")
    };
    assert_eq!((joined.rooms.len(), joined.failures.len()), (1, 1));
    sign_out(ann).await;
    house.close().await;
}

#[tokio::test]
async fn a_password_is_asked_for_and_checked() {
    let house = House::build().await;
    let mut right = profile("ann@contoso.com", 1);
    right.password = Some(Password::new("pa:ss"));
    sign_out(ready(&house.digest, &right).await).await;

    let mut asked = Driver::connect(&house.digest, &profile("ann@contoso.com", 2))
        .await
        .unwrap();
    assert!(matches!(asked.next().await, Some(Event::PasswordNeeded)));
    asked
        .client()
        .set_password(Instant::now(), Password::new("pa:ss"));
    assert!(matches!(asked.next().await, Some(Event::SignedIn)));

    let mut wrong = profile("ann@contoso.com", 3);
    wrong.password = Some(Password::new("canary"));
    let mut wrong = Driver::connect(&house.digest, &wrong).await.unwrap();
    let end = wrong.next().await;
    let Some(Event::Failed(failure @ Failure::WrongPassword(_))) = end else {
        panic!("{end:?}")
    };
    assert!(!failure.to_string().contains("canary"), "{failure}");
    assert!(wrong.next().await.is_none());
    drop(asked);
    house.close().await;
}

#[tokio::test]
async fn a_gateway_that_stops_is_noticed() {
    let house = House::build().await;
    let mut ann = ready(&house.open, &profile("ann@contoso.com", 1)).await;
    house.close().await;
    let end = ann.next().await;
    assert!(
        matches!(end, Some(Event::Failed(Failure::Disconnected))),
        "{end:?}"
    );
}

#[tokio::test]
async fn posts_that_do_not_wait_for_each_other_arrive_once_and_in_order() {
    let house = House::build().await;
    let mut ann = ready(&house.open, &profile("ann@contoso.com", 1)).await;
    let deals = room("OLD-Deals");
    let (joined, _) = end_of(&mut ann, |client, now| client.join(now, deals.clone())).await;
    assert!(joined.is_ok(), "{joined:?}");
    let said: Vec<String> = (0..50).map(|number| format!("message {number}")).collect();
    for text in &said {
        ann.client()
            .post(Instant::now(), deals.clone(), text, Timestamp::now());
    }
    let (mut receipts, mut heard) = (0, Vec::new());
    while receipts < said.len() || heard.len() < said.len() {
        match ann.next().await.expect("the client ended") {
            Event::Done {
                result: Ok(Answer::Posted),
                ..
            } => receipts += 1,
            Event::Message(message) => heard.push(message.chat),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, said);
    sign_out(ann).await;
    house.close().await;
}

#[tokio::test]
async fn a_client_whose_connection_was_cut_comes_back_with_one_bjoin() {
    let house = House::build().await;
    let mut ann = ready(&house.open, &profile("ann@contoso.com", 1)).await;
    let deals = room("OLD-Deals");
    let (joined, _) = end_of(&mut ann, |client, now| client.join(now, deals.clone())).await;
    assert!(joined.is_ok(), "{joined:?}");
    drop(ann);
    let mut ann = ready(&house.open, &profile("ann@contoso.com", 1)).await;
    let rooms = vec![deals.clone()];
    let (joined, _) = end_of(&mut ann, |client, now| client.join_all(now, rooms)).await;
    let Ok(Answer::Reply(ReplyData::Join(joined))) = joined else {
        panic!("{joined:?}")
    };
    assert_eq!(joined.rooms[0].uri, deals);
    assert_eq!(
        joined.users.len(),
        1,
        "one user, not the ghost of the lost connection too"
    );
    sign_out(ann).await;
    house.close().await;
}
