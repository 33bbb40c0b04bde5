//! Vendors' interfaces: what each says, held fast by a script for each in `dialects/NAME.txt`.
//!
//! A script is what a client sends (`> METHOD PATH BODY`), and what it is answered (`<`). Between them stand commands:
//!
//! | command | what it does |
//! |---|---|
//! | `= NAME: VALUE` | sends that header from now on; none if the value is empty |
//! | `= take NAME POINTER` | remembers what is there in the last answer; `{NAME}` stands for it |
//! | `= pass 2s` | lets time pass |
//! | `= told` | shows what a webhook told next |
//! | `= faults JSON` | what goes wrong from now on, with every job |
//!
//! `ABIDE_BLESS=1 cargo test -p abide-server --test it dialects` writes the answers anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::http::answer::Body;
use abide_server::journal::{MemoryJournal, SqliteJournal};
use abide_wire::Span;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::common::{Answer, House, START};
use crate::strangers::{never, shown};
use crate::webhooks::receivers::Receivers;

/// Headers that say nothing of a dialect, or are another each time.
const LEFT_OUT: [&str; 4] = [
    "date",
    "x-request-id",
    "x-content-type-options",
    "content-type",
];
/// The status, in process, of an answer whose connection is reset.
const LOST: u16 = 499;
const SIGNED: [&str; 8] = [
    "webhook-timestamp",
    "webhook-signature",
    "heygen-timestamp",
    "heygen-signature",
    "elevenlabs-signature",
    "sync-signature",
    "x-fal-webhook-timestamp",
    "x-fal-webhook-signature",
];

/// The headers in which vendors' clients send their key.
const KEY_HEADERS: [&str; 5] = [
    "authorization",
    "x-api-key",
    "xi-api-key",
    "ocp-apim-subscription-key",
    "x-goog-api-key",
];

const ANN: &str = "ann-ann-ann-ann-ann-ann";
const BOB: &str = "bob-bob-bob-bob-bob-bob";
const ROOT: &str = "root-root-root-root-root";

struct Play {
    house: House,
    receivers: std::sync::Arc<Receivers>,
    headers: BTreeMap<String, String>,
    taken: BTreeMap<String, String>,
    last: Value,
    told: usize,
    out: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dialects")
}

impl Play {
    async fn new(flags: &[(&str, &str)]) -> Self {
        let clock = Clock::running(START, std::num::NonZeroU32::MIN);
        let receivers = Receivers::ok(&clock);
        let journal = Box::new(MemoryJournal::new());
        let carrier = Some(receivers.clone() as _);
        let house = House::open_with(flags, clock, journal, carrier).await;
        Self {
            house,
            receivers,
            headers: BTreeMap::new(),
            taken: BTreeMap::new(),
            last: Value::Null,
            told: 0,
            out: String::new(),
        }
    }

    async fn line(&mut self, line: &str) {
        if line.starts_with("< ") {
            return;
        }
        self.out.push_str(line);
        self.out.push('\n');
        let line = self.filled(line);
        match line.split_once(' ') {
            Some((">", request)) => self.ask(request).await,
            Some(("=", command)) => self.carry_out(command).await,
            _ => {}
        }
    }

    /// That line with what was taken in its places.
    fn filled(&self, line: &str) -> String {
        let fill = |line: String, (name, value): (&String, &String)| {
            line.replace(&format!("{{{name}}}"), value)
        };
        self.taken.iter().fold(line.to_owned(), fill)
    }

