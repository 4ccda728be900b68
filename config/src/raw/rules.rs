//! Rules and their tests as they are written.

mod time;
mod values;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Map;
use toml::Spanned;
use toml::de::DeValue;

pub(crate) use time::{Time, Zone};
pub(crate) use values::{IpAddress, OneOrMore, OrNone, RoomId, ShownText, UserAddress, Yes};

use super::{described, presence, table_schema, tables};
use crate::names::{Domain, FilePath, ListenerName, PoolName, Region, RuleName};
use crate::reader::{FromToml, Int, Key, List, Presence, Reader};
use crate::rules::{Access, Class, Every, Glob, Network, Percent, RoomPattern, UserPattern};

tables! {
    /// A file of rules, in the folder `rules.d` beside the configuration.
    struct RuleRoot {
        /// Routing rules.
        optional rule: List<Rule>,
        /// Test cases of the rules, for `holdover rules test`.
        optional test: List<Case>,
    }

    /// A routing rule. The first rule that matches wins, for each of these by itself: which pool or none (`pool`, `pools`,
    /// `refuse`, `maintenance`, `read_only`), which region, which notice, which shadow.
    struct Rule {
        /// Name in logs and commands, unique among the rules of all files: printable, at most 128 bytes.
        required name: RuleName,
        /// Whether the rule counts at all. Default: true.
        optional enabled: bool,
        /// Users of one room may be on different pools by this rule, as those of a pilot are, and `check` does not warn of it.
        /// Default: false.
        optional apart: bool,
        /// Conditions that must all hold. Default: none, so that the rule always matches.
        optional when: When,
        /// What the rule does: exactly one action; `region` may stand beside `pool` or `pools`.
        required then: Then,
    }

    /// What a rule does.
    struct Then {
        /// Another pool than the directory's.
        optional pool: PoolName,
        /// Several pools among which users are divided. The shares make 100 together.
        optional pools: List<ShareTable>,
        /// Refuses, and tells the user this text of at most 512 bytes.
        optional refuse: ShownText,
        /// Refuses for now: a text for the user, or a table.
        optional maintenance: MaintenanceValue,
        /// Refuses what writes, and tells the user this text. What only reads goes on to the rules after this one.
        optional read_only: ShownText,
        /// A line that is shown in the room: a text, or a table.
        optional notice: NoticeValue,
        /// A second pool that is asked too, to compare its answers, when something is only read.
        optional shadow: PoolName,
        /// Only pools of this region. Beside `pool` or `pools`: these must be in it.
        optional region: Region,
    }

    /// A pool and its share of the users.
    struct ShareTable {
        /// The pool.
        required pool: PoolName,
        /// How many of a hundred users it gets. A user always stays on the same side.
        required percent: Percent,
    }

    /// A maintenance.
    struct MaintenanceTable {
        /// What the user is told.
        required text: ShownText,
        /// `"closed"`, or `"read-only"` to refuse only what writes. Default: `"closed"`.
        optional access: Access,
        /// How many of those it kept out may sign in each second when it is over. 0: all at once.
        optional sign_ins_per_sec: Int<0, 100_000, 0>,
    }

    /// A notice.
    struct NoticeTable {
        /// The line.
        required text: ShownText,
        /// How often a user sees it: `"sign-in"` or `"day"` (UTC). Default: `"sign-in"`.
        optional every: Every,
    }

    /// A test case: a question to the rules, and the expected answer.
    struct Case {
        /// Name of the case, unique among the cases of all files.
        required name: RuleName,
        /// Who asks: `ann@contoso.com`.
        required user: UserAddress,
        /// Legacy identifier of the room in question.
        optional room: RoomId,
        /// Name of the room in the directory; needs `room`.
        optional room_name: String,
        /// Category of the room in the directory; needs `room`.
        optional category: String,
        /// What is done: a word of `command`. `"files"` asks for sending and for fetching. Default: `"read"`.
        optional act: Class,
        /// What the client says it is: its User-Agent.
        optional client: String,
        /// Address of the client.
        optional from_ip: IpAddress,
        /// Listener that the client came to.
        optional listener: ListenerName,
        /// When, written as in `from`. Default: the begin of the year 2000.
        optional at: Time,
        /// Time zone of `at`. Default: UTC.
        optional zone: Zone,
        /// What must come of it: at most one of `pool`, `directory`, `refused`, `maintenance` and `read_only`.
        required expect: Expect,
    }

    /// The expected answer.
    struct Expect {
        /// A rule sends the user to this pool.
        optional pool: PoolName,
        /// No rule says anything: the directory's pool.
        optional directory: Yes,
        /// Refused.
        optional refused: Yes,
        /// Refused for a maintenance.
        optional maintenance: Yes,
        /// Refused as it writes.
        optional read_only: Yes,
        /// The rule that decides this.
        optional rule: RuleName,
        /// The notice that is shown; `false`: none.
        optional notice: OrNone<ShownText>,
        /// The region that is demanded; `false`: none.
        optional region: OrNone<Region>,
        /// The pool that is asked too; `false`: none.
        optional shadow: OrNone<PoolName>,
    }
}

