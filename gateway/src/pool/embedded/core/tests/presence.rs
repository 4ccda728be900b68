//! Joining, leaving, and who is told.

use holdover_protocol::xccos::block::{RoleAssociation, UserBlock};
use holdover_protocol::xccos::verb::JoinReply;

use super::*;

/// Addresses of the users of a reply's first room with their masks.
fn roster(reply: &JoinReply) -> Vec<(u32, Vec<&str>)> {
    let name = |id: &u32| {
        let user = reply.users.iter().find(|user| user.id == Some(*id));
        &*user.unwrap().uri
    };
    reply.rooms[0]
        .associations
        .iter()
        .map(|RoleAssociation { mask, users }| (mask.0, users.iter().map(name).collect()))
        .collect()
}

#[test]
fn a_join_tells_the_newcomer_who_is_there_and_the_others_who_came() {
    let mut world = World::new();
    let (ann, bob) = (world.leg("ann"), world.leg("bob"));
    assert_eq!(world.join(ann, "open"), 200);
    assert!(world.inbox(ann).is_empty());
    let reply = world.batch_join(bob, &["open"]);
    assert_eq!(
        roster(&reply),
        [
            (3472, vec!["sip:ann@contoso.com"]),
            (11668, vec!["sip:bob@contoso.com"])
        ]
    );
    assert_eq!(reply.rooms[0].name.as_deref(), Some("Open Deals"));
    assert_eq!(reply.rooms[0].description.as_deref(), Some("Everybody"));
    let [Notice::BatchJoin(arrivals)] = &world.notices(ann)[..] else {
        panic!("no notice");
    };
    assert_eq!(arrivals[0].user, UserBlock::new("sip:bob@contoso.com"));
    assert_eq!(arrivals[0].rooms[0].room, room("open"));
    assert_eq!(arrivals[0].rooms[0].mask.0, 11668);
    let zoe = world.leg("zoe");
    world.join(zoe, "open");
    assert!(matches!(&world.notices(bob)[..], [Notice::Join(_)]));
}

#[test]
fn rooms_refuse_whom_they_do_not_admit() {
    let mut world = World::new();
    let (ann, zoe, mallory) = (world.leg("ann"), world.leg("zoe"), world.leg("mallory"));
    assert_eq!(world.join(zoe, "open"), 200);
    assert_eq!(world.join(zoe, "closed"), 403);
    assert_eq!(world.join(zoe, "secret"), 404);
    assert_eq!(world.join(zoe, "nowhere"), 404);
    assert_eq!(world.join(zoe, "OPEN"), 404);
    assert_eq!(world.join(zoe, "attic"), 410);
    assert_eq!(world.join(mallory, "open"), 404);
    let elsewhere = RoomUri::new("fabrikam.com", "open").unwrap();
    assert_eq!(
        world.code(ann, &Command::Join(Join { room: elsewhere })),
        404
    );
    for value in ["open", "closed", "secret", "hall"] {
        assert_eq!(world.join(ann, value), 200, "{value}");
    }
}

#[test]
fn a_batch_join_enters_what_it_can() {
    let mut world = World::new();
    let zoe = world.leg("zoe");
    let reply = world.batch_join(zoe, &["secret", "hall", "nowhere", "open", "hall"]);
    let joined: Vec<&str> = reply.rooms.iter().map(|room| room.uri.value()).collect();
    assert_eq!(joined, ["hall", "open"]);
    let failed: Vec<(&str, &str)> = reply
        .failures
        .iter()
        .map(|fib| (fib.room.value(), &*fib.key))
        .collect();
    assert_eq!(
        failed,
        [
            ("secret", "OPERATION_FAILED"),
            ("nowhere", "OPERATION_FAILED")
        ]
    );
    assert_eq!(reply.users.len(), 1, "everybody once");
}

#[test]
fn a_user_is_announced_once_whatever_the_number_of_legs() {
    let mut world = World::new();
    let (ann, one, two) = (world.leg("ann"), world.leg("zoe"), world.leg("zoe"));
    world.join(ann, "open");
    world.join(one, "open");
    world.join(two, "open");
    world.join(two, "open");
    assert_eq!(world.notices(ann).len(), 1);
    assert!(world.notices(one).is_empty(), "one's own arrival");
    world.part(one, "open");
    world.part(one, "open");
    assert!(world.notices(ann).is_empty());
    world.part(two, "open");
    let [Notice::Part(departures)] = &world.notices(ann)[..] else {
        panic!("no notice");
    };
    assert_eq!(departures[0].room, room("open"));
    assert_eq!(departures[0].users, [UserBlock::new("sip:zoe@contoso.com")]);
}

