//! Posts, history, search and the rest.

use holdover_protocol::xccos::Verb;
use holdover_protocol::xccos::block::{
    FileBlock, InvitationBlock, PreferenceBlock, QueryBlock, RoomBlock, ServerQuery, Visibility,
};
use holdover_protocol::xccos::verb::{
    ChannelSearch, GetDownloadToken, GetInvitations, GetPreference, GetServerInfo, GetUploadToken,
    SetPreference,
};

use super::*;

fn names(rooms: &[RoomBlock]) -> Vec<&str> {
    rooms
        .iter()
        .map(|room| room.name.as_deref().unwrap())
        .collect()
}

fn search(world: &mut World, leg: LegId, criteria: &str) -> Vec<RoomBlock> {
    let query = QueryBlock::by_name(criteria);
    match world
        .ask(leg, &Command::ChannelSearch(ChannelSearch { query }))
        .data
    {
        ReplyData::ChannelSearch(reply) => reply.rooms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_post_reaches_every_leg_in_the_room_and_the_sender() {
    let mut world = World::new();
    let (ann, bob, again, zoe) = (
        world.leg("ann"),
        world.leg("bob"),
        world.leg("bob"),
        world.leg("zoe"),
    );
    for leg in [ann, bob, again] {
        world.join(leg, "open");
    }
    world.join(zoe, "hall");
    let text = "Grüße <&> \"quoted\"\r\nsecond line";
    assert_eq!(world.post(ann, "open", text), Receipt::Accepted);
    for leg in [ann, bob, again] {
        let messages = world.messages(leg);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].chat, text);
        assert_eq!(messages[0].author.as_deref(), Some("sip:ann@contoso.com"));
        assert_eq!(
            messages[0].ts.as_deref(),
            Some("2026-11-22T12:00:00.0000000Z")
        );
    }
    assert!(world.inbox(zoe).is_empty());
}

#[test]
fn a_copy_is_written_once_however_many_hear_it() {
    let mut world = World::new();
    let legs: Vec<LegId> = (0..200)
        .map(|user| world.leg(&format!("u{user}")))
        .collect();
    for leg in &legs {
        world.join(*leg, "open");
    }
    let post = GroupChat {
        room: room("open"),
        author: None,
        ts: Some("x".into()),
        chat: "hello".to_owned(),
    };
    let document = Envelope::new(5).group_chat(1, &post).finish();
    let outcome = world
        .core
        .handle(legs[0], SendId(1), document, Ticks::from(world.now));
    let [Effect::Receipt { .. }, Effect::Document { legs: heard, .. }] = &outcome.effects[..]
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(heard.len(), 200);
}

#[test]
fn times_count_up_where_the_clock_goes_back_by_a_minute() {
    let mut world = World::new();
    let ann = world.leg("ann");
    world.join(ann, "open");
    world.post(ann, "open", "one");
    world.post(ann, "open", "two");
    world.now = "2026-11-22T11:59:00Z".parse().unwrap();
    world.post(ann, "open", "three");
    let messages = world.history(ann, "open", None);
    let times: Vec<&str> = messages.iter().filter_map(|it| it.ts.as_deref()).collect();
    assert_eq!(
        times,
        [
            "2026-11-22T12:00:00.0000000Z",
            "2026-11-22T12:00:00.0000001Z",
            "2026-11-22T12:00:00.0000002Z"
        ]
    );
}

#[test]
fn a_post_from_years_ahead_does_not_take_its_room_there() {
    let mut world = World::new();
    let ann = world.leg("ann");
    world.join(ann, "open");
    let now = world.now;
    world.now = "2036-11-22T12:00:00Z".parse().unwrap();
    world.post(ann, "open", "ahead");
    world.now = now;
    world.post(ann, "open", "one");
    world.post(ann, "open", "two");
    let messages = world.history(ann, "open", None);
    let told = |it: &GroupChat| (it.chat.clone(), it.ts.as_deref().unwrap_or_default().into());
    let told: Vec<(String, String)> = messages.iter().map(told).collect();
    let expected = [
        ("ahead", "2036-11-22T12:00:00.0000000Z"),
        ("one", "2026-11-22T12:00:00.0000000Z"),
        ("two", "2026-11-22T12:00:00.0000001Z"),
    ];
    assert_eq!(told, expected.map(|(chat, ts)| (chat.into(), ts.into())));
}