/// Declares the conditions once, for `when` and for the `not` in it.
macro_rules! conditions {
    ($( $(#[doc = $doc:literal])* optional $key:ident: $type:ty, )*) => {
        tables! {
            /// Conditions none of which may hold.
            struct Not {
                $( $(#[doc = $doc])* optional $key: $type, )*
            }

            /// Conditions that must all hold. Of several values of one key, one must fit.
            struct When {
                $( $(#[doc = $doc])* optional $key: $type, )*
                /// The same keys again: conditions that must not hold, each by itself.
                optional not: Not,
            }
        }

        impl When {
            /// The conditions that must hold, and those that must not.
            pub(crate) fn split(self) -> (Not, Key<Not>) {
                (Not { $( $key: self.$key, )* }, self.not)
            }
        }
    };
}

conditions! {
    /// Users: `ann@contoso.com`, or a pattern with `*` and `?`.
    optional user: OneOrMore<UserPattern>,
    /// File with one user in each line, relative to the folder of the configuration file. They count beside those in `user`.
    optional user_file: FilePath,
    /// Domains of the users' addresses.
    optional domain: OneOrMore<Domain>,
    /// Networks that the client is in: `10.0.0.0/8`.
    optional network: OneOrMore<Network>,
    /// Listeners that the client came to.
    optional listener: OneOrMore<ListenerName>,
    /// What the client says it is: patterns of its User-Agent.
    optional client: OneOrMore<Glob>,
    /// Rooms: legacy identifiers, or patterns of them.
    optional room: OneOrMore<RoomPattern>,
    /// Patterns of the room's name in the directory.
    optional room_name: OneOrMore<Glob>,
    /// Patterns of the room's category in the directory.
    optional category: OneOrMore<Glob>,
    /// What is done: `"sign-in"`, `"read"`, `"post"`, `"search"`, `"files"`, `"manage"`.
    optional command: OneOrMore<Class>,
    /// Begin of a time window: `2026-12-05T18:00` in `zone`, or with an offset.
    optional from: Time,
    /// End of the time window, which is not in it any more.
    optional until: Time,
    /// Time zone of `from` and `until`: `Europe/Zurich`. Default: UTC.
    optional zone: Zone,
    /// So many of a hundred users, always the same ones.
    optional percent: Percent,
}

/// The value of `maintenance`.
#[derive(Debug)]
pub(crate) enum MaintenanceValue {
    Text(ShownText),
    Table(MaintenanceTable),
}

/// The value of `notice`.
#[derive(Debug)]
pub(crate) enum NoticeValue {
    Text(ShownText),
    Table(NoticeTable),
}

macro_rules! text_or_table {
    ($($name:ident: $table:ident;)*) => { $(
        impl FromToml for $name {
            fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
                match value.get_ref() {
                    DeValue::String(_) => ShownText::read(value, at, reader).map(Self::Text),
                    DeValue::Table(_) => $table::read(value, at, reader).map(Self::Table),
                    _ => reader.wrong_type(value, at, "a text or a table"),
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let text = generator.subschema_for::<ShownText>();
                let table = generator.subschema_for::<$table>();
                json_schema!({ "oneOf": [text, table] })
            }
        }
    )* };
}

text_or_table! {
    MaintenanceValue: MaintenanceTable;
    NoticeValue: NoticeTable;
}