    async fn carry_out(&mut self, command: &str) {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("pass", time) => {
                let time: Span = time.parse().unwrap();
                // What is due at that very moment has happened then.
                tokio::time::sleep(time.get() + Duration::from_millis(1)).await;
            }
            ("take", what) => {
                let (name, pointer) = what.split_once(' ').unwrap();
                let value = self.last.pointer(pointer).expect(pointer);
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                self.taken.insert(name.to_owned(), value);
            }
            ("told", _) => {
                self.told += 1;
                let post = self.receivers.wait_for(self.told).await[self.told - 1]
                    .post
                    .clone();
                let _ = writeln!(self.out, "< POST {}", post.url);
                self.write(&post.headers, &String::from_utf8_lossy(&post.body));
            }
            ("faults", faults) => {
                let faults: Value = serde_json::from_str(faults).unwrap();
                let body = json!({"faults": faults});
                let operator = self
                    .house
                    .with_header("authorization", &format!("Bearer {ROOT}"));
                let answer = operator.ask("PATCH", "/v1/simulator", Some(body)).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
            (name, value) => {
                let name = name.trim_end_matches(':').to_owned();
                match value.is_empty() {
                    true => self.headers.remove(&name),
                    false => self.headers.insert(name, value.to_owned()),
                };
            }
        }
    }

    /// What that request is answered; `None` if the connection is reset.
    async fn send(&self, request: &str) -> Option<Answer> {
        let mut words = request.splitn(3, ' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "127.0.0.1:8080");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // The lines of a form end as no line of a script can.
        let body = words.next().map(|body| body.replace("\\r\\n", "\r\n"));
        if body.is_some() && !self.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::default, Body::from);
        let answer = self.house.send(request.body(body).unwrap()).await;
        if answer.status() == LOST {
            return None;
        }
        Some(Answer::read(answer).await)
    }

    async fn ask(&mut self, request: &str) {
        let Some(answer) = self.send(request).await else {
            self.out.push_str("< (the connection is reset)\n");
            return;
        };
        self.last = serde_json::from_str(&answer.text).unwrap_or_default();
        let _ = writeln!(self.out, "< {}", answer.status);
        self.write(&answer.headers, &answer.text);
    }

    fn write(&mut self, headers: &HeaderMap, body: &str) {
        let mut lines: Vec<String> = headers
            .iter()
            .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
            .map(|(name, value)| match SIGNED.contains(&name.as_str()) {
                true => format!("< {name}: …"),
                false => format!("< {name}: {}", value.to_str().unwrap()),
            })
            .collect();
        lines.sort();
        if let Some(kind) = headers
            .get("content-type")
            .filter(|kind| *kind != "application/json")
        {
            lines.push(format!("< content-type: {}", kind.to_str().unwrap()));
        }
        match body.contains('\0') {
            true => lines.push(format!("< ({} bytes)", body.len())),
            false => lines.extend(body.lines().map(|line| format!("< {line}"))),
        }
        for line in lines {
            self.out.push_str(&line);
            self.out.push('\n');
        }
    }
}

async fn play(script: &Path) {
    let kept = std::fs::read_to_string(script).unwrap();
    let mut play = Play::new(&[]).await;
    for line in kept.lines() {
        play.line(line).await;
    }
    if std::env::var_os("ABIDE_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(script, &play.out).unwrap();
        return;
    }
    for (n, (now, kept)) in play.out.lines().zip(kept.lines()).enumerate() {
        let place = format!("{}:{}", script.display(), n + 1);
        assert_eq!(now, kept, "{place}; ABIDE_BLESS=1 writes it");
    }
    assert_eq!(play.out.len(), kept.len(), "{}", script.display());
}

#[tokio::test(start_paused = true)]
async fn every_dialect_says_what_was_looked_at() {
    let known: Vec<String> = abide_server::http::dialects().map(str::to_owned).collect();
    let mut scripts: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    let names: Vec<_> = scripts
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    for name in &known {
        assert!(names.contains(name), "{name} has no script");
    }
    for script in scripts {
        play(&script).await;
    }
}

