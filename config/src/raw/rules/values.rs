//! The words in rules: how each is read, and what the schema says of it.

use std::borrow::Cow;

use holdover_protocol::user::unescape;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::codes;
use crate::reader::{FromToml, List, Reader};
use crate::rules::{Glob, Network, NetworkError, Percent, RoomPattern, UserPattern};
use crate::text::{FromText, TextError, text_types};

/// One value, or an array of several.
#[derive(Debug)]
pub(crate) struct OneOrMore<T>(pub(crate) List<T>);

impl<T: FromToml> FromToml for OneOrMore<T> {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(array) if array.is_empty() => {
                let message = format!("`{at}` lists nothing: it could never hold");
                let fault = reader.error(codes::EMPTY_LIST, value.span(), message);
                reader.report(fault.help("list at least one value, or remove the key"));
                None
            }
            DeValue::Array(_) => List::read(value, at, reader).map(Self),
            DeValue::String(_) => {
                let one = T::read(value, at, reader)?;
                Some(Self(List {
                    elements: vec![Spanned::new(value.span(), one)],
                    complete: true,
                }))
            }
            _ => reader.wrong_type(value, at, "a string or an array of strings"),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMore_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// `true`, which alone makes sense.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yes;

impl FromToml for Yes {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(true) => Some(Self),
            DeValue::Boolean(false) => {
                let message = format!("`{at}` can only be `true`");
                let fault = reader.error(codes::WRONG_TYPE, value.span(), message);
                reader.report(fault.help("remove it to expect nothing"));
                None
            }
            _ => reader.wrong_type(value, at, "`true`"),
        }
    }
}

impl JsonSchema for Yes {
    fn schema_name() -> Cow<'static, str> {
        "Yes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": true })
    }
}

/// A value, or `false` for none.
#[derive(Clone, Debug)]
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

impl<T: FromToml> FromToml for OrNone<T> {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(false) => Some(Self(None)),
            DeValue::String(_) => T::read(value, at, reader).map(|value| Self(Some(value))),
            _ => reader.wrong_type(value, at, "a string, or `false` for none"),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OrNone<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OrNone_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let some = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [some, { "const": false }] })
    }
}

impl FromText for UserPattern {
    const CODE: &'static str = codes::BAD_USER;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if text.contains(['*', '?']) {
            let pattern = text
                .strip_prefix("sip:")
                .or_else(|| text.strip_prefix("sips:"))
                .unwrap_or(text);
            // Users are compared without needless escapes.
            return Glob::from_text(&unescape(pattern)).map(Self::Many);
        }
        UserAddress::from_text(text).map(|user| Self::One(user.0))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// Exactly one user.
#[derive(Clone, Debug)]
pub(crate) struct UserAddress(pub(crate) holdover_protocol::user::UserUri);

impl FromText for UserAddress {
    const CODE: &'static str = codes::BAD_USER;

    fn from_text(text: &str) -> Result<Self, TextError> {
        let user = holdover_protocol::user::UserUri::parse(text).map_err(|error| {
            let help = if text.contains(['*', '?']) {
                "name one user: `ann@contoso.com`".to_owned()
            } else if text.contains('@') || text.is_empty() {
                format!("write `user@domain`: {error}")
            } else {
                format!("write `{text}@` and the domain; `*` stands for any text")
            };
            TextError::new("not the address of a user", help)
        })?;
        Ok(Self(user))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "@" })
    }
}

/// The longest pattern, in bytes.
const GLOB_BYTES: usize = 512;

impl FromText for Glob {
    const CODE: &'static str = codes::BAD_PATTERN;

    fn from_text(text: &str) -> Result<Self, TextError> {
        let help = "`*` stands for any text, `?` for one character";
        if text.is_empty() {
            Err(TextError::new("empty", help))
        } else if text.len() > GLOB_BYTES {
            Err(TextError::new("longer than 512 bytes", help))
        } else if text.contains(char::is_control) {
            Err(TextError::new("a pattern with control characters", help))
        } else {
            Ok(Self::new(text))
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 512 })
    }
}

impl FromText for RoomPattern {
    const CODE: &'static str = codes::BAD_ROOM_ID;

