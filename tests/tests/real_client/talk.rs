//! Meeting in rooms and talking.

use holdover_tests::real_client::Account;
use serde_json::json;

use crate::world::World;

pub(crate) fn two_users_meet_and_talk(world: &mut World) {
    let deals = world.room("Deals");
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);

    // Both see the rooms under the identifiers from before the migration.
    for client in [&mut ann, &mut bob] {
        let mut listed = client.rooms();
        listed.sort_by_key(|room| room["name"].to_string());
        let names: Vec<_> = listed.iter().map(|room| room["name"].clone()).collect();
        assert_eq!(names, ["Deals", "Lunch", "Operations / Night Shift"]);
        for room in &listed {
            let name = room["name"].as_str().unwrap();
            assert_eq!(room["uri"], world.room(name).legacy, "{room}");
        }
        assert_eq!(listed[0]["description"], "What is on the table");
    }

    // Ann joins by the old URI and finds what was said before, under old identifiers and at the right time.
    let joined = ann.join(&deals.legacy);
    assert_eq!(joined["room"], "Deals");
    ann.expect("topic", json!({"uri": deals.legacy}));
    let greeting = "Good morning. The Fabrikam offer is due on Friday.";
    let greeting = ann.expect("message", json!({"text": greeting, "history": true}));
    assert_eq!(greeting["from"], "sip:ann@contoso.example");
    assert_eq!(greeting["ts"], 1_793_606_400, "2026-11-02T08:00:00Z");
    let night_shift = world.room("Operations / Night Shift").legacy;
    let pointer = format!("I have the numbers; see {night_shift} for last night.");
    ann.expect("message", json!({"text": pointer, "history": true}));

    // Bob joins by name; they see each other come.
    assert_eq!(bob.join("Deals")["uri"], deals.legacy);
    let arrival = json!({"uri": deals.legacy, "user": bob.uri(), "arrived": true});
    ann.expect("member-join", arrival);
    let present = json!({"uri": deals.legacy, "user": ann.uri(), "arrived": false});
    bob.expect("member-join", present);
    bob.expect("member-update", json!({"user": ann.uri(), "manager": true}));

    // They talk; each also sees what they said themselves.
    ann.say("Deals", "Are you there?");
    ann.hears(&deals.legacy, &ann.uri(), "Are you there?");
    bob.hears(&deals.legacy, &ann.uri(), "Are you there?");
    bob.say(&deals.legacy, "Yes.");
    bob.hears(&deals.legacy, &bob.uri(), "Yes.");
    ann.hears(&deals.legacy, &bob.uri(), "Yes.");

    // Bob leaves, and Ann sees him go.
    bob.part(&deals.legacy);
    ann.expect(
        "member-part",
        json!({"uri": deals.legacy, "user": bob.uri()}),
    );
    ann.say("Deals", "Gone already?");
    ann.hears(&deals.legacy, &ann.uri(), "Gone already?");
    for (client, heard) in [(&mut ann, 1), (&mut bob, 0)] {
        assert_eq!(
            client.count("message", json!({"text": "Gone already?"})),
            heard
        );
        assert_eq!(client.count("message", json!({"text": "Yes."})), 1);
        assert_eq!(client.count("send-failed", json!({})), 0);
    }
    world.farewell([ann, bob]);
}

pub(crate) fn every_text_arrives_as_it_was_said(world: &mut World) {
    let room = world.room("Operations / Night Shift").legacy;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(&room);
    bob.join(&room);

    let long = "Straße, 東京, 😀. ".repeat(400);
    assert!(long.len() > 8 * 1024);
    let texts = [
        "Grüße, Ωμέγα, 東京, العربية, 👩‍👩‍👧‍👦 and 🏴‍☠️",
        r#"<b>5 > 4</b> & "quoted" 'twice' &amp; ]]> <!-- -->"#,
        "first line\nsecond line\n\nfourth line",
        r"C:\temp\new 100% %s {0}",
        "a",
        long.trim_end(),
    ];
    for text in texts {
        ann.say(&room, text);
        bob.hears(&room, &ann.uri(), text);
        ann.hears(&room, &ann.uri(), text);
    }
    // What XML cannot carry arrives as the character that stands for it.
    bob.say(&room, "be\u{1}ll\u{7}");
    ann.hears(&room, &bob.uri(), "be\u{fffd}ll\u{fffd}");
    bob.hears(&room, &bob.uri(), "be\u{fffd}ll\u{fffd}");

    // And the same once more from the history.
    let [mut carol] = world.sign_in(["carol"]);
    carol.join(&room);
    for text in texts {
        carol.expect("message", json!({"text": text, "history": true}));
    }
    carol.expect(
        "message",
        json!({"text": "be\u{fffd}ll\u{fffd}", "history": true}),
    );
    world.farewell([ann, bob, carol]);
}

