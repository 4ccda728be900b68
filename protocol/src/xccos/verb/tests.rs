//! Every verb, both ways: read from text in the form of the wire, and written to the same meaning.

use bytes::Bytes;

use crate::room::RoomUri;
use crate::xccos::block::*;
use crate::xccos::*;

fn document(bytes: impl Into<Bytes>) -> Document {
    Document::parse(bytes, &Limits::DEFAULT).unwrap()
}

fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

fn chat(room_value: &str, author: &str, ts: &str, chat: &str) -> GroupChat {
    GroupChat {
        room: room(room_value),
        author: Some(author.into()),
        ts: Some(ts.into()),
        chat: chat.to_owned(),
    }
}

/// Commands as clients write them, and what they mean.
fn commands() -> Vec<(&'static str, &'static str, Command)> {
    let preference = |create_default, content: Option<&str>| PreferenceBlock {
        label: "kedzie.GroupChannels".into(),
        seqid: 12,
        create_default: Some(create_default),
        content: content.map(Into::into),
    };
    let file = |file: &str| FileBlock {
        room: room("D-1"),
        file: file.into(),
    };
    vec![
        ("cmd:requri", "", Command::RequestUri),
        (
            "cmd:getserverinfo",
            r#"<sib domain="contoso.com" infoType="123"/>"#,
            Command::GetServerInfo(verb::GetServerInfo {
                query: ServerQuery {
                    domain: "contoso.com".into(),
                    info_type: 123,
                },
            }),
        ),
        ("cmd:getassociations", "", Command::GetAssociations),
        (
            "cmd:join",
            r#"<chanid key="0" domain="contoso.com" value="D-1"/>"#,
            Command::Join(verb::Join { room: room("D-1") }),
        ),
        (
            "cmd:bjoin",
            r#"<chanid key="0" domain="contoso.com" value="D-1"/><chanid key="1" domain="contoso.com" value="E/2"/>"#,
            Command::BatchJoin(verb::BatchJoin {
                rooms: vec![room("D-1"), room("E/2")],
            }),
        ),
        (
            "cmd:part",
            r#"<chanib uri="ma-chan://contoso.com/D-1"/>"#,
            Command::Part(verb::Part {
                rooms: vec![room("D-1")],
            }),
        ),
        (
            "cmd:bccontext",
            r#"<chanib uri="ma-chan://contoso.com/D-1"/><bcq><last cnt="25"/></bcq>"#,
            Command::BackChat(verb::BackChat {
                room: room("D-1"),
                last: Some(25),
            }),
        ),
        (
            "cmd:chansrch",
            r#"<qib qtype="BYNAME" criteria="R&amp;D" extended="false"/>"#,
            Command::ChannelSearch(verb::ChannelSearch {
                query: QueryBlock::by_name("R&D"),
            }),
        ),
        (
            "cmd:getpref",
            r#"<pref label="kedzie.GroupChannels" seqid="12" createdefault="true"/>"#,
            Command::GetPreference(verb::GetPreference {
                preference: preference(true, None),
            }),
        ),
        (
            "cmd:setpref",
            r#"<pref label="kedzie.GroupChannels" seqid="12" createdefault="false" content="cm9vbXM="/>"#,
            Command::SetPreference(verb::SetPreference {
                preference: preference(false, Some("cm9vbXM=")),
            }),
        ),
        (
            "cmd:getinv",
            r#"<inv inviteId="4" domain="contoso.com"/>"#,
            Command::GetInvitations(verb::GetInvitations {
                since: InvitationBlock {
                    invite_id: 4,
                    domain: "contoso.com".into(),
                },
            }),
        ),
        (
            "cmd:getfutok",
            r#"<ftdb channelUri="ma-chan://contoso.com/D-1" fileUrl="plan.txt"/>"#,
            Command::GetUploadToken(verb::GetUploadToken {
                file: file("plan.txt"),
            }),
        ),
        (
            "cmd:getfdtok",
            r#"<ftdb channelUri="ma-chan://contoso.com/D-1" fileUrl="a &quot;b&quot;.txt"/>"#,
            Command::GetDownloadToken(verb::GetDownloadToken {
                file: file("a \"b\".txt"),
            }),
        ),
        (
            "cmd:nodespermcreatechild",
            "",
            Command::NodesPermCreateChild,
        ),
        (
            "cmd:chancreate",
            "",
            Command::Unknown(Verb::Unknown("chancreate".into())),
        ),
    ]
}

