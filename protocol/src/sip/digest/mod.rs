//! Digest authentication with MD5, both sides (RFC 3261 §22, RFC 2617, RFC 7616).
//!
//! MD5 is what the legacy clients can do. It is not a protection against somebody who reads the connection: that is
//! the job of TLS.
//!
//! A challenged client sends the very same request again, with the same CSeq, Call-ID and branch and its credentials
//! added. That is a new request, not a retransmission ([`transaction`](super::transaction) knows).

mod nonce;
mod params;

use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::time::Duration;

use md5::{Digest, Md5};

pub use nonce::NonceKey;
use params::{Params, quote, strip_scheme};

/// Why a challenge or credentials can't be used. Holds nothing of what the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The scheme is not Digest.
    #[error("the authentication scheme is not Digest")]
    Scheme,
    /// The parameter list breaks the grammar.
    #[error("the authentication parameters are malformed")]
    Syntax,
    /// A parameter that the scheme cannot do without is absent.
    #[error("the authentication parameter `{0}` is missing")]
    Missing(&'static str),
    /// A parameter occurs twice.
    #[error("the authentication parameter `{0}` occurs twice")]
    Repeated(&'static str),
    /// Another algorithm than MD5.
    #[error("the digest algorithm is not MD5")]
    Algorithm,
    /// A quality of protection other than `auth`.
    #[error("the quality of protection is not auth")]
    Qop,
    /// The response, nonce count or stored hash is not made of the right number of hexadecimal digits.
    #[error("the digest is not hexadecimal or has the wrong length")]
    Hex,
}

/// The hash of user name, realm and password: all that a users file needs to keep.
///
/// Whoever has it can sign in as the user, so it is as secret as the password and has no `Display`.
#[derive(Clone)]
pub struct Ha1(u128);

impl Ha1 {
    /// Hashes a password for one user name in one realm.
    pub fn new(user: &str, realm: &str, password: &str) -> Self {
        Self(hash(&[
            user.as_bytes(),
            b":",
            realm.as_bytes(),
            b":",
            password.as_bytes(),
        ]))
    }

    /// The 32 lower-case hexadecimal digits that a users file keeps.
    pub fn to_hex(&self) -> String {
        hex(self.0)
    }

    /// What a response must be (RFC 2617 §3.2.2.1), or without a quality of protection what RFC 2069 had.
    fn response(&self, nonce: &str, protection: Option<&Protection<'_>>, target: u128) -> u128 {
        let ha1 = hex(self.0);
        let ha2 = hex(target);
        match protection {
            Some(Protection { count, cnonce }) => hash(&[
                ha1.as_bytes(),
                b":",
                nonce.as_bytes(),
                b":",
                count.as_bytes(),
                b":",
                cnonce.as_bytes(),
                b":auth:",
                ha2.as_bytes(),
            ]),
            None => hash(&[ha1.as_bytes(), b":", nonce.as_bytes(), b":", ha2.as_bytes()]),
        }
    }
}

impl FromStr for Ha1 {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        parse_hex(text).map(Self).ok_or(DigestError::Hex)
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(..)")
    }
}

/// The nonce count and client nonce that come with `qop=auth`, as sent.
struct Protection<'a> {
    count: Cow<'a, str>,
    cnonce: Cow<'a, str>,
}

/// The value of an Authorization or Proxy-Authorization header.
pub struct Credentials<'a> {
    username: Cow<'a, str>,
    realm: Cow<'a, str>,
    nonce: Cow<'a, str>,
    uri: Cow<'a, str>,
    response: u128,
    protection: Option<Protection<'a>>,
}