#[test]
fn parting_is_always_answered_with_the_room() {
    let mut world = World::new();
    let zoe = world.leg("zoe");
    for value in ["open", "secret", "nowhere"] {
        let rooms = vec![room(value)];
        let reply = world.ask(
            zoe,
            &Command::Part(Part {
                rooms: rooms.clone(),
            }),
        );
        assert_eq!(reply.outcome.code, 200);
        let ReplyData::Part(reply) = reply.data else {
            panic!("{reply:?}");
        };
        assert_eq!(reply.rooms, rooms);
    }
}

#[test]
fn after_the_reply_to_part_nothing_of_the_room_follows() {
    let mut world = World::new();
    let (ann, bob) = (world.leg("ann"), world.leg("bob"));
    world.join(ann, "open");
    world.join(bob, "open");
    world.part(ann, "open");
    world.inbox(ann);
    world.post(bob, "open", "after");
    world.part(bob, "open");
    assert!(world.inbox(ann).is_empty());
}

#[test]
fn a_closed_leg_leaves_its_rooms() {
    let mut world = World::new();
    let (ann, bob) = (world.leg("ann"), world.leg("bob"));
    for leg in [ann, bob] {
        world.batch_join(leg, &["open", "closed"]);
    }
    world.inbox(ann);
    world.close(bob);
    assert_eq!(world.notices(ann).len(), 2);
    world.close(bob);
    assert!(world.inbox(ann).is_empty());
    let document = Envelope::new(1).command(1, &Command::RequestUri).finish();
    let outcome = world.core.handle(bob, SendId(1), document, Ticks::new(0));
    assert!(outcome.effects.is_empty(), "nobody is there to be told");
}

#[test]
fn a_crowded_room_has_neither_roster_nor_notices_until_it_is_quieter() {
    let mut world = World::new();
    let ann = world.leg("ann");
    world.join(ann, "open");
    let mut guests: Vec<LegId> = (1..75)
        .map(|guest| world.leg(&format!("g{guest}")))
        .collect();
    for guest in &guests {
        world.join(*guest, "open");
    }
    assert_eq!(world.notices(ann).len(), 74);
    // The 76th: neither is told of the other.
    let extra = world.leg("zoe");
    let reply = world.batch_join(extra, &["open"]);
    assert!(reply.users.is_empty() && reply.rooms[0].associations.is_empty());
    assert!(world.notices(ann).is_empty());
    assert_eq!(world.post(ann, "open", "still heard"), Receipt::Accepted);
    assert_eq!(world.messages(extra).len(), 1);
    // 76 - 16 = 60 is 80 %: still crowded. The next to leave makes it quiet.
    world.inbox(ann);
    for guest in guests.drain(..16) {
        world.part(guest, "open");
    }
    assert!(world.notices(ann).is_empty());
    world.part(guests[0], "open");
    assert_eq!(world.notices(ann).len(), 1);
    let reply = world.batch_join(guests[0], &["open"]);
    assert_eq!(reply.users.len(), 60);
}

#[test]
fn whoever_loses_a_room_while_in_it_leaves_it() {
    let mut world = World::new();
    let (ann, bob) = (world.leg("ann"), world.leg("bob"));
    world.join(ann, "closed");
    world.join(bob, "closed");
    let text = "[[room]]\nname = \"Closed deals\"\nvalue = \"closed\"\ncategory = \"Trading\"\nmanagers = [\"bob@contoso.com\"]\n";
    load_text(&world.path(), "later.toml", text, world.now).unwrap();
    assert_eq!(world.post(bob, "closed", "between us"), Receipt::Accepted);
    assert!(world.messages(ann).is_empty());
    assert_eq!(refused(world.post(ann, "closed", "me too")), 403);
    assert_eq!(world.join(ann, "closed"), 403);
    assert!(
        world
            .texts(bob, "closed")
            .contains(&"between us".to_owned())
    );
}

#[test]
fn a_room_that_is_loaded_later_is_there_at_once() {
    let mut world = World::new();
    let ann = world.leg("ann");
    assert_eq!(world.join(ann, "new"), 404);
    let text =
        "[[room]]\nname = \"New\"\nvalue = \"new\"\ncategory = \"Trading\"\nprivacy = \"open\"\n";
    load_text(&world.path(), "later.toml", text, world.now).unwrap();
    assert_eq!(world.join(ann, "new"), 200);
}
