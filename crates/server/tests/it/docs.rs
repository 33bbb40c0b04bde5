//! `docs/simulator.md` and the pages of `docs/dialects/`, run: each command is carried out against a server in process,
//! and what the page shows of an answer is looked for in it.
//!
//! `sh` blocks are read as far as this page needs it: `abide serve FLAGS &`, `curl` with a few of its flags, `| jq` of
//! one member, and `name=$(…)`. A `toml` block whose first line is a file's name is that file. A `json` or `http` block
//! is a part of the answer to the command before it.

use std::collections::BTreeMap;

use abide_engine::delivery::schedule::PAUSES_S;
use abide_server::clock::Clock;
use abide_server::http::answer::Body;
use abide_server::journal::MemoryJournal;
use abide_wire::FaultKind;
use http::Request;
use serde_json::Value;

use crate::common::{Answer, House, START};

const PAGE: &str = include_str!("../../../../docs/simulator.md");

struct Reader {
    house: House,
    place: tempfile::TempDir,
    variables: BTreeMap<String, String>,
    last: Option<Answer>,
}

#[tokio::test(start_paused = true)]
async fn every_block_of_the_simulators_page_is_true() {
    let run = read(PAGE).await;
    assert!(run >= 20, "{run} blocks were found");
}

/// Pages of tables, which scripts of `checks/dialects` print.
const TABLES: [&str; 2] = ["retries.md", "waits.md"];

#[tokio::test(start_paused = true)]
async fn every_block_of_the_dialects_pages_is_true() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dialects");
    for page in std::fs::read_dir(folder).unwrap() {
        let page = page.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        let is_table = TABLES.iter().any(|name| page.ends_with(name));
        let run = read(&text).await;
        assert!(is_table || run >= 1, "{} has no blocks", page.display());
    }
    let index = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    for name in abide_server::http::dialects() {
        assert!(
            index.contains(&format!("]({name}.md)")),
            "{name} has no page"
        );
    }
}

/// Runs every block of a page, and says how many there were.
async fn read(page: &str) -> usize {
    let mut reader = Reader {
        house: House::with(&[]).await,
        place: tempfile::tempdir().unwrap(),
        variables: BTreeMap::new(),
        last: None,
    };
    let mut run = 0;
    let mut rest = page;
    while let Some((_, from)) = rest.split_once("\n```") {
        let (language, from) = from.split_once('\n').unwrap();
        let (block, after) = from.split_once("\n```").expect("a block ends");
        match language {
            "sh" => reader.shell(block).await,
            "toml" => reader.file(block),
            "json" => reader.expect_json(block),
            "http" => reader.expect_http(block),
            // It is looked at, not run.
            "text" | "python" => {}
            other => panic!("nobody knows how to run {other:?}:\n{block}"),
        }
        run += 1;
        rest = after;
    }
    run
}

impl Reader {
    async fn shell(&mut self, block: &str) {
        let mut words = Vec::new();
        // A command goes on to the next line where a quote is open.
        for line in block.lines() {
            words.push(line);
            let command = words.join("\n");
            if command.matches('\'').count() % 2 == 0 {
                words.clear();
                self.command(&command).await;
            }
        }
        assert!(words.is_empty(), "a quote is open in {block}");
    }

    async fn command(&mut self, command: &str) {
        let (name, command) = match command.split_once("=$(") {
            Some((name, rest)) => (Some(name), rest.strip_suffix(')').expect("a parenthesis")),
            None => (None, command),
        };
        let (command, filter) = match command.rsplit_once(" | jq ") {
            Some((command, filter)) => (command, Some(filter)),
            None => (command, None),
        };
        let mut words = split(command, &self.variables);
        match words.remove(0).as_str() {
            "abide" => return self.serve(&words).await,
            "curl" => self.last = Some(self.curl(&words).await),
            "export" => return,
            other => panic!("{other:?} is not a command of this page"),
        }
        if let Some(filter) = filter {
            let (flag, member) = filter.split_once(" .").expect("a flag and a member");
            let answer = self.last.as_ref().unwrap();
            let value = answer.json()[member.split('.').next().unwrap()].clone();
            let value = member
                .split('.')
                .skip(1)
                .fold(value, |value, member| value[member].clone());
            if flag == "-e" {
                assert_eq!(value, true, "{command}: {}", answer.text);
            }
            if let Some(name) = name {
                let text = value.as_str().unwrap_or_else(|| panic!("{}", answer.text));
                self.variables.insert(name.to_owned(), text.to_owned());
            }
        }
    }

