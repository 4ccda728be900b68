//! Who is signed in on a connection: REGISTER, its refresh, its end, and what it is answered (RFC 3261 §10).
//!
//! Sans-IO: time is an argument, and the answer is a value. A connection belongs to the one user that signed in on it.

mod guesses;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use holdover_config::Users;
use holdover_protocol::sip::digest::{Authenticator, Credentials, Ha1, Verdict};
use holdover_protocol::sip::{Name, NameAddr, Request, Status, respond};
use holdover_protocol::user::UserUri;

pub use guesses::Guesses;
use guesses::Paused;

use crate::answer;
use crate::decide::FOREIGN_DOMAIN;

/// The only event package offered: with it alone, real clients ask for no presence and no contacts, and it is what
/// starts Group Chat in them (`facts/sipe-client.md`, Login).
pub const PROVISIONING: &str = "vnd-microsoft-provisioning-v2";

/// Wrong passwords on one connection before it is closed.
const MAX_FAILURES: u8 = 3;

/// Who may sign in, and how they prove it.
#[derive(Debug)]
pub struct Policy {
    /// The SIP domain of the users.
    pub domain: Box<str>,
    /// How long a registration lasts before the client refreshes it.
    pub expires: Duration,
    /// The proof.
    pub proof: Proof,
}

/// What a user must show.
#[derive(Debug)]
pub enum Proof {
    /// Nothing: a lab, or a network where only the right people are.
    None,
    /// A password, by Digest (RFC 2617).
    Digest {
        /// Realm and nonces.
        authenticator: Authenticator,
        /// The hashes.
        users: SharedUsers,
        /// The wrong passwords so far, of all listeners.
        guesses: Arc<Guesses>,
    },
}

/// Users that may change while they sign in. Cheap to clone; all clones change together.
#[derive(Clone, Debug)]
pub struct SharedUsers(Arc<ArcSwap<Users>>);

impl SharedUsers {
    /// From here on these are the users.
    pub fn replace(&self, users: Arc<Users>) {
        self.0.store(users);
    }
}

impl From<Users> for SharedUsers {
    fn from(users: Users) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(users)))
    }
}

/// What a REGISTER changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The user is signed in now.
    SignedIn(UserUri),
    /// The registration goes on.
    Refreshed,
    /// The user signed out.
    SignedOut(UserUri),
    /// A proof was asked for.
    Challenged,
    /// Not signed in.
    Refused {
        /// Who wanted to sign in, as far as that could be read.
        user: Option<UserUri>,
        /// Why not.
        reason: Refused,
        /// Whether the connection has failed so often that it is to be closed.
        hang_up: bool,
    },
    /// Not signed in, as others just before: there is nothing new to report.
    RefusedAgain {
        /// Whether the connection has failed so often that it is to be closed.
        hang_up: bool,
    },
}

/// Why a sign-in was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The user is of another domain.
    ForeignDomain,
    /// Unknown user or wrong password; which of the two is nobody's business.
    WrongPassword,
    /// There were too many wrong passwords; this one was not looked at.
    TooManyGuesses,
    /// The connection belongs to another user.
    OtherUser,
    /// The request could not be read.
    Malformed,
    /// The rules let the user in not at all, or not now.
    NotNow,
}

impl Refused {
    /// What the user is shown.
    fn text(self) -> &'static str {
        match self {
            Self::ForeignDomain => FOREIGN_DOMAIN,
            Self::WrongPassword => "User name or password is wrong.",
            Self::TooManyGuesses => {
                "Too many wrong passwords. Wait some minutes before you try again."
            }
            Self::OtherUser => "This connection belongs to another user.",
            Self::Malformed => "The sign-in request could not be read.",
            Self::NotNow => "Signing in is not possible at present.",
        }
    }
}

/// The state of one connection.
#[derive(Debug)]
enum State {
    /// Nobody signed in. → `SignedIn` by a REGISTER that is accepted.
    SignedOut,
    /// → `SignedOut` by a REGISTER with Expires 0, or at `expires_at`.
    SignedIn { user: UserUri, expires_at: Instant },
}

/// The registrar of one connection.
#[derive(Debug)]
pub struct Registrar {
    state: State,
    failures: u8,
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            state: State::SignedOut,
            failures: 0,
        }
    }
}

impl Registrar {
    /// The user, while signed in.
    #[must_use]
    pub fn user(&self) -> Option<&UserUri> {
        match &self.state {
            State::SignedIn { user, .. } => Some(user),
            State::SignedOut => None,
        }
    }

