//! What is odd about rules and directory together: rules that send users where rooms are not, rooms whose users do not meet,
//! and fences around pools on which the rooms are not.
//!
//! Rules are not tried on each room: what a rule asks of rooms finds them by index, and rules that ask nothing of rooms concern
//! all rooms of a kind alike.

mod matched;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use holdover_config::rules::{Condition, Rule, Test, Then, UserPattern};
use holdover_config::{PoolName, Region, Remark, codes};
use jiff::Timestamp;

use super::Routing;
use crate::directory::{Entry, State};
use crate::pool::PoolId;
use matched::{Number, Rooms, is_about_rooms};

/// How many rooms a message names.
const NAMED: usize = 3;

/// What the rooms of one kind have in common.
#[derive(Debug)]
struct Kind {
    /// Where the directory sends users; none: they are refused.
    default: Option<PoolId>,
    /// The room's own pool, on which it may still have to arrive.
    own: PoolId,
    /// Whether users can be in the room on each pool.
    reach: Vec<bool>,
}

impl Kind {
    fn reaches(&self, pool: PoolId) -> bool {
        let reaches = self.reach.get(usize::from(pool.0));
        reaches.copied().unwrap_or_default()
    }
}

/// A rule that routes, as far as it is looked at.
struct Route<'r> {
    number: usize,
    pools: Vec<(PoolId, &'r PoolName)>,
    /// Whether some users are meant and others are not.
    is_partial: bool,
    /// Whether it comes and goes with time.
    is_timed: bool,
    /// Whether it is meant that its users do not meet others.
    is_apart: bool,
    /// Its rooms; none: all.
    rooms: Option<Rc<[Number]>>,
}

/// A rule that demands a region: its number, the region, and its rooms; none: all.
type Fence<'r> = (usize, &'r Region, Option<Rc<[Number]>>);

/// Rooms that do not exist where a rule sends users.
struct Lacking<'r> {
    rule: usize,
    pool: &'r PoolName,
    missing: Few,
    /// How many later rules send the same rooms there.
    others: usize,
}

/// Some rooms, and how they are told.
#[derive(Clone, Debug, Default)]
struct Few {
    count: usize,
    first: Vec<Number>,
}

impl Few {
    fn push(&mut self, number: Number) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(number);
        }
    }
}

impl FromIterator<Number> for Few {
    fn from_iter<I: IntoIterator<Item = Number>>(numbers: I) -> Self {
        let mut some = Self::default();
        numbers.into_iter().for_each(|number| some.push(number));
        some
    }
}

/// Finds what is odd, at the time `now`. Rules that are not enabled, or are over, are left alone.
#[must_use]
pub fn review(routing: &Routing, now: Timestamp) -> Vec<Remark> {
    let Some(rooms) = Rooms::new(&routing.directory) else {
        return Vec::new();
    };
    let mut review = Review {
        routing,
        kinds: Vec::new(),
        kind_of: Vec::new(),
        rooms,
        remarks: Vec::new(),
    };
    review.sort_rooms();
    review.run(now);
    review.remarks
}

struct Review<'r> {
    routing: &'r Routing,
    kinds: Vec<Kind>,
    /// By the number of the room; none for those that are gone.
    kind_of: Vec<Option<u32>>,
    rooms: Rooms,
    remarks: Vec<Remark>,
}

impl<'r> Review<'r> {
    fn sort_rooms(&mut self) {
        let mut known: HashMap<(State, PoolId, Vec<PoolId>), u32> = HashMap::new();
        for (_, _, entry) in self.rooms.all() {
            if entry.state() == State::Retired {
                self.kind_of.push(None);
                continue;
            }
            let id = |name: &PoolName| self.routing.pool(name);
            let further = self.routing.directory.further(entry);
            let mut further: Vec<PoolId> = further.iter().map(|one| id(one.pool())).collect();
            further.sort_unstable();
            let kinds = &mut self.kinds;
            let routing = self.routing;
            let key = (entry.state(), id(entry.pool()), further);
            let kind = *known.entry(key).or_insert_with(|| {
                kinds.push(kind(routing, entry));
                u32::try_from(kinds.len() - 1).unwrap_or(u32::MAX)
            });
            self.kind_of.push(Some(kind));
        }
    }