impl<'a> Credentials<'a> {
    /// Reads a header value, scheme included.
    ///
    /// Takes a quality of protection with or without quotes, and a nonce count without any quality of protection
    /// (then it means nothing): both are sent by real clients.
    ///
    /// # Errors
    ///
    /// [`DigestError`] when the scheme, algorithm or quality of protection is another one, the list is malformed, or a
    /// needed parameter is missing or repeated.
    pub fn parse(value: &'a str) -> Result<Self, DigestError> {
        let mut fields = Fields::read(value)?;
        fields.check_algorithm()?;
        let (count, cnonce) = (fields.take("nc"), fields.take("cnonce"));
        let protection = match fields.take("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count = count.ok_or(DigestError::Missing("nc"))?;
                if count.len() > 8 || !is_hex(&count) {
                    return Err(DigestError::Hex);
                }
                Some(Protection {
                    count,
                    cnonce: cnonce.ok_or(DigestError::Missing("cnonce"))?,
                })
            }
            Some(_) => return Err(DigestError::Qop),
            None => None,
        };
        Ok(Self {
            response: parse_hex(&fields.need("response")?).ok_or(DigestError::Hex)?,
            username: fields.need("username")?,
            realm: fields.need("realm")?,
            nonce: fields.need("nonce")?,
            uri: fields.need("uri")?,
            protection,
        })
    }

    /// Who wants to sign in. Nothing is proved yet.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The realm the client answers for.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The nonce the client answers.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// How often the client says it has used the nonce, from 1 up. `None` without a quality of protection.
    pub fn nonce_count(&self) -> Option<u32> {
        let protection = self.protection.as_ref()?;
        u32::from_str_radix(&protection.count, 16).ok()
    }

    /// Whether the sender knows the password behind `ha1`. Says nothing about the age of the nonce.
    ///
    /// The hash goes over the `uri` parameter as sent, whatever it says: a real client writes `(null)` there, so it
    /// can't be compared with the Request-URI as RFC 2617 §3.2.2.5 wants. The comparison takes constant time.
    pub fn proves(&self, ha1: &Ha1, method: &str) -> bool {
        let target = hash(&[method.as_bytes(), b":", self.uri.as_bytes()]);
        let expected = ha1.response(&self.nonce, self.protection.as_ref(), target);
        same(expected, self.response)
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// What a check of credentials says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The user is who they say.
    Accepted,
    /// The password is right, the nonce too old or from before a restart: challenge again with `stale`, and the
    /// client answers without asking its user.
    Stale,
    /// Unknown user or wrong password. A real client tries a wrong password 31 times and then hangs, so answer 403
    /// soon.
    Refused,
}

/// The server side: one realm and the key of its nonces.
#[derive(Debug)]
pub struct Authenticator {
    realm: Box<str>,
    nonces: NonceKey,
}

impl Authenticator {
    /// How many hashes of one user are looked at.
    pub const SPELLINGS: usize = 12;

    /// Makes the server side for a realm. Changing the realm invalidates every stored [`Ha1`].
    pub fn new(realm: &str, nonces: NonceKey) -> Self {
        Self {
            realm: realm.into(),
            nonces,
        }
    }

    /// The realm users are stored under.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// A fresh challenge. `now` is a duration since the epoch of the [`NonceKey`].
    pub fn challenge(&self, now: Duration, stale: bool) -> Challenge {
        Challenge {
            realm: self.realm.clone(),
            nonce: self.nonces.issue(now).into(),
            opaque: None,
            protected: true,
            stale,
        }
    }

    /// Of several credentials those for this realm (RFC 3261 §22.3: a request may bring others for servers on its way),
    /// or none.
    pub fn pick<'a>(&self, values: impl Iterator<Item = &'a str>) -> Option<Credentials<'a>> {
        values
            .filter_map(|value| Credentials::parse(value).ok())
            .find(|credentials| *credentials.realm == *self.realm)
    }

    /// Checks credentials for a request with this method. `hashes` are those of the spellings in which the user may
    /// write the name, at most [`Self::SPELLINGS`]; none for an unknown user, whose refusal takes as long as that of a
    /// wrong password.
    pub fn check(
        &self,
        credentials: &Credentials<'_>,
        method: &str,
        hashes: &[Ha1],
        now: Duration,
    ) -> Verdict {
        let mut proved = false;
        for at in 0..Self::SPELLINGS {
            let ha1 = hashes.get(at);
            proved |= credentials.proves(ha1.unwrap_or(&Ha1(0)), method) & ha1.is_some();
        }
        let proved = proved && *credentials.realm == *self.realm;
        match (proved, self.nonces.is_fresh(&credentials.nonce, now)) {
            (true, true) => Verdict::Accepted,
            (true, false) => Verdict::Stale,
            (false, _) => Verdict::Refused,
        }
    }
}

