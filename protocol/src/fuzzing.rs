//! What fuzzing calls, and what must hold for any bytes. Here so that every input replays in an ordinary test.

#![allow(clippy::panic, reason = "a panic is how a fuzz target says no")]

use std::fmt::Write as _;

use bytes::Bytes;

use crate::room::RoomUri;
use crate::sip::digest::{Challenge, Credentials};
use crate::sip::{
    Decoded, Decoder, Limits, Message, MessageBuilder, Method, Name, NameAddr, Request, SipUri,
    Status, Uas, respond, sdp,
};
use crate::translate::{EnvelopeIds, RoomMap, rooms_named, to_client, to_pool};
use crate::xccos::{self, Command, Document, Edits, Envelope, GroupChat, Item, Notice, Reply};

/// Small enough for a fuzzer to go over them.
const LIMITS: Limits = Limits {
    head: 4096,
    body: 4096,
    headers: 64,
};

const XCCOS: xccos::Limits = xccos::Limits {
    bytes: 64 * 1024,
    depth: 16,
    attributes: 32,
    elements: 4096,
};

/// For what grew in translation.
const GROWN: xccos::Limits = xccos::Limits {
    bytes: 16 * 1024 * 1024,
    depth: 32,
    attributes: 64,
    elements: 1_000_000,
};

/// A byte stream, whole and in pieces: the same messages and faults come out, and no more is held than the limits allow.
///
/// # Panics
///
/// When that is not so.
pub fn sip_stream(data: &[u8]) {
    let mut whole = Decoder::new(LIMITS);
    let mut said = String::new();
    whole.push(data);
    drain(&mut whole, &mut said);
    let mut pieces = Decoder::new(LIMITS);
    let mut said_of_pieces = String::new();
    let mut rest = data;
    // The input itself says how it is cut.
    while let Some(first) = rest.first() {
        let (piece, after) = rest.split_at(rest.len().min(1 + usize::from(first % 23)));
        pieces.push(piece);
        drain(&mut pieces, &mut said_of_pieces);
        rest = after;
    }
    assert_eq!(said, said_of_pieces, "it matters how the stream is cut");
    assert_eq!(whole.is_mid_message(), pieces.is_mid_message());
}

fn drain(decoder: &mut Decoder, said: &mut String) {
    loop {
        match decoder.decode() {
            Decoded::NeedMore { .. } => {
                let held = decoder.buffer().len();
                assert!(
                    held <= LIMITS.head.max(LIMITS.body),
                    "{held} bytes are held"
                );
                return;
            }
            Decoded::KeepAlive(keep_alive) => note(said, &keep_alive),
            Decoded::Message(message) => {
                use_message(&message);
                note(said, &(&message, message.body()));
            }
            Decoded::Malformed { message, fault } => {
                answer(message.as_ref(), &fault);
                note(said, &(message, fault));
            }
            Decoded::Fatal { message, fault } => {
                answer(message.as_ref(), &fault);
                note(said, &(message, fault));
            }
        }
    }
}

fn note(said: &mut String, what: &impl std::fmt::Debug) {
    writeln!(said, "{what:?}").unwrap_or_default();
}

/// What is answered to a fault is a message that every peer can read.
fn answer(message: Option<&Message>, fault: &crate::sip::Fault) {
    if let Some(answer) = message.and_then(|message| fault.answer(message, "tag", &[])) {
        let answer = answer.finish();
        let mut decoder = Decoder::default();
        decoder.push(&answer);
        assert!(
            matches!(
                decoder.decode(),
                Decoded::Message(Message::Response(_)) | Decoded::Malformed { .. }
            ),
            "an answer without an end"
        );
        assert!(
            !decoder.is_mid_message(),
            "an answer and something after it"
        );
    }
}

