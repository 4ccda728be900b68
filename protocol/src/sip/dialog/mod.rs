//! Dialogs (RFC 3261 §12) as legacy clients and pools keep them.
//!
//! A server makes a [`Dialog`] from the INVITE it accepts ([`Dialog::accept`]); a client makes an [`Invitation`] and gets
//! a dialog from the 2xx. From then on the two sides are alike.
//!
//! For each request that comes in:
//! 1. [`DialogKey::of_request`] names its dialog. One that has a To tag and belongs to no known dialog is answered 481.
//! 2. [`Dialog::accept_request`] says whether it is next in order, a repetition, or out of order.
//!
//! What a legacy client must never be sent (BYE, UPDATE, a second INVITE) is the caller's to know.

mod key;
mod outgoing;
mod uac;

use std::fmt;

pub use key::DialogKey;
pub use outgoing::Hop;
pub use uac::{Invitation, Invite, Progress};

use super::fault::Fault;
use super::grammar::TOKEN;
use super::headers::{HeaderError, Headers, Name, NameAddr};
use super::message::{Method, Request, Response};
use super::status::Status;
use super::transaction::credentials_mark;

/// One end of an established dialog.
///
/// An idle session holds one of these for its whole life, so it is small: all text lies in one allocation.
pub struct Dialog {
    text: Text,
    /// Number of the INVITE that made the dialog. Its ACK has the same.
    invite_cseq: u32,
    /// Number of the last request this side sent.
    local_cseq: u32,
    /// The request with the highest number so far from the other side.
    last: Option<Last>,
}

struct Last {
    cseq: u32,
    method: Method,
    credentials: u64,
}

/// What a request inside a dialog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The next request: do what it says and answer it.
    New,
    /// The same as the last request. Send the same answer again, or none if there is none yet.
    Retransmission,
    /// An ACK, or a CANCEL of something that is already answered. Neither is counted; an ACK is never answered.
    Uncounted,
}

impl Dialog {
    /// The dialog that answering `invite` with a 2xx makes (RFC 3261 §12.1.1). The answer's To, and that of every
    /// provisional response but 100, must carry `local_tag`.
    ///
    /// # Errors
    ///
    /// 481 if the INVITE belongs to a dialog already, 400 if a header field that the dialog needs is malformed or longer
    /// than a dialog keeps: 256 bytes of Call-ID, tag and epid, 1 KiB of a URI, 4 KiB of routes.
    pub fn accept(invite: &Request, local_tag: &str) -> Result<Self, Fault> {
        let headers = invite.headers();
        let (from, to) = (headers.from()?, headers.to()?);
        if to.tag().is_some() {
            return Err(Fault::new(
                Status::NO_SUCH_DIALOG,
                "an INVITE with a To tag starts no dialog",
            ));
        }
        let cseq = headers.cseq()?.number;
        let (remote_tag, remote_epid) = endpoint(&from, Name::From)?;
        let routes = headers
            .record_routes()
            .map(|route| route.map(|route| route.to_string()))
            .collect::<Result<Vec<_>, _>>()?;
        let parts = Parts {
            call_id: headers.call_id()?,
            local_uri: to.uri_text(),
            local_tag,
            local_epid: "",
            remote_uri: from.uri_text(),
            remote_tag,
            remote_epid,
            target: contact(headers)?.unwrap_or_else(|| from.uri_text()),
            routes: &routes.join("\n"),
        };
        parts.check(Name::From)?;
        Ok(Self {
            text: Text::new(&parts),
            invite_cseq: cseq,
            local_cseq: 0,
            last: Some(Last {
                cseq,
                method: Method::Invite,
                credentials: credentials_mark(headers),
            }),
        })
    }

    /// What messages of this dialog are found by.
    pub fn key(&self) -> DialogKey {
        let parts = self.text.parts();
        DialogKey::new(
            parts.call_id,
            parts.local_tag,
            parts.remote_uri,
            parts.remote_tag,
            parts.remote_epid,
        )
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.text.call_id()
    }

    /// The tag this side chose: what answers carry in To.
    pub fn local_tag(&self) -> &str {
        self.text.parts().local_tag
    }

    /// The other side's address as it wrote it.
    pub fn remote_uri(&self) -> &str {
        self.text.parts().remote_uri
    }

    /// The other side's endpoint identifier, if it has one.
    pub fn remote_epid(&self) -> Option<&str> {
        Some(self.text.parts().remote_epid).filter(|epid| !epid.is_empty())
    }

    /// Places a request of this dialog, one that [`DialogKey::of_request`] found it by (RFC 3261 §12.2.2).
    ///
    /// A repeated number with the same method is a repetition, unless it comes with other credentials: real clients
    /// answer a challenge without counting up. A Contact in an INVITE or UPDATE becomes the target of what is sent from
    /// now on.
    ///
    /// # Errors
    ///
    /// 500 if its number is below the last one, or the same with another method; 400 if CSeq or Contact is malformed, or
    /// the Contact longer than 1 KiB.
    pub fn accept_request(&mut self, request: &Request) -> Result<Incoming, Fault> {
        let headers = request.headers();
        let cseq = headers.cseq()?.number;
        let method = request.method();
        if matches!(method, Method::Ack | Method::Cancel) {
            return Ok(Incoming::Uncounted);
        }
        let credentials = credentials_mark(headers);
        if let Some(last) = &self.last {
            if cseq < last.cseq || (cseq == last.cseq && *method != last.method) {
                return Err(out_of_order(cseq, last.cseq));
            }
            if cseq == last.cseq && credentials == last.credentials {
                return Ok(Incoming::Retransmission);
            }
        }
        if matches!(method, Method::Invite | Method::Update)
            && let Some(target) = contact(headers)?
        {
            self.set_target(target);
        }
        self.last = Some(Last {
            cseq,
            method: method.clone(),
            credentials,
        });
        Ok(Incoming::New)
    }