/// The value of a WWW-Authenticate or Proxy-Authenticate header; `Display` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: Box<str>,
    nonce: Box<str>,
    opaque: Option<Box<str>>,
    protected: bool,
    stale: bool,
}

impl Challenge {
    /// Reads a header value, scheme included.
    ///
    /// # Errors
    ///
    /// [`DigestError`] when this side can't answer the challenge: another scheme or algorithm, no `auth` among the
    /// offered qualities of protection, or a malformed or incomplete list.
    pub fn parse(value: &str) -> Result<Self, DigestError> {
        let mut fields = Fields::read(value)?;
        fields.check_algorithm()?;
        let offers_auth = fields.take("qop").map(|offered| {
            offered
                .split(',')
                .any(|qop| qop.trim().eq_ignore_ascii_case("auth"))
        });
        if offers_auth == Some(false) {
            return Err(DigestError::Qop);
        }
        Ok(Self {
            realm: fields.need("realm")?.into(),
            nonce: fields.need("nonce")?.into(),
            opaque: fields.take("opaque").map(Into::into),
            protected: offers_auth.is_some(),
            stale: fields
                .take("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The realm to find a password for.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether the password was right and only the nonce too old. If not, answering a second challenge with the same
    /// password is pointless.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The credentials that answer this challenge: the value of an Authorization or Proxy-Authorization header.
    ///
    /// `uri` is the Request-URI, `cnonce` a random token, `count` is 1 for the first use of this challenge's nonce.
    pub fn answer(
        &self,
        user: &str,
        ha1: &Ha1,
        method: &str,
        uri: &str,
        cnonce: &str,
        count: u32,
    ) -> String {
        let protection = self.protected.then(|| Protection {
            count: format!("{count:08x}").into(),
            cnonce: cnonce.into(),
        });
        let target = hash(&[method.as_bytes(), b":", uri.as_bytes()]);
        let response = ha1.response(&self.nonce, protection.as_ref(), target);
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{}\", algorithm=MD5",
            quote(user),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
            hex(response),
        );
        if let Some(Protection { count, cnonce }) = protection {
            value += &format!(", qop=auth, nc={count}, cnonce={}", quote(&cnonce));
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque={}", quote(opaque));
        }
        value
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest realm={}, nonce={}, algorithm=MD5",
            quote(&self.realm),
            quote(&self.nonce)
        )?;
        if self.protected {
            f.write_str(", qop=\"auth\"")?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        Ok(())
    }
}

/// The parameters that mean something to us; all others are read over.
struct Fields<'a>([(&'static str, Option<Cow<'a, str>>); 11]);

impl<'a> Fields<'a> {
    fn read(value: &'a str) -> Result<Self, DigestError> {
        let mut fields = Self(
            [
                "username",
                "realm",
                "nonce",
                "uri",
                "response",
                "algorithm",
                "qop",
                "nc",
                "cnonce",
                "opaque",
                "stale",
            ]
            .map(|name| (name, None)),
        );
        for param in Params::new(strip_scheme(value)?) {
            let (name, value) = param?;
            let field = fields
                .0
                .iter_mut()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            if let Some((known, field)) = field
                && field.replace(value).is_some()
            {
                return Err(DigestError::Repeated(known));
            }
        }
        Ok(fields)
    }

    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let (_, field) = self.0.iter_mut().find(|(known, _)| *known == name)?;
        field.take()
    }

    fn need(&mut self, name: &'static str) -> Result<Cow<'a, str>, DigestError> {
        self.take(name).ok_or(DigestError::Missing(name))
    }

    fn check_algorithm(&mut self) -> Result<(), DigestError> {
        match self.take("algorithm") {
            Some(algorithm) if !algorithm.eq_ignore_ascii_case("MD5") => {
                Err(DigestError::Algorithm)
            }
            _ => Ok(()),
        }
    }
}

fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    u128::from_be_bytes(hasher.finalize().into())
}

fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads exactly 32 hexadecimal digits, of either letter case.
fn parse_hex(text: &str) -> Option<u128> {
    if text.len() == 32 && is_hex(text) {
        u128::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(one: u128, other: u128) -> bool {
    black_box(one ^ other) == 0
}

#[cfg(test)]
mod tests;
