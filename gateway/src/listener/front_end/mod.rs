//! Front-end servers: one connection, many users (`mode = "trusted"`).
//!
//! Whoever shows a certificate of the list is believed when it says whose a request is. There is no REGISTER: users are
//! registered with the front end. `identity` reads who asserts what, `server` is the user agent server of one connection,
//! without input or output, `lookups` are the lookup dialogs of all of them, `group` knows the connections of each
//! front end and the sessions on them, `connection` drives one server.
//!
//! A dialog does not belong to a connection: front ends have several, and theirs break without their clients knowing. A
//! session answers on the connection that its client's last request came on.

pub mod connection;
mod group;
mod identity;
mod lookups;
mod server;
#[cfg(test)]
mod tests;

pub use connection::FrontEndContext;
pub(in crate::listener) use server::Event;
pub use server::FrontEndSettings;
