//! A rule from what is written, as far as it can be judged by itself.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use toml::Spanned;

use crate::codes;
use crate::diagnostic::{Diagnostics, Source};
use crate::names::{FilePath, PoolName, Region};
use crate::raw::rules as raw;
use crate::raw::rules::OneOrMore;
use crate::reader::{Key, List};
use crate::rules::{
    Access, Condition, Every, Maintenance, Place, Rule, Share, Shares, Test, Then, UserFile, Users,
    Window,
};
use crate::suggest;

/// A rule as its file says it. What it names is not looked for yet, and its user files are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) rule: Arc<Rule>,
    /// Its heading, or all of it if it is an inline table.
    pub(crate) heading: Range<usize>,
    /// Its name.
    pub(crate) name: Range<usize>,
    /// What it says about being enabled.
    pub(crate) enabled: Option<Range<usize>>,
    /// Where each condition stands, in the order of the rule.
    pub(crate) conditions: Vec<Spans>,
    /// Its action.
    pub(crate) then: Range<usize>,
    /// The pools that it names.
    pub(crate) pools: Vec<(PoolName, Range<usize>)>,
    /// The region that it names.
    pub(crate) region: Option<(Region, Range<usize>)>,
    /// The user files that it names, with the number of the condition.
    pub(crate) user_files: Vec<(usize, Spanned<FilePath>)>,
}

/// Where a condition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spans {
    /// Its value.
    pub(crate) value: Range<usize>,
    /// Each of its alternatives, in the order of the test; none for what is no list.
    pub(crate) elements: Vec<Range<usize>>,
}

/// The rule, if it has a name and an action. What is wrong with its conditions was told.
pub(super) fn draft(
    raw: Spanned<raw::Rule>,
    source: &Source<'_>,
    faults: &mut Diagnostics,
) -> Option<Draft> {
    let heading = raw.span();
    let raw = raw.into_inner();
    let mut conditions = Conditions {
        source,
        faults,
        when: Vec::new(),
        spans: Vec::new(),
        user_files: Vec::new(),
    };
    if let Key::Given(when) = raw.when {
        let (positive, negative) = when.into_inner().split();
        conditions.add(positive, false);
        if let Key::Given(not) = negative {
            conditions.add(not.into_inner(), true);
        }
    }
    let Conditions {
        when,
        spans,
        user_files,
        ..
    } = conditions;
    let mut pools = Vec::new();
    let mut region = None;
    let then_span = raw.then.given().map(Spanned::span);
    let then = match raw.then {
        Key::Given(then) => {
            let span = then.span();
            action(
                then.into_inner(),
                &span,
                source,
                faults,
                &mut pools,
                &mut region,
            )
        }
        Key::Absent | Key::Bad => None,
    };
    if let Some(apart) = raw.apart.given()
        && then
            .as_ref()
            .is_some_and(|then| !matches!(then, Then::Route(_)))
    {
        let message = "`apart` has no effect: the rule sends nobody to a pool";
        let fault = source.warning(codes::NO_EFFECT, apart.span(), message);
        faults.push(fault.help("remove it: it belongs to rules with `pool` or `pools`"));
    }
    let name = raw.name.given()?.span();
    let enabled = raw.enabled.given().map(Spanned::span);
    let rule = Rule {
        name: raw.name.get()?.clone(),
        enabled: raw.enabled.get().copied().unwrap_or(true),
        apart: raw.apart.get().copied().unwrap_or(false),
        place: Place {
            file: Arc::clone(source.name()),
            line: u32::try_from(source.line(heading.start)).unwrap_or(u32::MAX),
        },
        when,
        then: then?,
    };
    // A condition that was told as a fault is left out: the file cannot be used, but the pools that the rule names are
    // looked for.
    Some(Draft {
        rule: Arc::new(rule),
        heading,
        name,
        enabled,
        conditions: spans,
        then: then_span.unwrap_or_default(),
        pools,
        region,
        user_files,
    })
}

