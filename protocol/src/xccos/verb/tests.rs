//! Every verb, both ways: read from text in the form of the wire, and written to the same meaning.

pub(in crate::xccos) mod samples;

use bytes::Bytes;

pub(in crate::xccos) use self::samples::samples;
use self::samples::{
    POST, chat, command_text, commands, envelope, notice_text, notices, replies, reply_text, room,
};
use crate::xccos::block::*;
use crate::xccos::*;

fn document(bytes: impl Into<Bytes>) -> Document {
    Document::parse(bytes, &Limits::DEFAULT).unwrap()
}

fn only_item(document: &Document) -> Item<'_> {
    let mut items = document.items();
    let item = items.next().unwrap();
    assert!(items.next().is_none());
    item
}

#[test]
fn commands_are_read_and_written() {
    for (id, content, expected) in commands() {
        let text = command_text(id, content);
        let read = document(text.clone());
        let Item::Command(view) = only_item(&read) else {
            panic!("{id} is no command")
        };
        assert_eq!(Command::read(view).unwrap(), expected, "{id}");
        assert_eq!(view.verb(), expected.verb(), "{id}");
        assert_eq!(view.id(), CommandId::new("77", "1"));
        assert_eq!(Envelope::new(77).command(1, &expected).finish(), text);
    }
}

#[test]
fn replies_are_read_and_written() {
    for (id, content, verb, expected) in replies() {
        let text = reply_text(id, content);
        let read = document(text.clone());
        let Item::Reply(view) = only_item(&read) else {
            panic!("{id} is no reply")
        };
        assert_eq!(view.command_id(), Some(CommandId::new("5", "1")), "{id}");
        let expected = Reply::success(verb, expected);
        assert_eq!(Reply::read(view).unwrap(), expected, "{id}");
        let to = CommandId::new("5", "1");
        assert_eq!(
            Envelope::new("77")
                .reply("1", Some(&to), &expected)
                .finish(),
            text
        );
    }
}

#[test]
fn notices_are_read_and_written() {
    for (id, content, expected) in notices() {
        let text = notice_text(id, content);
        let read = document(text.clone());
        let Item::Notice(view) = only_item(&read) else {
            panic!("{id} is no notice")
        };
        assert_eq!(Notice::read(view).unwrap(), expected, "{id}");
        assert_eq!(Envelope::new(77).notice(1, &expected).finish(), text);
    }
}

#[test]
fn posts_are_read_and_written() {
    let text = envelope(POST);
    let read = document(text.clone());
    let Item::GroupChat(view) = only_item(&read) else {
        panic!("no post")
    };
    let expected = chat(
        "D-1",
        "sip:ann@contoso.com",
        "2026-11-22T09:00:00Z",
        "hello",
    );
    assert_eq!(GroupChat::read(view).unwrap(), expected);
    assert_eq!(view.room().unwrap(), expected.room);
    assert_eq!(view.author().as_deref(), expected.author.as_deref());
    assert_eq!(view.ts().as_deref(), expected.ts.as_deref());
    assert_eq!(view.chat(), "hello");
    assert_eq!(Envelope::new(77).group_chat(1, &expected).finish(), text);
}

#[test]
fn every_verb_has_a_sample() {
    let read: Vec<Verb> = commands()
        .into_iter()
        .map(|(_, _, command)| command.verb())
        .chain(replies().into_iter().map(|(_, _, verb, _)| verb))
        .collect();
    for verb in Verb::ALL {
        assert!(read.contains(verb), "{verb:?}");
        assert_eq!(&Verb::from_id(&verb.command_name()), verb);
        assert_eq!(&Verb::from_id(&verb.notice_name()), verb);
        assert_eq!(&Verb::from_id(&verb.reply_name()), verb.reply());
    }
}

#[test]
fn names_ignore_case_and_accept_the_other_spelling() {
    assert_eq!(Verb::from_id("CMD:BJoin"), Verb::BatchJoin);
    assert_eq!(Verb::from_id("rpl:getservinfo"), Verb::GetServerInfo);
    assert_eq!(
        Verb::from_id("rpl:grpchat"),
        Verb::Unknown("grpchat".into())
    );
    assert_eq!(Verb::from_id("join"), Verb::Join);
    assert_eq!(Verb::GetUploadToken.reply_name(), "rpl:getftok");
    assert_eq!(Verb::GetDownloadToken.reply_name(), "rpl:getftok");
}

