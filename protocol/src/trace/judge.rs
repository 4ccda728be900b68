//! What in a trace is unknown here, or would become something else.

use std::collections::BTreeMap;

use super::questions::{Question, Questions};
use super::read::{Trace, Traced};
use crate::room::RoomUri;
use crate::sip::{Decoded, Decoder, Limits, Message, Method, Name};
use crate::translate::{EnvelopeIds, RoomMap, to_client, to_pool};
use crate::xccos::{
    Command, Document, Item, Limits as XccosLimits, Notice, Reply, ResultCode, Verb, XccosError,
    known_attributes,
};

/// Different findings that a report has at most. Further ones are counted.
const MOST_FINDINGS: usize = 2_000;
/// Characters of a name in a report.
const LONGEST_NAME: usize = 64;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A message that the decoder refuses.
    Message,
    /// A method without a name here.
    Method,
    /// A header field without a name here.
    Header,
    /// A type of body in INFO that is not read.
    Body,
    /// An XCCOS document that cannot be read, or something in it that cannot.
    Document,
    /// A verb without a name here.
    Verb,
    /// An element that nothing here reads.
    Element,
    /// An attribute that nothing here reads.
    Attribute,
    /// A result code, or the code of a failure, without a name here.
    Code,
    /// What a legacy client would get in another form than the server wrote.
    Translation,
}

impl Kind {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Method => "method",
            Self::Header => "header",
            Self::Body => "body",
            Self::Document => "document",
            Self::Verb => "verb",
            Self::Element => "element",
            Self::Attribute => "attribute",
            Self::Code => "code",
            Self::Translation => "translation",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// Its name. Names of protocols only, never what a person wrote.
    pub what: String,
    /// How often it stands in the trace.
    pub count: u64,
    /// The line of the first message that has it.
    pub line: usize,
}

/// What came of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Messages looked at.
    pub messages: usize,
    /// Of these, with an XCCOS document.
    pub documents: usize,
    /// Messages that end early in the log; their bodies were not looked at.
    pub cut: usize,
    /// Messages too long to be looked at.
    pub too_long: usize,
    /// What was found, by kind and name.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit.
    pub left_out: u64,
    /// What is not known about the wire, and which of it the trace answers.
    pub questions: Vec<Question>,
}

/// Runs every message through the decoder, the reader and the translator, and returns what they do not know.
pub fn judge(trace: &Trace) -> Report {
    let mut judge = Judge::default();
    for message in &trace.messages {
        judge.message(message);
    }
    let finding = |((kind, what), (count, line))| Finding {
        kind,
        what,
        count,
        line,
    };
    Report {
        messages: trace.messages.len(),
        documents: judge.documents,
        cut: trace
            .messages
            .iter()
            .filter(|message| message.is_cut)
            .count(),
        too_long: trace.too_long,
        findings: judge.found.into_iter().map(finding).collect(),
        left_out: judge.left_out,
        questions: judge.questions.into_list(),
    }
}

#[derive(Default)]
struct Judge {
    found: BTreeMap<(Kind, String), (u64, usize)>,
    left_out: u64,
    documents: usize,
    questions: Questions,
}

impl Judge {
    fn find(&mut self, kind: Kind, what: impl Into<String>, line: usize) {
        let key = (kind, what.into());
        if self.found.len() >= MOST_FINDINGS && !self.found.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.found.entry(key).or_insert((0, line)).0 += 1;
    }

    fn message(&mut self, traced: &Traced) {
        let line = traced.line;
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(&traced.bytes);
        let message = match decoder.decode() {
            Decoded::Message(message) => message,
            Decoded::Malformed { fault, message } | Decoded::Fatal { fault, message } => {
                // The reason may have words of the peer; the usual phrase of its status has none.
                let status = fault.status;
                let what = format!("refused with {} {}", status.code(), status.phrase());
                self.find(Kind::Message, what, line);
                let Some(message) = message else { return };
                self.head(&message, line);
                return;
            }
            Decoded::NeedMore { .. } | Decoded::KeepAlive(_) => {
                self.find(Kind::Message, "not whole", line);
                return;
            }
        };
        self.head(&message, line);
        if !traced.is_cut {
            self.body(&message, line);
        }
    }

    fn head(&mut self, message: &Message, line: usize) {
        if let Message::Request(request) = message
            && let Method::Other(method) = request.method()
        {
            self.find(Kind::Method, name(method), line);
        }
        for (field, _) in message.headers().iter() {
            if Name::lookup(field.as_bytes()) == Name::Other {
                self.find(Kind::Header, name(field).to_ascii_lowercase(), line);
            }
        }
        self.questions.head(message, line);
    }

