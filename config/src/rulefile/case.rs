//! A test case from what is written.

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use toml::Spanned;

use crate::codes;
use crate::diagnostic::{Diagnostics, Source};
use crate::names::{ListenerName, PoolName, Region, RuleName};
use crate::raw::rules as raw;
use crate::reader::Key;
use crate::rules::{Case, Class, Expectation, Expected, Place};

/// A test case as its file says it. What it names is not looked for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaseDraft {
    pub(crate) case: Case,
    pub(crate) listener: Option<(ListenerName, Range<usize>)>,
    pub(crate) pools: Vec<(PoolName, Range<usize>)>,
    pub(crate) region: Option<(Region, Range<usize>)>,
    pub(crate) rule: Option<(RuleName, Range<usize>)>,
}

/// When a case asks that does not say when: before every window that anybody writes, and always the same.
const LONG_AGO: i64 = 946_684_800;

/// The case, if nothing is wrong with it.
pub(super) fn draft(
    raw: Spanned<raw::Case>,
    source: &Source<'_>,
    faults: &mut Diagnostics,
) -> Option<CaseDraft> {
    let heading = raw.span();
    let raw = raw.into_inner();
    let mut sound = !(raw.room.is_bad()
        || raw.room_name.is_bad()
        || raw.category.is_bad()
        || raw.act.is_bad()
        || raw.client.is_bad()
        || raw.from_ip.is_bad()
        || raw.listener.is_bad()
        || raw.at.is_bad()
        || raw.zone.is_bad());
    for (key, given) in [("room_name", &raw.room_name), ("category", &raw.category)] {
        if let Some(value) = given.given()
            && raw.room.is_absent()
        {
            sound = false;
            let fault = source.error(
                codes::EXPECTATION,
                value.span(),
                format!("`{key}` needs a `room`"),
            );
            faults.push(fault.help("add `room = \"ma-chan://domain/value\"`"));
        }
    }
    let zone = raw.zone.get().map_or(TimeZone::UTC, |zone| zone.0.clone());
    let at = match raw.at.given() {
        None => Timestamp::from_second(LONG_AGO).ok(),
        Some(at) => match at.get_ref().resolve(&zone) {
            Ok(at) => Some(at),
            Err(_) if raw.zone.is_bad() => None,
            Err(error) => {
                let fault = source.error(codes::BAD_TIME, at.span(), format!("`at` is {error}"));
                faults.push(fault.help(error.help().to_owned()));
                None
            }
        },
    };
    let expect = match raw.expect {
        Key::Given(expect) => Some(expect),
        Key::Absent | Key::Bad => None,
    };
    let expect = expect.and_then(|expect| expectation(expect, source, faults));
    let case = Case {
        name: raw.name.get()?.clone(),
        place: Place {
            file: source.name().clone(),
            line: u32::try_from(source.line(heading.start)).unwrap_or(u32::MAX),
        },
        user: raw.user.get()?.0.clone(),
        room: raw.room.get().map(|room| room.0.clone()),
        room_name: text(&raw.room_name),
        category: text(&raw.category),
        act: raw.act.get().copied().unwrap_or(Class::Read),
        client: raw.client.get().map(|client| client.as_str().into()),
        network: raw.from_ip.get().map(|address| address.0),
        listener: raw.listener.get().cloned(),
        at: at?,
        expect: expect.as_ref()?.0.clone(),
    };
    let (_, pools, region, rule) = expect?;
    let listener = raw
        .listener
        .given()
        .map(|listener| (listener.get_ref().clone(), listener.span()));
    sound.then_some(CaseDraft {
        case,
        listener,
        pools,
        region,
        rule,
    })
}

fn text(key: &Key<String>) -> Box<str> {
    key.get().map_or("", String::as_str).into()
}

type Named = (
    Expectation,
    Vec<(PoolName, Range<usize>)>,
    Option<(Region, Range<usize>)>,
    Option<(RuleName, Range<usize>)>,
);

fn expectation(
    raw: Spanned<raw::Expect>,
    source: &Source<'_>,
    faults: &mut Diagnostics,
) -> Option<Named> {
    let span = raw.span();
    let raw = raw.into_inner();
    let words = [
        ("pool", raw.pool.given().map(Spanned::span)),
        ("directory", raw.directory.given().map(Spanned::span)),
        ("refused", raw.refused.given().map(Spanned::span)),
        ("maintenance", raw.maintenance.given().map(Spanned::span)),
        ("read_only", raw.read_only.given().map(Spanned::span)),
    ];
    let sound = !(raw.pool.is_bad()
        || raw.directory.is_bad()
        || raw.refused.is_bad()
        || raw.maintenance.is_bad()
        || raw.read_only.is_bad()
        || raw.rule.is_bad()
        || raw.notice.is_bad()
        || raw.region.is_bad()
        || raw.shadow.is_bad());
    let given: Vec<(&str, Range<usize>)> = words
        .into_iter()
        .filter_map(|(word, span)| Some((word, span?)))
        .collect();
    if let [(first, _), (second, place), ..] = given.as_slice() {
        let message = format!("both `{first}` and `{second}` cannot come of one question");
        let fault = source.error(codes::EXPECTATION, place.clone(), message);
        faults.push(fault.help("remove one of the two"));
        return None;
    }
    let nothing = given.is_empty()
        && raw.rule.is_absent()
        && raw.notice.is_absent()
        && raw.region.is_absent()
        && raw.shadow.is_absent();
    if nothing && sound {
        let fault = source.error(codes::EXPECTATION, span, "the test expects nothing");
        faults.push(fault.help(
            "write for example `expect = { pool = \"hq\" }` or `expect = { directory = true }`",
        ));
        return None;
    }
    if let (Some((_, place)), true) = (
        given.iter().find(|(word, _)| *word == "directory"),
        raw.rule.given().is_some(),
    ) {
        let message = "no rule decides what is left to the directory";
        let fault = source.error(codes::EXPECTATION, place.clone(), message);
        faults.push(fault.help("remove `directory` or `rule`"));
        return None;
    }
    if !sound {
        return None;
    }
    let outcome = given.first().and_then(|(word, _)| {
        Some(match *word {
            "pool" => Expected::Pool(raw.pool.get()?.clone()),
            "directory" => Expected::Directory,
            "refused" => Expected::Refused,
            "maintenance" => Expected::Maintenance,
            _ => Expected::ReadOnly,
        })
    });
    let mut pools = Vec::new();
    if let Some(pool) = raw.pool.given() {
        pools.push((pool.get_ref().clone(), pool.span()));
    }
    if let Some(shadow) = raw.shadow.given()
        && let Some(pool) = &shadow.get_ref().0
    {
        pools.push((pool.clone(), shadow.span()));
    }
    let region = raw
        .region
        .given()
        .and_then(|region| Some((region.get_ref().0.clone()?, region.span())));
    let rule = raw
        .rule
        .given()
        .map(|rule| (rule.get_ref().clone(), rule.span()));
    let expectation = Expectation {
        outcome,
        rule: rule.as_ref().map(|(rule, _)| rule.clone()),
        notice: raw
            .notice
            .get()
            .map(|notice| notice.0.as_ref().map(|text| text.0.clone())),
        region: raw.region.get().map(|region| region.0.clone()),
        shadow: raw.shadow.get().map(|shadow| shadow.0.clone()),
    };
    Some((expectation, pools, region, rule))
}
