//! Building the driver, once per test process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// `build.sh` says so when packages are missing and it may not install them.
const PACKAGES_MISSING: i32 = 3;

/// The driver's program.
#[derive(Clone, Debug)]
pub struct Driver {
    program: PathBuf,
    traces: PathBuf,
}

impl Driver {
    /// Builds the driver in `folder` (`env!("CARGO_TARGET_TMPDIR")`), if it was not built before.
    ///
    /// `None` where the packages for it are not installed and the real client is not required: that is said on standard
    /// error, past the test harness, which would hide it.
    ///
    /// # Panics
    ///
    /// If it cannot be built though it must, or though the packages are there.
    pub fn build(folder: &Path) -> Option<&'static Self> {
        static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();
        let build = || {
            let folder = folder.join("real-client");
            let required =
                std::env::var_os("HOLDOVER_REAL_CLIENT").is_some_and(|it| it == "required");
            let built = build(&folder, required).map(|program| Self {
                program,
                traces: folder.join("traces"),
            });
            built
                .map_err(|missing| {
                    let mut stderr = std::io::stderr().lock();
                    let _unseen = writeln!(
                        stderr,
                        "\n*** SKIPPED: ALL REAL-CLIENT SCENARIOS. Nothing was tested with a real legacy client.\n\
                         *** Why: {missing}\n\
                         *** With HOLDOVER_REAL_CLIENT=required they are installed, and the scenarios must pass.\n"
                    );
                })
                .ok()
        };
        DRIVER.get_or_init(build).as_ref()
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Where traces of failed tests go.
    pub(super) fn traces(&self) -> &Path {
        &self.traces
    }
}

/// The program, or what is missing.
fn build(folder: &Path, required: bool) -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("real-client/build.sh");
    let mut command = Command::new("sh");
    command.arg(script);
    if !required {
        command.arg("--no-install");
    }
    let Output { status, stderr, .. } = command.arg(folder).output().expect("sh starts");
    let told = String::from_utf8_lossy(&stderr).trim().to_owned();
    match status.code() {
        Some(0) => Ok(folder.join("real-client")),
        Some(PACKAGES_MISSING) => Err(told),
        _ => panic!("the driver of the real client cannot be built ({status}):\n{told}"),
    }
}
