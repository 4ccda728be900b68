//! The header fields that are known by name.

use std::fmt;

macro_rules! names {
    ($($length:literal: $($variant:ident = $wire:literal),+;)+) => {
        /// The name of a header field. Names compare without regard to ASCII case (RFC 3261 §7.3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Name {
            $($(#[doc = concat!("`", $wire, "`")] $variant,)+)+
            /// Any other. [`Headers::get_other`](super::Headers::get_other) finds it by its text.
            Other,
        }

        impl Name {
            /// The long form. Nothing here writes compact forms: real clients do not know them.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$variant => $wire,)+)+
                    Self::Other => "",
                }
            }

            /// How a line with this field starts.
            pub(in crate::sip) const fn line_start(self) -> &'static str {
                match self {
                    $($(Self::$variant => concat!($wire, ": "),)+)+
                    Self::Other => ": ",
                }
            }

            /// The name that is written so, in long or compact form.
            #[must_use]
            pub fn lookup(text: &[u8]) -> Self {
                match text.len() {
                    1 => text.first().map_or(Self::Other, |&letter| Self::compact(letter)),
                    $($length => {
                        // Nearly every name comes in the one spelling, which is compared in one step.
                        $(if text == $wire.as_bytes() {
                            return Self::$variant;
                        })+
                        $(if text.eq_ignore_ascii_case($wire.as_bytes()) {
                            return Self::$variant;
                        })+
                        Self::Other
                    })+
                    _ => Self::Other,
                }
            }
        }

        #[cfg(test)]
        const ALL: &[(usize, Name)] = &[$($(($length, Name::$variant)),+),+];
    };
}

// By length, so that a name is compared only with those it could be; the common ones first.
names! {
    2: To = "To";
    3: Via = "Via";
    4: From = "From", CSeq = "CSeq", Date = "Date";
    5: Allow = "Allow", Event = "Event", Route = "Route";
    6: MinSe = "Min-SE", Accept = "Accept", Reason = "Reason", Server = "Server";
    7: CallId = "Call-ID", Contact = "Contact", Expires = "Expires", Require = "Require", Subject = "Subject",
       Warning = "Warning";
    8: Identity = "Identity", Priority = "Priority", ReferTo = "Refer-To";
    9: Endpoints = "EndPoints", Supported = "Supported", Timestamp = "Timestamp";
    10: UserAgent = "User-Agent";
    11: Unsupported = "Unsupported", RetryAfter = "Retry-After", MinExpires = "Min-Expires",
        ReferredBy = "Referred-By";
    12: ContentType = "Content-Type", MaxForwards = "Max-Forwards", RecordRoute = "Record-Route",
        AllowEvents = "Allow-Events";
    13: Authorization = "Authorization", ProxyRequire = "Proxy-Require", MsKeepAlive = "ms-keep-alive",
        IdentityInfo = "Identity-Info";
    14: ContentLength = "Content-Length", MsDiagnostics = "ms-diagnostics", AcceptContact = "Accept-Contact";
    15: SessionExpires = "Session-Expires", AcceptEncoding = "Accept-Encoding", AcceptLanguage = "Accept-Language";
    16: ContentEncoding = "Content-Encoding", WwwAuthenticate = "WWW-Authenticate";
    17: MsPiggybackCseq = "ms-piggyback-cseq";
    18: ProxyAuthenticate = "Proxy-Authenticate", SubscriptionState = "Subscription-State";
    19: ProxyAuthorization = "Proxy-Authorization", PAssertedIdentity = "P-Asserted-Identity",
        AuthenticationInfo = "Authentication-Info", RequestDisposition = "Request-Disposition",
        ContentDisposition = "Content-Disposition";
    20: PPreferredIdentity = "P-Preferred-Identity";
    21: MsDiagnosticsPublic = "ms-diagnostics-public";
}

impl Name {
    /// The compact forms of RFC 3261 §7.3.3 and of the extensions that have one.
    const fn compact(letter: u8) -> Self {
        match letter.to_ascii_lowercase() {
            b'a' => Self::AcceptContact,
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'd' => Self::RequestDisposition,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'n' => Self::IdentityInfo,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b's' => Self::Subject,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_under_its_length_and_is_found_in_any_case() {
        for &(length, name) in ALL {
            assert_eq!(name.as_str().len(), length, "{name}");
            assert_eq!(Name::lookup(name.as_str().as_bytes()), name);
            assert_eq!(
                Name::lookup(name.as_str().to_ascii_uppercase().as_bytes()),
                name
            );
            assert_eq!(
                Name::lookup(name.as_str().to_ascii_lowercase().as_bytes()),
                name
            );
        }
    }

    #[test]
    fn rfc3261_section_7_3_3_compact_forms() {
        assert_eq!(Name::lookup(b"l"), Name::ContentLength);
        assert_eq!(Name::lookup(b"V"), Name::Via);
        assert_eq!(Name::lookup(b"z"), Name::Other);
    }

    #[test]
    fn rfc4475_section_3_1_1_5_percent_is_no_escape_in_a_name() {
        assert_eq!(Name::lookup(b"C%6Fntact"), Name::Other);
        assert_eq!(Name::lookup(b""), Name::Other);
    }
}
