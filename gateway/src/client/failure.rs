//! What can go wrong, in words for people.

use std::fmt;

use holdover_protocol::sip::{HeaderError, Name, Response, Status};

/// A step on the way to the rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// REGISTER.
    SignIn,
    /// SUBSCRIBE, whose answer makes a real client start Group Chat.
    Provisioning,
    /// INVITE of the lookup address.
    Lookup,
    /// `cmd:requri` in the lookup dialog.
    Question,
    /// INVITE of the channel address.
    Channel,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignIn => "the sign-in (REGISTER)",
            Self::Provisioning => "the request for settings (SUBSCRIBE)",
            Self::Lookup => "the call to the lookup address (INVITE)",
            Self::Question => "the question where to go (cmd:requri)",
            Self::Channel => "the call to the channel address (INVITE)",
        })
    }
}

/// Why a client is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time.
    #[error("the server did not answer {0}")]
    Unanswered(Step),
    /// A refusal.
    #[error("the server refused {step}: {status} {text}")]
    Refused {
        /// What was refused.
        step: Step,
        /// The status.
        status: Status,
        /// The server's words.
        text: Box<str>,
    },
    /// User name or password is wrong.
    #[error("the server does not accept the user name and password: {0}")]
    WrongPassword(Box<str>),
    /// The server wants a proof that this client cannot give.
    #[error(
        "the server asks for another proof than a password by Digest (NTLM, Kerberos or a certificate)"
    )]
    Mechanism,
    /// A real client waits for ever at this point, and shows nothing.
    #[error("a legacy client would hang here: {0}")]
    Hangs(&'static str),
    /// The lookup was answered without an address.
    #[error("the server answered the lookup without the address to go to")]
    NoChannel,
    /// An answer cannot be read.
    #[error("the server's answer to {step} cannot be read: {fault}")]
    Unreadable {
        /// To what.
        step: Step,
        /// What is wrong with it.
        fault: HeaderError,
    },
    /// What arrives is no SIP.
    #[error("what the server sends is not SIP ({0})")]
    NotSip(Box<str>),
    /// The server ended the session.
    #[error("the server ended the session")]
    HungUp,
    /// The server forgets every session as soon as it is open.
    #[error("the server forgets the session again and again")]
    Forgotten,
    /// The connection is gone.
    #[error("the server closed the connection")]
    Disconnected,
}

/// Why something that was asked for was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The receipt says so.
    #[error("{text} (SIP {status})")]
    Sip {
        /// The status of the receipt.
        status: Status,
        /// The server's words.
        text: Box<str>,
    },
    /// The reply says so.
    #[error("{text} (code {code})")]
    Reply {
        /// The result code.
        code: u16,
        /// The server's words.
        text: Box<str>,
    },
    /// The reply has the room among those that failed.
    #[error("{0}")]
    Room(Box<str>),
    /// Neither receipt nor reply came in time.
    #[error("no answer in time; nobody knows whether it was done")]
    Unanswered,
    /// The session ended before the answer.
    #[error("the session ended before the answer; nobody knows whether it was done")]
    SessionLost,
    /// There is no session to ask.
    #[error("not signed in")]
    NotReady,
}

/// What a refusal says to the user: the reason in `ms-diagnostics`, else the reason phrase.
pub(super) fn words(response: &Response) -> Box<str> {
    let headers = response.headers();
    let diagnostics = headers
        .get(Name::MsDiagnosticsPublic)
        .or_else(|| headers.get(Name::MsDiagnostics));
    let quoted = diagnostics.and_then(|value| {
        let (_, rest) = value.split_once("reason=\"")?;
        rest.split_once('"').map(|(reason, _)| reason)
    });
    match quoted.unwrap_or_else(|| response.reason()) {
        "" => response.status().phrase().into(),
        words => words.into(),
    }
}
