//! Rules and their tests as they are written.

use std::borrow::Cow;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, tz};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Map;
use toml::Spanned;
use toml::de::DeValue;

use super::{described, presence, table_schema, tables};
use crate::codes;
use crate::names::{Domain, FilePath, ListenerName, PoolName, Region, RuleName};
use crate::reader::{FromToml, Int, Key, List, Presence, Reader};
use crate::rules::{
    Access, Class, Every, Glob, Network, NetworkError, Percent, RoomPattern, UserPattern,
};
use crate::text::{FromText, TextError, text_types};

tables! {
    /// A file of rules, in the folder `rules.d` beside the configuration.
    struct RuleRoot {
        /// Routing rules.
        optional rule: List<Rule>,
        /// Test cases of the rules, for `holdover rules test`.
        optional test: List<Case>,
    }

    /// A routing rule. The first rule that matches wins, for each of these by itself: which pool or none (`pool`, `pools`,
    /// `refuse`, `maintenance`, `read_only`), which region, which notice, which shadow.
    struct Rule {
        /// Name in logs and commands, unique among the rules of all files: printable, at most 128 bytes.
        required name: RuleName,
        /// Whether the rule counts at all. Default: true.
        optional enabled: bool,
        /// Users of one room may be on different pools by this rule, as those of a pilot are, and `check` does not warn of it.
        /// Default: false.
        optional apart: bool,
        /// Conditions that must all hold. Default: none, so that the rule always matches.
        optional when: When,
        /// What the rule does: exactly one action; `region` may stand beside `pool` or `pools`.
        required then: Then,
    }

    /// What a rule does.
    struct Then {
        /// Another pool than the directory's.
        optional pool: PoolName,
        /// Several pools among which users are divided. The shares make 100 together.
        optional pools: List<ShareTable>,
        /// Refuses, and tells the user this text of at most 512 bytes.
        optional refuse: ShownText,
        /// Refuses for now: a text for the user, or a table.
        optional maintenance: MaintenanceValue,
        /// Refuses what writes, and tells the user this text. What only reads goes on to the rules after this one.
        optional read_only: ShownText,
        /// A line that is shown in the room: a text, or a table.
        optional notice: NoticeValue,
        /// A second pool that is asked too, to compare its answers, when something is only read.
        optional shadow: PoolName,
        /// Only pools of this region. Beside `pool` or `pools`: these must be in it.
        optional region: Region,
    }

    /// A pool and its share of the users.
    struct ShareTable {
        /// The pool.
        required pool: PoolName,
        /// How many of a hundred users it gets. A user always stays on the same side.
        required percent: Percent,
    }

    /// A maintenance.
    struct MaintenanceTable {
        /// What the user is told.
        required text: ShownText,
        /// `"closed"`, or `"read-only"` to refuse only what writes. Default: `"closed"`.
        optional access: Access,
        /// How many of those it kept out may sign in each second when it is over. 0: all at once.
        optional sign_ins_per_sec: Int<0, 100_000, 0>,
    }

    /// A notice.
    struct NoticeTable {
        /// The line.
        required text: ShownText,
        /// How often a user sees it: `"sign-in"` or `"day"` (UTC). Default: `"sign-in"`.
        optional every: Every,
    }

    /// A test case: a question to the rules, and the expected answer.
    struct Case {
        /// Name of the case, unique among the cases of all files.
        required name: RuleName,
        /// Who asks: `ann@contoso.com`.
        required user: UserAddress,
        /// Legacy identifier of the room in question.
        optional room: RoomId,
        /// Name of the room in the directory; needs `room`.
        optional room_name: String,
        /// Category of the room in the directory; needs `room`.
        optional category: String,
        /// What is done: a word of `command`. `"files"` asks for sending and for fetching. Default: `"read"`.
        optional act: Class,
        /// What the client says it is: its User-Agent.
        optional client: String,
        /// Address of the client.
        optional from_ip: IpAddress,
        /// Listener that the client came to.
        optional listener: ListenerName,
        /// When, written as in `from`. Default: the begin of the year 2000.
        optional at: Time,
        /// Time zone of `at`. Default: UTC.
        optional zone: Zone,
        /// What must come of it: at most one of `pool`, `directory`, `refused`, `maintenance` and `read_only`.
        required expect: Expect,
    }

    /// The expected answer.
    struct Expect {
        /// A rule sends the user to this pool.
        optional pool: PoolName,
        /// No rule says anything: the directory's pool.
        optional directory: Yes,
        /// Refused.
        optional refused: Yes,
        /// Refused for a maintenance.
        optional maintenance: Yes,
        /// Refused as it writes.
        optional read_only: Yes,
        /// The rule that decides this.
        optional rule: RuleName,
        /// The notice that is shown; `false`: none.
        optional notice: OrNone<ShownText>,
        /// The region that is demanded; `false`: none.
        optional region: OrNone<Region>,
        /// The pool that is asked too; `false`: none.
        optional shadow: OrNone<PoolName>,
    }
}

