//! Requests, as a server reads them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use abide_engine::{Engine, Entry, Policy};
use abide_server::clock::Clock;
use abide_server::config::Layers;
use abide_server::http::answer::Body;
use abide_server::http::{AppState, Gate};
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_server::{Fresh, Server};
use abide_wire::webhook::Secret;
use abide_wire::{Span, Timestamp};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::{in_time, pieces, stored};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Lines of a script that are played.
const LINES_MAX: usize = 60;
/// The longest time that a script lets pass.
const PASS_MAX: Duration = Duration::from_secs(3_600);
/// How long an answer may take: the longest hold, and what a body may take to come.
const ANSWER_MAX: Duration = Duration::from_secs(200);
/// The pieces of a stream that are read.
const PIECES_MAX: usize = 50;
/// How long a connection may go on once it is to end.
const END_MAX: Duration = Duration::from_secs(120);

async fn server(flags: &[(&str, &str)]) -> (AppState, MemoryJournal) {
    let layers = flags
        .iter()
        .fold(Layers::default(), |layers, (name, value)| {
            layers.flag(*name, *value)
        });
    let config = layers.resolve().expect("the flags are right").config;
    let fresh = Fresh {
        seed: 7,
        secret: Secret::generate([7; 32]),
    };
    let journal = MemoryJournal::new();
    let clock = Clock::running(START, NonZeroU32::MIN);
    let log = Box::new(journal.clone());
    let assembly = Server::assemble(config, clock, log, |_| None, fresh).await;
    let state = assembly.expect("an empty journal can be read").state;
    (state, journal)
}

/// The seam between hyper and a parked connection: the same bytes at once and in pieces are answered alike. But a
/// request that is refused before its body has come ends its connection, and a head that never ends may be refused.
pub(super) fn connection(data: &[u8]) {
    let whole = in_time(talk(&[data]));
    let cut = in_time(talk(&pieces(data)));
    let text = String::from_utf8_lossy(&cut);
    let (all, some) = (statuses(&whole), statuses(&cut));
    let is_refused = |rest: &[&[u8]]| matches!(rest, [b"400" | b"431"]);
    let is_alike = all.strip_prefix(&*some).is_some_and(|rest| {
        rest.is_empty() || is_refused(rest) || text.contains("connection: close")
    });
    assert!(
        is_alike || some.strip_prefix(&*all).is_some_and(is_refused),
        "at once: {}\nin pieces: {text}",
        String::from_utf8_lossy(&whole)
    );
}

