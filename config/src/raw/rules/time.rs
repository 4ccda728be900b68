//! Times in rules, and the clocks they are meant by.

use std::borrow::Cow;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, tz};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::codes;
use crate::reader::{FromToml, Reader};
use crate::text::{FromText, TextError, text_types};

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

text_types!(Zone);
