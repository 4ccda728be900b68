//! Properties of translations, over documents put together at random.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

use super::{
    Bounds, EnvelopeIds, RoomMap, TooLong, item_to_client, rooms_named, to_client, to_pool,
};
use crate::room::RoomUri;
use crate::xccos::{CommandId, Document, Edits, Limits};

/// Rooms as the client and as the pool know them: GUIDs, numbers, slashes, references, and one that keeps its value.
const ROOMS: [[&str; 2]; 6] = [
    [
        "contoso.com/11111111-2222-3333-4444-555555555555",
        "hq.example/aaaaaaaa-0001-4000-8000-000000000001",
    ],
    [
        "contoso.com/300",
        "hq.example/aaaaaaaa-0003-4000-8000-000000000003",
    ],
    ["contoso.com/desk/emea/2", "hq.example/77"],
    ["contoso.com/r&d", "hq.example/q&a&z"],
    ["contoso.com/Straße", "hq.example/x.y"],
    ["contoso.com/same", "hq.example/same"],
];

const CLIENT: usize = 0;
const POOL: usize = 1;

/// A map without merged rooms, from one column of the table to the other.
struct Table {
    from: usize,
    to: usize,
}

impl RoomMap for Table {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        let wanted = format!("{domain}/{value}");
        let row = ROOMS.iter().find(|row| row[self.from] == wanted)?;
        format!("ma-chan://{}", row[self.to]).parse().ok()
    }
}

const TO_POOL: Table = Table {
    from: CLIENT,
    to: POOL,
};
const TO_CLIENT: Table = Table {
    from: POOL,
    to: CLIENT,
};

/// A map that knows no room.
struct Nothing;

impl RoomMap for Nothing {
    fn room(&self, _: &str, _: &str) -> Option<RoomUri> {
        None
    }
}

/// Parts of a document, and a room of the table to fill them with. `{}` is domain and value, `{d}` and `{v}` are the
/// halves, `{r}` is `{}` as it stands in CDATA.
type Piece = (&'static str, usize);

const ELEMENTS: [&str; 18] = [
    r#"<chanid key="0" domain="{d}" value="{v}"/>"#,
    "<chanid\tvalue = '{v}'\r\n domain='{d}'></chanid >",
    r#"<chanib uri="ma-chan://{}" name="a &amp; b"><x/></chanib>"#,
    r#"<ftdb channelUri='ma-chan://{}' fileUrl="ma-filelink://{}/0a1b.txt"/>"#,
    r#"<uib uri="sip:bob@contoso.com"><aib key="3984" domain="{d}" value="{v}"/></uib>"#,
    r#"<fib key="OPERATION_FAILED" value="{v}" domain="{d}"/>"#,
    r#"<n:new xmlns:n="urn:new" n:room="ma-chan://{}" value="300">text</n:new>"#,
    r#"<qib criteria="in ma-chan://{}, or" extended="false"/>"#,
    "<?pi ma-chan://contoso.com/300 ?>",
    "<!-- ma-chan://contoso.com/300 -->",
    "\r\n  \t",
    r#"<sib domain="contoso.com" infoType="123"/>"#,
    r#"<ad domain="contoso.com"/>"#,
    r#"<a b="ma-chan://contoso.com/300x" c="ma-chan://contoso.com/300." d="ma-cat://contoso.com/300"/>"#,
    r#"<a b="xma-chan://contoso.com/300" c="ma-chan://contoso.com" d="MA-CHAN://contoso.com/300"/>"#,
    r#"<aib key="12276" value="0,1"/>"#,
    r#"<pref label="x" content="bWE="/>"#,
    "<chat/>",
];

const TEXTS: [&str; 20] = [
    "ma-chan://{} ",
    "(ma-chan://{}), ",
    "ma-chan://{}. ",
    "ma-chan://{}?! ",
    "&lt;a href=&quot;ma-chan://{}&quot;&gt;Deals&lt;/a&gt; ",
    "&lt;a href=&apos;ma-chan://{}&apos;&gt;Deals&lt;/a&gt; ",
    "&#60;ma-chan://{}&#x3e;",
    "[Deals](ma-chan://{})now ",
    "ma-chan://{};ma-chan://{};",
    "ma-chan://{}|",
    "ma-filelink://{}/0a1b.txt ",
    "ma-filelink://{}/a/b.txt?size=1#x, ",
    "ma-filelink://{} ",
    "\r\nma-chan://{}\r\n",
    "«ma-chan://{}» ",
    "<![CDATA[<ma-chan://{r}> &amp; ]]>",
    "ma- ma-chan:// ma-chan://x ma-chan:///y karma-chan://contoso.com/300 ",
    "ma-grp:1@contoso.com ma-chan://contoso.com/unlisted &unknown; &amp;lt; ",
    "é &#xe9; 😀 ",
    "<b>ma-chan://{}</b>",
];

fn fill(pieces: &[Piece], side: usize) -> String {
    let escape = |text: &str| text.replace('&', "&amp;");
    pieces
        .iter()
        .map(|(template, room)| {
            let whole = ROOMS[*room][side];
            let (domain, value) = whole.split_once('/').unwrap();
            template
                .replace("{r}", whole)
                .replace("{d}", domain)
                .replace("{v}", &escape(value))
                .replace("{}", &escape(whole))
        })
        .collect()
}

fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = Vec<Piece>> {
    prop::collection::vec((select(of), 0..ROOMS.len()), 0..12)
}

fn command(data: &str) -> String {
    format!(
        r#"<xccos ver="1" envid="7" xmlns="urn:parlano:xml:ns:xccos"><cmd id="cmd:x" seqid="1"><data>{data}</data></cmd></xccos>"#
    )
}

fn post(chat: &str) -> String {
    format!(
        r#"<xccos ver="1" envid="7" xmlns="urn:parlano:xml:ns:xccos"><grpchat id="grpchat" ts="2026-11-22T10:00:00Z"><chat>{chat}</chat></grpchat></xccos>"#
    )
}

fn parse(text: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::DEFAULT).unwrap()
}