/// Collects the conditions of a rule.
struct Conditions<'s, 't> {
    source: &'s Source<'t>,
    faults: &'s mut Diagnostics,
    when: Vec<Condition>,
    spans: Vec<Spans>,
    user_files: Vec<(usize, Spanned<FilePath>)>,
}

impl Conditions<'_, '_> {
    fn add(&mut self, raw: raw::Not, negated: bool) {
        self.users(raw.user, raw.user_file, negated);
        self.list(raw.domain, negated, Test::Domain);
        self.list(raw.network, negated, Test::Network);
        self.list(raw.listener, negated, Test::Listener);
        self.list(raw.client, negated, Test::Client);
        self.list(raw.room, negated, Test::Room);
        self.list(raw.room_name, negated, Test::RoomName);
        self.list(raw.category, negated, Test::Category);
        self.list(raw.command, negated, |classes| {
            Test::Command(classes.iter().copied().collect())
        });
        self.window(&raw.from, &raw.until, &raw.zone, negated);
        if let Some(percent) = raw.percent.given() {
            self.push(
                Test::Percent(*percent.get_ref()),
                negated,
                percent.span(),
                Vec::new(),
            );
        }
    }

    fn push(
        &mut self,
        test: Test,
        negated: bool,
        value: Range<usize>,
        elements: Vec<Range<usize>>,
    ) {
        self.when.push(Condition { negated, test });
        self.spans.push(Spans { value, elements });
    }

    fn list<T>(
        &mut self,
        key: Key<OneOrMore<T>>,
        negated: bool,
        test: impl FnOnce(Box<[T]>) -> Test,
    ) {
        if let Some((span, spans, values)) = self.values(key) {
            self.push(test(values.into()), negated, span, spans);
        }
    }

    /// The values of a key with their places. `None` if it is not there.
    #[expect(
        clippy::type_complexity,
        reason = "three things that are taken apart at once"
    )]
    fn values<T>(
        &mut self,
        key: Key<OneOrMore<T>>,
    ) -> Option<(Range<usize>, Vec<Range<usize>>, Vec<T>)> {
        match key {
            Key::Absent | Key::Bad => None,
            Key::Given(given) => {
                let span = given.span();
                let OneOrMore(List { elements, .. }) = given.into_inner();
                let spans = elements.iter().map(Spanned::span).collect();
                let values = elements.into_iter().map(Spanned::into_inner).collect();
                Some((span, spans, values))
            }
        }
    }

    fn users(
        &mut self,
        user: Key<OneOrMore<crate::rules::UserPattern>>,
        file: Key<FilePath>,
        negated: bool,
    ) {
        let named = self.values(user);
        let file = match file {
            Key::Given(file) => Some(file),
            Key::Absent | Key::Bad => None,
        };
        let place = match (&named, &file) {
            (Some((span, ..)), _) => span.clone(),
            (None, Some(file)) => file.span(),
            (None, None) => return,
        };
        let (spans, patterns) = match named {
            Some((_, spans, patterns)) => (spans, patterns),
            None => (Vec::new(), Vec::new()),
        };
        let of_file = file.map(|file| {
            let place = Place {
                file: file.get_ref().as_written().into(),
                line: u32::try_from(self.source.line(file.span().start)).unwrap_or(u32::MAX),
            };
            self.user_files.push((self.when.len(), file));
            UserFile {
                place,
                users: Arc::default(),
            }
        });
        let users = Users {
            patterns: patterns.into(),
            file: of_file,
        };
        self.push(Test::User(users), negated, place, spans);
    }

    fn window(
        &mut self,
        from: &Key<raw::Time>,
        until: &Key<raw::Time>,
        zone: &Key<raw::Zone>,
        negated: bool,
    ) {
        if zone.is_bad() {
            return;
        }
        let given = [("from", from), ("until", until)]
            .map(|(key, time)| time.given().map(|time| (key, *time.get_ref(), time.span())));
        let is_local = |time: &Option<(&str, raw::Time, Range<usize>)>| {
            time.as_ref()
                .is_some_and(|(_, time, _)| matches!(time, raw::Time::Local(_)))
        };
        if let Some(zone) = zone.given()
            && !given.iter().any(is_local)
            && !from.is_bad()
            && !until.is_bad()
        {
            let fault = self.source.warning(
                codes::NO_EFFECT,
                zone.span(),
                "`zone` has no effect: no time is meant in it",
            );
            self.faults
                .push(fault.help("remove it, or write `from` and `until` without an offset"));
        }
        let zone = zone.get().map_or(TimeZone::UTC, |zone| zone.0.clone());
        let mut span: Option<Range<usize>> = None;
        let [from, until] = given.map(|time| {
            let (key, time, place) = time?;
            span.get_or_insert_with(|| place.clone()).end = place.end;
            self.moment(key, time, place, &zone)
        });
        let Some(span) = span else { return };
        if let (Some((from, _)), Some((until, place))) = (&from, &until)
            && from >= until
        {
            let fault = self.source.error(
                codes::EMPTY_WINDOW,
                place.clone(),
                "`until` is not after `from`: the window is empty",
            );
            self.faults
                .push(fault.help("`until` is the first moment that is not in the window any more"));
        }
        let window = Window {
            from: from.map(|(at, _)| at),
            until: until.map(|(at, _)| at),
        };
        self.push(Test::Time(window), negated, span, Vec::new());
    }

    fn moment(
        &mut self,
        key: &str,
        time: raw::Time,
        place: Range<usize>,
        zone: &TimeZone,
    ) -> Option<(Timestamp, Range<usize>)> {
        match time.resolve(zone) {
            Ok(at) => Some((at, place)),
            Err(error) => {
                let fault =
                    self.source
                        .error(codes::BAD_TIME, place, format!("`{key}` is {error}"));
                self.faults.push(fault.help(error.help().to_owned()));
                None
            }
        }
    }
}

