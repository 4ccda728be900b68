//! Holdover's configuration: text to checked settings, and faults told so that a person can mend them.
//!
//! [`parse`] turns text into [`Settings`] without touching anything else; [`load`] does it for a file, and
//! [`check_environment`] looks whether the files that the settings name are there. Each reports all faults at once as
//! [`Diagnostics`], which every other reader of files that people write uses too.

mod check;
pub mod codes;
pub mod diagnostic;
mod environment;
pub mod file;
mod fixed;
mod load;
mod names;
mod raw;
mod reader;
mod review;
mod rulefile;
pub mod rules;
mod schema;
pub mod serve;
pub mod settings;
pub mod suggest;
mod text;
mod toggle;
mod uri;
pub mod users;

pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity, Source};
pub use environment::check_environment;
pub use fixed::fixed_changes;
pub use load::{Loaded, Loader, SourceFile, SourceKind, load, parse, parse_with};
pub use names::{
    Domain, ListenerName, LogFilter, PoolName, Realm, Region, RuleName, ServerAddress, SrvName,
};
pub use review::{Remark, remark, review};
pub use rulefile::{RuleFile, UserList};
pub use schema::{json_schema, rules_json_schema};
pub use settings::Settings;
pub use text::TextError;
pub use toggle::{Edit, ToggleError, Toggled, toggle};
pub use uri::{PoolUri, ServiceUri};
pub use users::Users;
