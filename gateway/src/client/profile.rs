//! Who a client is, and how it writes that.

use std::fmt;
use std::time::Duration;

use holdover_protocol::sip::{MessageBuilder, Name};
use holdover_protocol::user::UserUri;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How long a client waits for each answer unless it is told otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A password. Shows itself to nobody.
#[derive(Clone)]
pub struct Password(Box<str>);

impl Password {
    /// Takes it as it was typed.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Who signs in, and how.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The user.
    pub user: UserUri,
    /// Asked for when the server wants it and it is not here.
    pub password: Option<Password>,
    /// What is dialled first.
    pub lookup_uri: Box<str>,
    /// How the client names its build.
    pub user_agent: Box<str>,
    /// The endpoint identifier, 12 hexadecimal digits. A server takes two clients of one user with the same one for one
    /// client that came back.
    pub epid: Box<str>,
    /// How long each answer may take.
    pub patience: Duration,
    /// Where tags, Call-IDs and branches come from. Clients with the same seed have the same ones, as real clients do
    /// that were started in the same second.
    pub seed: u64,
}

impl Profile {
    /// A client of this user as it is after installation. `seed` is random.
    #[must_use]
    pub fn new(user: UserUri, seed: u64) -> Self {
        Self {
            lookup_uri: format!("sip:ocschat@{}", user.domain()).into(),
            user,
            password: None,
            user_agent: concat!("Holdover/", env!("CARGO_PKG_VERSION"), " chat").into(),
            epid: format!("{:012x}", seed & 0xffff_ffff_ffff).into(),
            patience: ANSWER_TIMEOUT,
            seed,
        }
    }
}

/// This end of the connection.
#[derive(Clone, Debug)]
pub struct Local {
    /// `tcp` or `tls`, in the lower case that real clients use.
    pub transport: &'static str,
    /// Its IP address, as a URI has it: IPv6 in brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
}

impl Local {
    /// From the address of a socket.
    #[must_use]
    pub fn new(is_tls: bool, address: std::net::SocketAddr) -> Self {
        let host = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let transport = if is_tls { "tls" } else { "tcp" };
        Self {
            transport,
            host: host.into(),
            port: address.port(),
        }
    }
}

/// What every request of a client has in common.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) user: UserUri,
    pub(super) local: Local,
    epid: Box<str>,
    user_agent: Box<str>,
    random: StdRng,
}

/// One request outside of what makes it this client's.
pub(super) struct Line<'a> {
    pub(super) tag: &'a str,
    /// The value of To.
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: u32,
    /// Real clients write one outside of dialogs and none inside.
    pub(super) branch: Option<&'a str>,
}

impl Identity {
    pub(super) fn new(profile: &Profile, local: Local) -> Self {
        Self {
            user: profile.user.clone(),
            local,
            epid: profile.epid.clone(),
            user_agent: profile.user_agent.clone(),
            random: StdRng::seed_from_u64(profile.seed),
        }
    }

    /// A number for a tag, as short as real clients make them.
    pub(super) fn tag(&mut self) -> String {
        self.random.random::<u32>().to_string()
    }

    /// A text that occurs once: for a Call-ID or a branch.
    pub(super) fn unique(&mut self) -> String {
        format!("{:032X}", self.random.random::<u128>())
    }

    /// The number of the first envelope.
    pub(super) fn envid(&mut self) -> u32 {
        self.random.random::<u32>() >> 1
    }

    /// A number that the server cannot foresee, for Digest.
    pub(super) fn cnonce(&mut self) -> String {
        format!("{:016x}", self.random.random::<u64>())
    }

    /// Contact of a client that was given no GRUU.
    pub(super) fn contact(&self) -> String {
        let Local {
            transport,
            host,
            port,
        } = &self.local;
        let user = self.user.as_str();
        format!("<{user}:{port};maddr={host};transport={transport}>;proxy=replace")
    }

    /// The basic header fields, in the order of real clients.
    pub(super) fn dress(
        &self,
        builder: MessageBuilder,
        line: &Line<'_>,
        method: &str,
    ) -> MessageBuilder {
        let Local {
            transport,
            host,
            port,
        } = &self.local;
        let branch = match line.branch {
            Some(branch) => format!(";branch=z9hG4bK{branch}"),
            None => String::new(),
        };
        builder
            .header(
                Name::Via,
                format_args!("SIP/2.0/{transport} {host}:{port}{branch}"),
            )
            .header(Name::MaxForwards, 70)
            .header(
                Name::From,
                format_args!(
                    "<{}>;tag={};epid={}",
                    self.user.as_str(),
                    line.tag,
                    self.epid
                ),
            )
            .header(Name::To, line.to)
            .header(Name::CallId, line.call_id)
            .header(Name::CSeq, format_args!("{} {method}", line.cseq))
            .header(Name::UserAgent, &self.user_agent)
    }
}