/// Every action with its key.
const ACTIONS: &[&str] = &[
    "pool",
    "pools",
    "refuse",
    "maintenance",
    "read_only",
    "notice",
    "shadow",
    "region",
];

/// What the rule does. `None`: it is wrong, and was told.
fn action(
    raw: raw::Then,
    span: &Range<usize>,
    source: &Source<'_>,
    faults: &mut Diagnostics,
    pools: &mut Vec<(PoolName, Range<usize>)>,
    region: &mut Option<(Region, Range<usize>)>,
) -> Option<Then> {
    let routes = !raw.pool.is_absent() || !raw.pools.is_absent();
    let given = [
        place(&raw.pool),
        place(&raw.pools),
        place(&raw.refuse),
        place(&raw.maintenance),
        place(&raw.read_only),
        place(&raw.notice),
        place(&raw.shadow),
        place(&raw.region),
    ];
    let mut there: Vec<(&str, Option<Range<usize>>)> = ACTIONS
        .iter()
        .zip(given)
        .filter_map(|(key, place)| Some((*key, place?)))
        .collect();
    // A region beside pools is no action of its own.
    if routes {
        there.retain(|(key, _)| *key != "region");
    }
    match there.as_slice() {
        [] => {
            let fault = source.error(codes::ACTION, span.clone(), "the rule does nothing");
            faults.push(
                fault
                    .label("no action")
                    .help(format!("the actions are: {}", suggest::list(ACTIONS))),
            );
            return None;
        }
        [_] => {}
        [(first, _), (second, place), ..] => {
            let place = place.clone().unwrap_or_else(|| span.clone());
            let fault = source.error(
                codes::ACTION,
                place,
                format!("the rule has more than one action: `{first}` and `{second}`"),
            );
            faults.push(
                fault
                    .label("the second action")
                    .help("one rule does one thing: write a second rule"),
            );
            return None;
        }
    }
    if raw.region.is_bad() {
        return None;
    }
    if let Key::Given(demanded) = &raw.region {
        *region = Some((demanded.get_ref().clone(), demanded.span()));
    }
    if let Key::Given(pool) = raw.pool {
        pools.push((pool.get_ref().clone(), pool.span()));
        return Some(Then::Route(Shares::one(pool.into_inner())));
    }
    if let Key::Given(list) = raw.pools {
        return shares(list, source, faults, pools);
    }
    if let Key::Given(text) = raw.refuse {
        let text = text.into_inner().0;
        return Some(Then::Refuse { text });
    }
    if let Key::Given(value) = raw.maintenance {
        return maintenance(value.into_inner()).map(Then::Maintenance);
    }
    if let Key::Given(text) = raw.read_only {
        let text = text.into_inner().0;
        return Some(Then::ReadOnly { text });
    }
    if let Key::Given(value) = raw.notice {
        return notice(value.into_inner());
    }
    if let Key::Given(pool) = raw.shadow {
        pools.push((pool.get_ref().clone(), pool.span()));
        let pool = pool.into_inner();
        return Some(Then::Shadow { pool });
    }
    match (routes, raw.region) {
        (false, Key::Given(region)) => Some(Then::Fence {
            region: region.into_inner(),
        }),
        _ => None,
    }
}