    /// Takes the 2xx to an UPDATE that this side sent: its Contact is the target from now on (RFC 3261 §12.2.1.2). A
    /// Contact that cannot be read changes nothing.
    pub fn refreshed_by(&mut self, response: &Response) {
        if let Ok(Some(target)) = contact(response.headers()) {
            self.set_target(target);
        }
    }

    fn set_target(&mut self, target: &str) {
        let parts = self.text.parts();
        if parts.target != target {
            self.text = Text::new(&Parts { target, ..parts });
        }
    }
}

/// Identifiers only: no address of a user's machine, no route.
impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("call_id", &self.call_id())
            .field("remote_uri", &self.remote_uri())
            .field("local_cseq", &self.local_cseq)
            .finish_non_exhaustive()
    }
}

fn out_of_order(cseq: u32, last: u32) -> Fault {
    Fault {
        reason: "CSeq Out Of Order".into(),
        ..Fault::new(
            Status::SERVER_INTERNAL_ERROR,
            format!("CSeq {cseq} after {last}"),
        )
    }
}

/// Tag and endpoint identifier, empty where there is none. They are written without quotes later, so what would need
/// them is refused: RFC 3261 §19.3 has tokens only.
fn endpoint<'a>(address: &NameAddr<'a>, header: Name) -> Result<(&'a str, &'a str), HeaderError> {
    let token = |value: Option<&'a str>| match value.unwrap_or_default() {
        value if value.is_empty() || TOKEN.spells(value.as_bytes()) => Ok(value),
        _ => Err(HeaderError::new(header, "its tag or epid is no token")),
    };
    Ok((token(address.tag())?, token(address.epid())?))
}

/// The URI of the first Contact, which replaces the target.
fn contact(headers: &Headers) -> Result<Option<&str>, HeaderError> {
    let Some(contact) = headers.contacts().next().transpose()? else {
        return Ok(None);
    };
    let uri = contact.address().map(NameAddr::uri_text);
    within(uri.unwrap_or_default(), MAX_URI, Name::Contact)?;
    Ok(uri)
}

/// Bytes of a Call-ID, a tag or an epid. Real ones have 64 at most.
const MAX_ID: usize = 256;

/// Bytes of a URI. Real ones have 300 at most.
const MAX_URI: usize = 1024;

/// Bytes of all routes together.
const MAX_ROUTES: usize = 4096;

/// A dialog keeps what the other side wrote for as long as it lives, and there are many: no more than this of it.
fn within(text: &str, most: usize, header: Name) -> Result<(), HeaderError> {
    if text.len() > most {
        return Err(HeaderError::new(header, HeaderError::TOO_LONG));
    }
    Ok(())
}

/// The text of a dialog, borrowed. Absent things are empty.
#[derive(Clone, Copy)]
struct Parts<'a> {
    call_id: &'a str,
    local_uri: &'a str,
    local_tag: &'a str,
    local_epid: &'a str,
    remote_uri: &'a str,
    remote_tag: &'a str,
    remote_epid: &'a str,
    /// Where requests go: the other side's Contact.
    target: &'a str,
    /// The proxies on the way there, one a line, nearest first.
    routes: &'a str,
}

impl Parts<'_> {
    /// Whether all that the other side wrote is short enough to be kept. `remote` is the header of its address.
    fn check(&self, remote: Name) -> Result<(), HeaderError> {
        within(self.call_id, MAX_ID, Name::CallId)?;
        within(self.local_uri, MAX_URI, Name::To)?;
        within(self.remote_uri, MAX_URI, remote)?;
        within(self.remote_tag, MAX_ID, remote)?;
        within(self.remote_epid, MAX_ID, remote)?;
        within(self.target, MAX_URI, Name::Contact)?;
        within(self.routes, MAX_ROUTES, Name::RecordRoute)
    }
}

/// The text of a dialog in one piece.
struct Text {
    packed: Box<str>,
    ends: [u32; 9],
}

impl Text {
    fn new(parts: &Parts<'_>) -> Self {
        let parts = [
            parts.call_id,
            parts.local_uri,
            parts.local_tag,
            parts.local_epid,
            parts.remote_uri,
            parts.remote_tag,
            parts.remote_epid,
            parts.target,
            parts.routes,
        ];
        let mut end = 0;
        Self {
            packed: parts.concat().into(),
            ends: parts.map(|part| {
                // The parts come from one head, whose length has a limit far below 4 GiB.
                end += part.len() as u32;
                end
            }),
        }
    }

    /// What [`parts`](Self::parts) has first: every message is asked for it.
    fn call_id(&self) -> &str {
        let [end, ..] = self.ends;
        self.packed.get(..end as usize).unwrap_or_default()
    }

    fn parts(&self) -> Parts<'_> {
        let mut start = 0;
        let [
            call_id,
            local_uri,
            local_tag,
            local_epid,
            remote_uri,
            remote_tag,
            remote_epid,
            target,
            routes,
        ] = self.ends.map(|end| {
            let part = self.packed.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            part
        });
        Parts {
            call_id,
            local_uri,
            local_tag,
            local_epid,
            remote_uri,
            remote_tag,
            remote_epid,
            target,
            routes,
        }
    }
}

#[cfg(test)]
mod tests;
