//! Asking a second pool what the first one is asked, to see whether both answer alike. The user gets the first answer and
//! notices nothing of the second.
//!
//! Only what reads can be asked: [`ShadowCommand`] has no way to say anything else.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Instant;

use holdover_config::RuleName;
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::verb::{BackChat, ChannelSearch};
use holdover_protocol::xccos::{Command, Reply, ReplyData, ReplyView, ResultCode, Verb};

use super::core::SessionCore;
use super::output::Event;
use super::pending::Purpose;
use crate::decide::Decisions;
use crate::pool::PoolId;
use crate::shadow::Difference;

/// Comparisons of one client that may be under way. Beyond them nothing is compared: it is a sample.
const MAX_OPEN: usize = 8;

/// A command that only reads.
#[derive(Clone, Debug)]
pub(super) enum ShadowCommand {
    /// The history of a room.
    BackChat(BackChat),
    /// A search for rooms.
    Search(ChannelSearch),
}

impl ShadowCommand {
    /// `None`: it writes, it enters a room, or there is nothing in its answer to compare.
    pub(super) fn of(command: &Command) -> Option<Self> {
        match command {
            Command::BackChat(back_chat) => Some(Self::BackChat(back_chat.clone())),
            Command::ChannelSearch(search) => Some(Self::Search(search.clone())),
            _ => None,
        }
    }

    fn room(&self) -> Option<&RoomUri> {
        match self {
            Self::BackChat(back_chat) => Some(&back_chat.room),
            Self::Search(_) => None,
        }
    }

    /// The command for a pool that knows the room by this identifier.
    fn for_pool(self, migrated: Option<RoomUri>) -> Option<Command> {
        Some(match self {
            Self::BackChat(back_chat) => Command::BackChat(BackChat {
                room: migrated?,
                ..back_chat
            }),
            Self::Search(search) => Command::ChannelSearch(search),
        })
    }

    fn verb(&self) -> Verb {
        match self {
            Self::BackChat(_) => Verb::BackChat,
            Self::Search(_) => Verb::ChannelSearch,
        }
    }
}

/// Names one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShadowId(u64);

/// A command that both pools were asked.
#[derive(Debug)]
struct Comparison {
    id: ShadowId,
    verb: Verb,
    /// As the client knows it.
    room: Option<RoomUri>,
    /// The second pool.
    pool: PoolId,
    rule: RuleName,
    first: Option<Answer>,
    second: Option<Answer>,
}

impl Comparison {
    fn of(&mut self, which: Which) -> &mut Option<Answer> {
        match which {
            Which::First => &mut self.first,
            Which::Second => &mut self.second,
        }
    }
}

/// One of the two pools that were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that the user is on.
    First,
    /// The other.
    Second,
}

/// What is compared of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Fingerprints of messages or rooms, in their order.
    Items(Vec<u64>),
    /// A refusal, by its code.
    Refused(u16),
}

/// The comparisons under way.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    open: Vec<Comparison>,
    next: u64,
}

impl Shadows {
    /// How many are under way.
    fn len(&self) -> usize {
        self.open.len()
    }

    /// What was asked for the client is answered to nobody any more.
    pub(super) fn clear(&mut self) {
        self.open = Vec::new();
    }

    /// The same for rooms that the client left.
    pub(super) fn forget(&mut self, left: &HashSet<RoomUri>) {
        let is_left = |room: &RoomUri| left.contains(room);
        self.open
            .retain(|comparison| !comparison.room.as_ref().is_some_and(is_left));
    }
}

impl SessionCore {
    /// Asks the second pool, if a rule names one. What is answered names the comparison.
    pub(super) fn begin_shadow(
        &mut self,
        now: Instant,
        command: Option<ShadowCommand>,
        first: PoolId,
        decisions: &dyn Decisions,
    ) -> Option<ShadowId> {
        let command = command?;
        if self.shadows.len() >= MAX_OPEN {
            return None;
        }
        let room = command.room().cloned();
        let (verb, shadow) = (
            command.verb(),
            decisions.shadow(&command.verb(), room.as_ref())?,
        );
        if shadow.pool == first {
            return None;
        }
        let id = ShadowId(self.shadows.next);
        self.shadows.next += 1;
        self.shadows.open.push(Comparison {
            id,
            verb,
            room,
            pool: shadow.pool,
            rule: shadow.rule,
            first: None,
            second: None,
        });
        match command.for_pool(shadow.migrated) {
            Some(command) => self.send_own(now, shadow.pool, &command, Purpose::Shadow(id)),
            // The room is not there: that is an answer too.
            None => self.shadow_failed(id, Which::Second, ResultCode::NoSuchNode.code()),
        }
        Some(id)
    }

