//! The SIP URIs under which legacy clients reach Holdover.

use std::fmt;

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

    /// Whether both name one user. Old servers and Active Directory do not tell cases apart.
    pub fn same_user(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromText for ServiceUri {
    const CODE: &'static str = codes::BAD_URI;

    fn from_text(text: &str) -> Result<Self, TextError> {
        const HELP: &str = "write `sip:user@domain`, for example `sip:ocschat@contoso.com`";
        let no_uri = || TextError::new("not a SIP URI", HELP);
        let (scheme, rest) = text.split_once(':').ok_or_else(no_uri)?;
        if scheme.eq_ignore_ascii_case("sips") {
            let help = "write `sip:`; whether clients use TLS is the listener's business";
            return Err(TextError::new("a `sips` URI", help));
        }
        if !scheme.eq_ignore_ascii_case("sip") {
            return Err(no_uri());
        }
        let (user, host) = rest.split_once('@').ok_or_else(no_uri)?;
        if host.contains([':', ';', '?']) || user.contains(':') {
            return Err(TextError::new(
                "a SIP URI with more than user and domain",
                HELP,
            ));
        }
        if user.is_empty() || !user.bytes().all(is_user_byte) {
            return Err(TextError::new(
                "not a SIP URI: its user part is wrong",
                HELP,
            ));
        }
        let domain = Domain::from_text(host).map_err(|error| {
            TextError::new(format!("not a SIP URI: its domain is {error}"), error.help)
        })?;
        Ok(Self {
            text: format!("sip:{user}@{domain}").into(),
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[Ss][Ii][Pp]:[^@:\\s]+@[A-Za-z0-9.-]+$" })
    }
}

/// `unreserved` and `user-unreserved` of RFC 3261 §25.1. Escapes are left out: two spellings of one name would not be equal.
fn is_user_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte)
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

text_types!(ServiceUri);

#[cfg(test)]
mod tests {
    use super::*;

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
}
