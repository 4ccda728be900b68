//! What the tests of rules have to do with one another: which holds wherever another holds, and which exclude one another.
//!
//! The answers err on one side: "yes" is certain, "no" may only mean that it cannot be told.

use holdover_protocol::user::UserUri;

use super::act::Act;
use super::condition::{Condition, RoomPattern, Test, UserPattern, Users, Window};
use super::glob::Glob;
use super::{Rule, Then};
use crate::names::Domain;

/// Above this many users in files, nothing is told about them that needs a look at each with each.
const MANY: usize = 10_000;

/// Whether `wide` holds wherever `narrow` holds.
pub(crate) fn covers(wide: &Test, narrow: &Test) -> bool {
    match (wide, narrow) {
        (Test::User(wide), Test::User(narrow)) => users_cover(wide, narrow),
        (Test::Domain(wide), Test::User(narrow)) => {
            narrow
                .patterns
                .iter()
                .all(|pattern| domain_of(pattern).is_some_and(|domain| lists(wide, domain)))
                && of_file(narrow).all(|user| lists(wide, user.domain()))
        }
        (Test::User(wide), Test::Domain(narrow)) => narrow.iter().all(|domain| {
            let all = Glob::new(&format!("*@{domain}"));
            wide.patterns
                .iter()
                .any(|pattern| pattern_covers(pattern, &UserPattern::Many(all.clone())))
        }),
        (Test::Domain(wide), Test::Domain(narrow)) => all_in(wide, narrow, PartialEq::eq),
        (Test::Network(wide), Test::Network(narrow)) => {
            all_in(wide, narrow, |wide, narrow| wide.covers(*narrow))
        }
        (Test::Listener(wide), Test::Listener(narrow)) => all_in(wide, narrow, PartialEq::eq),
        (Test::Client(wide), Test::Client(narrow))
        | (Test::RoomName(wide), Test::RoomName(narrow))
        | (Test::Category(wide), Test::Category(narrow)) => all_in(wide, narrow, Glob::covers),
        (Test::Room(wide), Test::Room(narrow)) => all_in(wide, narrow, room_covers),
        (Test::Command(wide), Test::Command(narrow)) => {
            narrow.iter().all(|class| wide.contains(class))
        }
        (Test::Time(wide), Test::Time(narrow)) => window_covers(*wide, *narrow),
        (Test::Percent(wide), Test::Percent(narrow)) => wide >= narrow,
        _ => false,
    }
}

/// Whether both never hold at once.
pub(crate) fn exclude(a: &Test, b: &Test) -> bool {
    match (a, b) {
        (Test::User(a), Test::User(b)) => users_exclude(a, b),
        (Test::Domain(domains), Test::User(users)) | (Test::User(users), Test::Domain(domains)) => {
            let outside = |pattern: &UserPattern| match pattern {
                UserPattern::One(user) => !lists(domains, user.domain()),
                UserPattern::Many(glob) => !domains
                    .iter()
                    .any(|domain| glob.meets(&Glob::new(&format!("*@{domain}")))),
            };
            users.patterns.iter().all(outside)
                && of_file(users).all(|user| !lists(domains, user.domain()))
        }
        (Test::Domain(a), Test::Domain(b)) => none_with(a, b, PartialEq::eq),
        (Test::Network(a), Test::Network(b)) => {
            none_with(a, b, |a, b| a.covers(*b) || b.covers(*a))
        }
        (Test::Listener(a), Test::Listener(b)) => none_with(a, b, PartialEq::eq),
        (Test::Client(a), Test::Client(b))
        | (Test::RoomName(a), Test::RoomName(b))
        | (Test::Category(a), Test::Category(b)) => none_with(a, b, Glob::meets),
        (Test::Room(a), Test::Room(b)) => none_with(a, b, rooms_meet),
        (Test::Command(a), Test::Command(b)) => a.iter().all(|class| !b.contains(class)),
        (Test::Time(a), Test::Time(b)) => {
            let before = |a: &Window, b: &Window| matches!((a.until, b.from), (Some(until), Some(from)) if until <= from);
            before(a, b) || before(b, a)
        }
        _ => false,
    }
}

/// Whether the test holds for everybody and everything.
pub(crate) fn always(test: &Test) -> bool {
    match test {
        Test::User(users) => users
            .patterns
            .iter()
            .any(|pattern| matches!(pattern, UserPattern::Many(glob) if glob.as_str().bytes().all(|byte| byte == b'*'))),
        Test::Percent(percent) => percent.get() == 100,
        _ => false,
    }
}

/// Whether the test never holds.
pub(crate) fn never(test: &Test) -> bool {
    match test {
        Test::Percent(percent) => percent.get() == 0,
        Test::User(users) => {
            users.patterns.is_empty()
                && users.file.as_ref().is_none_or(|file| file.users.is_empty())
        }
        _ => false,
    }
}

/// Whether `wide` holds wherever `narrow` holds.
pub(crate) fn implies(narrow: &Condition, wide: &Condition) -> bool {
    match (narrow.negated, wide.negated) {
        (false, false) => covers(&wide.test, &narrow.test),
        (true, true) => covers(&narrow.test, &wide.test),
        (false, true) => exclude(&narrow.test, &wide.test),
        (true, false) => false,
    }
}

