//! What happens on connections, told to the event log.

use std::net::SocketAddr;

use holdover_config::ListenerName;
use holdover_protocol::sip::Fault;
use holdover_protocol::user::UserUri;

use super::front_end;
use super::uas::UasEvent;
use crate::registrar::Refused;
use crate::telemetry::events::connection::{
    ConnectionClosed, ConnectionEnd, ConnectionPaced, FrontEndConnected, FrontEndLost, PaceLimit,
};
use crate::telemetry::events::protocol::{FaultKind, ProtocolFault};
use crate::telemetry::events::sign_in::{
    ForeignIdentityRefused, IdentityNotAsserted, LookupAnswered, SignInAccepted, SignInRefusal,
    SignInRefused, SignOutCause, SignedOut,
};
use crate::telemetry::{Detail, Emit as _, Telemetry};

/// Speaks for one connection.
#[derive(Debug)]
pub(super) struct Teller {
    telemetry: Telemetry,
    listener: ListenerName,
    peer: SocketAddr,
}

impl Teller {
    pub(super) fn new(telemetry: Telemetry, listener: ListenerName, peer: SocketAddr) -> Self {
        Self {
            telemetry,
            listener,
            peer,
        }
    }

    /// The client's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection ended.
    pub(super) fn closed(&self, reason: ConnectionEnd) {
        ConnectionClosed {
            listener: self.listener.clone(),
            peer: self.peer,
            reason,
        }
        .emit(&self.telemetry);
    }

    /// A user's connection ended while they were signed in.
    pub(super) fn lost(&self, user: &UserUri, end: ConnectionEnd) {
        let reason = match end {
            ConnectionEnd::Draining => SignOutCause::Draining,
            _ => SignOutCause::Connection,
        };
        SignedOut {
            user: user.clone(),
            peer: self.peer,
            reason,
        }
        .emit(&self.telemetry);
    }

    /// The client sent something that is no SIP.
    pub(super) fn fault(&self, user: Option<&UserUri>, fault: &Fault, fatal: bool) {
        let kind = if fatal {
            FaultKind::SipFraming
        } else {
            FaultKind::SipSyntax
        };
        let (user, detail) = (user.cloned(), Detail::new(fault));
        ProtocolFault {
            peer: self.peer,
            user,
            kind,
            detail,
        }
        .emit(&self.telemetry);
    }

    /// The client asks faster than it may.
    pub(super) fn paced(&self, user: Option<&UserUri>, reason: PaceLimit) {
        ConnectionPaced {
            listener: self.listener.clone(),
            peer: self.peer,
            user: user.cloned(),
            reason,
        }
        .emit(&self.telemetry);
    }

    /// A front end connected. `sessions` waited for it.
    pub(super) fn front_end_connected(&self, name: &str, sessions: usize) {
        FrontEndConnected {
            listener: self.listener.clone(),
            peer: self.peer,
            name: Detail::new(name),
            sessions,
        }
        .emit(&self.telemetry);
    }

    /// A front end's connection with so many sessions ended.
    pub(super) fn front_end_lost(&self, name: &str, sessions: usize) {
        FrontEndLost {
            listener: self.listener.clone(),
            peer: self.peer,
            name: Detail::new(name),
            sessions,
        }
        .emit(&self.telemetry);
    }

    /// Something the server of a front end noticed.
    pub(super) fn front_end(&self, event: front_end::Event) {
        match event {
            front_end::Event::LookupAnswered { user, call_id } => {
                let call_id = Detail::new(call_id);
                LookupAnswered { user, call_id }.emit(&self.telemetry);
            }
            front_end::Event::TurnedAway(user) => {
                let (user, peer) = (Some(user), self.peer);
                let reason = SignInRefusal::NotNow;
                SignInRefused { user, peer, reason }.emit(&self.telemetry);
            }
            front_end::Event::NotAsserted {
                reason,
                claimed,
                method,
            } => {
                let (claimed, method) = (Detail::new(claimed), Detail::new(method));
                IdentityNotAsserted {
                    peer: self.peer,
                    reason,
                    claimed,
                    method,
                }
                .emit(&self.telemetry);
            }
        }
    }

    /// Something the user agent server noticed.
    pub(super) fn event(&self, event: UasEvent) {
        let (telemetry, peer) = (&self.telemetry, self.peer);
        match event {
            UasEvent::SignedIn { user, user_agent } => {
                let agent = (!user_agent.is_empty()).then(|| Detail::new(user_agent));
                SignInAccepted { user, peer, agent }.emit(telemetry);
            }
            UasEvent::SignInRefused { user, reason } => {
                let reason = match reason {
                    Refused::ForeignDomain => SignInRefusal::ForeignDomain,
                    Refused::WrongPassword => SignInRefusal::WrongPassword,
                    Refused::TooManyGuesses => SignInRefusal::TooManyGuesses,
                    Refused::OtherUser => SignInRefusal::OtherUser,
                    Refused::Malformed => SignInRefusal::Malformed,
                    Refused::NotNow => SignInRefusal::NotNow,
                };
                SignInRefused { user, peer, reason }.emit(telemetry);
            }
            UasEvent::SignedOut { user, expired } => {
                let reason = if expired {
                    SignOutCause::Expired
                } else {
                    SignOutCause::Client
                };
                SignedOut { user, peer, reason }.emit(telemetry);
            }
            UasEvent::LookupAnswered { user, call_id } => {
                LookupAnswered {
                    user,
                    call_id: Detail::new(call_id),
                }
                .emit(telemetry);
            }
            UasEvent::WrongUser {
                user,
                claimed,
                method,
            } => {
                let (claimed, method) = (Detail::new(claimed), Detail::new(method));
                ForeignIdentityRefused {
                    user,
                    claimed,
                    method,
                    peer,
                }
                .emit(telemetry);
            }
        }
    }
}