    fn from_text(text: &str) -> Result<Self, TextError> {
        const SCHEME: &str = "ma-chan://";
        if !text.contains(['*', '?']) {
            return RoomId::from_text(text).map(|room| Self::One(room.0));
        }
        // What stands before the first wildcard must be able to begin an identifier.
        let literal = text.split(['*', '?']).next().unwrap_or_default();
        let folded = literal.to_ascii_lowercase();
        if folded.starts_with(SCHEME) || SCHEME.starts_with(&folded) {
            Glob::from_text(text).map(Self::Many)
        } else {
            Err(TextError::new(
                "a pattern that no identifier matches",
                format!(
                    "the whole identifier is compared: write `{SCHEME}*/{text}`; names are matched by `room_name`"
                ),
            ))
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// Exactly one room.
#[derive(Clone, Debug)]
pub(crate) struct RoomId(pub(crate) holdover_protocol::room::RoomUri);

impl FromText for RoomId {
    const CODE: &'static str = codes::BAD_ROOM_ID;

    fn from_text(text: &str) -> Result<Self, TextError> {
        text.parse().map(Self).map_err(|_| {
            TextError::new(
                "not the identifier of a room",
                "write `ma-chan://domain/value`; names are matched by `room_name`",
            )
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[Mm][Aa]-[Cc][Hh][Aa][Nn]://" })
    }
}

impl FromText for Network {
    const CODE: &'static str = codes::BAD_NETWORK;

    fn from_text(text: &str) -> Result<Self, TextError> {
        text.parse().map_err(|error| match error {
            NetworkError::Address => TextError::new(
                "not a network",
                "write an address and the length of its prefix: `10.0.0.0/8`, `2001:db8::/32`; names are not looked up",
            ),
            NetworkError::Prefix => TextError::new(
                "a network with a wrong length of its prefix",
                "the length is from 0 to 32 for IPv4 and from 0 to 128 for IPv6",
            ),
            NetworkError::HostBits(network) => TextError::new(
                "an address in a network, not the network",
                format!("write `{network}`, or the address alone for that one client"),
            ),
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f.:]+(/\\d{1,3})?$" })
    }
}

/// The address of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpAddress(pub(crate) std::net::IpAddr);

impl FromText for IpAddress {
    const CODE: &'static str = codes::BAD_NETWORK;

    fn from_text(text: &str) -> Result<Self, TextError> {
        match text.parse::<std::net::IpAddr>() {
            Ok(address) => Ok(Self(address.to_canonical())),
            Err(_) => Err(TextError::new(
                "not an IP address",
                "write one address: `10.0.0.7` or `2001:db8::7`",
            )),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f.:]+$" })
    }
}

impl FromToml for Percent {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Integer(integer) = value.get_ref() else {
            return reader.wrong_type(value, at, "a whole number");
        };
        let read = u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(Self::new);
        if read.is_none() {
            let message = format!("`{at}` must be from 0 to 100");
            let fault = reader
                .error(codes::OUT_OF_RANGE, value.span(), message)
                .label("out of range");
            reader.report(fault.help("write a whole number: so many of a hundred users"));
        }
        read
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 100 })
    }
}

/// A text that users are shown, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownText(pub(crate) Box<str>);

/// Longest text that users are shown, in bytes.
const SHOWN_BYTES: usize = 512;

impl FromText for ShownText {
    const CODE: &'static str = codes::BAD_TEXT;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if text.trim().is_empty() {
            Err(TextError::new("empty", "tell the user what is going on"))
        } else if text.len() > SHOWN_BYTES {
            let length = text.len();
            Err(TextError::new(
                format!("too long: {length} bytes"),
                "a text that users are shown has at most 512 bytes",
            ))
        } else if text.contains(char::is_control) {
            Err(TextError::new(
                "a text with control characters",
                "write it in one line, without tabs",
            ))
        } else {
            Ok(Self(text.into()))
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 512 })
    }
}

text_types!(UserAddress, RoomId, IpAddress, ShownText);

macro_rules! schema_of_text {
    ($($name:ident),*) => { $(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                <Self as FromText>::schema()
            }
        }
    )* };
}

// Those that have a `FromStr` of their own, or none on purpose: every text is a pattern.
schema_of_text!(UserPattern, RoomPattern, Glob, Network);