/// What a connection answers to those bytes until its end.
async fn talk(pieces: &[&[u8]]) -> Vec<u8> {
    let flags = [("rate-limit", "off"), ("hold-max", "5s")];
    let (state, _) = server(&flags).await;
    let (client, end) = tokio::io::duplex(16 * 1024);
    let stop = CancellationToken::new();
    let gate = Gate::new(state, Some([127, 0, 0, 1].into()));
    let serving = tokio::spawn(abide_server::net::connection(end, gate, stop.clone()));
    let (mut reads, mut writes) = tokio::io::split(client);
    let reading = tokio::spawn(async move {
        let mut answers = Vec::new();
        // A connection that is broken off has been answered till then.
        let _ = reads.read_to_end(&mut answers).await;
        answers
    });
    for piece in pieces {
        if writes.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The server may have gone already.
    let _ = writes.shutdown().await;
    let answers = tokio::time::timeout(ANSWER_MAX * 10, reading).await;
    stop.cancel();
    let ended = tokio::time::timeout(END_MAX, serving).await;
    ended
        .expect("the connection ends")
        .expect("without a panic");
    answers.map_or_else(|_| Vec::new(), |answers| answers.expect("without a panic"))
}

fn statuses(bytes: &[u8]) -> Vec<&[u8]> {
    const HEAD: &[u8] = b"HTTP/1.1 ";
    let places = bytes.windows(HEAD.len() + 3);
    let heads = places.filter(|place| place.starts_with(HEAD));
    // Whether a client is told that its body is awaited depends on whether that is there already.
    let statuses = heads.map(|head| &head[HEAD.len()..]);
    statuses.filter(|status| *status != b"100").collect()
}

/// Every route, by scripts as those of the dialects' tests: `> METHOD PATH BODY`, `= NAME: VALUE`, `= take NAME
/// POINTER`, `= pass TIME`.
pub(super) fn router(data: &[u8]) {
    let script = String::from_utf8_lossy(data);
    in_time(async {
        let (state, journal) = server(&[("rate-limit", "off"), ("dialects", "all")]).await;
        let mut play = Play {
            state,
            headers: HeaderMap::new(),
            taken: BTreeMap::new(),
            last: Value::Null,
            plays_faults: script.contains("fault"),
        };
        let lines = script.lines().filter(|line| !line.starts_with("< "));
        for line in lines.take(LINES_MAX) {
            play.line(line).await;
        }
        reread(journal);
    });
}

struct Play {
    state: AppState,
    headers: HeaderMap,
    taken: BTreeMap<String, String>,
    last: Value,
    /// Whether answers may be broken on purpose.
    plays_faults: bool,
}

impl Play {
    async fn line(&mut self, line: &str) {
        let mut line = line.to_owned();
        for (name, value) in &self.taken {
            line = line.replace(&format!("{{{name}}}"), value);
        }
        match line.split_once(' ') {
            Some((">", request)) => self.ask(request).await,
            Some(("=", command)) => self.carry_out(command).await,
            _ => {}
        }
    }

    async fn carry_out(&mut self, command: &str) {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("pass", time) => {
                let time: Result<Span, _> = time.parse();
                let time = time.map_or(Duration::ZERO, Span::get).min(PASS_MAX);
                tokio::time::sleep(time + Duration::from_millis(1)).await;
            }
            ("take", what) => {
                let (name, pointer) = what.split_once(' ').unwrap_or((what, ""));
                let value = self.last.pointer(pointer);
                let text = value.map(|value| {
                    let text = value.as_str().map(str::to_owned);
                    text.unwrap_or_else(|| value.to_string())
                });
                self.taken.extend(text.map(|text| (name.to_owned(), text)));
            }
            (name, value) => {
                let name = HeaderName::from_bytes(name.trim_end_matches(':').as_bytes());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                    self.headers.insert(name, value);
                }
            }
        }
    }

    async fn ask(&mut self, request: &str) {
        let mut words = request.splitn(3, ' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "127.0.0.1:8080");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = words.next().map(|body| body.replace("\\r\\n", "\r\n"));
        if body.is_some() && !self.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        let Ok(request) = request.body(body.map_or_else(Body::default, Body::from)) else {
            return;
        };
        let gate = Gate::new(self.state.clone(), Some([127, 0, 0, 1].into()));
        let answer = tokio::time::timeout(ANSWER_MAX, gate.answer(request).answer()).await;
        let (head, body) = answer.expect("every request is answered").into_parts();
        let collected = async {
            let mut whole = Vec::new();
            let mut pieces = body.into_pieces().take(PIECES_MAX);
            while let Some(Ok(piece)) = pieces.next().await {
                whole.extend_from_slice(&piece);
            }
            whole
        };
        let body = tokio::time::timeout(ANSWER_MAX, collected).await;
        let body = body.unwrap_or_default();
        self.last = serde_json::from_slice(&body).unwrap_or_default();
        if self.plays_faults {
            return;
        }
        let (status, text) = (head.status.as_u16(), String::from_utf8_lossy(&body));
        assert!(status != 500, "{method} {path}: {status} {text}");
        let kind = head.headers.get("content-type").map(HeaderValue::as_bytes);
        let is_json = kind.is_some_and(|kind| kind.ends_with(b"json"));
        if is_json && method != "HEAD" && !body.is_empty() {
            let parsed = serde_json::from_slice::<&RawValue>(&body);
            assert!(parsed.is_ok(), "{method} {path}: {parsed:?} {text}");
        }
    }
}

/// What was written is read again as it was.
fn reread(mut journal: MemoryJournal) {
    let mut engine = Engine::new(Policy::default());
    let mut parts = Vec::new();
    let load = &mut |name: &str, bytes: &[u8]| {
        parts.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    };
    let seq = journal.load(load).expect("memory can be read");
    for (name, bytes) in &parts {
        let restored = engine.restore(name, bytes);
        restored.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    engine.restored(seq);
    let mut entries = Vec::new();
    let each = &mut |_, bytes: &[u8]| {
        entries.push(bytes.to_vec());
        Ok(())
    };
    journal.replay(seq, each).expect("memory can be read");
    for bytes in &entries {
        let text = String::from_utf8_lossy(bytes);
        let entry = Entry::decode(bytes).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        engine.apply(&entry, &mut Vec::new());
    }
    stored::is_whole(&mut engine);
}
