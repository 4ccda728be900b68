//! Rules and a directory, for tests.

use std::path::Path;
use std::sync::Arc;

use holdover_config::rules::{Condition, Place, Rule, Shares, Test, Then};
use holdover_config::settings::{Directory as DirectorySettings, Unlisted};

use crate::directory::{Directory, load};
use crate::routing::{KnownPools, Routing};

/// Two pools, one of which is in a region, and an old server.
const CONFIG: &str = r#"
[gateway]
domain = "contoso.com"
[[listener]]
name = "clients"
address = "127.0.0.1:0"
sign_in = "open"
[[pool]]
name = "hq"
region = "eu"
embedded = { database = "hq.db" }
[[pool]]
name = "branch"
embedded = { database = "branch.db" }
[[pool]]
name = "old"
sip = { uri = "sip:ocschat@contoso.com", servers = ["127.0.0.1:1"], transport = "tcp", dialect = "group-chat" }
[directory]
default_pool = "hq"
unlisted = "same-id"
"#;

/// The names of the pools, by their numbers.
pub(super) const POOLS: [&str; 3] = ["hq", "branch", "old"];

/// The one that keeps the identifiers of legacy clients.
pub(super) const OLD: &str = "old";

/// A version of both.
pub(super) struct World {
    pub(super) routing: Routing,
}

impl World {
    /// Of a directory in CSV, of rules in their order. Unlisted rooms are on `hq` or refused.
    pub(super) fn new(rooms: &str, rules: Vec<Arc<Rule>>, same_id: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("rooms.csv");
        std::fs::write(&csv, rooms).unwrap();
        let mut settings = holdover_config::parse("holdover.toml", CONFIG, Path::new("."))
            .unwrap()
            .settings;
        settings.live.directory = DirectorySettings {
            rooms: vec![csv],
            ..settings.live.directory
        };
        if !same_id {
            settings.live.directory.unlisted = Unlisted::Refuse;
        }
        settings.live.rules = rules;
        let names = POOLS.map(|name| name.parse().unwrap());
        let rooms = load(&settings.live.directory, &names).unwrap();
        let pools = Arc::new(KnownPools::new(&settings.fixed).serving_all(true));
        let directory = Arc::new(Directory::new(rooms));
        Self {
            routing: Routing::new(7, &settings.live, directory, pools).unwrap(),
        }
    }
}

/// A rule at this line of a file.
pub(super) fn rule(line: u32, name: &str, when: Vec<Test>, then: Then) -> Arc<Rule> {
    let condition = |test| Condition {
        negated: false,
        test,
    };
    Arc::new(Rule {
        name: name.parse().unwrap(),
        enabled: true,
        apart: false,
        place: Place {
            file: "holdover.toml".into(),
            line,
        },
        when: when.into_iter().map(condition).collect(),
        then,
    })
}

/// To one pool.
pub(super) fn to(pool: &str) -> Then {
    Then::Route(Shares::one(pool.parse().unwrap()))
}