/// Ann's client does what the script says. Then bob's asks for all that it named, and for names that were never given.
async fn ask_as_a_stranger(script: &Path) -> usize {
    let keys = format!("ann:user:{ANN},bob:user:{BOB},root:admin:{ROOT}");
    let flags = [
        ("api-key", &*keys),
        ("dialects", "all"),
        ("directives", "on"),
        ("rate-limit", "off"),
        ("webhook-allow", "127.0.0.0/8"),
    ];
    let mut play = Play::new(&flags).await;
    let mut named = Vec::new();
    for line in std::fs::read_to_string(script).unwrap().lines() {
        let key = KEY_HEADERS
            .iter()
            .find_map(|name| line.strip_prefix(&format!("= {name}: ")));
        match key.and_then(|key| line.strip_suffix(key.split(' ').next_back()?)) {
            Some(before) => play.line(&format!("{before}{ANN}")).await,
            None => play.line(line).await,
        }
        let names_a_thing = line
            .split(' ')
            .nth(2)
            .is_some_and(|path| path.contains('{'));
        // The URL of a film opens it without a key.
        if line.starts_with("> ") && names_a_thing && !play.filled(line).contains("/files/") {
            named.push((line[2..].to_owned(), play.headers.clone()));
        }
    }
    let real = play.taken.clone();
    let unreal = real.iter().map(|(name, value)| {
        (
            name.clone(),
            value.replace(id_in(value), &never(id_in(value))),
        )
    });
    let unreal: BTreeMap<_, _> = unreal.collect();
    let count = named.len();
    for (request, headers) in named {
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name, value.replace(ANN, BOB)));
        play.headers = headers.collect();
        let mut told = Vec::new();
        for taken in [&real, &unreal] {
            play.taken.clone_from(taken);
            let answer = play.send(&play.filled(&request)).await;
            let left_out =
                |text: String, (name, value): (&String, &String)| text.replace(id_in(value), name);
            told.push(answer.map(|answer| taken.iter().fold(shown(&answer), left_out)));
        }
        assert_eq!(told[0], told[1], "{}: {request}", script.display());
    }
    count
}

/// The longest word of that text: its id, if it has one.
fn id_in(text: &str) -> &str {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    words.max_by_key(|word| word.len()).unwrap_or(text)
}

#[tokio::test(start_paused = true)]
async fn to_another_owner_of_a_vendors_key_nothing_is_there_or_was() {
    let mut asked = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        asked += ask_as_a_stranger(&entry.unwrap().path()).await;
    }
    assert!(asked > 100, "only {asked} requests name a thing");
}

