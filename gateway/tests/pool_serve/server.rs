//! The program under test.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const ROOMS: &str = r#"
[[category]]
name = "Contoso"

[[room]]
name = "Deals"
value = "deals"
category = "Contoso"
privacy = "open"
managers = ["ann@contoso.com"]

[[room.message]]
author = "carol@contoso.com"
text = "The older one"
at = 2026-11-02T08:00:00Z

[[room.message]]
author = "carol@contoso.com"
text = "The newer one"
at = 2026-11-02T08:04:00Z

[[room]]
name = "Night Shift"
value = "300"
category = "Contoso"
privacy = "open"
"#;

pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    ready: Value,
}

impl Server {
    /// A folder with a filled pool, in which further files can be put before the start.
    pub(crate) fn folder() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rooms.toml"), ROOMS).unwrap();
        let loaded = Command::new(env!("CARGO_BIN_EXE_holdover"))
            .args(["pool", "load", "rooms.toml", "--database", "rooms.db"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{loaded:?}");
        dir
    }

    /// Starts it with what `more` adds to the configuration: listeners and switches.
    pub(crate) fn start(dir: TempDir, more: &str) -> Self {
        let config = format!(
            "[pool]\nuri = \"sip:GC-1@contoso.com\"\nserver_uri = \"sip:server-1@contoso.com\"\n\
             database = \"rooms.db\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n{more}"
        );
        fs::write(dir.path().join("pool.toml"), config).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_holdover"))
            .args(["pool", "serve", "--json", "--config"])
            .arg(dir.path().join("pool.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{}", fs::read_to_string(dir.path().join("log")).unwrap()));
        Self { child, dir, ready }
    }

    /// On plain TCP with these switches.
    pub(crate) fn with_switches(switches: &str) -> Self {
        Self::start(
            Self::folder(),
            &format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[switches]\n{switches}"),
        )
    }

    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ready["listeners"][0]["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Whether a broken configuration is refused as people expect.
#[test]
fn a_broken_configuration_is_told_and_nothing_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("pool.toml");
    fs::write(&config, "[pool]\nurl = \"sip:GC-1@contoso.com\"\n").unwrap();
    let run = |path: &Path| {
        Command::new(env!("CARGO_BIN_EXE_holdover"))
            .args(["pool", "serve", "--config"])
            .arg(path)
            .output()
            .unwrap()
    };
    let output = run(&config);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(told.contains("did you mean `uri`?"), "{told}");
    assert!(told.contains("[[listener]]"), "{told}");
    assert_eq!(run(&dir.path().join("none.toml")).status.code(), Some(1));
}
