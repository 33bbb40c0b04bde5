//! A server in a process of its own, pinned to the server's core.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{now, pause};
use crate::machine::{Core, Usage, pin, usage};

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// How long it took from its start to the line that says where it listens.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts a program, pinned, and waits for the line in which it says where it listens.
    pub(crate) fn start(program: &Path, arguments: &[String], core: Core) -> anyhow::Result<Self> {
        pin(core)?;
        let begun = now();
        let child = Command::new(program)
            .args(arguments)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        pin(Core::Load)?;
        let mut child = child.with_context(|| format!("failed to start {}", program.display()))?;
        let stderr = child.stderr.take().context("the child has no stderr")?;
        let mut said = String::new();
        let mut lines = BufReader::new(stderr);
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                let _reaped = child.wait();
                bail!("{} ended at once: {said}", program.display());
            }
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.trim().parse().context("an address")?;
            }
            said += &line;
        };
        let ready_after = begun.elapsed();
        // Whatever it says later is read, so that it never blocks on a full pipe, and shown.
        tokio::runtime::Handle::current().spawn_blocking(move || {
            let mut rest = String::new();
            let _closed = lines.read_to_string(&mut rest);
            let is_bad = |line: &&str| line.contains("ERROR") || line.contains("panicked");
            for line in rest.lines().filter(is_bad) {
                crate::figures::say(line);
            }
        });
        Ok(Self {
            child,
            address,
            ready_after,
        })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.child.id()).context("the server is gone")
    }

    /// Waits until it does nothing any more, and says what it has used by then.
    pub(crate) fn settle(&self) -> anyhow::Result<Usage> {
        let mut before = self.usage()?;
        loop {
            pause(Duration::from_millis(300));
            let after = self.usage()?;
            // Where a thread has ended the coarser of two clocks is read, which may be behind.
            if after.cpu.abs_diff(before.cpu) <= Duration::from_millis(10) {
                return Ok(after);
            }
            before = after;
        }
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, waits for that, and says how long it took.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let begun = now();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process number")?, Signal::TERM)?;
        self.child.wait()?;
        Ok(begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test, built as this one is built. It lies beside this one.
pub(crate) fn build_ours() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let directory = here.parent().context("a program lies in a directory")?;
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "-p", "abide-cli", "--profile", profile])
        .status()
        .context("failed to run cargo")?;
    if !status.success() {
        bail!("the server doesn't build");
    }
    Ok(directory.join("abide"))
}
