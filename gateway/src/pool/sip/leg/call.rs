//! An INVITE under way, and the late answers to one that is over.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::dialog::{Dialog, Hop, Invitation, Invite, Progress};
use holdover_protocol::sip::session_timer::SMALLEST_MIN_SE;
use holdover_protocol::sip::transaction;
use holdover_protocol::sip::{Method, Name, Response, SessionExpires, Status, sdp};
use holdover_protocol::user::UserUri;

use super::super::understood::allow;
use super::Context;
use crate::random::Random;

/// The session interval that is asked for, in seconds (RFC 4028 §4 recommends it).
const INTERVAL: u32 = 1800;

/// How often an interval is raised because the pool finds it too small (RFC 4028 §7.4).
const RAISES: u8 = 3;

/// Who calls whom.
#[derive(Clone, Copy)]
pub(super) struct Parties<'a> {
    pub(super) target: &'a str,
    pub(super) user: &'a UserUri,
    pub(super) tag: &'a str,
}

/// An INVITE that waits for its answer.
pub(super) struct Call {
    invitation: Invitation,
    /// Of the Via, which the ACK of a refusal repeats.
    branch: u64,
    /// Seconds that are asked for.
    interval: u32,
    raises: u8,
}

/// What a response did.
pub(super) enum Answer {
    /// Nothing yet.
    None,
    /// There is a dialog. The call goes on as [`Late`].
    Established(Established),
    /// The interval was too small: its ACK, and the INVITE with a larger one.
    Again(Bytes, Bytes),
    /// It was refused; this is the ACK.
    Refused(Status, Option<Bytes>),
}

/// What a 2xx made.
pub(super) struct Established {
    pub(super) dialog: Box<Dialog>,
    pub(super) remote_tag: Box<str>,
    pub(super) expires: Option<SessionExpires>,
    pub(super) ack: Bytes,
}

impl Call {
    pub(super) fn new(parties: Parties<'_>, random: &mut Random) -> Self {
        let call_id = format!("{:016x}{:016x}", random.draw(), random.draw());
        Self {
            invitation: Invitation::new(&Invite {
                target: parties.target,
                from: parties.user.as_str(),
                tag: parties.tag,
                epid: None,
                call_id: &call_id,
            }),
            branch: 0,
            interval: INTERVAL,
            raises: 0,
        }
    }

    /// The INVITE.
    pub(super) fn invite(
        &mut self,
        user: &UserUri,
        context: &Context,
        random: &mut Random,
    ) -> Bytes {
        self.branch = random.draw();
        let invite = self
            .invitation
            .request(&context.hop(self.branch))
            .header(Name::Contact, context.contact(user))
            .header(Name::PAssertedIdentity, format_args!("<{}>", user.as_str()))
            .header(Name::Supported, "timer")
            .header(Name::SessionExpires, self.interval);
        let invite = match self.interval {
            INTERVAL => invite,
            // RFC 4028 §7.4: a raised interval says which minimum it obeys.
            raised => invite.header(Name::MinSe, raised),
        };
        invite
            .header(Name::Allow, allow())
            .body("application/sdp", sdp::offer(&context.address).as_bytes())
            .finish()
    }

    /// Takes a response to an INVITE.
    pub(super) fn answered(
        &mut self,
        response: &Response,
        user: &UserUri,
        context: &Context,
        random: &mut Random,
    ) -> Answer {
        // A response without what it takes to read it is none; the call ends by its time limit.
        let Ok(progress) = self.invitation.on_response(response) else {
            return Answer::None;
        };
        match progress {
            Progress::Foreign | Progress::Provisional => Answer::None,
            Progress::Established(dialog) => {
                let ack = dialog.ack(&context.hop(random.draw())).finish();
                let expires = response.headers().session_expires().ok().flatten();
                Answer::Established(Established {
                    dialog,
                    remote_tag: to_tag(response),
                    expires,
                    ack,
                })
            }
            Progress::Refused(status) => {
                let hop = context.hop(self.branch);
                let ack = self.invitation.ack_refusal(response, &hop);
                let ack = ack.ok().map(|ack| ack.finish());
                match (status, ack, raised(response, self.interval)) {
                    (Status::SESSION_INTERVAL_TOO_SMALL, Some(ack), Some(larger))
                        if self.raises < RAISES =>
                    {
                        self.raises += 1;
                        self.interval = larger;
                        Answer::Again(ack, self.invite(user, context, random))
                    }
                    (status, ack, _) => Answer::Refused(status, ack),
                }
            }
        }
    }
}

/// The interval that a 422 asks for, if it is larger than the one it refused.
pub(super) fn raised(response: &Response, refused: u32) -> Option<u32> {
    let least = response.headers().min_se().ok().flatten()?;
    Some(least.max(SMALLEST_MIN_SE)).filter(|&least| least > refused)
}

/// Waits for more answers to an INVITE that made a dialog: the answer repeated because our ACK was lost, or others because
/// a proxy forked the INVITE (RFC 3261 §13.2.2.4). A front end forks to every instance of a lookup service.
pub(super) struct Late {
    call: Box<Call>,
    /// The tag of the dialog that is wanted.
    remote_tag: Box<str>,
    pub(super) until: Instant,
}

impl Late {
    pub(super) fn new(now: Instant, call: Box<Call>, remote_tag: &str) -> Self {
        Self {
            call,
            remote_tag: remote_tag.into(),
            until: now + transaction::TIMEOUT,
        }
    }

    /// What to send for a response to the INVITE.
    pub(super) fn answered(
        &self,
        response: &Response,
        context: &Context,
        random: &mut Random,
    ) -> Vec<Bytes> {
        let Ok(Progress::Established(mut dialog)) = self.call.invitation.on_response(response)
        else {
            return Vec::new();
        };
        let ack = dialog.ack(&context.hop(random.draw())).finish();
        if to_tag(response) == self.remote_tag {
            return vec![ack];
        }
        vec![ack, bye(&mut dialog, context, random)]
    }
}

/// Ends a dialog.
pub(super) fn bye(dialog: &mut Dialog, context: &Context, random: &mut Random) -> Bytes {
    let hop: Hop<'_> = context.hop(random.draw());
    dialog.request(&Method::Bye, &hop).finish()
}

fn to_tag(response: &Response) -> Box<str> {
    let to = response.headers().to();
    to.ok()
        .and_then(|to| to.tag().map(Into::into))
        .unwrap_or_default()
}

/// How long an INVITE that nobody waits for any more may still be answered.
pub(super) const ABANDONED: Duration = transaction::TIMEOUT;
