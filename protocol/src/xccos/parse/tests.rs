//! The parser from outside: through [`Document`].

use proptest::prelude::*;

use crate::xccos::{Document, Edits, ElementRef, Limits, NAMESPACE, XccosErrorKind as Kind};

pub(in crate::xccos) const SAMPLE: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!-- before -->\n",
    "<x:xccos xmlns:x='urn:parlano:xml:ns:xccos' ver = \"1\"\tenvid='77'>\n",
    "  <x:rpl id=\"rpl:bjoin\" seqid='1'><x:commandid seqid='1' envid='5' /><x:resp code='200'>OK</x:resp>",
    "<x:data><uib id='0' uri='sip:ann@contoso.com'/>",
    "<chanib uri=\"ma-chan://contoso.com/A&amp;B\" name='>'>",
    "one &lt;two&gt; <![CDATA[<three> & ]]>fo<!-- inside -->ur<aib key='3984' value='0'></aib > five",
    "</chanib></x:data></x:rpl>\r\n</x:xccos>\n<!-- after --> ",
);

fn parse(text: &str) -> Result<Document, Kind> {
    Document::parse(text.as_bytes().to_vec(), &Limits::DEFAULT).map_err(|error| error.kind)
}

/// Checks everything that must hold of every document.
pub(in crate::xccos) fn check(document: &Document) {
    let bytes = document.bytes();
    let at = |range: std::ops::Range<usize>| bytes.get(range).expect("a range in the document");
    for (index, element) in document.elements().enumerate() {
        assert_eq!(element.index(), index);
        let (whole, content) = (element.range(), element.content_range());
        assert!(whole.start < whole.end && content.start <= content.end);
        assert!(whole.start < content.start && content.end <= whole.end);
        assert_eq!(at(whole.clone()).first(), Some(&b'<'));
        assert_eq!(at(whole.clone()).last(), Some(&b'>'));
        let name = [element.prefix(), element.name()].join(if element.prefix().is_empty() {
            ""
        } else {
            ":"
        });
        assert_eq!(at(element.name_range()), name.as_bytes());
        assert!(element.is(element.name()));
        let mut last = element.name_range().end;
        for attribute in element.attributes() {
            assert!(last < attribute.range().start && attribute.range().end <= content.start);
            last = attribute.range().end;
            assert_eq!(at(attribute.value_range()), attribute.raw().as_bytes());
            assert_eq!(attribute.raw_bytes(), attribute.raw().as_bytes());
            assert!(matches!(at(last - 1..last), b"'" | b"\""));
            assert_eq!(
                element.attr_range(attribute.name()),
                Some(attribute.value_range())
            );
        }
        let mut last = content.start;
        for child in element.children() {
            assert!(last <= child.range().start && child.range().end <= content.end);
            assert_eq!(child.parent().map(ElementRef::index), Some(index));
            last = child.range().end;
        }
        for text in element.texts() {
            assert!(content.start <= text.range().start && text.range().end <= content.end);
            assert!(
                !text.is_cdata() || at(text.range().start - 9..text.range().start) == b"<![CDATA["
            );
        }
        assert_eq!(
            element.descendants().count(),
            element
                .descendants()
                .filter(|it| { content.start <= it.range().start && it.range().end <= content.end })
                .count()
        );
    }
    let own: usize = document
        .elements()
        .map(|element| element.texts().count())
        .sum();
    assert_eq!(own, document.texts().len());
    let (mut last, mut whole) = (0, Vec::new());
    for text in document.texts() {
        assert!(last <= text.range().start && text.range().start <= text.range().end);
        last = text.range().end;
        assert_eq!(text.raw().len(), text.raw_bytes().len());
        whole.push(text.value());
    }
    // Replacing every value by itself leaves every byte alone.
    let mut edits = Edits::new();
    for element in document.elements() {
        for attribute in element.attributes() {
            edits.replace_raw(attribute.value_range(), attribute.raw());
        }
    }
    for text in document.texts() {
        edits.replace_raw(text.range(), text.raw());
    }
    assert_eq!(edits.apply(document), document.bytes());
}

