//! The documents, run as written: the `sh` blocks of a page are one script, which must end well.
//!
//! What differs from a reader's shell is said here. The server's usual address is replaced by one with a free port. A
//! line that starts a server in the background (`[NAME=value …] abide serve … &`) returns once the server answers.
//! Lines that begin with `cargo`, `docker`, `sudo` or `systemctl`, or name a script of this repository, are left out:
//! they build, measure, or need a machine of their own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

const USUAL_ADDRESS: &str = "127.0.0.1:8080";
const LEFT_OUT: [&str; 6] = [
    "cargo ",
    "checks/",
    "crates/",
    "docker ",
    "sudo ",
    "systemctl ",
];
/// The page about the simulator shows answers too, and is run and compared with them in
/// `crates/server/tests/it/docs.rs`. Two pages need a PostgreSQL, and `checks/cluster.sh` runs what they say.
const RUN_ELSEWHERE: [&str; 3] = ["cluster.md", "nodes.md", "simulator.md"];
/// Given to bash before the page's own lines. Whatever was started in the background ends with the script.
const PRELUDE: &str = r#"
set -euo pipefail
ln -s "$WORKSPACE/examples" .
trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true' EXIT
start_server() {
  abide serve "$@" 2>>server.log &
  curl -sf --retry 100 --retry-delay 0 --retry-connrefused --retry-max-time 20 \
    -o /dev/null "http://$ABIDE_LISTEN/healthz" || { cat server.log >&2; return 1; }
}
"#;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines of all blocks of that language.
fn blocks(page: &str, language: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match (inside, line.trim_end()) {
            (false, fence) if fence == format!("```{language}") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                script.push_str(line);
                script.push('\n');
            }
            (false, _) => {}
        }
    }
    script
}

/// The variables before, and the flags after, `abide serve` in a line that starts it in the background.
fn started_in_the_background(line: &str) -> Option<(&str, &str)> {
    let (variables, rest) = line.split_once("abide serve")?;
    let flags = rest.trim_end().strip_suffix('&')?;
    let only_variables = variables.split_whitespace().all(|word| word.contains('='));
    only_variables.then_some((variables, flags))
}

fn as_run_here(script: &str, address: &str) -> String {
    script
        .lines()
        .filter(|line| !LEFT_OUT.iter().any(|word| line.starts_with(word)))
        .map(|line| match started_in_the_background(line) {
            Some((variables, flags)) => format!("{variables}start_server{flags}\n"),
            None => format!("{line}\n"),
        })
        .collect::<String>()
        .replace(USUAL_ADDRESS, address)
}

fn run(page: &Path) {
    let text = fs::read_to_string(page).expect("a page that can be read");
    let script = blocks(&text, "sh");
    if script.is_empty() {
        return;
    }
    // Taken and given back: nobody else is handed this port before the server takes it.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let abide = Path::new(env!("CARGO_BIN_EXE_abide"));
    let path = format!(
        "{}:{}",
        abide
            .parent()
            .expect("a binary is in a directory")
            .display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("bash")
        .args([
            "-c",
            &format!("{PRELUDE}{}", as_run_here(&script, &address)),
        ])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("WORKSPACE", workspace())
        .env("ABIDE_LISTEN", &address)
        .env("ABIDE_SERVER", format!("http://{address}"))
        .env("ABIDE_STATE_DIR", directory.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "{} doesn't run as written\n{}\n{}",
        page.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// All of a directory at once: they wait more than they compute, and each has a server and a directory of its own.
fn run_pages_in(directory: &str) {
    let entries = fs::read_dir(workspace().join(directory)).expect("a directory of pages");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|page| !RUN_ELSEWHERE.iter().any(|name| page.ends_with(name)))
        .collect();
    assert!(!pages.is_empty(), "{directory} has no page");
    thread::scope(|scope| {
        for page in &pages {
            scope.spawn(|| run(page));
        }
    });
}

#[test]
fn the_readme_runs_as_written() {
    run(&workspace().join("README.md"));
}

#[test]
fn the_page_about_real_series_runs_as_written() {
    run(&workspace().join("examples/series/README.md"));
}

#[test]
fn every_page_of_the_documents_runs_as_written() {
    run_pages_in("docs");
}

#[test]
fn every_first_page_runs_as_written() {
    run_pages_in("docs/first");
}

#[test]
fn every_page_about_migrating_runs_as_written() {
    run_pages_in("docs/migrating");
}

#[test]
fn a_server_in_the_background_is_recognized_with_and_without_variables() {
    let table = [
        ("abide serve &", Some(("", " "))),
        (
            "A=1 B=2 abide serve --ephemeral &",
            Some(("A=1 B=2 ", " --ephemeral ")),
        ),
        ("abide serve", None),
        ("echo abide serve &", None),
        ("abide wait x &", None),
    ];
    for (line, expected) in table {
        assert_eq!(started_in_the_background(line), expected, "{line}");
    }
}