    /// When the registration runs out.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        match &self.state {
            State::SignedIn { expires_at, .. } => Some(*expires_at),
            State::SignedOut => None,
        }
    }

    /// Takes a sign-in back that is to be answered no after all.
    pub fn turn_away(&mut self) {
        self.state = State::SignedOut;
    }

    /// Ends a registration that was not refreshed in time.
    pub fn expire(&mut self, now: Instant) -> Option<UserUri> {
        if self.expires_at().is_none_or(|at| at > now) {
            return None;
        }
        self.sign_out()
    }

    /// Answers a REGISTER from `peer`. `wall` is the time since the Unix epoch, for nonces; `tag` goes on To.
    pub fn register(
        &mut self,
        now: Instant,
        wall: Duration,
        request: &Request,
        peer: IpAddr,
        tag: &str,
        policy: &Policy,
    ) -> (Bytes, Change) {
        let refused =
            |registrar: &mut Self, user, reason| registrar.refuse(request, tag, user, reason);
        let (Ok(to), Ok(from)) = (request.headers().to(), request.headers().from()) else {
            return refused(self, None, Refused::Malformed);
        };
        let (Some(user), Some(sender)) = (user_of(&to), user_of(&from)) else {
            return refused(self, None, Refused::Malformed);
        };
        // Third-party registration (RFC 3261 §10.2) has no place here: a connection acts for one user only.
        if user != sender || self.user().is_some_and(|signed_in| *signed_in != user) {
            return refused(self, Some(user), Refused::OtherUser);
        }
        if !user.domain().eq_ignore_ascii_case(&policy.domain) {
            return refused(self, Some(user), Refused::ForeignDomain);
        }
        if let Proof::Digest {
            authenticator,
            users,
            guesses,
        } = &policy.proof
        {
            let users = users.0.load();
            let credentials = credentials(authenticator, request);
            let verdict = credentials.map(|credentials| {
                guesses.attempt(now, &user, peer, || {
                    check(authenticator, &users, request, &credentials, &user, wall)
                })
            });
            match verdict {
                Some(Ok(Verdict::Accepted)) => {}
                // The connection itself is the proof of a user who signed in on it: real clients refresh bare.
                None if self.user().is_some() && users.get(&user).is_some() => {}
                None if self.user().is_some() => {
                    return refused(self, Some(user), Refused::WrongPassword);
                }
                Some(Ok(Verdict::Refused)) => {
                    return refused(self, Some(user), Refused::WrongPassword);
                }
                Some(Err(paused)) => return self.pause(request, tag, user, paused),
                stale => {
                    let challenge = authenticator.challenge(wall, stale.is_some());
                    let answer = respond(request, Status::PROXY_AUTHENTICATION_REQUIRED, Some(tag))
                        .header(Name::ProxyAuthenticate, challenge);
                    return (answer.finish(), Change::Challenged);
                }
            }
        }
        self.failures = 0;
        let requested = requested_expiry(request);
        if misuses_all_contacts(request, requested) {
            return refused(self, Some(user), Refused::Malformed);
        }
        if requested == Some(0) {
            let answer = respond(request, Status::OK, Some(tag))
                .header(Name::Expires, 0)
                .finish();
            let change = self.sign_out().map_or(Change::Refreshed, Change::SignedOut);
            return (answer, change);
        }
        let change = match self.user() {
            Some(_) => Change::Refreshed,
            None => Change::SignedIn(user.clone()),
        };
        // RFC 3261 §10.3: never longer than was asked for.
        let expires = requested.map_or(policy.expires, |seconds| {
            policy.expires.min(Duration::from_secs(seconds.into()))
        });
        self.state = State::SignedIn {
            user,
            expires_at: now + expires,
        };
        (registered(request, tag, expires), change)
    }

    fn refuse(
        &mut self,
        request: &Request,
        tag: &str,
        user: Option<UserUri>,
        reason: Refused,
    ) -> (Bytes, Change) {
        let status = match reason {
            Refused::ForeignDomain => Status::NOT_FOUND,
            Refused::WrongPassword | Refused::OtherUser => Status::FORBIDDEN,
            Refused::Malformed => Status::BAD_REQUEST,
            Refused::TooManyGuesses | Refused::NotNow => Status::SERVICE_UNAVAILABLE,
        };
        let answer = answer::refuse(request, status, Some(reason.text()), Some(tag));
        let hang_up = self.fail();
        (
            answer,
            Change::Refused {
                user,
                reason,
                hang_up,
            },
        )
    }

    /// Refuses without a look at the password. 503 says that it may be right: real clients report it, and try again by
    /// themselves or when their user asks them to (`facts/sipe-client.md`, Failures).
    fn pause(
        &mut self,
        request: &Request,
        tag: &str,
        user: UserUri,
        paused: Paused,
    ) -> (Bytes, Change) {
        let reason = Refused::TooManyGuesses;
        let seconds = paused.left.as_secs().saturating_add(1);
        let answer = answer::refuse_for(request, seconds, reason.text(), tag);
        let hang_up = self.fail();
        let change = if paused.is_first {
            let user = Some(user);
            Change::Refused {
                user,
                reason,
                hang_up,
            }
        } else {
            Change::RefusedAgain { hang_up }
        };
        (answer, change)
    }

    /// Counts a failure. Returns whether the connection is to be closed.
    fn fail(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failures >= MAX_FAILURES
    }

    fn sign_out(&mut self) -> Option<UserUri> {
        match std::mem::replace(&mut self.state, State::SignedOut) {
            State::SignedIn { user, .. } => Some(user),
            State::SignedOut => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The user an address names.
#[must_use]
pub fn user_of(address: &NameAddr<'_>) -> Option<UserUri> {
    UserUri::parse(address.uri_text()).ok()
}

/// Answers a SUBSCRIBE. The answer to the provisioning package carries the (empty) document itself, which is what makes
/// a real client start Group Chat; a plain 200 would do nothing.
#[must_use]
pub fn subscribed(request: &Request, tag: &str) -> Bytes {
    let headers = request.headers();
    let event = headers.get(Name::Event).unwrap_or_default();
    let package = event.split(';').next().unwrap_or_default().trim();
    let answer = respond(request, Status::OK, Some(tag))
        .header(Name::Expires, headers.expires().unwrap_or_default());
    if package.eq_ignore_ascii_case(PROVISIONING) {
        return answer
            .header(Name::Event, PROVISIONING)
            .header(Name::MsPiggybackCseq, 1)
            .finish();
    }
    answer.header(Name::Event, package).finish()
}

/// What the headers of the 200 must look like is in `facts/sipe-client.md`, Login, row 1: `Expires` as a header,
/// `Supported` alone on its line, no blank in `Allow-Events`.
fn registered(request: &Request, tag: &str, expires: Duration) -> Bytes {
    let seconds = expires.as_secs();
    let mut answer = respond(request, Status::OK, Some(tag));
    for contact in request.headers().contacts().flatten() {
        let Some(address) = contact.address() else {
            continue;
        };
        let mut bound = format!("<{}>", address.uri_text());
        for (name, value) in address.params().iter() {
            if !name.eq_ignore_ascii_case("expires") {
                bound.push(';');
                bound.push_str(name);
                bound.extend(value.into_iter().flat_map(|value| ["=", value]));
            }
        }
        answer = answer.header(Name::Contact, format_args!("{bound};expires={seconds}"));
    }
    answer
        .header(Name::Expires, seconds)
        .header(Name::Supported, "msrtc-event-categories")
        .header(Name::AllowEvents, PROVISIONING)
        .finish()
}

/// How long the client wants to be registered, seconds: on the contact or in the header (RFC 3261 §10.2.1.1), and 0 to
/// leave (§10.2.2).
fn requested_expiry(request: &Request) -> Option<u32> {
    let headers = request.headers();
    let of_contacts = headers
        .contacts()
        .filter_map(|contact| contact.ok()?.expires());
    of_contacts.max().or_else(|| headers.expires())
}

/// Whether the request says `*`, which stands for all contacts, beside one of them, or to stay registered (RFC 3261 §10.3,
/// step 6).
fn misuses_all_contacts(request: &Request, requested: Option<u32>) -> bool {
    let contacts = || request.headers().all(Name::Contact).map(str::trim);
    let is_alone = contacts().eq(["*"]);
    contacts().any(|contact| contact.starts_with('*')) && !(is_alone && requested == Some(0))
}

/// The credentials of a request that concern us: those for our realm. `None`: an unknown scheme counts as none (RFC 4475
/// §3.3.7), and so do those for other servers.
fn credentials<'r>(authenticator: &Authenticator, request: &'r Request) -> Option<Credentials<'r>> {
    let headers = request.headers();
    let values = headers.all(Name::ProxyAuthorization);
    authenticator.pick(values.chain(headers.all(Name::Authorization)))
}

/// The verdict on credentials for our realm.
fn check(
    authenticator: &Authenticator,
    users: &Users,
    request: &Request,
    credentials: &Credentials<'_>,
    user: &UserUri,
    wall: Duration,
) -> Verdict {
    // A user may only prove to be the one the request speaks for.
    if UserUri::parse(credentials.username()).ok().as_ref() != Some(user) {
        return Verdict::Refused;
    }
    let hashes = users.get(user).unwrap_or_default();
    let hashes: Vec<Ha1> = hashes
        .iter()
        .filter_map(|ha1| ha1.as_str().parse().ok())
        .collect();
    authenticator.check(credentials, request.method().as_str(), &hashes, wall)
}
