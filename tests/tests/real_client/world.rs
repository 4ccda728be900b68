//! What a scenario starts from: a demo that runs, and users who can sign in.

use std::path::{Path, PathBuf};

use holdover_tests::program::{Addresses, Demo, DemoRoom, Executable, Program};
use holdover_tests::real_client::{Account, Client, Driver, Transcript, Transport};
use serde_json::json;
use tempfile::TempDir;

/// How the clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Tls,
}

impl Over {
    /// To `localhost`, trusting the authorities in the file `ca` alone.
    pub(crate) fn transport(self, addresses: Addresses, ca: PathBuf) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp(addresses.tcp),
            Self::Tls => tls("localhost", addresses, ca),
        }
    }
}

fn tls(host: &str, addresses: Addresses, ca: PathBuf) -> Transport {
    Transport::Tls {
        host: host.to_owned(),
        port: addresses.tls.port(),
        ca,
    }
}

/// Somebody of contoso.com who signs in with any password.
pub(crate) fn account(user: &str, transport: Transport) -> Account {
    Account {
        user: format!("{user}@contoso.com"),
        password: None,
        seed: None,
        minute: None,
        transport,
    }
}

/// Plays a scenario, unless there is no real client to play it with, which was said then.
pub(crate) fn play(over: Over, scenario: fn(&mut World)) {
    let Some(driver) = Driver::build(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let executable = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let folder = tempfile::tempdir().unwrap();
    let (program, demo) = executable.demo(folder.path(), None);
    let mut world = World {
        addresses: demo.addresses(),
        program: Some(program),
        demo,
        executable,
        driver,
        over,
        folder,
    };
    scenario(&mut world);
    world.stop();
}

/// A demo, its users and how they connect.
pub(crate) struct World {
    pub(crate) demo: Demo,
    pub(crate) executable: Executable,
    pub(crate) over: Over,
    program: Option<Program>,
    addresses: Addresses,
    driver: &'static Driver,
    folder: TempDir,
}

impl World {
    // === Clients ===

    /// The clients of these users, with Group Chat ready.
    #[track_caller]
    pub(crate) fn sign_in<const N: usize>(&self, users: [&str; N]) -> [Client; N] {
        self.sign_in_as(users.map(|user| self.account(user)))
    }

    /// The clients of these accounts, with Group Chat ready.
    #[track_caller]
    pub(crate) fn sign_in_as<const N: usize>(&self, accounts: [Account; N]) -> [Client; N] {
        let mut clients = accounts.map(|account| self.client(&account));
        for client in &mut clients {
            client.login();
        }
        for client in &mut clients {
            client.expect("connected", json!({}));
            client.expect("groupchat-ready", json!({}));
        }
        clients
    }

    /// A client that has not signed in.
    pub(crate) fn client(&self, account: &Account) -> Client {
        Client::start(self.driver, account)
    }

    /// A user who connects as the scenario wants, and trusts the demo's authority alone.
    pub(crate) fn account(&self, user: &str) -> Account {
        Account {
            user: format!("{user}@{}", self.demo.domain()),
            password: None,
            seed: None,
            minute: None,
            transport: self.over.transport(self.addresses, self.demo.ca()),
        }
    }

    /// Over TLS to this host.
    pub(crate) fn tls(&self, host: &str, ca: PathBuf) -> Transport {
        tls(host, self.addresses, ca)
    }

    /// Ends the clients. None of them crashed, and none was ever told that its dialog is gone.
    #[track_caller]
    pub(crate) fn farewell<const N: usize>(&self, clients: [Client; N]) -> [Transcript; N] {
        let transcripts = clients.map(Client::quit);
        for message in transcripts.iter().flat_map(|transcript| &transcript.sip) {
            assert!(!message.start().starts_with("SIP/2.0 481"), "{message:?}");
        }
        transcripts
    }

    // === Rooms ===

    pub(crate) fn room(&self, name: &str) -> DemoRoom {
        self.demo.room(name)
    }

    /// Texts of a room as the pool has stored them, in room order.
    pub(crate) fn stored(&self, room: &DemoRoom) -> Vec<String> {
        let database = self.path("rooms.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(database, flags).unwrap();
        let (_, value) = room.migrated.rsplit_once('/').unwrap();
        let mut texts = database
            .prepare(
                "SELECT text FROM message JOIN room ON message.room = room.key \
                 WHERE room.value = ? ORDER BY message.id",
            )
            .unwrap();
        let texts = texts.query_map([value], |row| row.get(0)).unwrap();
        texts.map(Result::unwrap).collect()
    }

    // === The program ===

    /// A file of the installation.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ctrl-C: it drains and exits with 0.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        if let Some(program) = self.program.take() {
            let status = program.interrupt();
            assert!(status.success(), "Ctrl-C: {status}");
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.program.take().unwrap().kill();
    }

    /// Starts it again, in the same folder and at the same addresses.
    pub(crate) fn start_again(&mut self) {
        self.start_at(self.addresses);
    }

    /// Starts it again in the same folder, at other addresses.
    pub(crate) fn start_at(&mut self, addresses: Addresses) {
        let folder = self.folder.path();
        let (program, demo) = self.executable.demo(folder, Some(addresses));
        self.addresses = demo.addresses();
        self.program = Some(program);
    }

    /// Goes on with `holdover run` in place of the demo, on the demo's configuration as `edit` leaves it.
    pub(crate) fn go_on_with(&mut self, edit: impl Fn(&str) -> String) {
        self.stop();
        let config = self.path("edited.toml");
        std::fs::write(&config, edited(&self.demo, edit)).unwrap();
        let (program, addresses) = self.executable.run(&config);
        self.program = Some(program);
        self.addresses = addresses;
    }

    /// Goes on with another server in place of the demo; it is the scenario's to stop.
    pub(crate) fn move_to(&mut self, addresses: Addresses) {
        self.stop();
        self.addresses = addresses;
    }
}

/// The demo's configuration, with addresses that the system chooses and a log for programs.
fn edited(demo: &Demo, edit: impl Fn(&str) -> String) -> String {
    let config = std::fs::read_to_string(demo.config()).unwrap();
    let lines = config
        .lines()
        .map(|line| match line.strip_prefix("address = ") {
            Some(_) => "address = \"127.0.0.1:0\"".to_owned(),
            None => edit(line),
        });
    let lines: Vec<String> = lines.collect();
    lines.join("\n") + "\n[log]\nformat = \"json\"\n"
}
