//! Documents in the form of the wire, and what they mean.

use bytes::Bytes;

use crate::room::RoomUri;
use crate::xccos::block::*;
use crate::xccos::*;

pub(super) fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

pub(super) fn chat(room_value: &str, author: &str, ts: &str, chat: &str) -> GroupChat {
    GroupChat {
        room: room(room_value),
        author: Some(author.into()),
        ts: Some(ts.into()),
        chat: chat.to_owned(),
    }
}

/// Commands as clients write them, and what they mean.
pub(super) fn commands() -> Vec<(&'static str, &'static str, Command)> {
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
pub(super) fn replies() -> Vec<(&'static str, &'static str, Verb, ReplyData)> {
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
pub(super) fn notices() -> Vec<(&'static str, &'static str, Notice)> {
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

pub(super) fn envelope(content: &str) -> String {
    format!("<xccos ver=\"1\" envid=\"77\" xmlns=\"{NAMESPACE}\">{content}</xccos>")
}

pub(super) fn data(content: &str) -> String {
    if content.is_empty() {
        "<data/>".to_owned()
    } else {
        format!("<data>{content}</data>")
    }
}

pub(super) fn command_text(id: &str, content: &str) -> String {
    envelope(&format!(
        "<cmd id=\"{id}\" seqid=\"1\">{}</cmd>",
        data(content)
    ))
}

pub(super) fn reply_text(id: &str, content: &str) -> String {
    envelope(&format!(
        "<rpl id=\"{id}\" seqid=\"1\"><commandid seqid=\"1\" envid=\"5\"/><resp code=\"200\">SUCCESS_OK</resp>{}</rpl>",
        data(content)
    ))
}

pub(super) fn notice_text(id: &str, content: &str) -> String {
    envelope(&format!(
        "<ntc id=\"{id}\" seqid=\"1\">{}</ntc>",
        data(content)
    ))
}

pub(super) const POST: &str = r#"<grpchat id="grpchat" seqid="1" chanUri="ma-chan://contoso.com/D-1" author="sip:ann@contoso.com" ts="2026-11-22T09:00:00Z"><chat>hello</chat></grpchat>"#;

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