/// Clients that start within one second have the same Call-IDs, tags and envelope ids (`srand(time())`).
pub(crate) fn clients_with_the_same_call_ids_do_not_mix(world: &mut World) {
    let (deals, lunch) = (world.room("Deals").legacy, world.room("Lunch").legacy);
    let [mut ann, mut bob] = world.sign_in_as(["ann", "bob"].map(|user| Account {
        seed: Some(7),
        ..world.account(user)
    }));
    ann.join(&deals);
    bob.join(&deals);
    bob.join(&lunch);

    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        let (speaker, listener) = match number % 2 {
            0 => (&mut ann, &mut bob),
            _ => (&mut bob, &mut ann),
        };
        speaker.say(&deals, text);
        speaker.hears(&deals, &speaker.uri(), text);
        listener.hears(&deals, &speaker.uri(), text);
    }
    bob.say(&lunch, "only for lunch");
    bob.hears(&lunch, &bob.uri(), "only for lunch");
    ann.say(&deals, "the end");
    ann.hears(&deals, &ann.uri(), "the end");
    bob.hears(&deals, &ann.uri(), "the end");

    assert_eq!(ann.count("message", json!({"text": "only for lunch"})), 0);
    for client in [&mut ann, &mut bob] {
        for text in ["one", "two", "three", "the end"] {
            assert_eq!(client.count("message", json!({"text": text})), 1, "{text}");
        }
    }
    let [ann, bob] = world.farewell([ann, bob]);
    assert_eq!(ann.call_ids(), bob.call_ids(), "else this proves nothing");
    assert!(ann.call_ids().len() >= 2);
}

pub(crate) fn a_link_to_a_room_is_rewritten_both_ways(world: &mut World) {
    let (deals, lunch) = (world.room("Deals"), world.room("Lunch"));
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(&deals.legacy);
    bob.join(&deals.legacy);

    // The pool stores the link under the room's new identifier; who reads it with an old client gets the old one.
    let said = format!("See {} & <{}>.", lunch.legacy, deals.legacy);
    ann.say(&deals.legacy, &said);
    bob.hears(&deals.legacy, &ann.uri(), &said);
    ann.hears(&deals.legacy, &ann.uri(), &said);
    let stored = format!("See {} & <{}>.", lunch.migrated, deals.migrated);
    assert_eq!(world.stored(&deals).last(), Some(&stored));

    // A link to something the directory does not list stays what it is.
    let foreign = "See ma-chan://elsewhere.example/300 and ma-chan://contoso.example/none.";
    bob.say(&deals.legacy, foreign);
    ann.hears(&deals.legacy, &bob.uri(), foreign);
    bob.hears(&deals.legacy, &bob.uri(), foreign);
    assert_eq!(world.stored(&deals).last().unwrap(), foreign);

    let [mut carol] = world.sign_in(["carol"]);
    carol.join(&deals.legacy);
    carol.expect("message", json!({"text": said, "history": true}));
    carol.expect("message", json!({"text": foreign, "history": true}));
    world.farewell([ann, bob, carol]);
}

pub(crate) fn signing_out_leaves_the_rooms(world: &mut World) {
    let deals = world.room("Deals").legacy;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(&deals);
    bob.join(&deals);
    ann.expect("member-join", json!({"user": bob.uri(), "arrived": true}));

    bob.logout();
    ann.expect("member-part", json!({"uri": deals, "user": bob.uri()}));
    world.farewell([ann, bob]);
}