    fn run(&mut self, now: Timestamp) {
        let rules = self.routing.rules.rules();
        let mut routes = Vec::new();
        let mut fences = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if !rule.enabled || is_over(rule, now) {
                continue;
            }
            if !matches!(rule.then, Then::Route(_) | Then::Fence { .. }) {
                continue;
            }
            let asked: Vec<&Condition> =
                rule.when.iter().filter(|one| is_about_rooms(one)).collect();
            let rooms = if asked.is_empty() {
                None
            } else if let Some(matched) = self.rooms.matched(&asked) {
                Some(matched)
            } else {
                self.remarks.push(Remark {
                    rule: number,
                    pool: None,
                    code: codes::NO_TARGET,
                    message: "this rule and those after it were not compared with the rooms".into(),
                    help: "there are too many of both: let rules ask for `category`, or for rooms by the beginning of their identifiers"
                        .into(),
                });
                break;
            };
            match &rule.then {
                Then::Route(shares) => routes.push(Route {
                    number,
                    pools: shares
                        .as_slice()
                        .iter()
                        .filter(|share| share.percent.get() > 0)
                        .map(|share| (self.routing.pool(&share.pool), &share.pool))
                        .collect(),
                    is_partial: rule.when.iter().any(is_partial),
                    is_timed: rule
                        .when
                        .iter()
                        .any(|one| matches!(one.test, Test::Time(_))),
                    is_apart: rule.apart,
                    rooms,
                }),
                Then::Fence { region } => fences.push((number, region, rooms)),
                _ => {}
            }
        }
        self.without_targets(&routes);
        self.who_do_not_meet(&routes);
        self.outside(&fences, &routes);
    }

    /// Rooms that rules send to a pool on which they do not exist. Rules that ask for the same rooms are told once.
    fn without_targets(&mut self, routes: &[Route<'r>]) {
        let mut told: Vec<Lacking<'r>> = Vec::new();
        let mut known: HashMap<(Option<*const Number>, PoolId), usize> = HashMap::new();
        for route in routes {
            for (pool, name) in &route.pools {
                // Equal conditions have one and the same list.
                let rooms = route.rooms.as_ref().map(|rooms| rooms.as_ptr());
                if let Some(lacking) = known.get(&(rooms, *pool)).and_then(|at| told.get_mut(*at)) {
                    lacking.others += 1;
                    continue;
                }
                let lacks = |number: &Number| {
                    let kind = self.kind(*number);
                    // What is still to be moved there is refused with its own reason.
                    kind.is_some_and(|kind| !kind.reaches(*pool) && kind.own != *pool)
                };
                let missing = match &route.rooms {
                    Some(rooms) => rooms.iter().copied().filter(lacks).collect(),
                    None => self.numbers().filter(lacks).collect(),
                };
                known.insert((rooms, *pool), told.len());
                told.push(Lacking {
                    rule: route.number,
                    pool: name,
                    missing,
                    others: 0,
                });
            }
        }
        for lacking in told.iter().filter(|lacking| lacking.missing.count > 0) {
            let Lacking { rule, pool, .. } = lacking;
            let which = self.named(&lacking.missing);
            let (have, are) = match lacking.missing.count {
                1 => ("has", "the room is"),
                _ => ("have", "the rooms are"),
            };
            let senders = match lacking.others {
                0 => "the rule sends".to_owned(),
                1 => "the rule and another one send".to_owned(),
                others => format!("the rule and {others} others send"),
            };
            self.remarks.push(Remark {
                rule: *rule,
                pool: Some((*pool).clone()),
                code: codes::NO_TARGET,
                message: format!("{which} {have} no identifier on the pool `{pool}`, where {senders} users"),
                help: format!(
                    "{are} refused to them: add lines with the state `also`, or let the rule ask for other rooms"
                ),
            });
        }
    }

    /// Rooms whose users are sent to different pools.
    fn who_do_not_meet(&mut self, routes: &[Route<'r>]) {
        let all: Vec<&Route<'_>> = routes
            .iter()
            .filter(|route| route.rooms.is_none())
            .collect();
        let ways_of_kind: Vec<Ways> = self
            .kinds
            .iter()
            .map(|kind| Ways::new(kind, all.iter().copied()))
            .collect();
        let mut special: HashMap<Number, Vec<&Route<'_>>> = HashMap::new();
        for route in routes {
            for number in route.rooms.iter().flat_map(|rooms| rooms.iter()) {
                special.entry(*number).or_default().push(route);
            }
        }
        let mut split: BTreeMap<Vec<(usize, PoolId)>, Few> = BTreeMap::new();
        for number in self.numbers() {
            let kind = self.kind_of.get(number as usize).copied().flatten();
            let Some(kind) = kind.map(|kind| kind as usize) else {
                continue;
            };
            let (Some(general), Some(kind)) = (ways_of_kind.get(kind), self.kinds.get(kind)) else {
                continue;
            };
            let ways = match special.get(&number) {
                None => general.all(kind),
                Some(special) => general.with(kind, special),
            };
            if ways.len() > 1 {
                split.entry(ways).or_default().push(number);
            }
        }
        for (ways, rooms) in split {
            self.tell_split(&ways, &rooms);
        }
    }

    fn tell_split(&mut self, ways: &[(usize, PoolId)], rooms: &Few) {
        let rules = self.routing.rules.rules();
        let mut parts = Vec::new();
        for (rule, pool) in ways {
            let pool = self.routing.pools.name(*pool).map_or("", PoolName::as_str);
            parts.push(match rules.get(*rule) {
                Some(rule) => format!("to `{pool}` by `{}` ({})", rule.name, rule.place),
                None => format!("to `{pool}` by the directory"),
            });
        }
        let Some(&(rule, pool)) = ways.first() else {
            return;
        };
        let which = self.named(rooms);
        self.remarks.push(Remark {
            rule,
            pool: self.routing.pools.name(pool).cloned(),
            code: codes::USERS_APART,
            message: format!("users of {which} may be sent {} and do not meet", parts.join(", ")),
            help: "to keep a room together let rules ask for the room (`room`, `room_name` or `category`) and not for the user; \
                   if it is meant, as in a pilot, write `apart = true` in the rule"
                .into(),
        });
    }

    /// Rooms of a fence that are on no pool in its region, or to which no rule leads there.
    fn outside(&mut self, fences: &[Fence<'r>], routes: &[Route<'r>]) {
        let pools = &self.routing.pools;
        for (rule, region, rooms) in fences {
            let is_inside = |pool: PoolId| pools.region(pool) == Some(*region);
            let routed: Vec<PoolId> = routes
                .iter()
                .flat_map(|route| route.pools.iter().map(|(pool, _)| *pool))
                .filter(|pool| is_inside(*pool))
                .collect();
            let is_out: Vec<bool> = self
                .kinds
                .iter()
                .map(|kind| {
                    let leads_in = kind.default.is_some_and(is_inside)
                        || routed.iter().any(|pool| kind.reaches(*pool));
                    !leads_in && kind.default.is_some()
                })
                .collect();
            let kind_of = &self.kind_of;
            let lacks = |number: &Number| {
                let kind = kind_of.get(*number as usize).copied().flatten();
                kind.is_some_and(|kind| is_out.get(kind as usize).copied().unwrap_or_default())
            };
            let out: Few = match rooms {
                Some(rooms) => rooms.iter().copied().filter(lacks).collect(),
                None => self.numbers().filter(lacks).collect(),
            };
            if out.count == 0 {
                continue;
            }
            let which = self.named(&out);
            let are = if out.count == 1 { "is" } else { "are" };
            self.remarks.push(Remark {
                rule: *rule,
                pool: None,
                code: codes::OUTSIDE_FENCE,
                message: format!("{which} {are} on no pool in region `{region}` to which users are sent"),
                help: "whom the rule matches is refused there: send users to a pool in the region, or except the rooms".into(),
            });
        }
    }

    fn numbers(&self) -> impl Iterator<Item = Number> + use<> {
        0..Number::try_from(self.kind_of.len()).unwrap_or(Number::MAX)
    }

    fn kind(&self, number: Number) -> Option<&Kind> {
        let kind = self.kind_of.get(number as usize).copied().flatten()?;
        self.kinds.get(kind as usize)
    }

    /// The rooms in words.
    fn named(&self, rooms: &Few) -> String {
        let ids: Vec<String> = rooms
            .first
            .iter()
            .filter_map(|number| Some(format!("`{}`", self.rooms.id(*number)?)))
            .collect();
        let ids = ids.join(", ");
        match rooms.count {
            1 => format!("the room {ids}"),
            count if count <= NAMED => format!("the rooms {ids}"),
            count => format!("{count} rooms ({ids}, …)"),
        }
    }
}

fn kind(routing: &Routing, entry: &Arc<Entry>) -> Kind {
    let own = routing.pool(entry.pool());
    let reach = routing.pools.ids().map(|pool| {
        routing.pools.keeps_ids(pool)
            || routing
                .pools
                .name(pool)
                .is_some_and(|name| routing.directory.target_of(entry, name).is_some())
    });
    let reach: Vec<bool> = reach.collect();
    let is_there = reach.get(usize::from(own.0)).copied().unwrap_or_default();
    Kind {
        default: is_there.then_some(own),
        own,
        reach,
    }
}

/// Where rules that concern all rooms send the users of one kind of room.
#[derive(Debug, Default)]
struct Ways {
    /// The first rule that leads to each pool.
    first: Vec<(usize, PoolId)>,
    /// The first rule that leaves nobody to those after it.
    last: Option<usize>,
}

impl Ways {
    fn new<'r>(kind: &Kind, routes: impl Iterator<Item = &'r Route<'r>>) -> Self {
        let mut ways = Self::default();
        for route in routes {
            ways.add(kind, route);
            if ways.last.is_some() {
                break;
            }
        }
        ways
    }

    fn add(&mut self, kind: &Kind, route: &Route<'_>) {
        // At any time all users are sent alike by what comes and goes.
        if route.is_timed && !route.is_partial {
            return;
        }
        for (pool, _) in route.pools.iter().filter(|_| !route.is_apart) {
            let is_known = self.first.iter().any(|(_, known)| known == pool);
            if kind.reaches(*pool) && !is_known {
                self.first.push((route.number, *pool));
            }
        }
        if !route.is_partial {
            self.last = Some(route.number);
        }
    }

    /// The ways of a room that no other rule concerns.
    fn all(&self, kind: &Kind) -> Vec<(usize, PoolId)> {
        let mut ways = self.first.clone();
        if let (None, Some(default)) = (self.last, kind.default)
            && !ways.iter().any(|(_, known)| *known == default)
        {
            ways.push((usize::MAX, default));
        }
        ways
    }

    /// The ways of a room that these rules concern as well.
    fn with(&self, kind: &Kind, special: &[&Route<'_>]) -> Vec<(usize, PoolId)> {
        let own = Self::new(kind, special.iter().copied());
        let last = [self.last, own.last].into_iter().flatten().min();
        let both = self.first.iter().chain(&own.first);
        let mut both: Vec<(usize, PoolId)> = both
            .copied()
            .filter(|(rule, _)| last.is_none_or(|last| *rule <= last))
            .collect();
        both.sort_by_key(|(rule, _)| *rule);
        let mut first: Vec<(usize, PoolId)> = Vec::new();
        for way in both {
            if !first.iter().any(|(_, known)| *known == way.1) {
                first.push(way);
            }
        }
        Self { first, last }.all(kind)
    }
}

/// Whether a condition holds for some users or acts and not for others.
fn is_partial(condition: &Condition) -> bool {
    match &condition.test {
        Test::Room(_) | Test::RoomName(_) | Test::Category(_) | Test::Time(_) => false,
        Test::Percent(percent) => condition.negated || percent.get() < 100,
        Test::User(users) => {
            let is_everybody = users
                .patterns
                .iter()
                .any(|pattern| matches!(pattern, UserPattern::Many(glob) if glob.as_str() == "*"));
            condition.negated || !is_everybody
        }
        Test::Domain(_)
        | Test::Network(_)
        | Test::Listener(_)
        | Test::Client(_)
        | Test::Command(_) => true,
    }
}

fn is_over(rule: &Rule, now: Timestamp) -> bool {
    rule.when.iter().any(|condition| match &condition.test {
        Test::Time(window) => !condition.negated && window.until.is_some_and(|until| until <= now),
        _ => false,
    })
}
