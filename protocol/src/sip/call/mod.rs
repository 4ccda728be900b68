//! A call: an established dialog, the requests of this side that wait for their responses, and what both sides agreed on.
//!
//! What every user of dialogs needs beside the [`Dialog`] itself, sans-IO, in parts that are used together or alone:
//! - [`Call`] sends requests in a dialog and finds what a response is to; its [`Window`] has what is not answered.
//! - [`Refresh`] says when this side is to refresh the session and when the session is over (RFC 4028).
//! - [`Terms`] is what accepting an INVITE or UPDATE says of the session timer; [`with_description`] adds the answer to an
//!   offer (RFC 3264).
//!
//! An idle call is as large as its dialog and an empty queue.

mod refresh;
mod terms;
mod window;

use std::time::Instant;

use bytes::Bytes;

pub use refresh::{Due, Refresh, Role};
pub use terms::{Terms, WithoutOffer, with_description};
pub use window::{Sent, Window};

use super::dialog::{Dialog, Hop, Incoming};
use super::fault::Fault;
use super::headers::Headers;
use super::message::{Method, Request, Response};
use super::write::MessageBuilder;

/// An established dialog and what was sent in it. `T` is what the caller remembers of each request until it is answered.
#[derive(Debug)]
pub struct Call<T> {
    dialog: Dialog,
    window: Window<T>,
}

impl<T> Call<T> {
    /// The call of a dialog in which nothing of this side waits.
    pub fn new(dialog: Dialog) -> Self {
        Self {
            dialog,
            window: Window::default(),
        }
    }

    /// Its dialog.
    pub fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    /// What was sent and is not answered.
    pub fn window(&self) -> &Window<T> {
        &self.window
    }

    /// The same, to change what is remembered.
    pub fn window_mut(&mut self) -> &mut Window<T> {
        &mut self.window
    }

    /// Whether a message belongs to this call, and not to another one of the same two ends: both count from 1.
    pub fn owns(&self, headers: &Headers) -> bool {
        headers.call_id() == Ok(self.dialog.call_id())
    }

    /// Places a request of the other side: see [`Dialog::accept_request`].
    ///
    /// # Errors
    ///
    /// What to answer it with.
    pub fn accept_request(&mut self, request: &Request) -> Result<Incoming, Fault> {
        self.dialog.accept_request(request)
    }

    /// Makes a request that waits for its final response. `make` adds to it what it is to say and finishes it; beside the
    /// octets, which are to be sent, it returns what is to be remembered until then.
    pub fn send(
        &mut self,
        now: Instant,
        method: Method,
        hop: &Hop<'_>,
        make: impl FnOnce(MessageBuilder) -> (Bytes, T),
    ) -> Bytes {
        let (message, what) = make(self.dialog.request(&method, hop));
        let cseq = self.dialog.local_cseq();
        self.window.push(cseq, method, now, what);
        message
    }

    /// The last request, whose response nobody waits for.
    pub fn bye(&mut self, hop: &Hop<'_>) -> MessageBuilder {
        self.dialog.request(&Method::Bye, hop)
    }

    /// Takes a final response of this call. Returns what was remembered of the request that it is to; `None` if that is
    /// none of those that wait.
    pub fn answered(&mut self, response: &Response) -> Option<T> {
        let cseq = response.headers().cseq().ok()?;
        self.window.take(cseq.number, &cseq.method)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sip::message::Message;
    use crate::sip::transaction;

    fn call() -> Call<&'static str> {
        let text = "INVITE sip:c@contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.7\r\n\
            From: <sip:a@contoso.com>;tag=1\r\nTo: <sip:c@contoso.com>\r\nCall-ID: x\r\n\
            CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
        let Message::Request(invite) = Message::parse(text.as_bytes()).unwrap() else {
            panic!("not a request");
        };
        Call::new(Dialog::accept(&invite, "2").unwrap())
    }

    fn response(cseq: &str) -> Response {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:c@contoso.com>;tag=2\r\nTo: <sip:a@contoso.com>;tag=1\r\n\
             Call-ID: x\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
        );
        let Message::Response(response) = Message::parse(text.as_bytes()).unwrap() else {
            panic!("not a response");
        };
        response
    }

    #[test]
    fn rfc3261_17_1_3_a_response_is_matched_by_number_and_method() {
        let (mut call, now) = (call(), Instant::now());
        let hop = Hop {
            transport: "TLS",
            sent_by: "192.0.2.1:5061",
            unique: 1,
        };
        for what in ["one", "two"] {
            let _info = call.send(now, Method::Info, &hop, |info| (info.finish(), what));
        }
        assert_eq!(call.answered(&response("3 INFO")), None);
        assert_eq!(call.answered(&response("2 BYE")), None);
        assert_eq!(call.answered(&response("2 INFO")), Some("two"));
        assert_eq!(call.answered(&response("2 INFO")), None, "answered twice");
        assert_eq!(call.window().len(), 1);
        let unanswered = call
            .window()
            .oldest()
            .map(|sent| sent + transaction::TIMEOUT);
        assert_eq!(unanswered, Some(now + Duration::from_secs(32)));
        let _bye = call.bye(&hop);
        assert_eq!(
            call.answered(&response("3 BYE")),
            None,
            "nobody waits for it"
        );
    }

    #[test]
    fn what_is_not_answered_is_kept_in_order_until_it_is_given_up() {
        let now = Instant::now();
        let mut window = Window::default();
        for (cseq, what) in [(1, "a"), (2, "b"), (3, "c")] {
            window.push(cseq, Method::Info, now, what);
        }
        // A later one answered first leaves the oldest the oldest.
        assert_eq!(window.take(2, &Method::Info), Some("b"));
        assert_eq!(
            window.iter().map(|sent| sent.what).collect::<Vec<_>>(),
            ["a", "c"]
        );
        for sent in window.iter_mut() {
            sent.sent_at = now + Duration::from_secs(5);
        }
        assert_eq!(window.oldest(), Some(now + Duration::from_secs(5)));
        assert_eq!(window.drain().collect::<Vec<_>>(), ["a", "c"]);
        assert!(window.is_empty() && window.oldest().is_none());
    }
}
