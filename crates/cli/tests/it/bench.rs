//! A workbench: a directory of its own, the binary with a clean environment, and servers that end with the test.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The binary.
pub(crate) const ABIDE: &str = env!("CARGO_BIN_EXE_abide");

/// How many lines a server says when it starts.
const STARTED_LINES: usize = 4;

/// Where a test works.
#[derive(Debug)]
pub(crate) struct Bench {
    directory: TempDir,
}

/// A server of a test's, on a free port.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    /// What it said when it started.
    pub(crate) started: String,
    /// Read to the end when the server has ended.
    log: RefCell<BufReader<std::process::ChildStderr>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The binary with these arguments, in this directory, with nothing inherited that it would read.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(ABIDE);
        command.args(args);
        self.clean(&mut command);
        command
    }

    /// Takes away what a developer's shell may have set.
    pub(crate) fn clean(&self, command: &mut Command) {
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ABIDE_STATE_DIR", self.join("state"))
            .stdin(Stdio::null());
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().expect("the binary runs"))
    }

    /// Starts a server with these flags on a free port, and returns when it listens.
    pub(crate) fn serve(&self, flags: &[&str]) -> Served {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
        if !flags.contains(&"--log") {
            args.extend(["--log", "warn"]);
        }
        args.extend(flags);
        let child = self.command(&args).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a line of the server's");
        let Some((_, url)) = line.trim().split_once("listening on ") else {
            let mut rest = String::new();
            let _whatever_it_said = log.read_to_string(&mut rest);
            panic!("the server doesn't start: {line}{rest}");
        };
        let url = url.to_owned();
        // The rest of what it says of itself.
        for _ in 1..STARTED_LINES {
            log.read_line(&mut line).expect("a line of the server's");
        }
        Served {
            url,
            started: line,
            child,
            log: RefCell::new(log),
        }
    }

    /// A server in memory whose clock is advanced by hand.
    pub(crate) fn by_hand(&self) -> Served {
        self.serve(&[
            "--ephemeral",
            "--clock",
            "manual",
            "--rate-limit",
            "off",
            "--seed",
            "7",
        ])
    }
}

impl Served {
    /// The same arguments, for this server.
    pub(crate) fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["--server", self.url.as_str()];
        all.extend(args);
        all
    }

    /// Runs the binary against this server.
    pub(crate) fn run(&self, bench: &Bench, args: &[&str]) -> Ran {
        bench.run(&self.args(args))
    }

    /// Creates a job of that duration, which completes or fails, and returns its id.
    pub(crate) fn create(&self, bench: &Bench, duration: &str, error_chance: &str) -> String {
        let flags = ["--duration", duration, "--error-chance", error_chance];
        let ran = self.run(bench, &[&["create"], &flags[..]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().to_owned()
    }

    /// Advances a manual clock.
    pub(crate) fn advance(&self, seconds: u32) {
        let done = Command::new("curl")
            .args([
                "-sf",
                "-X",
                "POST",
                "-H",
                "content-type: application/json",
                "-d",
            ])
            .arg(format!("{{\"seconds\": {seconds}}}"))
            .arg(format!("{}/v1/clock/advance", self.url))
            .output()
            .expect("curl");
        assert!(done.status.success(), "{done:?}");
    }

    /// Waits until a client waits for that job.
    pub(crate) fn until_watched(&self, id: &str) {
        let url = format!("{}/v1/jobs/{id}/watchers", self.url);
        for _ in 0..2_000 {
            let done = Command::new("curl")
                .args(["-sf", &url])
                .output()
                .expect("curl");
            assert!(done.status.success(), "{done:?}");
            if String::from_utf8_lossy(&done.stdout).contains("channel") {
                return;
            }
        }
        panic!("nobody waits for {id}");
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says.
    #[cfg(unix)]
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        let mut log = self.log.borrow_mut();
        log.read_line(&mut line).expect("a line of the server's");
        line
    }

    /// Ends it at once, without a chance to write anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a child");
    }

    /// Ends it as an operator would, and returns its exit code and what it said beside that it stops.
    #[cfg(unix)]
    pub(crate) fn terminate(self) -> (i32, String) {
        let done = Command::new("kill")
            .arg(self.process().to_string())
            .status();
        assert!(done.expect("kill").success());
        self.ended()
    }

    /// Waits for its end, and returns its exit code and what it said beside that it stops.
    #[cfg(unix)]
    pub(crate) fn ended(mut self) -> (i32, String) {
        let mut said = String::new();
        let log = self.log.get_mut();
        log.read_to_string(&mut said).expect("text");
        let status = self.child.wait().expect("a child");
        if let Some((before, _)) = said.split_once("abide: stopping") {
            assert!(said.ends_with("\nabide: stopped\n"), "{said}");
            said.truncate(before.len());
        }
        (status.code().unwrap_or(-1), said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already; nothing is left to do then.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// stdout as JSON, one value a line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}
