//! One dialog that the client began, in the form real clients give it: no branch, no counting of what the server sends.

use bytes::Bytes;
use holdover_protocol::sip::{
    HeaderError, MessageBuilder, Method, Name, NameAddr, Request, Response, sdp,
};

use super::profile::{Identity, Line};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Dialog {
    call_id: String,
    tag: String,
    /// The URI that was dialled.
    remote: Box<str>,
    /// The value of To, with what the 200 added.
    to: String,
    /// Where requests go: the Contact of the 200, else what was dialled.
    target: Box<str>,
    /// Proxies on the way, nearest first.
    routes: Vec<String>,
    cseq: u32,
    established: bool,
}

impl Dialog {
    pub(super) fn new(identity: &mut Identity, remote: &str) -> Self {
        Self {
            call_id: identity.unique(),
            tag: identity.tag(),
            remote: remote.into(),
            to: format!("<{remote}>"),
            target: remote.into(),
            routes: Vec::new(),
            cseq: 0,
            established: false,
        }
    }

    /// The INVITE.
    pub(super) fn invite(&mut self, identity: &Identity) -> Bytes {
        let offer = sdp::offer(identity.local.host.trim_matches(['[', ']']));
        self.request(identity, &Method::Invite)
            .header(Name::Supported, "ms-sender")
            .header(Name::Contact, identity.contact())
            .body("application/sdp", offer.as_bytes())
            .finish()
    }

    /// Takes the 200 to the INVITE and makes the ACK.
    ///
    /// # Errors
    ///
    /// The 200 has a To, Contact or Record-Route that cannot be read, or a To without tag.
    pub(super) fn establish(
        &mut self,
        identity: &Identity,
        accepted: &Response,
    ) -> Result<Bytes, HeaderError> {
        let headers = accepted.headers();
        let to = headers.to()?;
        let tag = to.tag().ok_or(HeaderError {
            header: Name::To,
            problem: "no tag",
        })?;
        self.to = format!("<{}>;tag={tag}", self.remote);
        if let Some(epid) = to.epid() {
            self.to.push_str(";epid=");
            self.to.push_str(epid);
        }
        if let Some(contact) = headers.contacts().next().transpose()?
            && let Some(address) = contact.address()
        {
            self.target = address.uri_text().into();
        }
        self.routes = headers
            .record_routes()
            .map(|route| route.map(|route| route.to_string()))
            .collect::<Result<_, _>>()?;
        // RFC 3261 §12.1.2: the proxy nearest to us recorded its route last.
        self.routes.reverse();
        self.established = true;
        Ok(self.build(identity, &Method::Ack, self.cseq).finish())
    }

    /// The next request.
    pub(super) fn request(&mut self, identity: &Identity, method: &Method) -> MessageBuilder {
        self.cseq = self.cseq.saturating_add(1);
        self.build(identity, method, self.cseq)
    }

    /// The CSeq number of the last request.
    pub(super) fn cseq(&self) -> u32 {
        self.cseq
    }

    /// The URI that was dialled.
    pub(super) fn remote(&self) -> &str {
        &self.remote
    }

    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// Whether a response is to a request of this dialog.
    pub(super) fn owns(&self, response: &Response) -> bool {
        let headers = response.headers();
        headers.call_id().is_ok_and(|id| id == self.call_id)
            && headers
                .from()
                .is_ok_and(|from| from.tag() == Some(&*self.tag))
    }

    /// Whether a request is from whom was dialled: real clients look at this address first, in any case.
    pub(super) fn is_with(&self, from: &NameAddr<'_>) -> bool {
        from.uri_text().eq_ignore_ascii_case(&self.remote)
    }

    /// Whether a request has the dialog's Call-ID.
    pub(super) fn has_call_id(&self, request: &Request) -> bool {
        request
            .headers()
            .call_id()
            .is_ok_and(|id| id == self.call_id)
    }

    fn build(&self, identity: &Identity, method: &Method, cseq: u32) -> MessageBuilder {
        let line = Line {
            tag: &self.tag,
            to: &self.to,
            call_id: &self.call_id,
            cseq,
            branch: None,
        };
        let builder = MessageBuilder::request(method, &self.target);
        let builder = identity.dress(builder, &line, method.as_str());
        self.routes
            .iter()
            .fold(builder, |builder, route| builder.header(Name::Route, route))
    }
}
