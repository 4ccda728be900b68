//! Putting an installation into a folder: certificates, configuration, directory and pool.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use holdover_config::{Settings, file};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::cli::files;
use crate::pool::embedded::{LoadError, load_file};

/// The SIP domain of the demo.
pub(super) const DOMAIN: &str = "contoso.example";

/// The users; any password will do.
pub(super) const USERS: [&str; 3] = ["ann", "bob", "carol"];

/// Where to listen.
pub(super) struct Addresses {
    pub(super) tcp: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// What came of it.
pub(super) struct Installed {
    pub(super) settings: Settings,
}

/// A room of the demo.
pub(super) struct Room {
    /// Value of the identifier the clients saved years ago.
    pub(super) legacy: &'static str,
    /// Value of the identifier it has on the pool.
    pub(super) migrated: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) name: &'static str,
    pub(super) note: &'static str,
}

/// What the migration did.
pub(super) const ROOMS: &[Room] = &[
    Room {
        legacy: "6f1c2a34-0b5d-4c8e-9a77-1d2e3f405162",
        migrated: Some("b3a0c9d4-52f1-4e0a-8c1b-7f6e5d4c3b2a"),
        state: "migrated",
        name: "Deals",
        note: "",
    },
    Room {
        legacy: "300",
        migrated: Some("0d9e8f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f"),
        state: "renamed",
        name: "Operations / Night Shift",
        note: "was: Night Shift",
    },
    Room {
        legacy: "c41d7e90-88aa-4b1f-b0c2-9e8d7f6a5b4c",
        migrated: Some("5e4d3c2b-1a09-48f7-96e5-d4c3b2a19087"),
        state: "migrated",
        name: "Lunch",
        note: "",
    },
    Room {
        legacy: "d52e8fa1-99bb-4c20-a1d3-0f9e8a7b6c5d",
        migrated: Some("5e4d3c2b-1a09-48f7-96e5-d4c3b2a19087"),
        state: "merged",
        name: "Lunch (second floor)",
        note: "merged into Lunch",
    },
    Room {
        legacy: "e63f90b2-aacc-4d31-b2e4-10af9b8c7d6e",
        migrated: None,
        state: "retired",
        name: "Project Falcon",
        note: "Project Falcon ended in 2014; ask archive@contoso.example for its history.",
    },
    Room {
        legacy: "f74001c3-bbdd-4e42-83f5-21b0ac9d8e7f",
        migrated: None,
        state: "pending",
        name: "Legal",
        note: "Legal moves on the first of December.",
    },
];

/// What the pool holds.
const POOL: &str = r#"# The rooms of the demo pool. `holdover pool load` reads this file; loading it again changes nothing.
[[category]]
name = "Contoso"
allowed = ["*@contoso.example"]

[[room]]
name = "Deals"
value = "b3a0c9d4-52f1-4e0a-8c1b-7f6e5d4c3b2a"
category = "Contoso"
description = "What is on the table"
privacy = "closed"
members = ["*@contoso.example"]
managers = ["ann@contoso.example"]

[[room.message]]
author = "ann@contoso.example"
text = "Good morning. The Fabrikam offer is due on Friday."
at = 2026-11-02T08:00:00Z

[[room.message]]
author = "bob@contoso.example"
text = "I have the numbers; see ma-chan://contoso.example/0d9e8f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f for last night."
at = 2026-11-02T08:04:00Z

[[room]]
name = "Operations / Night Shift"
value = "0d9e8f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
category = "Contoso"
description = "Handover between shifts"
privacy = "closed"
members = ["*@contoso.example"]
managers = ["bob@contoso.example"]

[[room.message]]
author = "carol@contoso.example"
text = "Backup finished at 03:12, no errors."
at = 2026-11-02T04:30:00Z

[[room]]
name = "Lunch"
value = "5e4d3c2b-1a09-48f7-96e5-d4c3b2a19087"
category = "Contoso"
description = "Who eats where"
privacy = "open"

[[room.message]]
author = "bob@contoso.example"
text = "Soup today."
at = 2026-11-02T10:55:00Z
"#;

/// Installs into `dir`. What is there already is used as it is, but for the addresses. `None`: something there is
/// faulty, which was told.
pub(super) fn install(dir: &Path, addresses: &Addresses) -> anyhow::Result<Option<Installed>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    if !dir.join("sip.key").exists() {
        certificates(dir)?;
    }
    keep(&dir.join("rooms.csv"), &directory())?;
    keep(&dir.join("pool.toml"), POOL)?;
    write(&dir.join("holdover.toml"), &configuration(addresses))?;
    match load_file(
        &dir.join("rooms.db"),
        &dir.join("pool.toml"),
        Timestamp::now(),
    ) {
        Ok(_) => {}
        Err(LoadError::Faults(faults)) => {
            files::tell(&faults);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let loaded = files::load(&dir.join("holdover.toml"));
    Ok(loaded.map(|loaded| Installed {
        settings: loaded.settings,
    }))
}

/// An authority of the demo's own, and a certificate for this host. ECDSA: old Windows clients get along with no other
/// kind here.
fn certificates(dir: &Path) -> anyhow::Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, "Holdover demo authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&authority, &authority_key);

    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1", DOMAIN].map(str::to_owned);
    let mut server = CertificateParams::new(names)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let certificate = server.signed_by(&key, &issuer)?;

    write(&dir.join("ca.pem"), &authority_certificate.pem())?;
    write(&dir.join("sip.pem"), &certificate.pem())?;
    write(&dir.join("sip.key"), &key.serialize_pem())
}

fn directory() -> String {
    let mut csv = String::from("legacy,pool,migrated,state,name,note\n");
    for Room {
        legacy,
        migrated,
        state,
        name,
        note,
    } in ROOMS
    {
        let migrated = migrated.map(|value| format!("ma-chan://{DOMAIN}/{value}"));
        let migrated = migrated.unwrap_or_default();
        // Writing into a string does not fail.
        let _infallible = writeln!(
            csv,
            "ma-chan://{DOMAIN}/{legacy},here,{migrated},{state},\"{name}\",\"{note}\""
        );
    }
    csv
}

fn configuration(addresses: &Addresses) -> String {
    let Addresses { tcp, tls, admin } = addresses;
    format!(
        r#"# The demo's configuration. `holdover run --config` serves it just as well.
[gateway]
domain = "{DOMAIN}"

[[listener]]
name = "tcp"
address = "{tcp}"
sign_in = "open"

[[listener]]
name = "tls"
address = "{tls}"
tls = {{ certificate = "sip.pem", private_key = "sip.key" }}
sign_in = "open"

[[pool]]
name = "here"
embedded = {{ database = "rooms.db" }}

[directory]
rooms = ["rooms.csv"]
unlisted = "refuse"

[admin]
address = "{admin}"
"#
    )
}

fn keep(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.exists() {
        Ok(())
    } else {
        write(path, text)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    file::replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