/// Declares the conditions once, for `when` and for the `not` in it.
macro_rules! conditions {
    ($( $(#[doc = $doc:literal])* optional $key:ident: $type:ty, )*) => {
        tables! {
            /// Conditions none of which may hold.
            struct Not {
                $( $(#[doc = $doc])* optional $key: $type, )*
            }

            /// Conditions that must all hold. Of several values of one key, one must fit.
            struct When {
                $( $(#[doc = $doc])* optional $key: $type, )*
                /// The same keys again: conditions that must not hold, each by itself.
                optional not: Not,
            }
        }

        impl When {
            /// The conditions that must hold, and those that must not.
            pub(crate) fn split(self) -> (Not, Key<Not>) {
                (Not { $( $key: self.$key, )* }, self.not)
            }
        }
    };
}

conditions! {
    /// Users: `ann@contoso.com`, or a pattern with `*` and `?`.
    optional user: OneOrMore<UserPattern>,
    /// File with one user in each line, relative to the folder of the configuration file. They count beside those in `user`.
    optional user_file: FilePath,
    /// Domains of the users' addresses.
    optional domain: OneOrMore<Domain>,
    /// Networks that the client is in: `10.0.0.0/8`.
    optional network: OneOrMore<Network>,
    /// Listeners that the client came to.
    optional listener: OneOrMore<ListenerName>,
    /// What the client says it is: patterns of its User-Agent.
    optional client: OneOrMore<Glob>,
    /// Rooms: legacy identifiers, or patterns of them.
    optional room: OneOrMore<RoomPattern>,
    /// Patterns of the room's name in the directory.
    optional room_name: OneOrMore<Glob>,
    /// Patterns of the room's category in the directory.
    optional category: OneOrMore<Glob>,
    /// What is done: `"sign-in"`, `"read"`, `"post"`, `"search"`, `"files"`, `"manage"`.
    optional command: OneOrMore<Class>,
    /// Begin of a time window: `2026-12-05T18:00` in `zone`, or with an offset.
    optional from: Time,
    /// End of the time window, which is not in it any more.
    optional until: Time,
    /// Time zone of `from` and `until`: `Europe/Zurich`. Default: UTC.
    optional zone: Zone,
    /// So many of a hundred users, always the same ones.
    optional percent: Percent,
}

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

impl FromText for UserPattern {
    const CODE: &'static str = codes::BAD_USER;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if text.contains(['*', '?']) {
            let pattern = text
                .strip_prefix("sip:")
                .or_else(|| text.strip_prefix("sips:"))
                .unwrap_or(text);
            return Glob::from_text(pattern).map(Self::Many);
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

/// The value of `maintenance`.
#[derive(Debug)]
pub(crate) enum MaintenanceValue {
    Text(ShownText),
    Table(MaintenanceTable),
}

/// The value of `notice`.
#[derive(Debug)]
pub(crate) enum NoticeValue {
    Text(ShownText),
    Table(NoticeTable),
}

macro_rules! text_or_table {
    ($($name:ident: $table:ident;)*) => { $(
        impl FromToml for $name {
            fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
                match value.get_ref() {
                    DeValue::String(_) => ShownText::read(value, at, reader).map(Self::Text),
                    DeValue::Table(_) => $table::read(value, at, reader).map(Self::Table),
                    _ => reader.wrong_type(value, at, "a text or a table"),
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let text = generator.subschema_for::<ShownText>();
                let table = generator.subschema_for::<$table>();
                json_schema!({ "oneOf": [text, table] })
            }
        }
    )* };
}

text_or_table! {
    MaintenanceValue: MaintenanceTable;
    NoticeValue: NoticeTable;
}

/// `true`, which alone makes sense.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yes;

impl FromToml for Yes {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(true) => Some(Self),
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

/// A time zone by its IANA name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone(pub(crate) TimeZone);

impl FromText for Zone {
    const CODE: &'static str = codes::BAD_ZONE;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if let Ok(zone) = TimeZone::get(text) {
            return Ok(Self(zone));
        }
        let names: Vec<String> = tz::db()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect();
        // The city alone is what people write who do not know the names.
        let city = text.replace(' ', "_");
        let by_city = names.iter().find(|name| {
            name.rsplit('/')
                .next()
                .is_some_and(|last| last.eq_ignore_ascii_case(&city))
        });
        let near = by_city
            .map(String::as_str)
            .or_else(|| crate::suggest::nearest(text, names.iter().map(String::as_str)));
        let help = match near {
            Some(name) => format!("did you mean `{name}`?"),
            None => "write a name of the IANA database such as `Europe/Zurich`".to_owned(),
        };
        Err(TextError::new("not a time zone", help))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// By the clocks of some zone.
    Local(civil::DateTime),
    /// With an offset.
    Fixed(Timestamp),
}

impl Time {
    fn from_text(text: &str) -> Result<Self, TextError> {
        let bad = || {
            TextError::new(
                "not a date and time",
                "write `2026-12-05T18:00`, with `Z` or an offset such as `+01:00` if it is not meant in `zone`",
            )
        };
        let text = text.trim();
        // jiff would read a zone in brackets and, for a local time, forget it.
        if text.contains('[') {
            return Err(bad());
        }
        let clock = text.split(['T', 't', ' ']).nth(1).unwrap_or_default();
        if clock.contains(['Z', 'z', '+', '-']) {
            text.parse().map(Self::Fixed).map_err(|_| bad())
        } else {
            text.parse().map(Self::Local).map_err(|_| bad())
        }
    }

    /// The very moment, if the time is by the clocks of `zone`.
    pub(crate) fn resolve(self, zone: &TimeZone) -> Result<Timestamp, TextError> {
        let local = match self {
            Self::Fixed(at) => return Ok(at),
            Self::Local(local) => local,
        };
        let ambiguous = zone.to_ambiguous_timestamp(local);
        let name = zone.iana_name().unwrap_or("this zone");
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => {}
            AmbiguousOffset::Gap { .. } => {
                let help = match ambiguous.later() {
                    Ok(later) => {
                        let later = zone.to_datetime(later);
                        format!(
                            "the clocks skip it; write `{}`",
                            later.strftime("%Y-%m-%dT%H:%M:%S")
                        )
                    }
                    Err(_) => "the clocks skip it".to_owned(),
                };
                return Err(TextError::new(
                    format!("a time that does not exist in {name}"),
                    help,
                ));
            }
            AmbiguousOffset::Fold { before, after } => {
                let shown = local.strftime("%Y-%m-%dT%H:%M:%S");
                let help = format!(
                    "write `{shown}{}` for the first one or `{shown}{}` for the second",
                    offset(before),
                    offset(after)
                );
                return Err(TextError::new(
                    format!("a time that comes twice in {name}"),
                    help,
                ));
            }
        }
        ambiguous
            .unambiguous()
            .map_err(|_| TextError::new("too far away", "write a year from 1 to 9999"))
    }
}

/// As it stands behind a time.
fn offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

impl FromToml for Time {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Datetime(datetime) => datetime.to_string(),
            _ => return reader.wrong_type(value, at, "a date and time"),
        };
        match Self::from_text(&text) {
            Ok(time) => Some(time),
            Err(error) => {
                let fault =
                    reader.error(codes::BAD_TIME, value.span(), format!("`{at}` is {error}"));
                reader.report(fault.help(error.help.into_owned()));
                None
            }
        }
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}([Tt ]\\d{2}:\\d{2}.*)?$" })
    }
}

text_types!(UserAddress, RoomId, IpAddress, ShownText, Zone);

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
