//! Who signs in, and what the lookup service told them.

use std::net::SocketAddr;

use holdover_protocol::user::UserUri;

use crate::telemetry::Detail;
use crate::telemetry::event::event;
use crate::telemetry::label::label;

label! {
    /// Why nobody was signed in.
    SignInRefusal as "reason" {
        /// The password is wrong, or there is no such user.
        WrongPassword = "wrong-password",
        /// There were too many wrong passwords of this user or from this address: none is looked at for a while. Logged
        /// once for each such pause.
        TooManyGuesses = "too-many-guesses",
        /// The request speaks for another user than the one it is from, or the one who is signed in on the connection.
        OtherUser = "other-user",
        /// The address is not in the domain that is served.
        ForeignDomain = "foreign-domain",
        /// The request cannot be understood.
        Malformed = "malformed",
        /// The rules say no, or not now: see the `decision` before it.
        NotNow = "not-now",
    }
}

label! {
    /// Why a user is no longer signed in.
    SignOutCause as "reason" {
        /// The client signed out.
        Client = "client",
        /// The client did not renew its registration in time.
        Expired = "expired",
        /// The connection was lost.
        Connection = "connection",
        /// The gateway is going down.
        Draining = "draining",
    }
}

label! {
    /// Why a front end's word was not enough.
    AssertionFault as "reason" {
        /// There is no P-Asserted-Identity. The front end must add one to every request of a user it knows.
        Missing = "missing",
        /// What is asserted is no SIP address.
        Unusable = "unusable",
        /// Two SIP addresses are asserted.
        Ambiguous = "ambiguous",
        /// The user is not of the domain that is served.
        ForeignDomain = "foreign-domain",
        /// From names another user than the one who is asserted: a client tries to speak for somebody else.
        OtherSender = "other-sender",
    }
}

event! {
    /// A user signed in.
    SignInAccepted {
        /// The user.
        user: UserUri => user.uri,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// The client's build, as it names itself.
        agent: Option<Detail> => sip.user_agent,
    }
    DEBUG "sign-in.accepted", counted as "sign_ins";
    measured |_, instruments| instruments.signed_in_users.inc();
    "A user signed in. Renewals of a registration are not told. Every one of these is followed by one `sign-out`."
}

event! {
    /// A sign-in was refused.
    SignInRefused {
        /// The user, if the request names one.
        user: Option<UserUri> => user.uri,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// Why.
        reason: SignInRefusal => reason,
    }
    WARN "sign-in.refused", counted as "sign_ins_refused" by reason: SignInRefusal;
    "Somebody could not sign in. One of these now and then is a mistyped password; many from one address is \
     somebody guessing: with each wrong password the pause until the next one is looked at grows, for that user and that \
     address (after 3), for that address (after 20), and for that user from addresses that guess (after 10)."
}

event! {
    /// A user is no longer signed in.
    SignedOut {
        /// The user.
        user: UserUri => user.uri,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// Why.
        reason: SignOutCause => reason,
    }
    DEBUG "sign-out", counted as "sign_outs" by reason: SignOutCause;
    measured |_, instruments| instruments.signed_in_users.dec();
    "A user's endpoint is no longer signed in."
}

event! {
    /// A signed-in connection tried to act as somebody else.
    ForeignIdentityRefused {
        /// The user who is signed in on the connection, if any.
        user: Option<UserUri> => user.uri,
        /// The user in whose name the request was made.
        claimed: Detail => user.claimed,
        /// The method of the request.
        method: Detail => sip.method,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
    }
    WARN "identity.refused", counted as "foreign_identities_refused";
    "A request was made in the name of a user who is not signed in on that connection. It was refused. A client that does \
     this is broken or hostile."
}

event! {
    /// A front end's request is nobody's.
    IdentityNotAsserted {
        /// The front end's address.
        peer: SocketAddr => downstream.addr,
        /// What is wrong.
        reason: AssertionFault => reason,
        /// The user in whose name the request was made.
        claimed: Detail => user.claimed,
        /// The method of the request.
        method: Detail => sip.method,
    }
    WARN "identity.not-asserted", counted as "identities_not_asserted" by reason: AssertionFault;
    "A request came through a front end that did not clearly say whose it is (P-Asserted-Identity, RFC 3325), or it is in the \
     name of somebody else. It was refused. Unless a client tries to speak for somebody else, the front end has to be set up."
}

event! {
    /// The lookup service told a client its channel URI.
    LookupAnswered {
        /// The user.
        user: UserUri => user.uri,
        /// Call-ID of the lookup dialog.
        call_id: Detail => sip.call_id,
    }
    DEBUG "lookup.answered", counted as "lookups_answered";
    "A client asked which address to chat with and was told. It opens its session next."
}