/// Asks a message everything.
fn use_message(message: &Message) {
    let headers = message.headers();
    for name in [
        Name::From,
        Name::To,
        Name::Contact,
        Name::Route,
        Name::RecordRoute,
    ] {
        for address in headers.addresses(name).flatten() {
            use_address(&address);
        }
    }
    headers.vias().for_each(drop);
    let _asked = headers
        .contacts()
        .flatten()
        .filter_map(|contact| contact.expires())
        .count();
    let _asked = (
        headers.cseq(),
        headers.call_id(),
        headers.max_forwards(),
        headers.content_type(),
    );
    let _asked = (
        headers.session_expires(),
        headers.min_se(),
        headers.expires(),
    );
    for (_, value) in headers.iter() {
        drop((Credentials::parse(value), Challenge::parse(value)));
    }
    drop(sdp::answer(message.body(), "192.0.2.1"));
    if let Message::Request(request) = message {
        use_request(request);
    }
}

fn use_address(address: &NameAddr<'_>) {
    let text = address.to_string();
    match NameAddr::parse(&text) {
        Ok(again) => assert_eq!(
            again.to_string(),
            text,
            "an address reads otherwise than it was written"
        ),
        Err(problem) => panic!("an address cannot be read back: {problem}"),
    }
}

fn use_request(request: &Request) {
    if let Ok(uri) = SipUri::parse(request.uri()) {
        let text = uri.to_string();
        assert!(
            SipUri::parse(&text).is_ok_and(|again| again.equivalent(&uri)),
            "{text}"
        );
    }
    let uas = Uas {
        methods: &[Method::Info],
        schemes: &["sip"],
        extensions: &[],
        bodies: &[],
    };
    drop(uas.check(request));
    let response = respond(request, Status::OK, Some("tag")).finish();
    // What came through a proxy goes back through it, and is none of our business then (RFC 3261 §8.1.3.3).
    let is_ours = request.headers().vias().count() == 1;
    match Message::parse(&response) {
        Err(fault) if is_ours => panic!("a response that cannot be read: {fault:?}"),
        _ => {}
    }
}

/// One message: what is read is written and read back the same.
///
/// # Panics
///
/// When that is not so.
pub fn sip_message(data: &[u8]) {
    let Ok(message) = Message::parse(data) else {
        return;
    };
    use_message(&message);
    // The writer lets no NUL through.
    if message
        .headers()
        .iter()
        .any(|(_, value)| value.contains('\0'))
    {
        return;
    }
    let written = write(&message);
    let again = match Message::parse(&written) {
        Ok(again) => again,
        Err(fault) => panic!("a sound message cannot be read back: {fault:?}"),
    };
    assert_eq!(
        write(&again),
        written,
        "a message reads otherwise than it was written"
    );
    assert_eq!(again.body(), message.body());
}

fn write(message: &Message) -> Bytes {
    let headers = message.headers();
    let mut builder = match message {
        Message::Request(request) => MessageBuilder::request(request.method(), request.uri()),
        Message::Response(response) => {
            MessageBuilder::response(response.status(), Some(response.reason()))
        }
    };
    for (name, value) in headers.iter() {
        let is_body = ["content-length", "l", "content-type", "c"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own));
        if !is_body {
            builder = builder.other(name, value);
        }
    }
    match headers.get(Name::ContentType) {
        Some(kind) => builder.body(kind, message.body()),
        None if message.body().is_empty() => builder,
        None => builder.body("text/plain", message.body()),
    }
    .finish()
}

/// An XCCOS document: what is found in it lies in it, and what is read is written and read back the same.
///
/// # Panics
///
/// When that is not so.
pub fn xccos(data: &[u8]) {
    let Ok(document) = Document::parse(data.to_vec(), &XCCOS) else {
        return;
    };
    assert_eq!(
        Edits::new().apply(&document),
        document.bytes(),
        "no edit, but other bytes"
    );
    assert!(document.elements().len() <= XCCOS.elements);
    for element in document.elements() {
        let (whole, inner) = (element.range(), element.content_range());
        assert!(document.bytes().get(whole.clone()).is_some(), "{whole:?}");
        assert!(
            whole.start <= inner.start && inner.end <= whole.end,
            "{inner:?} not in {whole:?}"
        );
        assert!(element.attributes().len() <= XCCOS.attributes);
        for attribute in element.attributes() {
            assert_eq!(
                document.bytes().get(attribute.value_range()),
                Some(attribute.raw_bytes())
            );
            drop(attribute.value());
        }
        drop(element.text());
    }
    for item in document.items() {
        if let Some(written) = rewrite(item) {
            let Ok(again) = Document::parse(written.clone(), &GROWN) else {
                panic!("what was written is no XCCOS")
            };
            let twice = again.items().next().and_then(rewrite);
            assert_eq!(
                twice,
                Some(written),
                "an item reads otherwise than it was written"
            );
        }
    }
}