    /// Starts another server.
    async fn serve(&mut self, words: &[String]) {
        assert_eq!(
            (words[0].as_str(), words.last().unwrap().as_str()),
            ("serve", "&")
        );
        let mut flags: Vec<(String, String)> = Vec::new();
        for word in &words[1..words.len() - 1] {
            if let Some(flag) = word.strip_prefix("--") {
                flags.push((flag.to_owned(), "true".to_owned()));
            } else {
                let file = self.place.path().join(word);
                let value = if file.exists() {
                    file.to_str().unwrap()
                } else {
                    word
                };
                value.clone_into(&mut flags.last_mut().expect("a flag before a value").1);
            }
        }
        let said = |name: &str| {
            flags
                .iter()
                .find(|(flag, _)| flag == name)
                .map(|(_, value)| value.as_str())
        };
        let clock = match (said("clock"), said("speed")) {
            (Some("manual"), _) => Clock::manual(START),
            (_, Some(speed)) => Clock::running(START, speed.parse().unwrap()),
            _ => Clock::running(START, 1.try_into().unwrap()),
        };
        let flags: Vec<_> = flags
            .iter()
            .map(|(flag, value)| (flag.as_str(), value.as_str()))
            .collect();
        self.house = House::open(&flags, clock, Box::new(MemoryJournal::new())).await;
    }

    async fn curl(&self, words: &[String]) -> Answer {
        let mut request = Request::builder().header("user-agent", "curl/8.5.0");
        let (mut method, mut body, mut path) = (None, None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("a value").clone();
            match word.as_str() {
                "-s" | "-si" => {}
                "-X" => method = Some(value()),
                "-d" => body = Some(value()),
                "-H" => {
                    let header = value();
                    let (name, value) = header.split_once(": ").unwrap();
                    request = request.header(name, value);
                }
                url => {
                    let there = url.strip_prefix("http://127.0.0.1:8080");
                    path = Some(
                        there
                            .unwrap_or_else(|| panic!("{url} is not ours"))
                            .to_owned(),
                    );
                }
            }
        }
        let otherwise = if body.is_some() { "POST" } else { "GET" };
        let method = method.unwrap_or_else(|| otherwise.to_owned());
        let body = body.map_or_else(Body::default, Body::from);
        let request = request
            .method(method.as_str())
            .uri(path.expect("a URL"))
            .body(body)
            .unwrap();
        Answer::read(self.house.send(request).await).await
    }

    fn file(&self, block: &str) {
        let name = block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let name = name.expect("a file begins with its name");
        std::fs::write(self.place.path().join(name), block).unwrap();
    }

    fn expect_json(&self, block: &str) {
        let answer = self
            .last
            .as_ref()
            .expect("a command before what it answers");
        let shown: Value =
            serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        expect(&shown, &answer.json(), &answer.text);
    }

    fn expect_http(&self, block: &str) {
        let answer = self
            .last
            .as_ref()
            .expect("a command before what it answers");
        let mut lines = block.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        assert_eq!(status, answer.status.to_string(), "{}", answer.text);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(answer.header(name), value, "{name}");
        }
    }
}

/// Whether everything that is shown is in the answer.
fn expect(shown: &Value, found: &Value, all: &str) {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => {
            for (name, value) in shown {
                let found = found
                    .get(name)
                    .unwrap_or_else(|| panic!("there is no {name:?} in {all}"));
                expect(value, found, all);
            }
        }
        (Value::Array(shown), Value::Array(found)) => {
            assert_eq!(shown.len(), found.len(), "{all}");
            for (shown, found) in shown.iter().zip(found) {
                expect(shown, found, all);
            }
        }
        _ => assert_eq!(shown, found, "{all}"),
    }
}

/// The words of a command, with variables put in and quotes taken off.
fn split(command: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, ' ') => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            _ => word.push(character),
        }
    }
    words.push(word);
    for word in &mut words {
        for (name, value) in variables {
            *word = word.replace(&format!("${name}"), value);
        }
    }
    words
}

#[test]
fn the_pages_name_the_defaults_as_the_code_has_them() {
    const WEBHOOKS: &str = include_str!("../../../../docs/webhooks.md");
    let delays = [
        FaultKind::Latency,
        FaultKind::Stall,
        FaultKind::Stale,
        FaultKind::LateResult,
        FaultKind::SlowCancel,
        FaultKind::WebhookLate,
    ];
    for fault in delays {
        let row = format!("| `{}` |", fault.as_str());
        let row = PAGE.lines().find(|line| line.starts_with(&row)).unwrap();
        let delay = format!("`delay`, {} s", fault.delay().as_secs());
        assert!(row.contains(&delay), "{row} doesn't say {delay}");
    }
    let words = PAUSES_S.map(|seconds| match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    });
    let (last, first) = words.split_last().unwrap();
    let schedule = format!("{} and {last}", first.join(", "));
    assert!(WEBHOOKS.contains(&schedule), "{schedule}");
    let hours = PAUSES_S.iter().sum::<u64>() / 3_600;
    assert!(
        WEBHOOKS.contains(&format!("tries for {hours} hours")),
        "{hours}"
    );
}