#[test]
fn a_post_is_refused_with_a_reason() {
    let mut world = World::with(ROOMS, |options| options.message_limit = 10);
    let (ann, zoe) = (world.leg("ann"), world.leg("zoe"));
    assert_eq!(refused(world.post(ann, "open", "hello")), 403);
    world.join(ann, "open");
    world.join(zoe, "hall");
    assert_eq!(refused(world.post(ann, "nowhere", "hello")), 404);
    assert_eq!(refused(world.post(zoe, "secret", "hello")), 404);
    assert_eq!(refused(world.post(ann, "attic", "hello")), 403);
    assert_eq!(refused(world.post(zoe, "hall", "hello")), 403);
    assert_eq!(refused(world.post(ann, "open", "12345678901")), 413);
    assert_eq!(world.post(ann, "open", "1234567890"), Receipt::Accepted);
    assert_eq!(refused(world.post(ann, "open", "")), 400);
    let raw = |attributes: &str| {
        format!(
            "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\"><grpchat id=\"grpchat\" seqid=\"1\" \
             chanUri=\"ma-chan://contoso.com/open\" {attributes}><chat>hi</chat></grpchat></xccos>"
        )
    };
    assert_eq!(refused(world.send(ann, raw(""))), 503);
    assert_eq!(refused(world.send(ann, raw("ts=\"\""))), 503);
    let forged = "ts=\"2009-01-01T00:00:00Z\" author=\"sip:bob@contoso.com\"";
    assert_eq!(refused(world.send(ann, raw(forged))), 403);
    let own = "ts=\"2009-01-01T00:00:00Z\" author=\"SIP:Ann@Contoso.com\"";
    assert_eq!(world.send(ann, raw(own)), Receipt::Accepted);
    assert_eq!(world.texts(ann, "open"), ["1234567890", "hi"]);
}

#[test]
fn only_presenters_and_managers_are_heard_in_an_auditorium() {
    let mut world = World::new();
    let (ann, bob, pat) = (world.leg("ann"), world.leg("bob"), world.leg("pat"));
    for leg in [ann, bob, pat] {
        assert_eq!(world.join(leg, "hall"), 200);
    }
    assert_eq!(refused(world.post(ann, "hall", "may I?")), 403);
    assert_eq!(world.post(bob, "hall", "welcome"), Receipt::Accepted);
    assert_eq!(world.post(pat, "hall", "thank you"), Receipt::Accepted);
    assert_eq!(world.texts(ann, "hall"), ["welcome", "thank you"]);
}

#[test]
fn history_is_the_last_messages_oldest_first() {
    let mut world = World::new();
    let (ann, zoe) = (world.leg("ann"), world.leg("zoe"));
    world.join(ann, "closed");
    world.join(ann, "open");
    for number in 1..=40 {
        world.post(ann, "open", &format!("m{number}"));
    }
    let texts = |messages: Vec<GroupChat>| -> Vec<String> {
        messages.into_iter().map(|message| message.chat).collect()
    };
    assert_eq!(
        texts(world.history(zoe, "open", Some(3))),
        ["m38", "m39", "m40"],
        "read without joining"
    );
    assert_eq!(world.history(zoe, "open", None).len(), 30);
    assert_eq!(world.history(zoe, "open", Some(1000)).len(), 40);
    assert!(world.history(zoe, "open", Some(0)).is_empty());
    let closed = Command::BackChat(BackChat {
        room: room("closed"),
        last: None,
    });
    assert_eq!(world.code(zoe, &closed), 403);
    assert!(world.history(ann, "closed", None).is_empty());
}

