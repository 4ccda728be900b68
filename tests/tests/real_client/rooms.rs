//! Rooms that the migration did something to.

use serde_json::json;

use crate::world::World;

pub(crate) fn a_retired_room_is_refused_with_its_note(world: &mut World) {
    refused_with_its_note(world, "Project Falcon");
}

pub(crate) fn a_pending_room_is_refused_with_its_note(world: &mut World) {
    refused_with_its_note(world, "Legal");
}

fn refused_with_its_note(world: &World, name: &str) {
    let (refused, deals) = (world.room(name), world.room("Deals").legacy);
    let [mut ann] = world.sign_in(["ann"]);
    ann.ask_for(&refused.legacy);
    let told = ann.expect("notify", json!({"title": "Error joining chat room"}));
    let text = told["text"].as_str().unwrap();
    assert!(
        !refused.note.is_empty() && text.contains(&refused.note),
        "{told}"
    );

    // Nothing else is harmed.
    ann.join(&deals);
    ann.say(&deals, "It is gone.");
    ann.hears(&deals, &ann.uri(), "It is gone.");
    assert_eq!(ann.count("joined", json!({"uri": refused.legacy})), 0);
    world.farewell([ann]);
}

pub(crate) fn a_merged_room_works_under_every_old_id(world: &mut World) {
    let first = world.room("Lunch").legacy;
    let second = world.room("Lunch (second floor)").legacy;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(&first);
    bob.join(&second);
    for (client, room) in [(&mut ann, &first), (&mut bob, &second)] {
        client.expect(
            "message",
            json!({"uri": room, "text": "Soup today.", "history": true}),
        );
    }
    ann.expect(
        "member-join",
        json!({"uri": first, "user": bob.uri(), "arrived": true}),
    );

    ann.say(&first, "Which floor?");
    ann.hears(&first, &ann.uri(), "Which floor?");
    bob.hears(&second, &ann.uri(), "Which floor?");
    bob.say(&second, "Mine.");
    bob.hears(&second, &bob.uri(), "Mine.");
    ann.hears(&first, &bob.uri(), "Mine.");

    bob.part(&second);
    ann.expect("member-part", json!({"uri": first, "user": bob.uri()}));
    for (client, other) in [(&mut ann, &second), (&mut bob, &first)] {
        assert_eq!(client.count("message", json!({"uri": other})), 0);
        assert_eq!(client.count("message", json!({"text": "Mine."})), 1);
    }
    world.farewell([ann, bob]);
}

pub(crate) fn one_user_may_open_a_merged_room_twice(world: &mut World) {
    let rooms = ["Lunch", "Lunch (second floor)"].map(|name| world.room(name).legacy);
    let [first, second] = &rooms;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    ann.join(first);
    ann.join(second);
    bob.join(second);
    for room in &rooms {
        ann.expect(
            "member-join",
            json!({"uri": room, "user": bob.uri(), "arrived": true}),
        );
    }

    // Both windows show all of it.
    ann.say(second, "Hungry?");
    bob.hears(second, &ann.uri(), "Hungry?");
    bob.say(second, "Very.");
    bob.hears(second, &bob.uri(), "Very.");
    for room in &rooms {
        ann.hears(room, &ann.uri(), "Hungry?");
        ann.hears(room, &bob.uri(), "Very.");
    }

    // The room is left with its last window, and not before.
    ann.part(first);
    bob.say(second, "Still there?");
    ann.hears(second, &bob.uri(), "Still there?");
    assert_eq!(bob.count("member-part", json!({"user": ann.uri()})), 0);
    ann.part(second);
    bob.expect("member-part", json!({"uri": second, "user": ann.uri()}));
    assert_eq!(
        ann.count("message", json!({"uri": first, "text": "Still there?"})),
        0
    );
    world.farewell([ann, bob]);
}

pub(crate) fn a_room_that_was_left_can_be_joined_again(world: &mut World) {
    let deals = world.room("Deals").legacy;
    let [mut ann, mut bob] = world.sign_in(["ann", "bob"]);
    bob.join(&deals);
    for text in ["first visit", "second visit", "third visit"] {
        let joined = ann.join(&deals);
        assert_eq!(joined["again"], false);
        bob.expect("member-join", json!({"user": ann.uri()}));
        bob.say(&deals, text);
        ann.hears(&deals, &bob.uri(), text);
        ann.part(&deals);
        bob.expect("member-part", json!({"user": ann.uri()}));
    }
    world.farewell([ann, bob]);
}
