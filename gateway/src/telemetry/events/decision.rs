//! What rules and directory decided about users.

use holdover_config::PoolName;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;

use crate::telemetry::event::event;
use crate::telemetry::label::label;
use crate::telemetry::{Detail, SessionId};

label! {
    /// What was decided.
    Decision as "outcome" {
        /// Yes.
        Allowed = "allowed",
        /// The directory says that the room is retired.
        Retired = "retired",
        /// The directory says that the room is still to be migrated.
        Pending = "pending",
        /// The directory does not list the room.
        Unlisted = "unlisted",
        /// A rule says no.
        Rule = "rule",
        /// A rule says no for now.
        Maintenance = "maintenance",
        /// A rule lets nothing be written.
        ReadOnly = "read-only",
        /// A rule names a pool on which the room has no identifier.
        NoTarget = "no-target",
        /// The pool is not in the region that a rule demands.
        Region = "region",
    }
}

event! {
    /// Something was decided about a user.
    DecisionMade {
        /// The user.
        user: UserUri => user.uri,
        /// What the user was about to do.
        act: &'static str => act,
        /// The room as the client knows it; absent for what concerns no room.
        legacy: Option<RoomUri> => room.legacy,
        /// The pool, where there is a single one.
        pool: Option<PoolName> => pool,
        /// The room as the pool knows it.
        migrated: Option<RoomUri> => room.migrated,
        /// What was decided.
        outcome: Decision => outcome,
        /// The rule that decided; absent: the directory alone.
        rule: Option<Detail> => rule,
        /// The rule's file and line.
        place: Option<Detail> => rule.place,
        /// Number of the configuration that was decided by.
        generation: u64 => config.generation,
    }
    INFO "decision", counted as "decisions" by outcome: Decision;
    "What became of a sign-in, of entering a room, of a search, and of whatever was refused; and by which rule. `holdover explain` \
     shows the same for any user and room, and `/v1/decisions` the last ones."
}

event! {
    /// A room is somewhere else now.
    RoomMoved {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// Where it was; absent: it could not be used.
        from: Option<PoolName> => pool.before,
        /// Where it is.
        pool: PoolName => pool,
        /// The rule that says so; absent: the directory.
        rule: Option<Detail> => rule,
    }
    INFO "room.moved", counted as "rooms_moved";
    "Rules or directory changed while a user had the room open. It was left there and joined here; the user keeps the window."
}

event! {
    /// A room may not be used any more, or not for now.
    RoomShut {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// Where it was.
        pool: PoolName => pool,
        /// Why.
        reason: Decision => outcome,
        /// The rule that says so; absent: the directory.
        rule: Option<Detail> => rule,
    }
    INFO "room.shut", counted as "rooms_shut" by reason: Decision;
    "Rules or directory changed while a user had the room open. The user keeps the window and is refused in it with the reason; once the \
     room may be used again it is joined by itself."
}

event! {
    /// A notice was shown to a user.
    NoticeShown {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room in whose window it is.
        legacy: RoomUri => room.legacy,
        /// The rule that has the text.
        rule: Detail => rule,
    }
    DEBUG "notice.shown", counted as "notices_shown";
    "A line that a rule has for users was shown in a room."
}

event! {
    /// A second pool answered as the first one did.
    ShadowAgreed {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The command.
        command: Detail => xccos.cmd,
        /// The room as the client knows it; absent for a search.
        legacy: Option<RoomUri> => room.legacy,
        /// The second pool.
        pool: PoolName => pool,
        /// The rule that has it asked.
        rule: Detail => rule,
    }
    DEBUG "shadow.agreed", counted as "shadows_agreed";
    "A rule has a second pool asked what the first one is asked, and both answered alike."
}

event! {
    /// A second pool answered otherwise than the first one.
    ShadowDiffered {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The command.
        command: Detail => xccos.cmd,
        /// The room as the client knows it; absent for a search.
        legacy: Option<RoomUri> => room.legacy,
        /// The second pool.
        pool: PoolName => pool,
        /// The rule that has it asked.
        rule: Detail => rule,
        /// How many messages or rooms the second answer lacks.
        missing: usize => missing,
        /// How many it has beyond the first.
        extra: usize => extra,
        /// The first pool's result.
        first: u16 => result.first,
        /// The second pool's result.
        second: u16 => result.second,
    }
    WARN "shadow.differed", counted as "shadows_differed";
    "A rule has a second pool asked what the first one is asked, and they did not answer alike. The user got the first answer.      `/v1/shadow` has the last differences. Nothing missing and nothing extra: the order differs."
}