#[test]
fn everything_is_found_where_it_stands() {
    let document = parse(SAMPLE).unwrap();
    check(&document);
    let root = document.root();
    assert_eq!((root.name(), root.prefix()), ("xccos", "x"));
    assert_eq!(root.attr("envid").as_deref(), Some("77"));
    assert_eq!(root.parent().map(ElementRef::index), None);
    let data = root.child("rpl").unwrap().child("data").unwrap();
    assert!(data.child("uib").unwrap().is_self_closing());
    let chanib = data.child("chanib").unwrap();
    assert!(!chanib.is_self_closing());
    assert_eq!(
        chanib.attr("uri").as_deref(),
        Some("ma-chan://contoso.com/A&B")
    );
    assert_eq!(
        SAMPLE.get(chanib.attr_range("uri").unwrap()).unwrap(),
        "ma-chan://contoso.com/A&amp;B"
    );
    assert_eq!(chanib.attr("x:uri"), None);
    assert_eq!(chanib.text(), "one <two> <three> & four five");
    let runs: Vec<_> = chanib
        .texts()
        .map(|run| (run.raw(), run.is_cdata()))
        .collect();
    let expected = [
        ("one &lt;two&gt; ", false),
        ("<three> & ", true),
        ("fo", false),
        ("ur", false),
        (" five", false),
    ];
    assert_eq!(runs, expected);
    assert!(
        chanib
            .texts()
            .all(|run| run.parent().index() == chanib.index())
    );
    let aib = chanib.child("aib").unwrap();
    assert_eq!(
        SAMPLE.get(aib.range()).unwrap(),
        "<aib key='3984' value='0'></aib >"
    );
    let names: Vec<_> = root.descendants().map(ElementRef::name).collect();
    assert_eq!(
        names,
        ["rpl", "commandid", "resp", "data", "uib", "chanib", "aib"]
    );
    assert_eq!(data.children_named("chanib").count(), 1);
}

#[test]
fn a_byte_order_mark_stays_and_counts() {
    let text = format!("\u{feff}{SAMPLE}");
    let document = parse(&text).unwrap();
    check(&document);
    assert_eq!(document.bytes(), text.as_bytes());
    assert_eq!(
        text.get(document.root().attr_range("envid").unwrap())
            .unwrap(),
        "77"
    );
    assert_eq!(
        parse("\u{feff}").unwrap_err(),
        Kind::Malformed("no element")
    );
    let error = Document::parse("\u{feff}<xccos><a b></a></xccos>", &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.offset, 13);
}

#[test]
fn what_real_peers_send_is_read() {
    let cases = [
        ("<xccos><a>&#x1;</a></xccos>", "\u{1}"),
        (
            "<xccos xmlns='urn:parlano:xml:ns:xccos'><a><![CDATA[<b>&amp;</b>]]></a></xccos>",
            "<b>&amp;</b>",
        ),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?><xccos><a>\u{e9}</a></xccos>",
            "\u{e9}",
        ),
        (
            "<p:xccos xmlns:p='urn:parlano:xml:ns:xccos'><p:a>x</p:a></p:xccos>",
            "x",
        ),
        (
            "<xccos><q:a xmlns:q='urn:other'>x<!-- y --><?z?></q:a></xccos>",
            "x",
        ),
        ("<xccos><a>a\r\nb</a></xccos>", "a\r\nb"),
        ("<xccos><a/></xccos>", ""),
        ("<xccos><a>  </a></xccos>", "  "),
        ("<xccos><a>&nbsp;&amp;</a></xccos>", "&nbsp;&"),
    ];
    for (text, expected) in cases {
        let document = parse(text).unwrap();
        check(&document);
        assert_eq!(
            document.root().child("a").unwrap().text(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let cases = [
        "",
        " ",
        "text",
        "<xccos",
        "<xccos>",
        "<xccos></xcco>",
        "<xccos></a></xccos>",
        "</xccos>",
        "<xccos/><xccos/>",
        "<xccos/>text",
        "text<xccos/>",
        "<xccos/><![CDATA[]]>",
        "<xccos/>&amp;",
        "<xccos><a></xccos></a>",
        "<xccos><></></xccos>",
        "<xccos><a b></a></xccos>",
        "<xccos><a b='1></xccos>",
        "<xccos>&amp</xccos>",
        "<xccos>a & b</xccos>",
        "<xccos><![CDATA[</xccos>",
        "<xccos><!--</xccos>",
        "<xccos><?a</xccos>",
        "<xccos><!a></xccos>",
        "<xccos><a'b/></xccos>",
        "<xccos></xccos></xccos>",
        "<xccos><a></a b='1'></xccos>",
        "<xccos><a=b/></xccos>",
    ];
    for text in cases {
        assert!(
            matches!(parse(text), Err(Kind::Malformed(_))),
            "{text}: {:?}",
            parse(text)
        );
    }
}

#[test]
fn the_root_must_be_xccos_in_its_namespace() {
    for text in [
        "<xccos/>".to_owned(),
        format!("<xccos xmlns='{NAMESPACE}'/>"),
        format!("<a:xccos xmlns:a='{NAMESPACE}' xmlns='urn:other'/>"),
        format!("<xccos xmlns:a='urn:other' xmlns='{NAMESPACE}'/>"),
    ] {
        assert!(parse(&text).is_ok(), "{text}");
    }
    for text in [
        "<a/>".to_owned(),
        "<XCCOS/>".to_owned(),
        "<xccos xmlns='urn:other'/>".to_owned(),
        format!("<a:xccos xmlns='{NAMESPACE}' xmlns:a='urn:other'/>"),
    ] {
        assert_eq!(parse(&text).unwrap_err(), Kind::NotXccos, "{text}");
    }
}

#[test]
fn a_document_type_is_refused() {
    for text in [
        "<!DOCTYPE xccos><xccos/>",
        "<!DOCTYPE xccos [<!ENTITY a \"aaaa\">]><xccos>&a;</xccos>",
        "<!doctype xccos><xccos/>",
        "<!DOCTYPE xccos",
    ] {
        assert_eq!(parse(text).unwrap_err(), Kind::Doctype, "{text}");
    }
}

#[test]
fn control_characters_and_other_encodings_are_refused() {
    for byte in (0..0x20).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r')) {
        let mut bytes = b"<xccos>a</xccos>".to_vec();
        bytes[7] = byte;
        let error = Document::parse(bytes, &Limits::DEFAULT).unwrap_err();
        assert_eq!((error.kind, error.offset), (Kind::ControlCharacter, 7));
    }
    let error = Document::parse(&b"<xccos>\xe9</xccos>"[..], &Limits::DEFAULT).unwrap_err();
    assert_eq!((error.kind, error.offset), (Kind::NotUtf8, 7));
    let utf16: Vec<u8> = "<xccos/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        Document::parse(utf16, &Limits::DEFAULT).unwrap_err().kind,
        Kind::ControlCharacter
    );
}

