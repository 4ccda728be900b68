//! What a dialog sends.

use std::fmt;

use super::{Dialog, Parts};
use crate::sip::headers::{Name, NameAddr};
use crate::sip::message::Method;
use crate::sip::uri::Uri;
use crate::sip::write::{Digits, MessageBuilder};

/// Hops a request may take (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: &str = "70";

/// The Via of a request that starts here.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// `TCP` or `TLS`.
    pub transport: &'a str,
    /// Host and optional port under which this side of the connection is known: `192.0.2.1:5061`.
    pub sent_by: &'a str,
    /// Makes the branch unique; never used twice by this process.
    pub unique: u64,
}

impl fmt::Display for Hop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 3261 §8.1.1.7: the first seven letters say that the branch is unique.
        let Self {
            transport,
            sent_by,
            unique,
        } = self;
        write!(f, "SIP/2.0/{transport} {sent_by};branch=z9hG4bK{unique:x}")
    }
}

impl Dialog {
    /// The next request to the other side (RFC 3261 §12.2.1.1), its header complete but for Contact, credentials and
    /// what belongs to the body. Counts up the CSeq.
    ///
    /// From is exactly the URI the client invited: it finds its session by that. An ACK is made by [`ack`](Self::ack).
    pub fn request(&mut self, method: &Method, hop: &Hop<'_>) -> MessageBuilder {
        // Starting at 1, this stays below the 2^31 of RFC 3261 §8.1.1.5 for years at any rate one client can take.
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.text.parts().request(method, self.local_cseq, hop)
    }

    /// The CSeq number of the last request that [`request`](Self::request) made.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The ACK for the 2xx that made this dialog, on the side that sent the INVITE (RFC 3261 §13.2.2.4). Made again for
    /// every repetition of that 2xx.
    pub fn ack(&self, hop: &Hop<'_>) -> MessageBuilder {
        self.text
            .parts()
            .request(&Method::Ack, self.invite_cseq, hop)
    }
}

impl Parts<'_> {
    pub(super) fn request(&self, method: &Method, cseq: u32, hop: &Hop<'_>) -> MessageBuilder {
        // RFC 3261 §12.2.1.1: a first proxy without `lr` wants itself in the Request-URI and the target last.
        let mut routes = self.routes.split('\n').filter(|route| !route.is_empty());
        let strict = routes.clone().next().and_then(strict_router);
        let Hop {
            transport,
            sent_by,
            unique,
        } = hop;
        let (branch, number) = (Digits::hexadecimal(*unique), Digits::decimal(cseq.into()));
        // RFC 3261 §8.1.1.7: the first seven letters say that the branch is unique.
        let via = [
            "SIP/2.0/",
            transport,
            " ",
            sent_by,
            ";branch=z9hG4bK",
            branch.as_str(),
        ];
        let builder = MessageBuilder::request(method, strict.unwrap_or(self.target))
            .text(Name::Via, &via)
            .text(Name::MaxForwards, &[MAX_FORWARDS]);
        let builder = if strict.is_some() {
            routes.next();
            routes
                .fold(builder, |builder, route| {
                    builder.text(Name::Route, &[route])
                })
                .text(Name::Route, &["<", self.target, ">"])
        } else {
            routes.fold(builder, |builder, route| {
                builder.text(Name::Route, &[route])
            })
        };
        let from = party(self.local_uri, self.local_tag, self.local_epid);
        let to = party(self.remote_uri, self.remote_tag, self.remote_epid);
        builder
            .text(Name::From, &from)
            .text(Name::To, &to)
            .text(Name::CallId, &[self.call_id])
            .text(Name::CSeq, &[number.as_str(), " ", method.as_str()])
    }
}

/// The URI of a route whose proxy does not do loose routing.
fn strict_router(route: &str) -> Option<&str> {
    let address = NameAddr::parse(route).ok()?;
    let loose = match address.uri() {
        Uri::Sip(uri) => uri.param("lr").is_some(),
        Uri::Other(_) => true,
    };
    (!loose).then(|| address.uri_text())
}

/// The value of From or To.
fn party<'a>(uri: &'a str, tag: &'a str, epid: &'a str) -> [&'a str; 7] {
    let label = |label, value: &str| if value.is_empty() { "" } else { label };
    [
        "<",
        uri,
        ">",
        label(";tag=", tag),
        tag,
        label(";epid=", epid),
        epid,
    ]
}