#[test]
fn a_reply_without_result_is_a_failure() {
    for resp in ["", "<resp/>", "<resp code='x'>SUCCESS_OK</resp>"] {
        let read = document(envelope(&format!("<rpl id='rpl:join'>{resp}<data/></rpl>")));
        let Item::Reply(view) = only_item(&read) else {
            panic!("no reply")
        };
        assert_eq!(view.code(), 500, "{resp}");
        assert!(!view.is_success());
        assert_eq!(view.command_id(), None);
        assert_eq!(view.seqid(), None);
    }
}

#[test]
fn a_refusal_says_why() {
    let outcome = Outcome::new(ResultCode::Permission, "Rooms are being moved & checked.");
    let reply = Reply::failure(Verb::Join, outcome.clone());
    let to = CommandId::new("5", "2");
    let bytes = Envelope::new(9).reply(1, Some(&to), &reply).finish();
    assert_eq!(
        bytes,
        format!(
            "<xccos ver=\"1\" envid=\"9\" xmlns=\"{NAMESPACE}\"><rpl id=\"rpl:join\" seqid=\"1\"><commandid seqid=\"2\" envid=\"5\"/><resp code=\"403\">Rooms are being moved &amp; checked.</resp><data/></rpl></xccos>"
        )
    );
    let read = document(bytes);
    let Item::Reply(view) = only_item(&read) else {
        panic!("no reply")
    };
    assert_eq!(Reply::read(view).unwrap(), reply);
    assert_eq!(
        (view.code(), view.text().as_ref()),
        (403, outcome.text.as_ref())
    );
}

#[test]
fn what_a_failed_reply_brings_is_not_looked_at() {
    let text = "<rpl id='rpl:getftok'><resp code='403'>no</resp><data><token/></data></rpl>";
    let read = document(envelope(text));
    let Item::Reply(view) = only_item(&read) else {
        panic!("no reply")
    };
    assert_eq!(Reply::read(view).unwrap().data, ReplyData::Empty);
}

#[test]
fn what_a_command_must_say_is_demanded() {
    use XccosErrorKind::{BadValue, Missing};
    let cases = [
        ("cmd:join", "", Missing("chanid")),
        (
            "cmd:join",
            "<chanid domain='contoso.com'/>",
            Missing("value"),
        ),
        ("cmd:join", "<chanid value='D-1'/>", Missing("domain")),
        (
            "cmd:join",
            "<chanid domain='contoso.com' value='D 1'/>",
            BadValue("value"),
        ),
        (
            "cmd:bjoin",
            "<chanid domain='a/b' value='D-1'/>",
            BadValue("value"),
        ),
        (
            "cmd:part",
            "<chanib uri='ma-cat://contoso.com/D-1'/>",
            BadValue("uri"),
        ),
        ("cmd:part", "<chanib/>", Missing("uri")),
        (
            "cmd:bccontext",
            "<bcq><last cnt='1'/></bcq>",
            Missing("chanib"),
        ),
        (
            "cmd:bccontext",
            "<chanib uri='ma-chan://d/v'/><bcq><last cnt='-1'/></bcq>",
            BadValue("cnt"),
        ),
        ("cmd:chansrch", "", Missing("qib")),
        ("cmd:getpref", "<pref/>", Missing("label")),
        (
            "cmd:setpref",
            "<pref label='a' seqid='x'/>",
            BadValue("seqid"),
        ),
        ("cmd:getinv", "<inv/>", Missing("inviteId")),
        (
            "cmd:getfutok",
            "<ftdb channelUri='ma-chan://d/v'/>",
            Missing("fileUrl"),
        ),
        (
            "cmd:getserverinfo",
            "<sib infoType='many'/>",
            BadValue("infoType"),
        ),
    ];
    for (id, content, expected) in cases {
        let read = document(command_text(id, content));
        let Item::Command(view) = only_item(&read) else {
            panic!("{id} is no command")
        };
        assert_eq!(
            Command::read(view).unwrap_err().kind,
            expected,
            "{id} {content}"
        );
    }
    let read = document(envelope("<cmd id='cmd:join'/>"));
    let Item::Command(view) = only_item(&read) else {
        panic!("no command")
    };
    assert_eq!(Command::read(view).unwrap_err().kind, Missing("chanid"));
}