#[test]
fn history_stops_at_500_and_at_what_a_reader_takes() {
    let mut world = World::new();
    let ann = world.leg("ann");
    world.join(ann, "open");
    world.join(ann, "closed");
    for number in 1..=510 {
        world.post(ann, "open", &format!("{number}"));
    }
    let history = world.history(ann, "open", Some(u32::MAX));
    assert_eq!((history.len(), &*history[0].chat), (500, "11"));
    // Everything in here grows to six bytes.
    for _ in 0..4 {
        world.post(ann, "closed", &"\"&".repeat(20_000));
    }
    assert_eq!(world.history(ann, "closed", Some(500)).len(), 2);
}

#[test]
fn a_control_character_is_stored_and_never_sent() {
    let mut world = World::new();
    let ann = world.leg("ann");
    world.join(ann, "open");
    world.inbox(ann);
    let raw = "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\"><grpchat id=\"grpchat\" seqid=\"1\" \
               chanUri=\"ma-chan://contoso.com/open\" ts=\"x\"><chat>a&#x1;b</chat></grpchat></xccos>";
    assert_eq!(world.send(ann, raw), Receipt::Accepted);
    assert_eq!(world.messages(ann)[0].chat, "a\u{fffd}b");
    assert_eq!(world.texts(ann, "open"), ["a\u{fffd}b"]);
}

#[test]
fn a_search_shows_what_the_user_may_see() {
    let mut world = World::new();
    let (ann, zoe, mallory) = (world.leg("ann"), world.leg("zoe"), world.leg("mallory"));
    let all = ["Closed deals", "Open Deals", "Secret deals", "Town hall"];
    assert_eq!(names(&search(&mut world, ann, "")), all);
    assert_eq!(
        names(&search(&mut world, zoe, "")),
        ["Closed deals", "Open Deals", "Town hall"]
    );
    assert!(search(&mut world, mallory, "").is_empty());
    assert_eq!(
        names(&search(&mut world, ann, "dEALS open")),
        ["Open Deals"]
    );
    assert_eq!(names(&search(&mut world, ann, "al")), all);
    assert!(search(&mut world, ann, "deals hall").is_empty());
    let query = QueryBlock {
        query_type: "BYTOPIC".into(),
        ..QueryBlock::by_name("")
    };
    assert_eq!(
        world.code(ann, &Command::ChannelSearch(ChannelSearch { query })),
        501
    );
}

#[test]
fn a_search_tells_about_rooms_and_stops_at_its_limit() {
    let mut world = World::with(ROOMS, |options| options.search_limit = 3);
    let (ann, bob) = (world.leg("ann"), world.leg("bob"));
    world.join(ann, "open");
    world.join(bob, "open");
    let rooms = search(&mut world, ann, "");
    assert_eq!(
        names(&rooms),
        ["Closed deals", "Open Deals", "Secret deals"]
    );
    let counts: Vec<Option<u32>> = rooms.iter().map(|room| room.user_count).collect();
    assert_eq!(counts, [Some(0), Some(2), Some(0)]);
    let seen: Vec<Option<Visibility>> = rooms.iter().map(|room| room.visibility).collect();
    assert_eq!(
        seen,
        [
            Some(Visibility::Scope),
            Some(Visibility::Open),
            Some(Visibility::Private)
        ]
    );
    assert_eq!(rooms[0].file_post, Some(false));
    assert_eq!((rooms[0].invite, rooms[0].logged), (Some(true), Some(true)));
}

