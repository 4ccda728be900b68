//! Holdover's configuration: text to checked settings, and faults told so that a person can mend them.

pub mod diagnostic;

pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity, Source};
