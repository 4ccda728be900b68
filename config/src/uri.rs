//! The SIP URIs under which legacy clients reach Holdover.

use std::fmt;

use holdover_protocol::sip::{Scheme, SipUri};
use holdover_protocol::user::UserUri;
use schemars::{Schema, json_schema};

use crate::codes;
use crate::names::Domain;
use crate::text::{FromText, TextError, text_types};

/// `sip:user@domain` without password, port, parameters and headers: a name that legacy clients dial, not a place. The domain
/// is in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceUri {
    text: Box<str>,
}

impl ServiceUri {
    /// `sip:` and `user@domain`, for a `user` that needs no escapes.
    pub(crate) fn new(user: &'static str, domain: &Domain) -> Self {
        Self {
            text: format!("sip:{user}@{domain}").into(),
        }
    }

    /// Whether both name one user.
    pub fn same_user(&self, other: &Self) -> bool {
        same_user(&self.text, &other.text)
    }

    /// Whether `uri`, which a client dialled, is this service: user and domain decide.
    pub fn names(&self, uri: &SipUri<'_>) -> bool {
        let dialled = uri.user().map(|user| format!("sip:{user}@{}", uri.host()));
        dialled.is_some_and(|dialled| same_user(&self.text, &dialled))
    }

    /// What stands behind the `@`.
    pub(crate) fn domain(&self) -> Option<Domain> {
        let (_, domain) = self.text.rsplit_once('@')?;
        Domain::from_text(domain).ok()
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Compares two `sip:user@domain` as users are compared everywhere.
fn same_user(one: &str, other: &str) -> bool {
    one == other
        || matches!((UserUri::parse(one), UserUri::parse(other)), (Ok(one), Ok(other)) if one == other)
}

impl FromText for ServiceUri {
    const CODE: &'static str = codes::BAD_URI;

    fn from_text(text: &str) -> Result<Self, TextError> {
        const HELP: &str = "write `sip:user@domain`, for example `sip:ocschat@contoso.com`";
        let uri = SipUri::parse(text).map_err(|error| {
            TextError::new(format!("not `sip:user@domain`: {}", error.problem()), HELP)
        })?;
        if uri.scheme() == Scheme::Sips {
            let help = "write `sip:`; whether clients use TLS is the listener's business";
            return Err(TextError::new("a `sips` URI", help));
        }
        let user = uri
            .user()
            .ok_or_else(|| TextError::new("a SIP URI without a user", HELP))?;
        if user.contains('%') {
            let help =
                "write the characters themselves: two spellings of one name would not be equal";
            return Err(TextError::new("a SIP URI with escapes", help));
        }
        let host = uri.host();
        if !format!("sip:{user}@{host}").eq_ignore_ascii_case(text) {
            return Err(TextError::new(
                "a SIP URI with more than user and domain",
                HELP,
            ));
        }
        let domain = Domain::from_text(host.as_str()).map_err(|error| {
            let problem = format!("not `sip:user@domain`: its domain is {error}");
            TextError::new(problem, error.help)
        })?;
        Ok(Self {
            text: format!("sip:{user}@{domain}").into(),
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[Ss][Ii][Pp]:[^@:\\s]+@[A-Za-z0-9.-]+$" })
    }
}

impl fmt::Display for ServiceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ServiceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// The SIP URI of a pool, as it is dialled: `sip:user@host`, with port and parameters where the pool has them, without
/// password and headers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolUri(Box<str>);

impl PoolUri {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, in the spelling of the file, without port and parameters.
    pub fn domain(&self) -> &str {
        let (_, host) = self.0.split_once('@').unwrap_or_default();
        let end = host.find([':', ';', '?']).unwrap_or(host.len());
        host.get(..end).unwrap_or_default()
    }
}

impl fmt::Display for PoolUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromText for PoolUri {
    const CODE: &'static str = codes::BAD_URI;

    fn from_text(text: &str) -> Result<Self, TextError> {
        const HELP: &str = "write the contact of the pool, for example `sip:GC-1-PersistentChatService-1@contoso.com`";
        let uri = SipUri::parse(text).map_err(|error| {
            TextError::new(format!("not `sip:user@host`: {}", error.problem()), HELP)
        })?;
        if uri.scheme() == Scheme::Sips {
            let help = "write `sip:`; TLS is chosen by `transport`";
            Err(TextError::new("a `sips` URI", help))
        } else if uri.user().is_none() {
            Err(TextError::new("a SIP URI without a user", HELP))
        } else if uri.password().is_some() || uri.headers().is_some() {
            let problem = "a SIP URI with a password or headers";
            Err(TextError::new(problem, HELP))
        } else {
            Ok(Self(text.into()))
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[Ss][Ii][Pp]:[^@:\\s]+@[^@\\s]+$" })
    }
}

text_types!(ServiceUri, PoolUri);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pools_domain_is_its_host() {
        for (uri, domain) in [
            ("sip:pool@contoso.com", "contoso.com"),
            ("SIP:pool@Contoso.com:5041;transport=tls", "Contoso.com"),
            ("sip:pool;x=1@contoso.com;gruu", "contoso.com"),
        ] {
            assert_eq!(uri.parse::<PoolUri>().unwrap().domain(), domain);
        }
    }

    #[test]
    fn a_service_is_user_and_domain_only() {
        let uri: ServiceUri = "SIP:ocschat@Contoso.com".parse().unwrap();
        assert_eq!(uri.as_str(), "sip:ocschat@contoso.com");
        for wrong in [
            "",
            "ocschat@contoso.com",
            "sips:ocschat@contoso.com",
            "tel:+1",
            "sip:contoso.com",
            "sip:@contoso.com",
            "sip:a@",
            "sip:a b@contoso.com",
            "sip:a@contoso.com:5060",
            "sip:a@contoso.com;transport=tls",
            "sip:a:secret@contoso.com",
            "sip:a%20b@contoso.com",
            "sip:a@b@c",
        ] {
            assert!(wrong.parse::<ServiceUri>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pool_may_have_port_and_parameters() {
        for right in [
            "sip:GC-1-PersistentChatService-1@contoso.com",
            "sip:pool@pc1.contoso.com:5041;transport=tls",
            "sip:channel@contoso.com;gruu;opaque=srvr:ch:1",
        ] {
            let uri: PoolUri = right.parse().unwrap();
            assert_eq!(uri.as_str(), right);
        }
        for wrong in [
            "",
            "pool@contoso.com",
            "sips:pool@contoso.com",
            "sip:contoso.com",
            "sip:pool:secret@contoso.com",
            "sip:pool@contoso.com?Subject=x",
            "sip:pool@contoso.com\r\nEvil: 1",
            "sip:pool@contoso.com>",
        ] {
            assert!(wrong.parse::<PoolUri>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_service_is_found_whatever_else_was_dialled() {
        let service: ServiceUri = "sip:ocschat@contoso.com".parse().unwrap();
        let names = |text| service.names(&SipUri::parse(text).unwrap());
        assert!(names("sip:OCSChat@contoso.com"));
        assert!(names("sip:%6Fcs%43hat@contoso.com"));
        assert!(names("sip:ocschat@Contoso.com:5061;transport=tls"));
        assert!(!names("sip:channel@contoso.com"));
        assert!(!names("sip:ocschat@fabrikam.com"));
        assert!(!names("sip:contoso.com"));
    }
}
