//! Lost connections and servers that die.

use holdover_tests::real_client::Client;
use serde_json::json;

use crate::world::World;

/// Posts sent at once before the program is killed: enough that it dies with some of them in its hands, at least now
/// and then, and few enough to be no flood.
const BURST: usize = 40;

/// The messages a client asks for when it joins.
const HISTORY: usize = 25;

pub(crate) fn a_lost_connection_misses_nothing(world: &mut World) {
    let (deals, lunch) = (world.room("Deals").legacy, world.room("Lunch").legacy);
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(&deals);
    bob.join(&deals);
    bob.join(&lunch);
    ann.say(&deals, "Before.");
    bob.hears(&deals, &ann.uri(), "Before.");

    bob.cut();
    ann.say(&deals, "While Bob was away.");
    ann.hears(&deals, &ann.uri(), "While Bob was away.");

    // All his rooms come back by one bjoin, with what he missed in their history.
    bob.reconnect();
    for room in [&deals, &lunch] {
        bob.expect("joined", json!({"uri": room, "again": true}));
    }
    let missed = json!({"uri": deals, "text": "While Bob was away.", "history": true});
    bob.expect("message", missed);
    ann.say(&deals, "After.");
    bob.hears(&deals, &ann.uri(), "After.");
    bob.say(&deals, "Here I am.");
    ann.hears(&deals, &bob.uri(), "Here I am.");

    assert_eq!(
        bob.count("message", json!({"text": "While Bob was away."})),
        1
    );
    assert_eq!(bob.count("message", json!({"text": "After."})), 1);
    assert_eq!(ann.count("message", json!({"text": "Here I am."})), 1);
    let [_, bob] = world.farewell([ann, bob]);
    let bjoins = bob
        .sip
        .iter()
        .filter(|sip| sip.sent && sip.body.contains("\"cmd:bjoin\""));
    assert_eq!(bjoins.count(), 1);
}

pub(crate) fn rooms_come_back_however_often_the_connection_drops(world: &mut World) {
    let deals = world.room("Deals").legacy;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(&deals);
    bob.join(&deals);
    for (number, text) in ["one", "two", "three", "four"].into_iter().enumerate() {
        match number % 2 {
            0 => bob.cut(),
            _ => bob.reset(),
        }
        bob.reconnect();
        bob.expect("joined", json!({"uri": deals, "again": true}));
        bob.expect("history", json!({"uri": deals}));
        ann.say(&deals, text);
        bob.hears(&deals, &ann.uri(), text);
    }
    // He has not become several.
    bob.part(&deals);
    ann.expect("member-part", json!({"uri": deals, "user": bob.uri()}));
    world.farewell([ann, bob]);
}

/// Every post that was acknowledged is there once afterwards, every other at most once, and in order.
pub(crate) fn what_was_acknowledged_survives_kill_9(world: &mut World) {
    let room = world.room("Deals");
    let deals = &room.legacy;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(deals);
    bob.join(deals);
    let posts: Vec<String> = (0..BURST).map(|number| format!("post {number};")).collect();
    for post in &posts {
        ann.say(deals, post);
    }
    ann.hears(deals, &ann.uri(), &posts[0]);
    world.kill();
    for client in [&mut ann, &mut bob] {
        client.loses_connection();
    }
    let is_post = |text: &String| text.starts_with("post ");
    let stored: Vec<String> = world.stored(&room).into_iter().filter(is_post).collect();
    assert_eq!(stored, posts[..stored.len()], "once each, and in order");
    for client in [&mut ann, &mut bob] {
        let heard: Vec<String> = client.texts(deals).into_iter().filter(is_post).collect();
        assert_eq!(
            heard,
            stored[..heard.len()],
            "nobody hears what is not stored"
        );
    }

    world.start_again();
    for client in [&mut ann, &mut bob] {
        let shown_before = client.texts(deals).len();
        client.reconnect();
        client.expect("joined", json!({"uri": deals, "again": true}));
        client.expect("history", json!({"uri": deals}));
        let shown = client.texts(deals).split_off(shown_before);
        let history: Vec<String> = shown.into_iter().filter(is_post).collect();
        assert_eq!(history, stored[stored.len().saturating_sub(HISTORY)..]);
    }
    bob.say(deals, "We are back.");
    ann.hears(deals, &bob.uri(), "We are back.");
    bob.hears(deals, &bob.uri(), "We are back.");

    let [ann, _] = world.farewell([ann, bob]);
    let mut accepted = 0;
    for post in &posts {
        let mut infos = ann
            .sip
            .iter()
            .filter(|sip| sip.sent && sip.body.contains(post));
        if infos.any(|info| ann.is_accepted(info)) {
            accepted += 1;
            assert!(stored.contains(post), "`{post}` was acknowledged");
        }
    }
    assert!(accepted > 0);
}

pub(crate) fn ctrl_c_ends_it_with_clients_connected(world: &mut World) {
    let deals = world.room("Deals").legacy;
    let mut clients = world.sign_in(["ann", "bob"]);
    clients[0].join(&deals);

    // The clients are cut off in the way that makes them come back.
    world.stop();
    clients.iter_mut().for_each(Client::loses_connection);
    world.start_again();
    clients.iter_mut().for_each(Client::reconnect);
    clients[0].expect("joined", json!({"uri": deals, "again": true}));
    world.farewell(clients);
}