/// Reads an item and writes it; `None` if it cannot be read.
fn rewrite(item: Item<'_>) -> Option<Bytes> {
    let envelope = Envelope::new(1);
    let envelope = match item {
        Item::Command(view) => envelope.command(1, &Command::read(view).ok()?),
        Item::Reply(view) => {
            envelope.reply(1, view.command_id().as_ref(), &Reply::read(view).ok()?)
        }
        Item::Notice(view) => envelope.notice(1, &Notice::read(view).ok()?),
        Item::GroupChat(view) => envelope.group_chat(1, &GroupChat::read(view).ok()?),
        Item::Other(_) => return None,
    };
    Some(envelope.finish())
}

/// Puts this before each domain, or takes it away.
const PREFIX: &str = "moved.";

enum Map {
    Nothing,
    Same,
    Add,
    Take,
}

impl RoomMap for Map {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        match self {
            Self::Nothing => None,
            Self::Same => RoomUri::new(domain, value).ok(),
            Self::Add => RoomUri::new(&format!("{PREFIX}{domain}"), value).ok(),
            Self::Take => RoomUri::new(domain.strip_prefix(PREFIX)?, value).ok(),
        }
    }
}

/// Translation: an identity changes nothing, a map and its inverse together change nothing, and what a client is sent
/// needs no second translation.
///
/// # Panics
///
/// When that is not so.
pub fn translate(data: &[u8]) {
    let Ok(document) = Document::parse(data.to_vec(), &XCCOS) else {
        return;
    };
    let keep = EnvelopeIds::default();
    drop(rooms_named(&document));
    let has_references = data.contains(&b'&');
    for map in [Map::Nothing, Map::Same] {
        let same = to_pool(&document, &map, &keep);
        // References to forbidden characters are replaced whatever the map.
        if !has_references {
            assert_eq!(same, document.bytes(), "an identity map changed something");
        }
        let again = parse(&same);
        assert_eq!(
            to_pool(&again, &map, &keep),
            same,
            "a translation that goes on changing"
        );
    }
    let there = parse(&to_pool(&document, &Map::Add, &keep));
    let back = parse(&to_pool(&there, &Map::Take, &keep));
    // Base64 has several forms of one text, and what has the prefix already loses it.
    if !contains(data, "&#") && !contains(data, PREFIX) && !contains(data, "content") {
        assert_eq!(
            meaning(&back),
            meaning(&document),
            "there and back is not where it began"
        );
    }
    let shown = to_client(&document, &Map::Take, &keep);
    assert!(!shown.is_empty());
    for body in &shown {
        let body = parse(body);
        let items = body.items().count();
        let messages = body
            .items()
            .filter(|item| matches!(item, Item::GroupChat(_)))
            .count();
        assert!(messages == 0 || items == 1, "a message must come alone");
        assert_eq!(
            to_client(&body, &Map::Nothing, &keep),
            [body.bytes().clone()],
            "what a client is sent needs another translation"
        );
    }
}

/// All names and values, however they are written.
fn meaning(document: &Document) -> Vec<String> {
    let elements = document.elements().flat_map(|element| {
        let attributes = element.attributes();
        let attributes = attributes.map(|own| format!("{}={}", own.name(), own.value()));
        std::iter::once(element.name().to_owned()).chain(attributes)
    });
    elements
        .chain(document.texts().map(|text| text.value().into_owned()))
        .collect()
}

fn contains(data: &[u8], text: &str) -> bool {
    memchr::memmem::find(data, text.as_bytes()).is_some()
}

fn parse(bytes: &Bytes) -> Document {
    match Document::parse(bytes.clone(), &GROWN) {
        Ok(document) => document,
        Err(error) => panic!("a translation that is no XCCOS: {error}"),
    }
}
