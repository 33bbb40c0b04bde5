//! A PostgreSQL of the benchmark's own, from the system's binaries.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::machine::{Core, pin};

/// The user `nobody`. PostgreSQL refuses to run as root, so it runs as this one where the benchmark is run by root.
const NOBODY: u32 = 65_534;
/// Ports that are tried, each of which was free a moment ago.
const PORTS_TRIED: usize = 10;

/// A running PostgreSQL on the server's core. Dropping it ends it and removes what it kept.
#[derive(Debug)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    directory: TempDir,
    /// Where it is reached.
    pub(crate) url: String,
}

impl Postgres {
    /// Starts one whose files lie in that directory.
    pub(crate) fn start(directory: &Path) -> anyhow::Result<Self> {
        let mut postgres = Self {
            binaries: binaries()?,
            directory: tempfile::tempdir_in(directory)?,
            url: String::new(),
        };
        if is_root() {
            chown(postgres.directory.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let made = postgres
            .command(
                "initdb",
                &["-A", "trust", "-U", "abide", "--no-instructions"],
            )
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        for _ in 0..PORTS_TRIED {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let options =
                format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=");
            let log = postgres.directory.path().join("postgres.log");
            let log = log.to_string_lossy();
            let words = ["-w", "-t", "60", "-l", &log, "-o", &options, "start"];
            pin(Core::Server)?;
            let started = postgres.command("pg_ctl", &words).status();
            pin(Core::Load)?;
            if started?.success() {
                postgres.url = format!("postgres://abide@127.0.0.1:{port}/postgres");
                return Ok(postgres);
            }
        }
        let log = fs::read_to_string(postgres.directory.path().join("postgres.log"));
        bail!("PostgreSQL doesn't start: {}", log.unwrap_or_default());
    }

    /// One of its programs, over its files.
    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Where it never started there is nothing to end.
        let _ = self
            .command("pg_ctl", &["-m", "immediate", "stop"])
            .stderr(Stdio::null())
            .status();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where PostgreSQL's programs lie: `initdb` is beside `pg_ctl`.
fn binaries() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.flatten().map(|version| version.path().join("bin"));
    std::env::split_paths(&path)
        .chain(debian)
        .filter_map(|directory| fs::canonicalize(directory.join("pg_ctl")).ok())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .find(|directory| directory.join("initdb").exists())
        .context("PostgreSQL is not on this machine: install Debian's postgresql, or name one with --database")
}