/// Replies as servers write them, and what they mean.
fn replies() -> Vec<(&'static str, &'static str, Verb, ReplyData)> {
    let member = PermissionMask::LEGACY_MEMBER;
    let found = RoomBlock {
        name: Some("Deals".into()),
        description: Some("Who sells what".into()),
        user_count: Some(7),
        visibility: Some(Visibility::Private),
        file_post: Some(true),
        invite: Some(false),
        logged: Some(true),
        ..RoomBlock::new(room("D-1"))
    };
    let joined = RoomBlock {
        name: Some("Deals".into()),
        topic: Some("".into()),
        associations: vec![
            RoleAssociation {
                mask: member,
                users: vec![0, 2],
            },
            RoleAssociation {
                mask: PermissionMask::LEGACY_MANAGER,
                users: vec![1],
            },
        ],
        ..RoomBlock::new(room("D-1"))
    };
    let user = |id, uri: &str| UserBlock {
        id: Some(id),
        uri: uri.into(),
    };
    let users = vec![
        user(0, "sip:ann@contoso.com"),
        user(1, "sip:bob@contoso.com"),
    ];
    let token = TokenBlock {
        token: "7D1E".into(),
        server_uri: "https://fe1.contoso.com/PersistentChat/MGCWebService.asmx".into(),
    };
    let preference = PreferenceBlock {
        label: "kedzie.GroupChannels".into(),
        seqid: 13,
        create_default: None,
        content: Some("cm9vbXM=".into()),
    };
    vec![
        (
            "rpl:requri",
            r#"<uib uri="sip:chat@contoso.com;gruu;opaque=srvr:a:b"/>"#,
            Verb::RequestUri,
            ReplyData::RequestUri(verb::RequestUriReply {
                uri: Some("sip:chat@contoso.com;gruu;opaque=srvr:a:b".into()),
            }),
        ),
        (
            "rpl:getserverinfo",
            r#"<sib infoType="123" serverTime="2026-11-22T10:00:00.1234567Z" searchLimit="999" messageSizeLimit="512" storySizeLimit="4096" rootUri="ma-cat://contoso.com/ROOT" dbVersion="9F"/>"#,
            Verb::GetServerInfo,
            ReplyData::GetServerInfo(verb::GetServerInfoReply {
                server: ServerBlock {
                    info_type: 123,
                    server_time: Some("2026-11-22T10:00:00.1234567Z".into()),
                    search_limit: Some(999),
                    message_size_limit: Some(512),
                    story_size_limit: Some(4096),
                    root_uri: Some("ma-cat://contoso.com/ROOT".parse().unwrap()),
                    db_version: Some("9F".into()),
                },
            }),
        ),
        (
            "rpl:getassociations",
            r#"<chanib uri="ma-chan://contoso.com/D-1"/>"#,
            Verb::GetAssociations,
            ReplyData::GetAssociations(verb::GetAssociationsReply {
                rooms: vec![RoomBlock::new(room("D-1"))],
            }),
        ),
        (
            "rpl:join",
            r#"<uib id="0" uri="sip:ann@contoso.com"/><uib id="1" uri="sip:bob@contoso.com"/><chanib uri="ma-chan://contoso.com/D-1" name="Deals" topic=""><aib key="3984" value="0,2"/><aib key="12276" value="1"/></chanib>"#,
            Verb::Join,
            ReplyData::Join(verb::JoinReply {
                users: users.clone(),
                rooms: vec![joined],
                failures: Vec::new(),
            }),
        ),
        (
            "rpl:bjoin",
            r#"<uib id="0" uri="sip:ann@contoso.com"/><uib id="1" uri="sip:bob@contoso.com"/><chanib uri="ma-chan://contoso.com/D-1"/><fib key="OPERATION_FAILED" value="E/2" domain="contoso.com"/>"#,
            Verb::BatchJoin,
            ReplyData::Join(verb::JoinReply {
                users,
                rooms: vec![RoomBlock::new(room("D-1"))],
                failures: vec![FailureBlock {
                    room: room("E/2"),
                    key: OPERATION_FAILED.into(),
                }],
            }),
        ),
        (
            "rpl:part",
            r#"<chanib uri="ma-chan://contoso.com/D-1"/>"#,
            Verb::Part,
            ReplyData::Part(verb::PartReply {
                rooms: vec![room("D-1")],
            }),
        ),
        (
            "rpl:bccontext",
            "<chanib uri=\"ma-chan://contoso.com/D-1\"><msg id=\"grpchat\" chanUri=\"ma-chan://contoso.com/D-1\" author=\"sip:ann@contoso.com\" ts=\"2026-11-22T09:00:00Z\"><chat>a &lt;b&gt;\r\nc</chat></msg></chanib>",
            Verb::BackChat,
            ReplyData::BackChat(verb::BackChatReply {
                rooms: vec![verb::RoomHistory {
                    room: room("D-1"),
                    messages: vec![chat(
                        "D-1",
                        "sip:ann@contoso.com",
                        "2026-11-22T09:00:00Z",
                        "a <b>\r\nc",
                    )],
                }],
            }),
        ),
        (
            "rpl:chansrch",
            r#"<chanib uri="ma-chan://contoso.com/D-1" name="Deals" description="Who sells what"><info id="urn:parlano:ma:info:ucnt">7</info><info id="urn:parlano:ma:info:visibilty">private</info><prop id="urn:parlano:ma:prop:filepost">true</prop><prop id="urn:parlano:ma:prop:invite">false</prop><prop id="urn:parlano:ma:prop:logged">true</prop></chanib>"#,
            Verb::ChannelSearch,
            ReplyData::ChannelSearch(verb::ChannelSearchReply { rooms: vec![found] }),
        ),
        (
            "rpl:getpref",
            r#"<pref label="kedzie.GroupChannels" seqid="13" content="cm9vbXM="/>"#,
            Verb::GetPreference,
            ReplyData::Preference(verb::PreferenceReply {
                preference: Some(preference),
            }),
        ),
        (
            "rpl:setpref",
            "",
            Verb::SetPreference,
            ReplyData::Preference(verb::PreferenceReply { preference: None }),
        ),
        (
            "rpl:getinv",
            r#"<inv inviteId="9" domain="contoso.com"/><chanib uri="ma-chan://contoso.com/D-1"/>"#,
            Verb::GetInvitations,
            ReplyData::GetInvitations(verb::GetInvitationsReply {
                last: Some(InvitationBlock {
                    invite_id: 9,
                    domain: "contoso.com".into(),
                }),
                rooms: vec![RoomBlock::new(room("D-1"))],
            }),
        ),
        (
            "rpl:getftok",
            r#"<token token="7D1E" serveruri="https://fe1.contoso.com/PersistentChat/MGCWebService.asmx"/>"#,
            Verb::GetFileToken,
            ReplyData::GetFileToken(verb::GetFileTokenReply { token }),
        ),
        (
            "rpl:nodespermcreatechild",
            "",
            Verb::NodesPermCreateChild,
            ReplyData::Empty,
        ),
    ]
}

