//! The side that invites.

use super::{Dialog, Hop, Parts, Text, contact, endpoint};
use crate::sip::headers::{HeaderError, Name};
use crate::sip::message::{Method, Response};
use crate::sip::status::Status;
use crate::sip::write::MessageBuilder;

/// Who invites whom.
#[derive(Clone, Copy, Debug)]
pub struct Invite<'a> {
    /// The URI that is dialled, with all its parameters: Request-URI and To.
    pub target: &'a str,
    /// The URI of the user who dials.
    pub from: &'a str,
    /// A tag that is random and new for each invitation.
    pub tag: &'a str,
    /// The endpoint identifier of the user's machine, as legacy clients have one.
    pub epid: Option<&'a str>,
    /// A Call-ID that nobody else uses.
    pub call_id: &'a str,
}

/// An INVITE on its way to become a dialog. Kept until no answer can come any more.
pub struct Invitation {
    text: Text,
    cseq: u32,
}

/// What a response does to an [`Invitation`].
#[derive(Debug)]
pub enum Progress {
    /// The response is to something else, or to an earlier try.
    Foreign,
    /// The other side is at it.
    Provisional,
    /// Accepted. Send [`Dialog::ack`]. Where a proxy forked the INVITE this can come more than once; whoever wants only
    /// one dialog sends BYE in each later one.
    Established(Box<Dialog>),
    /// Refused. Send [`Invitation::ack_refusal`]. After a challenge, send [`Invitation::request`] again, with
    /// credentials.
    Refused(Status),
}

impl Invitation {
    /// An invitation that is not sent yet.
    pub fn new(invite: &Invite<'_>) -> Self {
        Self {
            text: Text::new(&Parts {
                call_id: invite.call_id,
                local_uri: invite.from,
                local_tag: invite.tag,
                local_epid: invite.epid.unwrap_or_default(),
                remote_uri: invite.target,
                remote_tag: "",
                remote_epid: "",
                target: invite.target,
                routes: "",
            }),
            cseq: 0,
        }
    }

    /// The INVITE, complete but for Contact, credentials and what belongs to the body. Counts up the CSeq: an answer to
    /// an earlier one no longer counts.
    pub fn request(&mut self, hop: &Hop<'_>) -> MessageBuilder {
        self.cseq = self.cseq.saturating_add(1);
        self.text.parts().request(&Method::Invite, self.cseq, hop)
    }

    /// The ACK of a refusal (RFC 3261 §17.1.1.3). `hop` is that of the INVITE.
    ///
    /// # Errors
    ///
    /// The response's To is malformed.
    pub fn ack_refusal(
        &self,
        response: &Response,
        hop: &Hop<'_>,
    ) -> Result<MessageBuilder, HeaderError> {
        let (remote_tag, _) = endpoint(&response.headers().to()?, Name::To)?;
        let parts = Parts {
            remote_tag,
            ..self.text.parts()
        };
        Ok(parts.request(&Method::Ack, self.cseq, hop))
    }

    /// Takes a response.
    ///
    /// # Errors
    ///
    /// A header field that says what the response is for, or that the dialog needs, is missing, malformed, or longer than
    /// a dialog keeps (see [`Dialog::accept`]).
    pub fn on_response(&self, response: &Response) -> Result<Progress, HeaderError> {
        let headers = response.headers();
        let parts = self.text.parts();
        let cseq = headers.cseq()?;
        if cseq.method != Method::Invite
            || cseq.number != self.cseq
            || headers.call_id()? != parts.call_id
            || headers.from()?.tag() != Some(parts.local_tag)
        {
            return Ok(Progress::Foreign);
        }
        let status = response.status();
        if status.is_provisional() {
            return Ok(Progress::Provisional);
        }
        if !status.is_success() {
            return Ok(Progress::Refused(status));
        }
        let (remote_tag, remote_epid) = endpoint(&headers.to()?, Name::To)?;
        let mut routes = headers
            .record_routes()
            .map(|route| route.map(|route| route.to_string()))
            .collect::<Result<Vec<_>, _>>()?;
        // RFC 3261 §12.1.2: the proxy nearest to us recorded its route last.
        routes.reverse();
        let parts = Parts {
            remote_tag,
            remote_epid,
            target: contact(headers)?.unwrap_or(parts.target),
            routes: &routes.join("\n"),
            ..parts
        };
        parts.check(Name::To)?;
        Ok(Progress::Established(Box::new(Dialog {
            text: Text::new(&parts),
            invite_cseq: self.cseq,
            local_cseq: self.cseq,
            last: None,
        })))
    }
}
