//! The lookup dialog: the client's first, short one, in which it asks where to go (`facts/xccos.md` §3.1).

use bytes::Bytes;
use holdover_protocol::sip::dialog::{Dialog, DialogKey, Hop, Incoming};
use holdover_protocol::sip::{Method, Request, Status};
use holdover_protocol::xccos::verb::RequestUriReply;
use holdover_protocol::xccos::{Document, Item, Reply, ReplyData, ResultCode, Verb};

use super::uas::Service;
use crate::answer;
use crate::peer::SentBy;
use crate::session::pending::own_reply;

/// How the dialog goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// As it is.
    Continues,
    /// The client knows the channel URI now.
    Answered,
    /// It ended.
    Over,
}

/// One lookup dialog.
#[derive(Debug)]
pub(super) struct Lookup {
    key: DialogKey,
    dialog: Dialog,
}

impl Lookup {
    pub(super) fn new(dialog: Dialog) -> Self {
        Self {
            key: dialog.key(),
            dialog,
        }
    }

    pub(super) fn key(&self) -> &DialogKey {
        &self.key
    }

    /// Takes a request of this dialog: what to send, in order, and how it goes on.
    pub(super) fn handle(
        &mut self,
        request: &Request,
        settings: &Service,
        sent_by: &SentBy,
        unique: u64,
    ) -> (Vec<Bytes>, Progress) {
        match self.dialog.accept_request(request) {
            Ok(Incoming::New) => {}
            Ok(Incoming::Retransmission | Incoming::Uncounted) => {
                return (Vec::new(), Progress::Continues);
            }
            Err(fault) => {
                return (
                    vec![answer::fault(request, &fault, None)],
                    Progress::Continues,
                );
            }
        }
        match request.method() {
            Method::Info => self.handle_info(request, settings, sent_by, unique),
            Method::Bye => (vec![answer::ok(request)], Progress::Over),
            Method::Update => (
                vec![answer::refreshed(request, settings.session_expires)],
                Progress::Continues,
            ),
            _ => (vec![answer::not_allowed(request)], Progress::Continues),
        }
    }

    fn handle_info(
        &mut self,
        request: &Request,
        settings: &Service,
        sent_by: &SentBy,
        unique: u64,
    ) -> (Vec<Bytes>, Progress) {
        let refused = |text: &str| {
            let refusal = answer::refuse(request, Status::BAD_REQUEST, Some(text), None);
            (vec![refusal], Progress::Continues)
        };
        let document = match Document::parse(request.body().clone(), &settings.xccos) {
            Ok(document) => document,
            Err(error) => return refused(&error.to_string()),
        };
        let Some(Item::Command(command)) = document.items().next() else {
            return refused("a lookup dialog takes commands only");
        };
        let (reply, outcome) = match command.verb() {
            Verb::RequestUri => {
                let uri = Some(settings.channel_uri.to_string().into());
                let data = ReplyData::RequestUri(RequestUriReply { uri });
                (Reply::success(Verb::RequestUri, data), Progress::Answered)
            }
            verb => (
                Reply::failure(verb, ResultCode::NotSupported.into()),
                Progress::Continues,
            ),
        };
        let hop = Hop {
            transport: sent_by.transport,
            sent_by: &sent_by.address,
            unique,
        };
        let info = self
            .dialog
            .request(&Method::Info, &hop)
            .body("text/plain", &own_reply(&command.id(), &reply))
            .finish();
        (vec![answer::ok(request), info], outcome)
    }
}