/// Whether a key is there; where, if it is right.
#[expect(
    clippy::option_option,
    reason = "not there, there and wrong, there and right"
)]
fn place<T>(key: &Key<T>) -> Option<Option<Range<usize>>> {
    match key {
        Key::Absent => None,
        Key::Bad => Some(None),
        Key::Given(value) => Some(Some(value.span())),
    }
}

fn shares(
    list: Spanned<List<raw::ShareTable>>,
    source: &Source<'_>,
    faults: &mut Diagnostics,
    pools: &mut Vec<(PoolName, Range<usize>)>,
) -> Option<Then> {
    let span = list.span();
    let List { elements, complete } = list.into_inner();
    let written = elements.len();
    let mut shares: Vec<Share> = Vec::with_capacity(written);
    let mut sound = complete;
    for share in elements {
        let raw::ShareTable { pool, percent } = share.into_inner();
        if let Some(pool) = pool.given() {
            if pools.iter().any(|(other, _)| other == pool.get_ref()) {
                sound = false;
                let fault = source.error(
                    codes::SHARES,
                    pool.span(),
                    format!("the pool `{}` has two shares", pool.get_ref()),
                );
                faults.push(fault.help("add them up, or name another pool"));
            }
            pools.push((pool.get_ref().clone(), pool.span()));
        }
        if let (Some(pool), Some(percent)) = (pool.get(), percent.get()) {
            shares.push(Share {
                pool: pool.clone(),
                percent: *percent,
            });
        }
    }
    sound &= shares.len() == written;
    if !sound {
        return None;
    }
    let sum: u32 = shares
        .iter()
        .map(|share| u32::from(share.percent.get()))
        .sum();
    let made = Shares::new(shares);
    if made.is_none() {
        let message = if written == 0 {
            "`pools` names no pool".to_owned()
        } else {
            format!("the shares make {sum}, not 100")
        };
        let fault = source.error(codes::SHARES, span, message);
        faults.push(
            fault.help("every user must go to one of the pools: the shares make 100 together"),
        );
    }
    made.map(Then::Route)
}

fn maintenance(value: raw::MaintenanceValue) -> Option<Maintenance> {
    match value {
        raw::MaintenanceValue::Text(text) => Some(Maintenance {
            text: text.0,
            access: Access::Closed,
            sign_ins_per_sec: None,
        }),
        raw::MaintenanceValue::Table(table) => {
            if table.access.is_bad() || table.sign_ins_per_sec.is_bad() {
                return None;
            }
            Some(Maintenance {
                text: table.text.get()?.0.clone(),
                access: table.access.get().copied().unwrap_or(Access::Closed),
                sign_ins_per_sec: std::num::NonZeroU32::new(table.sign_ins_per_sec.value()),
            })
        }
    }
}

fn notice(value: raw::NoticeValue) -> Option<Then> {
    match value {
        raw::NoticeValue::Text(text) => Some(Then::Notice {
            text: text.0,
            every: Every::SignIn,
        }),
        raw::NoticeValue::Table(table) => {
            if table.every.is_bad() {
                return None;
            }
            Some(Then::Notice {
                text: table.text.get()?.0.clone(),
                every: table.every.get().copied().unwrap_or(Every::SignIn),
            })
        }
    }
}
