//! What users do in rooms. Rooms, people and outcomes; never what is said.

use std::time::Duration;

use holdover_config::PoolName;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;

use crate::telemetry::event::event;
use crate::telemetry::label::label;
use crate::telemetry::{Detail, SessionId};

label! {
    /// Why a user did not get into a room.
    JoinRefusal as "reason" {
        /// The directory says that the room is retired.
        Retired = "retired",
        /// The directory says that the room is still to be migrated.
        Pending = "pending",
        /// The directory does not list the room and the configuration says to refuse such rooms.
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
        /// The pool refused: the user is no member, or the room does not exist there.
        Pool = "pool",
    }
}

label! {
    /// Who refused a post.
    PostRefusal as "by" {
        /// The pool.
        Pool = "pool",
        /// Holdover, before a pool saw it.
        Gateway = "gateway",
    }
}

event! {
    /// A user entered a room.
    RoomJoined {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// The room as the pool knows it.
        migrated: RoomUri => room.migrated,
        /// The pool.
        pool: PoolName => pool,
    }
    DEBUG "room.joined", counted as "rooms_joined";
    "A user is in a room."
}

event! {
    /// A user could not enter a room.
    JoinRefused {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// Why.
        reason: JoinRefusal => reason,
        /// The pool that refused.
        pool: Option<PoolName> => pool,
        /// The pool's result code: 403, the user is no member; 404, there is no such room on it. None where it answered for
        /// other rooms of one command and left this one out.
        code: Option<u16> => xccos.code,
    }
    WARN "room.refused", counted as "joins_refused" by reason: JoinRefusal;
    "A user could not enter a room. `holdover lookup` tells what the directory says about it, with file and line; with \
     `reason=\"pool\"` and code 404 its line names an identifier that the pool does not have."
}

event! {
    /// A command of a client failed.
    CommandFailed {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The command.
        command: Detail => xccos.cmd,
        /// The result code the client was given.
        code: u16 => xccos.code,
    }
    WARN "command.failed", counted as "commands_failed";
    "A pool refused what a client asked for, or did not answer in time (code 504). The client was told so with the code \
     given here. A join that a pool refuses is a `room.refused`."
}

event! {
    /// A user left a room.
    RoomParted {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
    }
    DEBUG "room.parted", counted as "rooms_parted";
    "A user closed a room. When a session ends its rooms are left without a word of their own: see `session.closed`."
}

event! {
    /// A command was about many rooms.
    RoomsSummed {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The command.
        command: Detail => xccos.cmd,
        /// How many events about single rooms were not written.
        events: usize => events,
    }
    INFO "rooms.summed", counted as "rooms_summed";
    "A command of a client, a pool's answer, or a change of rules was about many rooms. The first 64 events about single rooms (`decision`, \
     `room.joined`, `room.refused`, `room.parted`, `room.lost`, `room.moved`, `room.shut`) were written and counted one by one, this many more were not."
}

event! {
    /// A command named too many rooms.
    TooManyRooms {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The command.
        command: Detail => xccos.cmd,
        /// How many rooms were refused.
        refused: usize => refused,
        /// How many rooms a command may name.
        per_command: usize => limit.command,
        /// How many rooms a session may have.
        per_session: usize => limit.session,
    }
    WARN "rooms.too-many", counted as "rooms_too_many";
    "A client named more rooms in one command than `rooms_per_command` allows, or wanted more at one time than \
     `rooms_per_session` does. It was told that it cannot have these; the others it got."
}

event! {
    /// What a pool said is too long for a client.
    DocumentTooLong {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The pool.
        pool: PoolName => pool,
        /// The command that it answers; absent: it answers none.
        command: Option<Detail> => xccos.cmd,
        /// Bytes that a client may be given in one document.
        longest: usize => limit.bytes,
    }
    WARN "document.too-long", counted as "documents_too_long";
    "With the identifiers that the client knows, what a pool said would be longer than a client may be given: the larger of \
     `queue_bytes` and twice `body_bytes`. Most often many merged rooms are to be told of one large one. An answer was \
     replaced by a refusal; anything else was dropped."
}

event! {
    /// The pool has a post.
    PostAccepted {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// The pool.
        pool: PoolName => pool,
        /// Time from sending it to the pool until the pool's receipt.
        took: Duration => seconds,
    }
    DEBUG "post.accepted", counted as "posts_accepted";
    measured |event, instruments| instruments.post_receipt.observe(event.took.as_secs_f64());
    "A pool took a user's message and the client was told so."
}

event! {
    /// A post was refused.
    PostRefused {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// Who refused it.
        by: PostRefusal => by,
        /// SIP status the client was given.
        status: u16 => sip.status,
    }
    WARN "post.refused", counted as "posts_refused" by by: PostRefusal;
    "A user's message was not taken, and the client was told so with the status given here."
}

event! {
    /// Nobody knows whether the pool has a post.
    PostUnknown {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the client knows it.
        legacy: RoomUri => room.legacy,
        /// The pool.
        pool: PoolName => pool,
        /// The Call-ID of the client's dialog.
        call_id: Detail => sip.call_id,
        /// The number of the client's INFO in it.
        cseq: u32 => sip.cseq,
        /// The number of the envelope in which the pool got the message, if it did.
        envid: u64 => xccos.envid,
    }
    WARN "post.unknown", counted as "posts_unknown";
    "A user's message was sent to a pool and no receipt came. It may be in the room or not; the client was told that it \
     failed. Look at the pool's health."
}

event! {
    /// A user's rooms were joined again after the pool was lost.
    RoomsRejoined {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The pool.
        pool: PoolName => pool,
        /// How many rooms.
        rooms: usize => rooms,
    }
    INFO "rooms.rejoined", counted as "rooms_rejoined";
    "A pool could not be reached for a while and is back. The user's rooms on it were joined again; the user did nothing."
}

event! {
    /// A user's room was not joined again.
    RoomLost {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the pool knows it.
        migrated: RoomUri => room.migrated,
        /// The pool.
        pool: PoolName => pool,
    }
    WARN "room.lost", counted as "rooms_lost";
    "A pool is back and does not let a user into a room that the user had open. The client still shows it; posts to it are \
     refused."
}

event! {
    /// What a room missed was delivered.
    GapClosed {
        /// The session.
        session: SessionId => session.id,
        /// The user.
        user: UserUri => user.uri,
        /// The room as the pool knows it.
        migrated: RoomUri => room.migrated,
        /// The pool.
        pool: PoolName => pool,
        /// How many messages.
        messages: usize => messages,
        /// Whether the history reached back to what was delivered before.
        complete: bool => complete,
    }
    INFO "room.gap-closed", counted as "gaps_closed";
    "Messages that a room got while its pool could not be reached were delivered from its history. If `complete` is false \
     there were more of them than the history shows at once."
}
