//! Telling what the demo offers and how to connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::install::{DOMAIN, ROOMS, USERS};
use crate::run::Gateway;

/// A demo that serves.
pub(super) struct Demo {
    tcp: SocketAddr,
    tls: SocketAddr,
    admin: SocketAddr,
    dir: PathBuf,
    is_temporary: bool,
}

impl Demo {
    /// Describes a gateway that was built from the demo's configuration.
    pub(super) fn new(gateway: &Gateway, dir: &Path, is_temporary: bool) -> anyhow::Result<Self> {
        let address = |wanted: &str| {
            let mut addresses = gateway.addresses();
            addresses
                .find(|(name, _)| *name == wanted)
                .map(|(_, address)| address)
        };
        Ok(Self {
            tcp: address("tcp").context("no TCP listener")?,
            tls: address("tls").context("no TLS listener")?,
            admin: gateway.admin_address().context("no admin server")?,
            dir: std::path::absolute(dir)?,
            is_temporary,
        })
    }

    /// For scripts.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let rooms: Vec<_> = ROOMS
            .iter()
            .map(|room| {
                serde_json::json!({
                    "name": room.name,
                    "legacy": uri(room.legacy),
                    "migrated": room.migrated.map(uri),
                    "state": room.state,
                    "note": room.note,
                })
            })
            .collect();
        serde_json::json!({
            "domain": DOMAIN,
            "lookup_uri": format!("sip:ocschat@{DOMAIN}"),
            "tcp": self.tcp.to_string(),
            "tls": self.tls.to_string(),
            "admin": self.admin.to_string(),
            "ca": self.dir.join("ca.pem"),
            "folder": self.dir,
            "config": self.dir.join("holdover.toml"),
            "users": USERS.map(|user| format!("{user}@{DOMAIN}")),
            "rooms": rooms,
        })
    }
}

fn uri(value: &str) -> String {
    format!("ma-chan://{DOMAIN}/{value}")
}

impl fmt::Display for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tcp,
            tls,
            admin,
            dir,
            is_temporary,
        } = self;
        writeln!(f, "Holdover is serving a demo. Press Ctrl-C to stop it.")?;
        writeln!(f)?;
        writeln!(f, "  clients, TCP    {tcp}")?;
        writeln!(
            f,
            "  clients, TLS    {tls}   (authority: {})",
            dir.join("ca.pem").display()
        )?;
        writeln!(f, "  admin           http://{admin}/")?;
        let fate = if *is_temporary {
            "gone when this stops"
        } else {
            "kept"
        };
        writeln!(f, "  everything in   {}   ({fate})", dir.display())?;
        writeln!(f)?;
        writeln!(
            f,
            "Rooms, by the identifiers that clients saved before the migration:"
        )?;
        for room in ROOMS {
            writeln!(f, "  {}", uri(room.legacy))?;
            match room.migrated {
                Some(migrated) => writeln!(f, "      {} -> {}", room.name, uri(migrated))?,
                None => writeln!(f, "      {} is {}: {}", room.name, room.state, room.note)?,
            }
        }
        writeln!(f)?;
        writeln!(f, "In another terminal:")?;
        writeln!(f, "  holdover chat --server {tcp} --user ann@{DOMAIN}")?;
        writeln!(f, "  holdover chat --server {tcp} --user bob@{DOMAIN}")?;
        let first = ROOMS
            .first()
            .map(|room| uri(room.legacy))
            .unwrap_or_default();
        writeln!(f, "  curl 'http://{admin}/v1/rooms?legacy={first}'")?;
        writeln!(f)?;
        writeln!(
            f,
            "With Pidgin (packages pidgin and pidgin-sipe), add an account:"
        )?;
        writeln!(f, "  Protocol    Office Communicator")?;
        writeln!(
            f,
            "  Username    ann@{DOMAIN}     (or bob, carol; any password)"
        )?;
        writeln!(f, "  Advanced    Server {tcp}, Connection type TCP")?;
        write!(f, "then Tools > Room List. Try `Deals`, and say something.")
    }
}
