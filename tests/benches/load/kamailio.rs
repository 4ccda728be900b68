//! What an admin would use instead: Kamailio as a proxy that rewrites room identifiers in bodies from a table.
//!
//! The configuration is on the kind side. Its faster allocator is chosen; a body is rewritten by one pass of a Lua pattern,
//! which costs a third of what the same does with regular expressions and `htable`; nobody signs in; nothing is checked; one
//! connection to the pool carries all clients. Of what Holdover does beyond that, nothing is done: no envelope is
//! renumbered, no dialect adapted, nothing split or merged.
//!
//! It is measured twice: with transactions (`t_relay`), as its default configuration relays everything, and without
//! (`forward`), the least it can do.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::samples;

/// How to get what is missing.
pub(crate) const INSTALL: &str =
    "apt-get install kamailio kamailio-tls-modules kamailio-lua-modules";

/// The program.
const PROGRAM: &str = "/usr/sbin/kamailio";

/// Where Debian puts its modules; the second part depends on the machine.
fn modules() -> Option<String> {
    let found = std::fs::read_dir("/usr/lib").ok()?.find_map(|entry| {
        let folder = entry.ok()?.path().join("kamailio/modules");
        ["tls.so", "app_lua.so"]
            .iter()
            .all(|module| folder.join(module).exists())
            .then_some(folder)
    });
    found.map(|folder| folder.display().to_string())
}

/// Whether it can be measured.
pub(crate) fn is_installed() -> bool {
    Path::new(PROGRAM).exists() && modules().is_some()
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// How it is started.
pub(crate) struct Setup<'a> {
    /// Runs a program on the processor of what is measured.
    pub(crate) command: Command,
    /// For its files; certificate and key are there.
    pub(crate) folder: &'a Path,
    pub(crate) pool: SocketAddr,
    pub(crate) rooms: usize,
    pub(crate) connections: usize,
    pub(crate) children: usize,
    /// Whether it keeps transactions.
    pub(crate) is_stateful: bool,
}

/// Starts it and waits until it listens.
pub(crate) fn start(mut setup: Setup<'_>) -> Result<(Child, Addresses)> {
    let addresses = Addresses {
        tcp: free()?,
        tls: free()?,
    };
    let folder = setup.folder;
    let config = folder.join("kamailio.cfg");
    std::fs::write(&config, text(&setup, addresses)?)?;
    std::fs::write(folder.join("rooms.lua"), script(setup.rooms)?)?;
    std::fs::write(
        folder.join("kamailio-tls.cfg"),
        format!(
            "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n\
             private_key = {0}/key.pem\ncertificate = {0}/certificate.pem\n",
            folder.display()
        ),
    )?;
    let log = std::fs::File::create(folder.join("kamailio.log"))?;
    let mut child = setup
        .command
        .arg(PROGRAM)
        .args([
            "-DD", "-E", "-x", "fm", "-X", "fm", "-m", "1024", "-M", "64", "-f",
        ])
        .arg(&config)
        .args(["-Y", &folder.display().to_string()])
        .args(["-P", &folder.join("kamailio.pid").display().to_string()])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("kamailio cannot be started")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    for address in [addresses.tcp, addresses.tls] {
        while TcpStream::connect(address).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(folder.join("kamailio.log"))?;
                bail!("kamailio does not listen:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok((child, addresses))
}

/// An address that nobody has at the moment: Kamailio cannot let the system choose.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The tables, and how bodies are rewritten: every identifier, wherever it stands.
fn script(rooms: usize) -> Result<String> {
    let (mut pool, mut client) = (String::new(), String::new());
    for number in 0..rooms {
        let (legacy, migrated) = (samples::room(number, false), samples::room(number, true));
        writeln!(pool, "pool[\"{legacy}\"] = \"{migrated}\"")?;
        writeln!(client, "client[\"{migrated}\"] = \"{legacy}\"")?;
    }
    Ok(format!(
        r#"local pool, client = {{}}, {{}}
{pool}{client}
local function rewrite(rooms)
    local function replaced(scheme, room)
        local known = rooms[room]
        return known and scheme .. known
    end
    local body, count = string.gsub(KSR.pv.get("$rb"), "(ma%-chan://[^/]+/)([%w%-]+)", replaced)
    if count > 0 then KSR.textops.set_body(body, "text/plain") end
end
function to_pool() rewrite(pool) end
function to_client() rewrite(client) end
"#
    ))
}

fn text(setup: &Setup<'_>, addresses: Addresses) -> Result<String> {
    let Setup {
        folder,
        pool,
        connections,
        children,
        ..
    } = setup;
    Ok(format!(
        r#"#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
disable_core_dump=yes
auto_aliases=no
dns=no
rev_dns=no
tcp_children={children}
tcp_max_connections={connections}
tls_max_connections={connections}
tcp_connection_lifetime=3600
tcp_rd_buf_size=16384
tcp_conn_wq_max=4194304
tcp_wq_max=67108864
tcp_accept_no_cl=no
enable_tls=yes
listen=tcp:{tcp}
listen=tls:{tls}
mpath="{modules}"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "nathelper.so"
loadmodule "app_lua.so"
loadmodule "tls.so"
modparam("app_lua", "load", "{folder}/rooms.lua")
modparam("tls", "config", "{folder}/kamailio-tls.cfg")

request_route {{
    if (has_totag()) {{
        loose_route();
        if ($sp == {pool_port}) {{
            handle_ruri_alias();
            if (is_method("INFO") && has_body()) lua_run("to_client");
        }} else {{
            $du = "sip:{pool};transport=tcp";
            if (is_method("INFO") && has_body()) lua_run("to_pool");
        }}
        {relay}();
        exit;
    }}
    record_route();
    set_contact_alias();
    $du = "sip:{pool};transport=tcp";
    {relay}();
}}
"#,
        relay = if setup.is_stateful {
            "t_relay"
        } else {
            "forward"
        },
        tcp = addresses.tcp,
        tls = addresses.tls,
        modules = modules().context("no modules")?,
        folder = folder.display(),
        pool_port = pool.port(),
    ))
}
