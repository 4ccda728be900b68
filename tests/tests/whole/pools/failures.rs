//! Pools that die, freeze, are cut off and come back: the rooms of the others go on as if nothing had happened, and the
//! client does nothing to get its rooms back.

use std::time::{Duration, Instant};

use holdover_tests::client::{CHANNEL, Client, LOOKUP, room, text_of};
use holdover_tests::patience::within;

use super::{DEALS, LEGAL, LUNCH, RECEIPT_SECS, World};

/// No room of a pool that works stalls for longer, whatever another pool does.
const STALL: Duration = Duration::from_secs(1);

/// A post to a pool that does not answer is refused or reported unknown within this.
const LIMIT: Duration = Duration::from_secs(RECEIPT_SECS + 1);

/// Posts, and hears it in both clients, without stalling.
async fn talk(from: &mut Client, to: &mut Client, value: &str, text: &str) {
    let begun = Instant::now();
    let status = from.post(value, text).await;
    heard(to, value, text).await;
    let took = begun.elapsed();
    assert_eq!(status, 200, "{value}: {text}");
    assert!(took < STALL, "{value}: {text} took {took:?}");
    heard(from, value, text).await;
}

/// Waits for the next message of a room, which is this one.
async fn heard(client: &mut Client, value: &str, text: &str) {
    assert_eq!(
        next(client, value).await,
        text,
        "{} in {value}",
        client.user
    );
}

/// The next message of a room.
async fn next(client: &mut Client, value: &str) -> String {
    let of_room = format!("chanUri=\"{}\"", room(value));
    let is_it = |body: &str| body.contains("<chat>") && body.contains(&of_room);
    text_of(&client.document(is_it).await)
}

/// The rooms of the other pools work, and so does what concerns all pools.
async fn others_go_on(ann: &mut Client, bob: &mut Client, what: &str) {
    for round in 0..3 {
        talk(ann, bob, DEALS, &format!("{what} {round}")).await;
        talk(bob, ann, LEGAL, &format!("{what} {round}")).await;
    }
    let begun = Instant::now();
    let everything = "<qib qtype=\"BYNAME\" criteria=\"\" extended=\"false\"/>";
    let listed = ann.command("chansrch", everything).await;
    let took = begun.elapsed();
    assert!(took < STALL, "the list of rooms took {took:?}");
    for value in [DEALS, LEGAL] {
        assert!(listed.contains(&room(value)), "{listed}");
    }
}

/// A post to a pool that is away is refused, or reported unknown, in time.
async fn refused(client: &mut Client, text: &str) {
    let begun = Instant::now();
    let status = client.post(LUNCH, text).await;
    let took = begun.elapsed();
    assert!(matches!(status, 503 | 504), "{status}");
    assert!(took < LIMIT, "{status} took {took:?}");
}

/// Nobody was disconnected, and both hear `missed`, in this order and once, and then what is said now.
async fn all_is_well(world: &World, ann: &mut Client, bob: &mut Client, missed: &[String]) {
    for client in [&mut *ann, &mut *bob] {
        for text in missed {
            heard(client, LUNCH, text).await;
        }
    }
    talk(ann, bob, LUNCH, "We are back.").await;
    talk(bob, ann, LUNCH, "So are we.").await;
    assert_eq!(world.gateway.metric("holdover_sessions"), 2);
    assert!(
        ann.inbox
            .iter()
            .chain(&bob.inbox)
            .all(|body| !body.contains("<chat>"))
    );
}