fn keep() -> EnvelopeIds<'static> {
    EnvelopeIds::default()
}

fn check_both_ways(legacy: &str, migrated: &str) -> Result<(), TestCaseError> {
    let document = parse(legacy);
    let pool = to_pool(&document, &TO_POOL, &keep());
    prop_assert_eq!(std::str::from_utf8(&pool).unwrap(), migrated);
    let back = to_client(&parse(migrated), &TO_CLIENT, &keep());
    prop_assert_eq!(back.len(), 1);
    prop_assert_eq!(std::str::from_utf8(&back[0]).unwrap(), legacy);
    let same = to_pool(&document, &Nothing, &keep());
    prop_assert_eq!(
        (same.as_ptr(), same.len()),
        (document.bytes().as_ptr(), legacy.len())
    );
    Ok(())
}

proptest! {
    #[test]
    fn only_identifiers_change_and_they_change_back(elements in pieces(&ELEMENTS), texts in pieces(&TEXTS)) {
        let side = |side| command(&(fill(&elements, side) + &fill(&texts, side)));
        check_both_ways(&side(CLIENT), &side(POOL))?;
    }

    #[test]
    fn links_in_messages_change_and_change_back(texts in pieces(&TEXTS[..19])) {
        let side = |side| post(&fill(&texts, side));
        check_both_ways(&side(CLIENT), &side(POOL))?;
    }

    #[test]
    fn any_text_is_translated_without_fault(text in r#"(ma-(chan|cat|filelink)://|contoso\.com|[/.;&#x'a3é]|&amp;|&#x2F;|300){0,40}"#) {
        let Ok(document) = Document::parse(post(&text), &Limits::DEFAULT) else {
            return Ok(());
        };
        let pool = to_pool(&document, &TO_POOL, &keep());
        prop_assert!(Document::parse(pool, &Limits::DEFAULT).is_ok());
    }

    #[test]
    fn a_client_gets_one_kind_and_one_message_at_a_time(
        kinds in prop::collection::vec(select(&["rpl", "ntc", "grpchat", "err"][..]), 1..12),
    ) {
        let items: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(|(number, kind)| format!(r#"<{kind} id="{kind}" n="{number}"><chat>x</chat></{kind}>"#))
            .collect();
        let document = parse(&format!("<xccos envid='1'> {} </xccos>", items.join("\n")));
        let mut seen = Vec::new();
        for part in to_client(&document, &Nothing, &keep()) {
            let part = parse(std::str::from_utf8(&part).unwrap());
            let mut names: Vec<&str> = part.root().children().map(|item| item.name()).collect();
            seen.extend(part.root().children().map(|item| item.attr("n").unwrap().into_owned()));
            let messages = names.iter().filter(|name| **name == "grpchat").count();
            names.dedup();
            prop_assert_eq!(names.len(), 1);
            prop_assert!(messages <= 1);
            prop_assert_eq!(part.root().attr("envid").unwrap(), "1");
        }
        let all: Vec<String> = (0..kinds.len()).map(|number| number.to_string()).collect();
        prop_assert_eq!(seen, all);
    }
}

#[test]
fn envelopes_are_numbered_in_the_same_pass() {
    let document = parse(
        r#"<xccos envid="1"><rpl id="rpl:x" seqid="1"><commandid seqid="1" envid="8"/><data><chanib uri="ma-chan://hq.example/77"/></data></rpl><rpl id="rpl:x"><commandid envid="9"/></rpl></xccos>"#,
    );
    let command = |old: &CommandId<'_>| {
        (old.envid == "8" || old.seqid.is_empty())
            .then(|| CommandId::new(format!("4{}", old.envid), "&2"))
    };
    let ids = EnvelopeIds {
        envid: Some("55"),
        command: Some(&command),
    };
    let out = to_client(&document, &TO_CLIENT, &ids);
    assert_eq!(
        out,
        [
            r#"<xccos envid="55"><rpl id="rpl:x" seqid="1"><commandid seqid="&amp;2" envid="48"/><data><chanib uri="ma-chan://contoso.com/desk/emea/2"/></data></rpl><rpl id="rpl:x"><commandid seqid="&amp;2" envid="49"/></rpl></xccos>"#
        ]
    );
}

#[test]
fn an_envelope_without_number_gets_one() {
    let document = parse(r#"<xccos ver="1"/>"#);
    let ids = EnvelopeIds {
        envid: Some("<5>"),
        command: None,
    };
    assert_eq!(
        to_pool(&document, &Nothing, &ids),
        r#"<xccos envid="&lt;5&gt;" ver="1"/>"#
    );
    assert_eq!(
        to_client(&document, &Nothing, &ids),
        [r#"<xccos envid="&lt;5&gt;" ver="1"/>"#]
    );
}

#[test]
fn the_rooms_of_a_command_are_those_in_its_attributes() {
    let document = parse(
        r#"<xccos><cmd id="cmd:x"><data><chanid domain="d" value="1"/><chanib uri="ma-chan://d/2"/><ftdb channelUri="&#109;a-chan://d/3"/><inv domain="d"/><chanid value="1" domain="d"/><aib key="3984" value="0"/><a b="to ma-chan://d/4"/><chat>ma-chan://d/5</chat><pref content="bWEtY2hhbjovL2QvNg=="/></data></cmd></xccos>"#,
    );
    let rooms: Vec<String> = rooms_named(&document)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        rooms,
        [
            "ma-chan://d/1",
            "ma-chan://d/2",
            "ma-chan://d/3",
            "ma-chan://d/1"
        ]
    );
}

/// One room of the pool that is two of the client, of which it has one open.
struct West;

impl RoomMap for West {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        (domain == "p" && value == "1").then(|| RoomUri::new("l", "east").unwrap())
    }

    fn aliases(&self, domain: &str, value: &str) -> Vec<RoomUri> {
        self.room(domain, value)
            .map(|_| RoomUri::new("l", "west").unwrap())
            .into_iter()
            .collect()
    }
}

#[test]
fn the_one_alias_that_is_open_is_the_one_that_is_named() {
    let room = |item: &str, room: &str| {
        let (domain, value) = room.split_once('/').unwrap();
        item.replace("URI", &format!("ma-chan://{room}"))
            .replace("PAIR", &format!("domain='{domain}' value='{value}'"))
    };
    let items = [
        (
            "<grpchat chanUri='URI'><chat>URI</chat></grpchat>",
            "l/west",
        ),
        (
            "<rpl id='RPL:bccontext'><data><chanib uri='URI'><msg chanUri='URI'/></chanib></data></rpl>",
            "l/west",
        ),
        (
            "<rpl id='rpl:part'><data><chanib uri='URI'/></data></rpl>",
            "l/west",
        ),
        (
            "<rpl id='rpl:bjoin'><data><fib PAIR/></data></rpl>",
            "l/west",
        ),
        (
            "<ntc id='ntc:join'><data><uib><aib PAIR/></uib></data></ntc>",
            "l/west",
        ),
        (
            "<rpl id='rpl:chansrch'><data><chanib uri='URI'/></data></rpl>",
            "l/east",
        ),
    ];
    for (item, expected) in items {
        let document = |uri| format!("<xccos>{}</xccos>", room(item, uri));
        let out = to_client(&parse(&document("p/1")), &West, &keep());
        assert_eq!(out, [document(expected)]);
    }
}

/// Nested quantifiers over what a peer sends would show here as minutes.
#[test]
fn hostile_documents_cost_linear_time() {
    let bodies = [
        "ma-chan://".repeat(90_000),
        format!("ma-chan://d/{}", ".".repeat(900_000)),
        "ma-chan://d/;".repeat(70_000),
        "ma-".repeat(300_000),
        "ma-chan://d/x<b/>".repeat(50_000),
        format!("ma-chan://d/{}", "&amp;".repeat(180_000)),
    ];
    for body in bodies {
        let document = parse(&post(&body));
        assert!(!to_pool(&document, &TO_POOL, &keep()).is_empty());
        assert_eq!(to_client(&document, &TO_CLIENT, &keep()).len(), 1);
    }
    let many = "<grpchat chanUri='ma-chan://hq.example/77'/>".repeat(20_000);
    let document = parse(&format!("<xccos>{many}</xccos>"));
    assert_eq!(to_client(&document, &TO_CLIENT, &keep()).len(), 20_000);
}

#[test]
fn no_more_is_made_than_a_reader_takes() {
    let room = r#"<chanib uri="ma-chan://hq.example/77"/>"#;
    let text = format!(
        r#"<xccos ver="1" envid="7" xmlns="urn:parlano:xml:ns:xccos"><rpl id="rpl:bccontext"><data>{}</data><x>{}</x></rpl></xccos>"#,
        room.repeat(20),
        "x".repeat(1_000)
    );
    let document = parse(&text);
    let made = |documents, bytes| {
        let bounds = Bounds {
            documents,
            bytes,
            ..Bounds::NONE
        };
        let item = document.root().child("rpl").unwrap();
        let made = item_to_client(item, &Edits::new(), &TO_CLIENT, &keep(), &bounds);
        made.unwrap().len()
    };
    assert_eq!(made(usize::MAX, usize::MAX), 20);
    assert_eq!(made(5, usize::MAX), 6);
    assert_eq!(made(usize::MAX, 3_000), 3);
    assert_eq!(made(usize::MAX, 10), 2);
}

/// A document of many items for a client, one item after the other.
fn items_of(document: &Document, map: &dyn RoomMap) -> Vec<Bytes> {
    let made = document
        .root()
        .children()
        .map(|item| item_to_client(item, &Edits::new(), map, &keep(), &Bounds::NONE).unwrap());
    made.flatten().collect()
}

#[test]
fn an_item_costs_what_it_has_however_large_the_rest_is() {
    let text = format!(
        "<?xml version=\"1.0\"?><!-- {0} --><xccos ver=\"1\"><!-- {0} -->{1}</xccos><!-- {0} -->",
        "c".repeat(200_000),
        "<grpchat chanUri='ma-chan://hq.example/77'/>\n".repeat(5_000)
    );
    let made = items_of(&parse(&text), &TO_CLIENT);
    assert_eq!(made.len(), 5_000);
    assert_eq!(
        made[0],
        "<xccos ver=\"1\"><grpchat chanUri='ma-chan://contoso.com/desk/emea/2'/></xccos>"
    );
    let octets: usize = made.iter().map(Bytes::len).sum();
    assert!(octets < text.len(), "{octets} made of {}", text.len());
}

#[test]
fn the_only_item_of_a_document_keeps_what_stands_around_it() {
    let text = "<?xml version='1.0'?>\n<xccos ver='1'> <!-- a --><ntc id='x'/> </xccos>\n";
    let document = parse(text);
    let made = items_of(&document, &Nothing);
    assert_eq!(made, [text]);
    assert_eq!(made[0].as_ptr(), document.bytes().as_ptr());
}

/// Many names for each room.
struct Merged(usize);

impl RoomMap for Merged {
    fn room(&self, _: &str, _: &str) -> Option<RoomUri> {
        None
    }

    fn aliases(&self, _: &str, value: &str) -> Vec<RoomUri> {
        let alias = |number| RoomUri::new("old.example", &format!("{value}-{number}")).unwrap();
        (0..self.0).map(alias).collect()
    }
}

#[test]
fn what_is_repeated_for_merged_rooms_is_bounded_before_it_is_made() {
    let bounds = Bounds {
        longest: 2_000_000,
        ..Bounds::NONE
    };
    let translated = |data: &str, names| {
        let document = parse(&format!(
            "<xccos><rpl id='rpl:bjoin'><data>{data}</data></rpl></xccos>"
        ));
        let item = document.root().child("rpl").unwrap();
        item_to_client(item, &Edits::new(), &Merged(names), &keep(), &bounds)
    };
    let too_long = Err(TooLong { longest: 2_000_000 });
    let large = format!(
        "<chanib uri='ma-chan://d/1'>{}</chanib>",
        "x".repeat(900_000)
    );
    assert_eq!(translated(&large, 2).unwrap().len(), 1);
    // Made first and measured then, this would take nearly a gigabyte.
    assert_eq!(translated(&large, 1_000), too_long);
    // Many small ones are as bad as a large one.
    let small = "<chanib uri='ma-chan://d/1'/>".repeat(20_000);
    assert_eq!(translated(&small, 500), too_long);
}

#[test]
fn histories_of_merged_rooms_are_not_listed_beyond_what_is_taken() {
    let rooms = "<chanib uri='ma-chan://d/1'/>".repeat(20_000);
    let document = parse(&format!(
        "<xccos><rpl id='rpl:bccontext'><data>{rooms}</data></rpl></xccos>"
    ));
    let item = document.root().child("rpl").unwrap();
    let bounds = Bounds {
        documents: 3,
        ..Bounds::NONE
    };
    // All of them together would be a hundred million documents.
    let made = item_to_client(item, &Edits::new(), &Merged(5_000), &keep(), &bounds);
    assert_eq!(made.unwrap().len(), 4);
}

#[test]
fn a_byte_order_mark_does_not_reach_the_client() {
    let one = "<xccos><ntc id='x'/></xccos>";
    let two = "<xccos><grpchat/><grpchat/></xccos>";
    let bare = "<xccos envid='1'/>";
    for text in [one, two, bare] {
        let (marked, plain) = (parse(&format!("\u{feff}{text}")), parse(text));
        let expected = to_client(&plain, &Nothing, &keep());
        assert_eq!(to_client(&marked, &Nothing, &keep()), expected);
        assert_eq!(items_of(&marked, &Nothing), items_of(&plain, &Nothing));
    }
}

#[test]
fn the_halves_of_a_character_become_the_character() {
    let post = "<xccos><grpchat a='&#xD83D;&#xDE00;'><chat>&#55357;&#56832;|&#xD83D;|&#xDE00;</chat></grpchat></xccos>";
    let right =
        "<xccos><grpchat a='&#x1F600;'><chat>&#x1F600;|&#xFFFD;|&#xFFFD;</chat></grpchat></xccos>";
    assert_eq!(to_client(&parse(post), &Nothing, &keep()), [right]);
    assert_eq!(to_pool(&parse(post), &Nothing, &keep()), right);
}