#[test]
fn each_limit_has_its_own_error() {
    let limits = Limits {
        bytes: 60,
        depth: 3,
        attributes: 2,
        elements: 4,
    };
    let parse = |text: &str| {
        Document::parse(text.to_owned(), &limits)
            .map(|_| ())
            .map_err(|error| error.kind)
    };
    let long = format!("<xccos>{}</xccos>", "a".repeat(45));
    assert_eq!(parse(&long), Ok(()));
    assert_eq!(parse(&format!("{long} ")), Err(Kind::TooLong(60)));
    assert_eq!(parse("<xccos><a><b/></a></xccos>"), Ok(()));
    assert_eq!(
        parse("<xccos><a><b><c/></b></a></xccos>"),
        Err(Kind::TooDeep(3))
    );
    assert_eq!(parse("<xccos a='1' b='2'/>"), Ok(()));
    assert_eq!(
        parse("<xccos a='1' b='2' c='3'/>"),
        Err(Kind::TooManyAttributes(2))
    );
    assert_eq!(parse("<xccos><a/><b/><c/></xccos>"), Ok(()));
    assert_eq!(
        parse("<xccos><a/><b/><c/><d/></xccos>"),
        Err(Kind::TooManyElements(4))
    );
    assert_eq!(parse("<xccos a='1' a='2'/>"), Err(Kind::DuplicateAttribute));
}

#[test]
fn debug_shows_no_text() {
    let document = parse("<xccos a='secret'>secret</xccos>").unwrap();
    let shown = format!(
        "{document:?} {:?} {:?} {:?}",
        document.root(),
        document.texts().next(),
        document.root().attributes().next()
    );
    assert!(!shown.contains("secret"), "{shown}");
}

/// Any tree of elements, with text, CDATA, comments and references between them.
fn content() -> impl Strategy<Value = String> {
    let attributes = prop::collection::vec("[a-z]{1,6}", 0..3).prop_map(|values| {
        let one = |(n, value): (usize, &String)| format!(" {}:n{n} = '{value}'", value);
        values.iter().enumerate().map(one).collect::<String>()
    });
    let leaf = prop_oneof![
        "[ a-z\r\n\u{e9}\u{1F600}]{0,8}",
        "&(lt|amp|#x1|#65|nbsp);",
        "<!\\[CDATA\\[[<>&a-z ]{0,5}\\]\\]>",
        "<!--[a-z <>&]{0,5}-->",
        "<\\?[a-z]{1,3} [a-z<]{0,3}\\?>",
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let children = prop::collection::vec(inner, 0..5);
        (
            "([a-z]:)?[a-z]{1,5}",
            attributes.clone(),
            children,
            "[ \n]?",
        )
            .prop_map(
                |(name, attributes, children, blank)| match children.concat() {
                    content if content.is_empty() => format!("<{name}{attributes}{blank}/>"),
                    content => format!("<{name}{attributes}{blank}>{content}</{name}{blank}>"),
                },
            )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn spans_fit_together(before in "(\u{feff})?", content in content(), after in "[ \n]?") {
        let text = format!("{before}<xccos>{content}</xccos>{after}");
        let document = parse(&text).unwrap();
        check(&document);
    }

    #[test]
    fn an_edit_changes_nothing_else(content in content(), pick in any::<prop::sample::Index>()) {
        let text = format!("<xccos><a b='old'/>{content}<a b='old'/></xccos>");
        let document = parse(&text).unwrap();
        let all: Vec<_> = document.elements().filter(|it| it.attr("b").is_some()).collect();
        let range = pick.get(&all).attr_range("b").unwrap();
        let mut edits = Edits::new();
        edits.replace(range.clone(), "<new>");
        let edited = edits.apply(&document);
        prop_assert_eq!(&edited[..range.start], &text.as_bytes()[..range.start]);
        prop_assert_eq!(&edited[range.start..range.start + 11], b"&lt;new&gt;");
        prop_assert_eq!(&edited[range.start + 11..], &text.as_bytes()[range.end..]);
    }
}