#[test]
fn own_rooms_are_those_whose_lists_name_the_user() {
    let mut world = World::new();
    let mut own = |user: &str| -> Vec<String> {
        let leg = world.leg(user);
        match world.ask(leg, &Command::GetAssociations).data {
            ReplyData::GetAssociations(reply) => {
                names(&reply.rooms).into_iter().map(str::to_owned).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(own("ann").len(), 4);
    assert_eq!(own("pat"), ["Town hall"]);
    assert!(own("zoe").is_empty());
}

#[test]
fn invitations_are_told_from_a_number_on() {
    let mut world = World::new();
    let (ann, zoe) = (world.leg("ann"), world.leg("zoe"));
    let mut since = |leg, invite_id| {
        let since = InvitationBlock {
            invite_id,
            domain: "contoso.com".into(),
        };
        match world
            .ask(leg, &Command::GetInvitations(GetInvitations { since }))
            .data
        {
            ReplyData::GetInvitations(reply) => (
                reply.last.unwrap().invite_id,
                names(&reply.rooms)
                    .into_iter()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            ),
            other => panic!("{other:?}"),
        }
    };
    // The hall does not invite, and a disabled room is nowhere.
    let (last, rooms) = since(ann, 0);
    assert_eq!(rooms, ["Closed deals", "Open Deals", "Secret deals"]);
    assert_eq!(last, 4);
    assert_eq!(since(ann, 2), (4, vec!["Secret deals".to_owned()]));
    assert_eq!(since(ann, 4), (4, vec![]));
    assert_eq!(since(zoe, 0), (0, vec![]));
}

#[test]
fn preferences_are_numbered_and_private() {
    let mut world = World::new();
    let (ann, again, zoe) = (world.leg("ann"), world.leg("ann"), world.leg("zoe"));
    let label = "kedzie.GroupChannels";
    let block = |seqid, content: Option<&str>, create_default| PreferenceBlock {
        label: label.into(),
        seqid,
        create_default,
        content: content.map(Into::into),
    };
    let mut get = |leg, seqid, create| {
        let preference = block(seqid, None, create);
        match world
            .ask(leg, &Command::GetPreference(GetPreference { preference }))
            .data
        {
            ReplyData::Preference(reply) => reply
                .preference
                .map(|it| (it.seqid, it.content.map(String::from))),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(get(ann, 0, None), None);
    assert_eq!(get(ann, 71, Some(true)), Some((0, Some(String::new()))));
    let mut set = |leg, seqid, content: &str| {
        let preference = block(seqid, Some(content), Some(false));
        match world
            .ask(leg, &Command::SetPreference(SetPreference { preference }))
            .data
        {
            ReplyData::Preference(reply) => reply.preference.unwrap().seqid,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(set(ann, 0, "QQ=="), 1);
    assert_eq!(set(again, 71, "Qg=="), 72);
    assert_eq!(set(ann, 1, "Qw=="), 73);
    let mut get = |leg, seqid| {
        let preference = block(seqid, None, None);
        match world
            .ask(leg, &Command::GetPreference(GetPreference { preference }))
            .data
        {
            ReplyData::Preference(reply) => reply
                .preference
                .map(|it| (it.seqid, it.content.map(String::from))),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(get(again, 72), Some((73, Some("Qw==".to_owned()))));
    assert_eq!(get(again, 73), Some((73, None)));
    assert_eq!(get(zoe, 0), None);
}

#[test]
fn preferences_are_bounded() {
    let mut world = World::new();
    let ann = world.leg("ann");
    let mut set = |label: String, content: String| {
        let preference = PreferenceBlock {
            label: label.into(),
            seqid: 0,
            create_default: None,
            content: Some(content.into()),
        };
        world.code(ann, &Command::SetPreference(SetPreference { preference }))
    };
    assert_eq!(set("x".repeat(257), String::new()), 413);
    assert_eq!(set("x".into(), "A".repeat(256 * 1024 + 1)), 413);
    for number in 0..64 {
        assert_eq!(set(number.to_string(), "A".into()), 200);
    }
    assert_eq!(set("one more".into(), "A".into()), 413);
    assert_eq!(set("63".into(), "B".into()), 200);
}

#[test]
fn the_server_tells_its_limits_and_its_address() {
    let mut world = World::new();
    let ann = world.leg("ann");
    let query = ServerQuery {
        domain: "contoso.com".into(),
        info_type: 123,
    };
    let mut server = || match world
        .ask(
            ann,
            &Command::GetServerInfo(GetServerInfo {
                query: query.clone(),
            }),
        )
        .data
    {
        ReplyData::GetServerInfo(reply) => reply.server,
        other => panic!("{other:?}"),
    };
    let first = server();
    assert_eq!(first.info_type, 123);
    assert_eq!(
        first.server_time.as_deref(),
        Some("2026-11-22T12:00:00.0000000Z")
    );
    assert_eq!(first.search_limit, Some(999));
    assert_eq!(first.message_size_limit, Some(65_536));
    assert_eq!(first.story_size_limit, Some(65_536));
    assert_eq!(first.root_uri.as_ref().unwrap().domain(), "contoso.com");
    assert_eq!(first.db_version.as_ref().unwrap().len(), 36);
    assert_eq!(first, server());
    let ReplyData::RequestUri(reply) = world.ask(ann, &Command::RequestUri).data else {
        panic!("no reply");
    };
    assert_eq!(reply.uri.as_deref(), Some("sip:persistentchat@contoso.com"));
}

#[test]
fn what_is_not_supported_is_told_so() {
    let mut world = World::new();
    let ann = world.leg("ann");
    let file = || FileBlock {
        room: room("open"),
        file: "plan.txt".into(),
    };
    for command in [
        Command::GetUploadToken(GetUploadToken { file: file() }),
        Command::GetDownloadToken(GetDownloadToken { file: file() }),
        Command::Unknown(Verb::Unknown("chancreate".into())),
    ] {
        let reply = world.ask(ann, &command);
        assert_eq!(reply.outcome.code, 501);
        assert_eq!(reply.outcome.text, "MSG_NOT_SUPPORTED");
        assert_eq!(&reply.verb, command.verb().reply());
    }
    let reply = world.ask(ann, &Command::NodesPermCreateChild);
    assert_eq!((reply.outcome.code, reply.data), (200, ReplyData::Empty));
}

/// `count` rooms, called by their numbers, that everybody may enter.
fn numbered_rooms(count: usize) -> String {
    let mut rooms = "[[category]]\nname = \"Trading\"\n".to_owned();
    for number in 0..count {
        rooms.push_str(&format!(
            "[[room]]\nname = \"Room {number:05} & more\"\nvalue = \"r{number:05}\"\n\
             category = \"Trading\"\nprivacy = \"open\"\n"
        ));
    }
    rooms
}

#[test]
fn a_search_for_more_than_anybody_types_is_refused_in_words() {
    let mut world = World::new();
    let ann = world.leg("ann");
    let many: String = (0..40).map(|number| format!("w{number} ")).collect();
    for criteria in ["o ".repeat(500_000), "o".repeat(600), many] {
        let query = QueryBlock::by_name(&criteria);
        let reply = world.ask(ann, &Command::ChannelSearch(ChannelSearch { query }));
        assert_eq!(reply.outcome.code, 413);
        assert!(reply.outcome.text.contains("at most"), "{reply:?}");
    }
    // The same word again is no other word.
    assert_eq!(search(&mut world, ann, &"o ".repeat(200)).len(), 3);
}

#[test]
fn posts_go_before_a_search() {
    let mut world = World::with(&numbered_rooms(1500), |_| {});
    let (ann, bob) = (world.leg("ann"), world.leg("bob"));
    world.join(ann, "r00001");
    world.join(bob, "r00001");
    world.inbox(bob);
    let query = QueryBlock::by_name("r");
    let command = Command::ChannelSearch(ChannelSearch { query });
    let asked = Envelope::new(1).command(1, &command).finish();
    let outcome = world
        .core
        .handle(ann, SendId(1), asked.clone(), Ticks::from(world.now));
    assert!(matches!(outcome.effects[..], [Effect::Receipt { .. }]));
    // One portion is not the whole of it, and what comes meanwhile is done at once.
    assert!(world.core.list_on().is_none());
    assert!(world.core.is_listing());
    let post = GroupChat {
        room: room("r00001"),
        author: None,
        ts: Some("x".into()),
        chat: "hello".to_owned(),
    };
    let post = Envelope::new(2).group_chat(1, &post).finish();
    let outcome = world
        .core
        .handle(bob, SendId(2), post, Ticks::from(world.now));
    assert!(matches!(
        outcome.effects[..],
        [Effect::Receipt { .. }, Effect::Document { .. }]
    ));
    // No leg has more than so many, and a leg that is gone has none.
    for _ in 0..15 {
        world
            .core
            .handle(ann, SendId(3), asked.clone(), Ticks::from(world.now));
    }
    let outcome = world
        .core
        .handle(ann, SendId(4), asked, Ticks::from(world.now));
    assert!(matches!(
        outcome.effects[..],
        [Effect::Receipt { .. }, Effect::Document { .. }]
    ));
    world.close(ann);
    assert!(!world.core.is_listing());
}

#[test]
fn a_search_in_portions_finds_what_there_is_by_name() {
    let mut world = World::with(&numbered_rooms(1500), |_| {});
    let ann = world.leg("ann");
    let rooms = search(&mut world, ann, "9 room");
    let expected: Vec<String> = (0..1500)
        .map(|number| format!("Room {number:05} & more"))
        .filter(|name| name.contains('9'))
        .collect();
    assert_eq!(names(&rooms), expected);
    assert_eq!(search(&mut world, ann, "").len(), 999);
}

/// Who is in what, as the reply to a `bjoin` tells it and as the pool has it.
fn enter_many(world: &mut World, leg: LegId, values: &[String]) -> (usize, usize) {
    let rooms: Vec<RoomUri> = values.iter().map(|value| room(value)).collect();
    let join = Command::BatchJoin(BatchJoin { rooms });
    let reply = world.ask(leg, &join);
    let mut entered: Vec<RoomUri> = Vec::new();
    let mut failed = 0;
    if let ReplyData::Join(reply) = reply.data {
        entered.extend(reply.rooms.into_iter().map(|room| room.uri));
        failed = reply.failures.len();
        assert_eq!(entered.len() + failed, values.len());
    } else {
        assert_eq!(reply.outcome.code, 413, "{reply:?}");
    }
    let mut inside: Vec<RoomUri> = world
        .core
        .presence
        .rooms_of(leg)
        .into_iter()
        .map(|key| world.core.catalog.by_key(key).unwrap().uri.clone())
        .collect();
    inside.sort();
    entered.sort();
    assert_eq!(inside, entered, "who is in a room is told so");
    (entered.len(), failed)
}

#[test]
fn a_user_is_in_the_rooms_that_the_reply_to_a_bjoin_has_and_in_no_others() {
    let mut world = World::with(&numbered_rooms(10_000), |_| {});
    let values: Vec<String> = (0..10_000).map(|number| format!("r{number:05}")).collect();
    let ann = world.leg("ann");
    let (entered, failed) = enter_many(&mut world, ann, &values);
    assert!(entered > 100 && failed > 0, "{entered} {failed}");
    let bob = world.leg("bob");
    assert_eq!(enter_many(&mut world, bob, &values[..1500]), (1500, 0));
    // More than can even be refused one by one.
    let zoe = world.leg("zoe");
    let unknown: Vec<String> = (0..14_000).map(|number| format!("x{number}")).collect();
    assert_eq!(enter_many(&mut world, zoe, &unknown), (0, 0));
}

#[test]
fn a_reply_to_a_bjoin_has_room_for_everybody_it_names() {
    let mut world = World::with(&numbered_rooms(300), |_| {});
    let values: Vec<String> = (0..300).map(|number| format!("r{number:05}")).collect();
    for user in 0..60 {
        let leg = world.leg(&format!("{}{user}", "a".repeat(200)));
        enter_many(&mut world, leg, &values);
    }
    let ann = world.leg("ann");
    assert_eq!(enter_many(&mut world, ann, &values), (300, 0));
}