#[test]
fn unknown_parts_do_no_harm() {
    let text = "<z/><chanib uri='ma-chan://contoso.com/D-1' colour='red'><info id='urn:z'>1</info>\
        <info id='urn:parlano:ma:info:visibilty'>PRIVATE</info><prop id='urn:parlano:ma:prop:invite'>maybe</prop>\
        <prop id='urn:parlano:ma:prop:logged'>False</prop><z/></chanib>";
    let read = document(reply_text("rpl:chansrch", text));
    let Item::Reply(view) = only_item(&read) else {
        panic!("no reply")
    };
    let ReplyData::ChannelSearch(reply) = Reply::read(view).unwrap().data else {
        panic!("no search")
    };
    let expected = RoomBlock {
        visibility: Some(Visibility::Private),
        logged: Some(false),
        ..RoomBlock::new(room("D-1"))
    };
    assert_eq!(reply.rooms, [expected]);
}

#[test]
fn a_history_leaves_out_what_is_no_message() {
    let text = "<chanib uri='ma-chan://contoso.com/D-1'><msg id='other'/><msg id='GRPCHAT' \
        chanUri='ma-chan://contoso.com/D-1'><rtf>{x}</rtf><chat>a<b>c</b>d</chat></msg></chanib>";
    let read = document(reply_text("rpl:bccontext", text));
    let Item::Reply(view) = only_item(&read) else {
        panic!("no reply")
    };
    let ReplyData::BackChat(reply) = Reply::read(view).unwrap().data else {
        panic!("no history")
    };
    let messages: Vec<_> = reply.rooms[0]
        .messages
        .iter()
        .map(|it| it.chat.as_str())
        .collect();
    assert_eq!(messages, ["ad"]);
}

#[test]
fn several_things_in_one_document_are_told_apart() {
    let text =
        envelope("<rpl id='rpl:a'/><ntc id='ntc:b'/><cmd id='cmd:c'/><grpchat/><err code='1'/>");
    let read = document(text);
    let kinds: Vec<_> = read
        .items()
        .map(|item| match item {
            Item::Reply(view) => view.verb().reply_name(),
            Item::Notice(view) => view.verb().notice_name(),
            Item::Command(view) => view.verb().command_name(),
            Item::GroupChat(view) => view.element().name().to_owned(),
            Item::Other(element) => element.name().to_owned(),
        })
        .collect();
    assert_eq!(kinds, ["rpl:a", "ntc:b", "cmd:c", "grpchat", "err"]);
    assert_eq!(read.envid().as_deref(), Some("77"));
}

#[test]
fn what_is_written_is_always_valid() {
    let wild = "\u{0}\u{1}\u{b}\u{fffe}<&>\"'\r\n\t]]>\u{1F600}";
    let post = GroupChat {
        room: room("a&b'c"),
        author: Some(wild.into()),
        ts: None,
        chat: wild.to_owned(),
    };
    let to = CommandId::new(wild, wild);
    let refusal = Outcome::new(ResultCode::ServerError, wild);
    let unknown = Reply::failure(Verb::Unknown(wild.into()), refusal);
    let documents = [
        Envelope::new(wild).group_chat(wild, &post).finish(),
        Envelope::new(1).reply(1, Some(&to), &unknown).finish(),
        Envelope::new(1)
            .command(1, &Command::Unknown(Verb::Unknown(wild.into())))
            .finish(),
    ];
    for bytes in documents {
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.chars().all(text::is_xml_char), "{text:?}");
        assert_eq!(text::forbidden_references(text).count(), 0);
        let read = document(bytes.clone());
        if let Item::GroupChat(view) = only_item(&read) {
            let clean = wild.replace(['\u{0}', '\u{1}', '\u{b}', '\u{fffe}'], "\u{fffd}");
            assert_eq!(view.chat(), clean);
            assert_eq!(view.author().unwrap(), clean);
            assert_eq!(read.envid().unwrap(), clean);
            assert_eq!(view.room().unwrap(), room("a&b'c"));
        }
    }
}

#[test]
fn secrets_and_messages_are_not_shown() {
    let preference = PreferenceBlock {
        label: "l".into(),
        seqid: 1,
        create_default: None,
        content: Some("secret".into()),
    };
    let token = TokenBlock {
        token: "secret".into(),
        server_uri: "https://x".into(),
    };
    let post = chat("D-1", "sip:ann@contoso.com", "", "secret");
    let mut edits = Edits::new();
    edits.replace_raw(0..1, "secret");
    let envelope = Envelope::new(1).group_chat(1, &post);
    let shown = format!("{preference:?} {token:?} {post:?} {edits:?} {envelope:?}");
    assert!(!shown.contains("secret"), "{shown}");
}