    /// A pool answered.
    pub(super) fn shadow_answered(
        &mut self,
        (id, which): (ShadowId, Which),
        pool: PoolId,
        reply: ReplyView<'_>,
        decisions: &dyn Decisions,
    ) {
        let answer = answer(pool, reply, decisions);
        self.compare(id, |comparison| *comparison.of(which) = Some(answer));
    }

    /// A pool failed.
    pub(super) fn shadow_failed(&mut self, id: ShadowId, which: Which, code: u16) {
        self.compare(id, |comparison| {
            *comparison.of(which) = Some(Answer::Refused(code));
        });
    }

    fn compare(&mut self, id: ShadowId, note: impl FnOnce(&mut Comparison)) {
        let Some(at) = self.shadows.open.iter().position(|it| it.id == id) else {
            return;
        };
        let Some(comparison) = self.shadows.open.get_mut(at) else {
            return;
        };
        note(comparison);
        let (Some(first), Some(second)) = (&comparison.first, &comparison.second) else {
            return;
        };
        let difference = difference(first, second);
        let Comparison {
            verb,
            room,
            pool,
            rule,
            ..
        } = self.shadows.open.swap_remove(at);
        self.event(Event::Compared {
            verb,
            legacy: room,
            pool,
            rule,
            difference,
        });
    }
}

/// What is compared of a reply. Identifiers are compared as legacy clients know them, since each pool has its own; times are
/// not, since an import may have changed them.
fn answer(pool: PoolId, reply: ReplyView<'_>, decisions: &dyn Decisions) -> Answer {
    if !reply.is_success() {
        return Answer::Refused(reply.code());
    }
    let data = Reply::read(reply).map(|reply| reply.data);
    Answer::Items(match data {
        Ok(ReplyData::BackChat(history)) => history
            .rooms
            .iter()
            .flat_map(|room| &room.messages)
            .map(|message| fingerprint(&(&message.author, &message.chat)))
            .collect(),
        Ok(ReplyData::ChannelSearch(found)) => found
            .rooms
            .iter()
            .filter(|room| {
                decisions.shows_unlisted() || decisions.legacy_of(pool, &room.uri).is_some()
            })
            .map(|room| {
                let legacy = decisions.legacy_of(pool, &room.uri);
                fingerprint(&legacy.as_ref().unwrap_or(&room.uri).as_str())
            })
            .collect(),
        _ => Vec::new(),
    })
}

fn fingerprint(item: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    hasher.finish()
}

/// How two answers differ; `None`: not at all.
fn difference(first: &Answer, second: &Answer) -> Option<Difference> {
    let (first, second) = match (first, second) {
        _ if first == second => return None,
        (Answer::Items(first), Answer::Items(second)) => (first, second),
        (first, second) => {
            let code = |answer: &Answer| match answer {
                Answer::Items(_) => ResultCode::Success.code(),
                Answer::Refused(code) => *code,
            };
            return Some(Difference::Codes {
                first: code(first),
                second: code(second),
            });
        }
    };
    let (mut a, mut b) = (first.clone(), second.clone());
    a.sort_unstable();
    b.sort_unstable();
    let missing = beyond(&a, &b);
    let extra = beyond(&b, &a);
    Some(Difference::Items { missing, extra })
}

/// How many of `these` are not among `those`. Both are sorted; what is there twice counts twice.
fn beyond(these: &[u64], those: &[u64]) -> usize {
    let mut those = those.iter().peekable();
    these
        .iter()
        .filter(|item| {
            while those.next_if(|other| other < item).is_some() {}
            those.next_if_eq(item).is_none()
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_differ_by_what_one_lacks_and_by_their_codes() {
        let items = |items: &[u64]| Answer::Items(items.to_vec());
        assert_eq!(difference(&items(&[1, 2]), &items(&[1, 2])), None);
        let differs = |a: &Answer, b: &Answer| difference(a, b).unwrap();
        assert_eq!(
            differs(&items(&[1, 2, 2]), &items(&[2, 3])),
            Difference::Items {
                missing: 2,
                extra: 1
            }
        );
        assert_eq!(
            differs(&items(&[1, 2]), &items(&[2, 1])),
            Difference::Items {
                missing: 0,
                extra: 0
            },
            "in another order"
        );
        assert_eq!(
            differs(&items(&[]), &Answer::Refused(404)),
            Difference::Codes {
                first: 200,
                second: 404
            }
        );
        assert_eq!(
            difference(&Answer::Refused(404), &Answer::Refused(404)),
            None
        );
    }
}