/// Notices as servers write them, and what they mean.
fn notices() -> Vec<(&'static str, &'static str, Notice)> {
    let bob = UserBlock::new("sip:bob@contoso.com");
    let membership = |value| RoomMembership {
        room: room(value),
        mask: PermissionMask::LEGACY_MEMBER,
    };
    vec![
        (
            "ntc:join",
            r#"<uib uri="sip:bob@contoso.com"><aib key="3984" domain="contoso.com" value="D-1"/></uib>"#,
            Notice::Join(vec![Arrival {
                user: bob.clone(),
                rooms: vec![membership("D-1")],
            }]),
        ),
        (
            "ntc:bjoin",
            r#"<uib uri="sip:bob@contoso.com"><aib key="3984" domain="contoso.com" value="D-1"/><aib key="3984" domain="contoso.com" value="E/2"/></uib>"#,
            Notice::BatchJoin(vec![Arrival {
                user: bob.clone(),
                rooms: vec![membership("D-1"), membership("E/2")],
            }]),
        ),
        (
            "ntc:part",
            r#"<chanib uri="ma-chan://contoso.com/D-1"><uib uri="sip:bob@contoso.com"/><uib uri="sip:eve@contoso.com"/></chanib>"#,
            Notice::Part(vec![Departure {
                room: room("D-1"),
                users: vec![bob, UserBlock::new("sip:eve@contoso.com")],
            }]),
        ),
        (
            "ntc:kick",
            "",
            Notice::Unknown(Verb::Unknown("kick".into())),
        ),
    ]
}

fn envelope(content: &str) -> String {
    format!("<xccos ver=\"1\" envid=\"77\" xmlns=\"{NAMESPACE}\">{content}</xccos>")
}

fn data(content: &str) -> String {
    if content.is_empty() {
        "<data/>".to_owned()
    } else {
        format!("<data>{content}</data>")
    }
}

fn command_text(id: &str, content: &str) -> String {
    envelope(&format!(
        "<cmd id=\"{id}\" seqid=\"1\">{}</cmd>",
        data(content)
    ))
}

fn reply_text(id: &str, content: &str) -> String {
    envelope(&format!(
        "<rpl id=\"{id}\" seqid=\"1\"><commandid seqid=\"1\" envid=\"5\"/><resp code=\"200\">SUCCESS_OK</resp>{}</rpl>",
        data(content)
    ))
}

fn notice_text(id: &str, content: &str) -> String {
    envelope(&format!(
        "<ntc id=\"{id}\" seqid=\"1\">{}</ntc>",
        data(content)
    ))
}

const POST: &str = r#"<grpchat id="grpchat" seqid="1" chanUri="ma-chan://contoso.com/D-1" author="sip:ann@contoso.com" ts="2026-11-22T09:00:00Z"><chat>hello</chat></grpchat>"#;

/// One document of each kind.
pub(in crate::xccos) fn samples() -> impl Iterator<Item = Bytes> {
    let commands = commands()
        .into_iter()
        .map(|(id, content, _)| command_text(id, content));
    let replies = replies()
        .into_iter()
        .map(|(id, content, ..)| reply_text(id, content));
    let notices = notices()
        .into_iter()
        .map(|(id, content, _)| notice_text(id, content));
    commands
        .chain(replies)
        .chain(notices)
        .chain([envelope(POST)])
        .map(Bytes::from)
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
    let shown = format!("{preference:?} {token:?} {post:?}");
    assert!(!shown.contains("secret"), "{shown}");
}