#[tokio::test(start_paused = true)]
async fn a_dialect_that_is_off_isnt_there() {
    for (flags, status) in [
        (&[][..], 401),
        (&[("dialects", "all")], 401),
        (&[("dialects", "runway,replicate")], 401),
        (&[("dialects", "none")], 404),
        (&[("dialects", "runway")], 404),
    ] {
        let house = House::with(flags).await;
        for path in [
            "/dialects/replicate/v1/predictions",
            "/with/queue=1s/dialects/replicate/v1/predictions",
        ] {
            assert_eq!(house.get(path).await.status, status, "{flags:?} {path}");
        }
        assert_eq!(house.get("/dialects/odd/v1/predictions").await.status, 404);
        assert_eq!(house.get("/v1/jobs").await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_belongs_to_the_vendors_key_and_is_a_native_one_too() {
    let flags = [
        ("api-key", "ann:user:ann-ann-ann-ann-ann-ann"),
        ("dialects", "all"),
    ];
    let open = House::with(&flags).await;
    let (ann, other) = (
        open.with_header("authorization", "Bearer ann-ann-ann-ann-ann-ann"),
        open.with_header("authorization", "Bearer bob-bob-bob-bob-bob-bob"),
    );
    let path = "/dialects/replicate/v1/predictions";
    let body = json!({"version": "v", "input": {"prompt": "abide:duration=1s"}});
    assert_eq!(open.post(path, body.clone()).await.status, 401);
    assert_eq!(other.post(path, body.clone()).await.status, 401);
    let made = ann.post(path, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let jobs = ann.get("/v1/jobs").await.json();
    assert_eq!(jobs["jobs"][0]["kind"], "replicate.prediction");
    assert_eq!(jobs["jobs"][0]["metadata"]["dialect"], "replicate");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(1_001)).await;
    let read = ann.get(&format!("{path}/{id}")).await.json();
    assert_eq!(read["status"], "succeeded");
    let film = read["output"].as_str().unwrap();
    let film = open
        .get(film.strip_prefix("http://127.0.0.1:8080").unwrap_or(film))
        .await;
    assert_eq!(
        (film.status, film.header("content-type")),
        (200, "video/mp4")
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_job_says_ends_no_event_of_a_vendors_stream() {
    let flags = [
        ("api-key", "ann:user:ann-ann-ann-ann-ann-ann"),
        ("dialects", "all"),
    ];
    let house = House::with(&flags).await;
    let ann = house.with_header("authorization", "Bearer ann-ann-ann-ann-ann-ann");
    let stages = json!([{"name": "a\r\n\nevent: done\rdata: {}", "share": 1}]);
    let new = json!({
        "kind": "replicate.prediction",
        "simulate": {"duration": {"fixed": "60s"}, "stages": stages},
    });
    let made = ann.post("/v1/jobs", new).await;
    assert_eq!(made.status, 202, "{}", made.text);
    ann.pass(5_000).await;
    let list = ann.get("/dialects/replicate/v1/predictions").await.json();
    let url = list["results"][0]["urls"]["stream"].as_str().unwrap();
    let request = Request::get(url).body(Body::Empty).unwrap();
    let mut pieces = ann.send(request).await.into_body().into_pieces();
    let mut told = String::new();
    while !told.contains("event: logs") {
        let piece = pieces.next().await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let (_, event) = told.split_once("event: logs\n").unwrap();
    let lines = event.trim_end().split(['\r', '\n']).skip(1);
    let data: Vec<_> = lines.collect();
    assert!(
        data[0].starts_with("data: ") && data[0].ends_with("% a"),
        "{told}"
    );
    assert_eq!(
        data[1..],
        ["data: ", "data: ", "data: event: done", "data: data: {}"]
    );
}

#[tokio::test(start_paused = true)]
async fn directives_that_are_off_are_passed_over() {
    let house = House::with(&[
        ("directives", "off"),
        ("duration", "9s"),
        ("error-chance", "0"),
    ])
    .await;
    let house = house
        .with_header("authorization", "Bearer k")
        .with_header("abide-simulate", "duration=1s");
    let body = json!({"input": {"prompt": "abide:durration=1s"}});
    let made = house
        .post("/with/duration=1s/dialects/replicate/v1/predictions", body)
        .await;
    assert_eq!(
        (made.status, made.header("abide-simulate-understood")),
        (201, "")
    );
    tokio::time::sleep(Duration::from_secs(8)).await;
    let list = house.get("/dialects/replicate/v1/predictions").await.json();
    assert_eq!(list["results"][0]["status"], "processing");
}

#[tokio::test(start_paused = true)]
async fn a_lost_create_has_made_its_job() {
    let house = House::with(&[])
        .await
        .with_header("authorization", "Bearer k");
    let body = json!({"input": {"prompt": "abide:duration=1s,fault=lost_create"}});
    let request = Request::post("/dialects/replicate/v1/predictions")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()));
    let answer = house.send(request.unwrap()).await;
    // In process the connection that is reset is a body that breaks off.
    assert!(answer.into_body().collect(100).await.is_err());
    let list = house.get("/dialects/replicate/v1/predictions").await.json();
    assert_eq!(list["results"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dialect_has_the_root_of_a_listener_of_its_own() {
    let house = House::with(&[("dialects", "none")]).await;
    let gate = || house.gate().of_dialect("replicate".into());
    let ask = async |path: &str, body: Option<Value>| {
        let request = Request::builder()
            .uri(path)
            .header("authorization", "Bearer k");
        let request = match &body {
            Some(_) => request
                .method("POST")
                .header("content-type", "application/json"),
            None => request,
        };
        let body = body.map_or_else(Body::default, |body| Body::from(body.to_string()));
        let answer = gate().answer(request.body(body).unwrap()).answer().await;
        Answer::read(answer).await
    };
    let body = json!({"input": {"prompt": "x"}});
    let made = ask("/with/duration=1s/v1/predictions", Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("abide-simulate-understood"), "duration=1s");
    let get = made.json()["urls"]["get"].as_str().unwrap().to_owned();
    assert_eq!(ask(&get, None).await.status, 200, "{get}");
    assert_eq!(ask("/v1/predictions", None).await.status, 200);
    // Nothing else is there.
    assert_eq!(ask("/v1/jobs", None).await.json()["title"], "Not Found");
    assert_eq!(
        ask("/dialects/replicate/v1/predictions", None).await.status,
        404
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_that_counts_pages_leaves_no_job_out_however_large_they_are() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let house = house.with_header("authorization", "Bearer key");
    let generations = "/dialects/luma/dream-machine/v1/generations";
    let prompt = "x".repeat(200_000);
    for _ in 0..30 {
        let body = json!({"model": "ray-2", "prompt": prompt});
        let made = house.post(generations, body).await;
        assert_eq!(made.status, 201, "{:.200}", made.text);
    }
    // More than an answer may have: the next page would begin after what this one left out.
    let refused = house.get(&format!("{generations}?limit=30")).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text.contains("ask for 21 at a time"),
        "{}",
        refused.text
    );
    let mut seen = std::collections::BTreeSet::new();
    for (offset, has_more) in [(0, true), (10, true), (20, false)] {
        let path = format!("{generations}?limit=10&offset={offset}");
        let page = house.get(&path).await.json();
        assert_eq!(page["has_more"], has_more, "{offset}");
        for shown in page["generations"].as_array().unwrap() {
            seen.insert(shown["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen.len(), 30);
}

/// Also after a start; and of several jobs of one name it is the newest.
#[tokio::test]
async fn a_job_is_found_by_the_name_that_its_client_gave_it_however_many_come_after() {
    const LANGUAGES: usize = 100;
    const CREATES: usize = 60;
    let open = async |folder: &Path| {
        let journal = Box::new(SqliteJournal::open(folder, &[], 1).unwrap());
        let house = House::open(&[("rate-limit", "off")], Clock::real(), journal).await;
        house.with_header("authorization", "Bearer key")
    };
    let path =
        |rest: &str| format!("/dialects/azure/videotranslation/{rest}?api-version=2025-05-20");
    let put = async |house: &House, rest: &str, operation: &str| {
        let body = json!({"input": {"note": operation}});
        let house = house.with_header("operation-id", operation);
        let path = path(&format!("translations/{rest}"));
        let made = house.ask("PUT", &path, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
    };
    let note = async |house: &House| {
        let read = house.get(&path("translations/talk")).await.json();
        read["input"]["note"].clone()
    };
    let names = [
        "translations/talk",
        "translations/talk/iterations/1",
        "operations/first",
        "operations/second",
    ];
    let folder = tempfile::tempdir().unwrap();
    let house = open(folder.path()).await;
    put(&house, "talk", "first").await;
    put(&house, "talk/iterations/1", "second").await;
    let languages = vec!["Klingon"; LANGUAGES];
    let others = json!({"video": {"type": "url"}, "output_languages": languages});
    for _ in 0..CREATES {
        let path = "/dialects/heygen/v3/video-translations";
        let made = house.post(path, others.clone()).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
    for name in names {
        assert_eq!(house.get(&path(name)).await.status, 200, "{name}");
    }

    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let house = open(copy.path()).await;
    for name in names {
        let read = house.get(&path(name)).await;
        assert_eq!(read.status, 200, "{name} after a start");
    }
    put(&house, "talk", "third").await;
    assert_eq!(note(&house).await, "third", "the newest of that name");
    let deleted = house.ask("DELETE", &path(names[0]), None).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(note(&house).await, "first");
    assert_eq!(house.get(&path("operations/third")).await.status, 404);
}
