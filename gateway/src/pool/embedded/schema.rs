//! The database's shape, as a list of migrations that only ever grows.
//!
//! A migration that has been released is never edited: `PRAGMA user_version` says how many of them a file has had.

/// Marks a file as ours (`PRAGMA application_id`), so that another program's database is never taken for a pool.
pub(super) const APPLICATION_ID: i32 = 0x484F_4C44;

/// Applied in order; the number of a migration is its position plus one.
pub(super) const MIGRATIONS: &[&str] = &[
    // 1: the first shape. Lists hold principals as text (`sip:ann@contoso.com`, `*@contoso.com`, `*`); times are
    // counted in 100 ns since the Unix epoch; `folded` is the name as compared, because names differ by more than case.
    "
    CREATE TABLE identity (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;

    CREATE TABLE category (
        key         INTEGER PRIMARY KEY,
        value       TEXT NOT NULL UNIQUE,
        name        TEXT NOT NULL,
        folded      TEXT NOT NULL UNIQUE,
        description TEXT NOT NULL
    ) STRICT;

    CREATE TABLE category_principal (
        category  INTEGER NOT NULL REFERENCES category (key),
        role      TEXT NOT NULL CHECK (role IN ('allowed', 'denied', 'creator')),
        principal TEXT NOT NULL,
        PRIMARY KEY (category, role, principal)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE room (
        key         INTEGER PRIMARY KEY,
        value       TEXT NOT NULL UNIQUE,
        name        TEXT NOT NULL,
        folded      TEXT NOT NULL UNIQUE,
        description TEXT NOT NULL,
        category    INTEGER NOT NULL REFERENCES category (key),
        privacy     TEXT NOT NULL CHECK (privacy IN ('open', 'closed', 'secret')),
        type        TEXT NOT NULL CHECK (type IN ('normal', 'auditorium')),
        disabled    INTEGER NOT NULL CHECK (disabled IN (0, 1)),
        invitations INTEGER NOT NULL CHECK (invitations IN (0, 1))
    ) STRICT;

    CREATE TABLE room_principal (
        room      INTEGER NOT NULL REFERENCES room (key),
        role      TEXT NOT NULL CHECK (role IN ('member', 'manager', 'presenter')),
        principal TEXT NOT NULL,
        PRIMARY KEY (room, role, principal)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE message (
        room   INTEGER NOT NULL REFERENCES room (key),
        id     INTEGER NOT NULL,
        ticks  INTEGER NOT NULL,
        author TEXT NOT NULL,
        text   TEXT NOT NULL,
        PRIMARY KEY (room, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE preference (
        user    TEXT NOT NULL,
        label   TEXT NOT NULL,
        seq     INTEGER NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (user, label)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE invitation (
        user TEXT NOT NULL,
        id   INTEGER NOT NULL,
        room INTEGER NOT NULL REFERENCES room (key),
        PRIMARY KEY (user, id),
        UNIQUE (user, room)
    ) STRICT, WITHOUT ROWID;
    ",
];
