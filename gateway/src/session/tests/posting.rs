//! How often it is decided whether a user may post.

use std::cell::Cell;

use super::pools::{bjoin, chanib, reply, sent};
use super::*;

/// [`Directory`], with rules that say "no" to posts at some moments.
struct Asked {
    moment: Option<Moment>,
    forbids: bool,
    posts: Cell<usize>,
}

impl Decisions for Asked {
    fn version(&self) -> u64 {
        self.moment.map_or(1, |moment| moment.version)
    }

    fn moment(&self) -> Option<Moment> {
        self.moment
    }

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        if act == Act::Post {
            self.posts.set(self.posts.get() + 1);
            if self.forbids {
                let reason = RefusalReason::ReadOnly;
                let text = "Nothing may be written now.".into();
                return Err(Refusal { reason, text }).into();
            }
        }
        Directory.resolve(act, legacy)
    }

    fn admit(&self, act: Act) -> Decided<Option<PoolId>> {
        Directory.admit(act)
    }

    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        Directory.legacy_of(pool, migrated)
    }

    fn shows_unlisted(&self) -> bool {
        Directory.shows_unlisted()
    }

    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        Directory.offers(pool, migrated)
    }

    fn offers_all(&self) -> bool {
        Directory.offers_all()
    }

    fn default_pool(&self) -> PoolId {
        POOL
    }

    fn pools(&self) -> &[PoolId] {
        &[POOL]
    }
}

impl Asked {
    fn at(version: u64, passed: usize) -> Self {
        Self {
            moment: Some(Moment { version, passed }),
            forbids: false,
            posts: Cell::new(0),
        }
    }

    /// Whether a post to a room reaches the pool, and how often it was asked for that.
    fn post(&self, session: &mut Session, room: &str) -> (bool, usize) {
        self.posts.set(0);
        session.cseq += 1;
        let body = envelope(&format!(
            "<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"ma-chan://old.example/{room}\" author=\"sip:ann@contoso.com\">\
             <chat>hello</chat></grpchat>"
        ));
        let request = Box::new(request("INFO", session.cseq, ";tag=here", &body));
        session.core.handle_downstream(session.now, request, self);
        (!sent(&session.drain()).is_empty(), self.posts.get())
    }
}

/// The rooms `r` and `s` are open.
fn in_rooms(decisions: &Asked) -> Session {
    let mut session = Session::attached();
    session.cseq += 1;
    let request = Box::new(request(
        "INFO",
        session.cseq,
        ";tag=here",
        &bjoin(&["r", "s"]),
    ));
    session
        .core
        .handle_downstream(session.now, request, decisions);
    let (id, _) = sent(&session.drain())[0].clone();
    let rooms = [chanib("r"), chanib("s")].concat();
    let event = LegEvent::Document(envelope(&reply("bjoin", id, &rooms)).into());
    session.core.handle_leg(session.now, POOL, event, decisions);
    session.drain();
    session
}

#[test]
fn posts_into_an_open_room_are_decided_once() {
    let decisions = Asked::at(1, 0);
    let mut session = in_rooms(&decisions);
    assert_eq!(decisions.post(&mut session, "r"), (true, 1));
    assert_eq!(decisions.post(&mut session, "r"), (true, 0));
    assert_eq!(decisions.post(&mut session, "s"), (true, 1));
    assert_eq!(decisions.post(&mut session, "s"), (true, 0));
}

#[test]
fn posts_are_decided_again_when_anything_may_have_changed() {
    let first = Asked::at(1, 0);
    let mut session = in_rooms(&first);
    assert_eq!(first.post(&mut session, "r"), (true, 1));
    // Rules or directory are other ones, or the time of a rule has come.
    for (version, passed) in [(2, 0), (2, 1)] {
        let mut other = Asked::at(version, passed);
        assert_eq!(other.post(&mut session, "r"), (true, 1));
        assert_eq!(other.post(&mut session, "r"), (true, 0));
        other.moment = Some(Moment {
            version,
            passed: passed + 5,
        });
        other.forbids = true;
        assert_eq!(other.post(&mut session, "r"), (false, 1));
        // A refusal is decided each time: it is told, with the rule that made it.
        assert_eq!(other.post(&mut session, "r"), (false, 1));
    }
    let again = Asked::at(2, 1);
    assert_eq!(again.post(&mut session, "r"), (true, 1));
    // On another connection rules may say something else.
    session.attach(2);
    let mut forbids = Asked::at(2, 1);
    forbids.forbids = true;
    assert_eq!(forbids.post(&mut session, "r"), (false, 1));
}

#[test]
fn posts_are_decided_each_time_where_nobody_can_tell_the_moment_and_where_the_room_is_not_open() {
    let mut decisions = Asked::at(1, 0);
    let mut session = in_rooms(&decisions);
    for _ in 0..2 {
        assert_eq!(decisions.post(&mut session, "closed"), (true, 1));
    }
    decisions.moment = None;
    for _ in 0..2 {
        assert_eq!(decisions.post(&mut session, "r"), (true, 1));
    }
}