    fn body(&mut self, message: &Message, line: usize) {
        let Message::Request(request) = message else {
            return;
        };
        if *request.method() != Method::Info || request.body().is_empty() {
            return;
        }
        let bytes = request.body();
        if memchr::memmem::find(bytes, b"xccos").is_none() {
            let media = request.headers().get(Name::ContentType).unwrap_or_default();
            let essence = media.split(';').next().unwrap_or_default();
            self.find(Kind::Body, name(essence.trim()), line);
            return;
        }
        match Document::parse(bytes.clone(), &XccosLimits::DEFAULT) {
            Ok(document) => {
                self.documents += 1;
                self.document(&document, line);
            }
            Err(error) => self.find(Kind::Document, error.kind.to_string(), line),
        }
    }

    fn document(&mut self, document: &Document, line: usize) {
        for element in document.elements() {
            let known = known_attributes(element.name());
            if known.is_none() {
                let parent = element.parent().map_or("", |parent| parent.name());
                let what = format!("{}/{}", name(parent), name(element.name()));
                self.find(Kind::Element, what, line);
            }
            for attribute in element.attributes() {
                let attribute = attribute.name();
                let is_known = known.is_some_and(|known| known.contains(&attribute));
                if !is_known && !attribute.starts_with("xmlns") {
                    let what = format!("{}/@{}", name(element.name()), name(attribute));
                    self.find(Kind::Attribute, what, line);
                }
            }
            if element.is("fib")
                && let Some(key) = element.attr("key")
                && !ResultCode::ALL.iter().any(|code| code.token() == key)
            {
                self.find(Kind::Code, format!("fib {}", name(&key)), line);
            }
        }
        for item in document.items() {
            self.item(item, line);
        }
        self.translation(document, line);
        self.questions.document(document, line);
    }

    fn item(&mut self, item: Item<'_>, line: usize) {
        let (verb, read) = match item {
            Item::Command(view) => (view.verb(), Command::read(view).map(drop)),
            Item::Reply(view) => {
                let code = view.code();
                if !ResultCode::ALL.iter().any(|known| known.code() == code) {
                    self.find(Kind::Code, format!("resp {code}"), line);
                }
                (view.verb(), Reply::read(view).map(drop))
            }
            Item::Notice(view) => (view.verb(), Notice::read(view).map(drop)),
            Item::GroupChat(_) | Item::Other(_) => return,
        };
        let prefix = item.element().name();
        if let Verb::Unknown(token) = &verb {
            self.find(Kind::Verb, format!("{prefix}:{}", name(token)), line);
        } else if let Err(XccosError { kind, .. }) = read {
            self.find(
                Kind::Document,
                format!("{prefix}:{}: {kind}", verb.token()),
                line,
            );
        }
    }

    /// Translates with identifiers that stay, so that every difference is one of dialect.
    fn translation(&mut self, document: &Document, line: usize) {
        let from_client = document
            .items()
            .all(|item| matches!(item, Item::Command(_)));
        let ids = EnvelopeIds::default();
        let changed = match from_client {
            true => to_pool(document, &SameIds, &ids) != *document.bytes(),
            false => to_client(document, &SameIds, &ids) != [document.bytes().clone()],
        };
        if !changed {
            return;
        }
        let mut named: Vec<String> = document
            .items()
            .map(|item| match item {
                Item::Command(view) => format!("cmd:{}", name(view.verb().token())),
                Item::Reply(view) => format!("rpl:{}", name(view.verb().token())),
                Item::Notice(view) => format!("ntc:{}", name(view.verb().token())),
                Item::GroupChat(_) => "grpchat".to_owned(),
                Item::Other(element) => name(element.name()),
            })
            .collect();
        named.sort();
        named.dedup();
        named.truncate(8);
        self.find(Kind::Translation, named.join("+"), line);
    }
}

struct SameIds;

impl RoomMap for SameIds {
    fn room(&self, _: &str, _: &str) -> Option<RoomUri> {
        None
    }
}

/// A name of the wire as a report may show it: nothing that could be a person's words, and not long.
pub(super) fn name(text: &str) -> String {
    let is_name = |char: char| char.is_ascii_alphanumeric() || "-_.:/".contains(char);
    match text.len() <= LONGEST_NAME && !text.is_empty() && text.chars().all(is_name) {
        true => text.to_owned(),
        false => format!("(a name of {} bytes)", text.len()),
    }
}
