//! What public material does not say about the wire, and what in a trace says it.

use super::judge::name;
use crate::sip::{Message, Method, Name};
use crate::xccos::{Document, Item, ResultCode, Verb};

/// A question, and where the trace answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which one: stays the same in later versions.
    pub id: &'static str,
    /// What is not known.
    pub text: &'static str,
    /// The line of the first message that answers it.
    pub line: Option<usize>,
    /// What was seen there first: a number or a name of the wire.
    pub seen: Option<String>,
}

const ALL: &[(&str, &str)] = &[
    ("result-codes", "result codes other than 200"),
    (
        "message-parts",
        "what stands beside the plain text of a message",
    ),
    ("masks", "permission masks that servers send"),
    ("getinv", "the reply to getinv"),
    ("preferences", "the replies to getpref and setpref"),
    ("associations", "the reply to getassociations"),
    (
        "other-commands",
        "commands, replies and notices without a name here",
    ),
    ("requri", "what requri returns"),
    ("post-reply", "whether a post gets a reply of its own"),
    ("session-timer", "session timer of an INVITE"),
    ("update", "whether UPDATE is sent"),
    ("sdp-answer", "SDP in a 200 to INVITE"),
    ("topic", "topic of a room in a reply"),
    ("file-service", "address of the file service"),
    ("numeric-rooms", "rooms with a number instead of a GUID"),
    ("negative-envid", "a negative envid of a client"),
    ("long-info", "an INFO body above 64 KiB"),
    ("negotiate-refused", "NEGOTIATE answered by an error"),
    ("options", "the answer to OPTIONS"),
    ("asserted-info", "P-Asserted-Identity in an INFO"),
    (
        "verification-level",
        "ms-asserted-verification-level on the wire",
    ),
    ("user-logon-data", "ms-user-logon-data on the wire"),
    ("application-via", "ms-application-via on the wire"),
    ("ent-dest", "ms-ent-dest on the wire"),
    ("service-body", "the body of a SERVICE request"),
    ("subscribe-body", "the body of a SUBSCRIBE request"),
];

pub(super) struct Questions(Vec<Question>);

impl Default for Questions {
    fn default() -> Self {
        let open = |&(id, text): &(&'static str, &'static str)| Question {
            id,
            text,
            line: None,
            seen: None,
        };
        Self(ALL.iter().map(open).collect())
    }
}

impl Questions {
    pub(super) fn into_list(self) -> Vec<Question> {
        self.0
    }

    fn answer(&mut self, id: &str, line: usize, seen: impl Into<String>) {
        let open = |question: &&mut Question| question.id == id && question.line.is_none();
        if let Some(question) = self.0.iter_mut().find(open) {
            question.line = Some(line);
            question.seen = Some(seen.into());
        }
    }

    pub(super) fn head(&mut self, message: &Message, line: usize) {
        let headers = message.headers();
        let asked = headers.cseq().ok().map(|cseq| cseq.method);
        match message {
            Message::Request(request) => {
                let length = || format!("{} bytes", request.body().len());
                match request.method() {
                    Method::Update => self.answer("update", line, "UPDATE"),
                    Method::Info if headers.get(Name::PAssertedIdentity).is_some() => {
                        self.answer("asserted-info", line, "present");
                    }
                    Method::Service if !request.body().is_empty() => {
                        self.answer("service-body", line, length());
                    }
                    Method::Subscribe if !request.body().is_empty() => {
                        self.answer("subscribe-body", line, length());
                    }
                    Method::Invite => {
                        if let Some(expires) = headers.session_expires().ok().flatten() {
                            self.answer("session-timer", line, expires.to_string());
                        }
                    }
                    _ => (),
                }
                if *request.method() == Method::Info && request.body().len() > 64 * 1_024 {
                    self.answer("long-info", line, length());
                }
            }
            Message::Response(response) => {
                let status = response.status();
                let code = status.code().to_string();
                match asked {
                    Some(Method::Options) => self.answer("options", line, code),
                    Some(Method::Other(method))
                        if &*method == "NEGOTIATE" && status.code() >= 300 =>
                    {
                        self.answer("negotiate-refused", line, code);
                    }
                    Some(Method::Invite) if status.is_success() && !response.body().is_empty() => {
                        let seen = format!("{} bytes", response.body().len());
                        self.answer("sdp-answer", line, seen);
                    }
                    _ => (),
                }
            }
        }
        let fields = [
            ("ms-asserted-verification-level", "verification-level"),
            ("ms-user-logon-data", "user-logon-data"),
            ("ms-application-via", "application-via"),
            ("ms-ent-dest", "ent-dest"),
        ];
        for (field, id) in fields {
            if headers.get_other(field).is_some() {
                self.answer(id, line, "present");
            }
        }
    }

    pub(super) fn document(&mut self, document: &Document, line: usize) {
        for item in document.items() {
            match item {
                Item::Reply(view) => {
                    let code = view.code();
                    if code != ResultCode::Success.code() {
                        self.answer("result-codes", line, code.to_string());
                    }
                    match view.verb() {
                        Verb::GetInvitations => self.answer("getinv", line, "rpl:getinv"),
                        Verb::GetAssociations => {
                            self.answer("associations", line, "rpl:getassociations");
                        }
                        Verb::GetPreference | Verb::SetPreference => {
                            self.answer("preferences", line, format!("code {code}"));
                        }
                        Verb::RequestUri => self.answer("requri", line, "rpl:requri"),
                        Verb::Unknown(token) if token.to_ascii_lowercase().contains("chat") => {
                            self.answer("post-reply", line, name(&token));
                        }
                        Verb::Unknown(token) => self.answer("other-commands", line, name(&token)),
                        _ => (),
                    }
                }
                Item::Command(view) => {
                    if document
                        .root()
                        .attr("envid")
                        .is_some_and(|id| id.starts_with('-'))
                    {
                        self.answer("negative-envid", line, "negative");
                    }
                    if let Verb::Unknown(token) = view.verb() {
                        self.answer("other-commands", line, name(&token));
                    }
                }
                Item::Notice(view) => {
                    if let Verb::Unknown(token) = view.verb() {
                        self.answer("other-commands", line, name(&token));
                    }
                }
                Item::GroupChat(_) | Item::Other(_) => (),
            }
        }
        for element in document.elements() {
            match element.name() {
                "aib" => {
                    let mask = element.attr("key");
                    let mask = mask.filter(|key| key.bytes().all(|byte| byte.is_ascii_digit()));
                    if let Some(mask) = mask {
                        self.answer("masks", line, name(&mask));
                    }
                }
                "chanib" if element.attribute("topic").is_some() => {
                    self.answer("topic", line, "present");
                }
                "grpchat" | "msg" => {
                    let other = element.children().find(|child| !child.is("chat"));
                    if let Some(other) = other {
                        self.answer("message-parts", line, name(other.name()));
                    }
                }
                "token" if element.attribute("serveruri").is_some() => {
                    self.answer("file-service", line, "present");
                }
                "chanid" => {
                    let value = element.attr("value").unwrap_or_default();
                    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
                        self.answer("numeric-rooms", line, "a number");
                    }
                }
                _ => (),
            }
        }
    }
}