/// The acts that a rule is about.
pub(crate) fn acts(rule: &Rule) -> impl Iterator<Item = Act> {
    Act::ALL.into_iter().filter(|act| rule.concerns(*act))
}

/// Whether `wide` matches wherever a rule with these conditions and this action matches.
pub(crate) fn rule_covers(wide: &Rule, when: &[Condition], then: &Then, narrow: &Rule) -> bool {
    debug_assert_eq!(wide.then.aspect(), then.aspect());
    acts(narrow).all(|act| wide.concerns(act))
        && wide.when.iter().all(|condition| match &condition.test {
            // Looked at above, together with the action.
            Test::Command(_) => true,
            test if !condition.negated && always(test) => true,
            test if condition.negated && never(test) => true,
            _ => when.iter().any(|narrow| implies(narrow, condition)),
        })
}

fn all_in<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    narrow
        .iter()
        .all(|narrow| wide.iter().any(|wide| covers(wide, narrow)))
}

fn none_with<T>(a: &[T], b: &[T], meets: impl Fn(&T, &T) -> bool) -> bool {
    !a.iter().any(|a| b.iter().any(|b| meets(a, b)))
}

fn lists(domains: &[Domain], domain: &str) -> bool {
    domains.iter().any(|listed| listed.as_str() == domain)
}

fn of_file(users: &Users) -> impl Iterator<Item = &UserUri> {
    users.file.iter().flat_map(|file| file.users.iter())
}

fn domain_of(pattern: &UserPattern) -> Option<&str> {
    match pattern {
        UserPattern::One(user) => Some(user.domain()),
        UserPattern::Many(glob) => glob.domain(),
    }
}

/// Whether one pattern of users covers another.
pub(crate) fn pattern_covers(wide: &UserPattern, narrow: &UserPattern) -> bool {
    match (wide, narrow) {
        (UserPattern::One(wide), UserPattern::One(narrow)) => wide == narrow,
        (UserPattern::Many(wide), UserPattern::One(narrow)) => wide.matches(narrow.address()),
        (UserPattern::Many(wide), UserPattern::Many(narrow)) => wide.covers(narrow),
        (UserPattern::One(_), UserPattern::Many(_)) => false,
    }
}

fn users_cover(wide: &Users, narrow: &Users) -> bool {
    let in_file = |user: &UserUri| {
        wide.file
            .as_ref()
            .is_some_and(|file| file.users.contains(user))
    };
    let by_pattern = |user: &UserUri| {
        wide.patterns.iter().any(|pattern| match pattern {
            UserPattern::One(one) => one == user,
            UserPattern::Many(glob) => glob.matches(user.address()),
        })
    };
    narrow.patterns.iter().all(|narrow| {
        matches!(narrow, UserPattern::One(user) if in_file(user))
            || wide
                .patterns
                .iter()
                .any(|wide| pattern_covers(wide, narrow))
    }) && of_file(narrow).all(|user| in_file(user) || by_pattern(user))
}

fn users_exclude(a: &Users, b: &Users) -> bool {
    let meets = |a: &UserPattern, b: &UserPattern| match (a, b) {
        (UserPattern::One(a), UserPattern::One(b)) => a == b,
        (UserPattern::One(user), UserPattern::Many(glob))
        | (UserPattern::Many(glob), UserPattern::One(user)) => glob.matches(user.address()),
        (UserPattern::Many(a), UserPattern::Many(b)) => a.meets(b),
    };
    let file_meets = |file: &Users, other: &Users| {
        of_file(file).count() > MANY
            || of_file(file).any(|user| {
                let one = UserPattern::One(user.clone());
                other.patterns.iter().any(|pattern| meets(&one, pattern))
                    || other
                        .file
                        .as_ref()
                        .is_some_and(|file| file.users.contains(user))
            })
    };
    none_with(&a.patterns, &b.patterns, meets) && !file_meets(a, b) && !file_meets(b, a)
}

/// Whether one pattern of rooms covers another.
pub(crate) fn room_covers(wide: &RoomPattern, narrow: &RoomPattern) -> bool {
    match (wide, narrow) {
        (wide, RoomPattern::One(narrow)) => wide.matches(narrow),
        (RoomPattern::Many(wide), RoomPattern::Many(narrow)) => wide.covers(narrow),
        (RoomPattern::One(_), RoomPattern::Many(_)) => false,
    }
}

fn rooms_meet(a: &RoomPattern, b: &RoomPattern) -> bool {
    match (a, b) {
        (a, RoomPattern::One(b)) => a.matches(b),
        (RoomPattern::One(a), b) => b.matches(a),
        (RoomPattern::Many(a), RoomPattern::Many(b)) => a.meets(b),
    }
}

fn window_covers(wide: Window, narrow: Window) -> bool {
    let begins = wide
        .from
        .is_none_or(|wide| narrow.from.is_some_and(|narrow| wide <= narrow));
    let ends = wide
        .until
        .is_none_or(|wide| narrow.until.is_some_and(|narrow| narrow <= wide));
    begins && ends
}