/// Says some things at the pool itself.
async fn meanwhile(colleague: &mut Client, count: usize) -> Vec<String> {
    let said: Vec<String> = (0..count)
        .map(|number| format!("missed {number}"))
        .collect();
    for text in &said {
        assert_eq!(colleague.post("m-lunch", text).await, 200);
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_killed_comes_back_with_what_was_missed() {
    let mut world = World::start().await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    talk(&mut ann, &mut bob, LUNCH, "before").await;

    world.zurich.kill();
    refused(&mut ann, "into the void").await;
    others_go_on(&mut ann, &mut bob, "while it is dead").await;

    // It is there again for others before the gateway can reach it.
    world.cable.cut();
    world.zurich.start_again();
    let mut carol = world.colleague("carol").await;
    let missed = meanwhile(&mut carol, 60).await;
    refused(&mut bob, "still nothing").await;
    world.cable.heal();
    all_is_well(&world, &mut ann, &mut bob, &missed).await;
    heard(&mut carol, "m-lunch", &missed[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_restarts_loses_nobody() {
    let mut world = World::start().await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    for round in 0..3 {
        world.zurich.kill();
        world.zurich.start_again();
        let text = format!("round {round}");
        let again = async {
            // Refused at once while the pool is away; each try takes a round trip.
            while ann.post(LUNCH, &text).await != 200 {}
        };
        within("the room works again", again).await;
        heard(&mut bob, LUNCH, &text).await;
        heard(&mut ann, LUNCH, &text).await;
        others_go_on(&mut ann, &mut bob, &text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_freezes_shortly_is_late_and_nothing_else() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    talk(&mut ann, &mut bob, LUNCH, "before").await;
    world.zurich.freeze();
    refused(&mut ann, "said to the frozen one").await;
    others_go_on(&mut ann, &mut bob, "while it is frozen").await;
    world.zurich.thaw();
    // It was reported as unknown, and it is there.
    let missed = ["said to the frozen one".to_owned()];
    all_is_well(&world, &mut ann, &mut bob, &missed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_freezes_for_long_is_given_up_and_taken_back() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    let mut carol = world.colleague("carol").await;
    talk(&mut ann, &mut bob, LUNCH, "before").await;
    world.zurich.freeze();
    refused(&mut ann, "said to the frozen one").await;
    let mut round = 0;
    while world.gateway.metric("holdover_pool_servers") != 2 {
        round += 1;
        others_go_on(&mut ann, &mut bob, &format!("frozen {round}")).await;
    }
    refused(&mut bob, "said to nobody").await;
    carol.send_post("m-lunch", "from the new client").await;
    others_go_on(&mut ann, &mut bob, "given up").await;
    world.zurich.thaw();
    let mut heard_from_zurich = Vec::new();
    for client in [&mut ann, &mut bob] {
        let mut texts = Vec::new();
        while texts
            .last()
            .is_none_or(|text| text != "from the new client")
        {
            texts.push(next(client, LUNCH).await);
        }
        heard_from_zurich.push(texts);
    }
    // The post to the frozen pool was reported as unknown. Whether it was taken depends on whether the pool finds out first
    // that nobody waits for its answer; if it was, it is heard like any other.
    let words = "We are back.";
    assert_eq!(ann.post(LUNCH, words).await, 200);
    for (client, texts) in [&mut ann, &mut bob].into_iter().zip(&mut heard_from_zurich) {
        while texts.last().is_none_or(|text| text != words) {
            texts.push(next(client, LUNCH).await);
        }
    }
    let stored = world.zurich.messages("m-lunch");
    assert_eq!(stored[0], "before");
    for texts in heard_from_zurich {
        assert_eq!(texts, stored[1..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_cut_off_shortly_misses_nothing() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    let mut carol = world.colleague("carol").await;
    talk(&mut ann, &mut bob, LUNCH, "before").await;
    world.cable.cut();
    let missed = meanwhile(&mut carol, 5).await;
    refused(&mut ann, "into the void").await;
    others_go_on(&mut ann, &mut bob, "cut off").await;
    assert_eq!(
        world.gateway.metric("holdover_pool_servers"),
        3,
        "nobody noticed"
    );
    world.cable.heal();
    all_is_well(&world, &mut ann, &mut bob, &missed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_cut_off_for_long_is_given_up_and_taken_back() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    let mut carol = world.colleague("carol").await;
    talk(&mut ann, &mut bob, LUNCH, "before").await;
    world.cable.cut();
    refused(&mut ann, "into the void").await;
    let mut round = 0;
    while world.gateway.metric("holdover_pool_servers") != 2 {
        round += 1;
        others_go_on(&mut ann, &mut bob, &format!("cut off {round}")).await;
    }
    refused(&mut bob, "also into the void").await;
    let missed = meanwhile(&mut carol, 5).await;
    world.cable.heal();
    all_is_well(&world, &mut ann, &mut bob, &missed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_pool_is_waited_for_is_configured() {
    let world = World::with_limits("pool_timeout_secs = 1\nsplit_timeout_ms = 3000").await;
    let (mut ann, mut bob) = (world.client("ann").await, world.client("bob").await);
    world.zurich.freeze();
    let begun = Instant::now();
    let dialog = ann.send_post(LUNCH, "to the frozen one").await;
    let post = async {
        let response = ann.response(&dialog.call_id, dialog.cseq).await;
        (response.unwrap().status().code(), begun.elapsed())
    };
    let everything = "<qib qtype=\"BYNAME\" criteria=\"\" extended=\"false\"/>";
    let list = async {
        let listed = bob.command("chansrch", everything).await;
        (listed.contains(&room(DEALS)), begun.elapsed())
    };
    let ((status, refused), (is_listed, listed)) = tokio::join!(post, list);
    // Earlier than the pool's own limit; the list waits no longer than a pool is waited for at all.
    assert_eq!(status, 504);
    let limits = Duration::from_secs(1)..Duration::from_secs(RECEIPT_SECS);
    assert!(limits.contains(&refused), "{refused:?}");
    assert!(is_listed);
    assert!(limits.contains(&listed), "{listed:?}");
    world.zurich.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_under_way_is_answered_when_the_gateway_goes_down_and_nobody_is_let_in() {
    // Less than the pool may take for its receipt.
    let world = World::with_config("drain_secs = 1\n").await;
    let mut ann = world.client("ann").await;
    let mut bob = world.client("bob").await;
    world.zurich.freeze();
    let post = ann.send_post(LUNCH, "Is anybody there?").await;
    // What was sent before has been taken when this is answered.
    assert_eq!(ann.post(DEALS, "Here they are.").await, 200);
    let World {
        gateway,
        zurich: _zurich,
        cable: _cable,
        _others,
    } = world;
    let stopped = tokio::spawn(gateway.stop());
    // His session ends, and no other takes its place.
    while bob.register("").await == 200 {}
    assert_eq!(bob.register("").await, 503);
    for uri in [LOOKUP, CHANNEL] {
        let (refused, _) = bob.invite(uri).await;
        assert_eq!(refused.status().code(), 503);
    }
    let answer = ann.response(&post.call_id, post.cseq).await.unwrap();
    assert_eq!(answer.status().code(), 504);
    ann.closed().await;
    within("the gateway stops", stopped).await.unwrap();
}
