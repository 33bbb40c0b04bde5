//! A server that is played in virtual time: it answers what a core sends, well or not.

use std::collections::BTreeMap;
use std::time::Duration;

use abide::Timestamp;
use abide_core::{Broken, Core, ExchangeId, LookError, LookId};
use abide_wire::WaitRequest;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use serde_json::{Value, json};

use super::seconds;

/// The server's time of day at the zero of a trace, in milliseconds since 1970.
pub(super) const EPOCH_MS: i64 = 1_795_305_600_000;
/// How long a request and its answer are on their way together.
const RTT: Duration = Duration::from_millis(80);

/// What goes wrong with one exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Nothing listens.
    Refuse,
    /// The connection breaks before the head.
    Lose,
    /// Nothing ever comes.
    Stall,
    /// That status, and how many seconds to stay away.
    Status(u16, Option<u32>),
    /// The body breaks off in its middle.
    Cut,
    /// A page of something on the way.
    Page,
}

/// Something that is told to a core.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Head(u64, u16, Vec<(&'static str, String)>),
    Chunk(u64, String),
    End(u64),
    Broken(u64, Broken, &'static str),
    Looked(u64, bool, Option<f64>),
    LookFailed(u64, &'static str, bool, Option<f64>),
}

impl Told {
    pub(super) fn describe(&self) -> Value {
        match self {
            Self::Head(exchange, status, headers) => {
                let headers: Vec<Value> = headers
                    .iter()
                    .map(|(name, value)| json!([name, value]))
                    .collect();
                json!({"head": exchange, "status": status, "headers": headers})
            }
            Self::Chunk(exchange, text) => json!({"chunk": exchange, "text": text}),
            Self::End(exchange) => json!({"end": exchange}),
            Self::Broken(exchange, how, why) => {
                let how = match how {
                    Broken::Connect => "connect",
                    Broken::Lost => "lost",
                    Broken::Final => "final",
                };
                json!({"broken": exchange, "how": how, "why": why})
            }
            Self::Looked(look, done, progress) => {
                json!({"looked": look, "done": done, "progress": progress})
            }
            Self::LookFailed(look, what, is_final, after) => {
                json!({"look_failed": look, "what": what, "final": is_final, "retry_after": after})
            }
        }
    }

    pub(super) fn tell(self, core: &mut Core) {
        match self {
            Self::Head(exchange, status, headers) => {
                let mut map = HeaderMap::new();
                for (name, value) in headers {
                    let value =
                        HeaderValue::try_from(value).expect("the traces' headers are plain");
                    map.append(HeaderName::from_static(name), value);
                }
                let status = StatusCode::from_u16(status).expect("the traces' statuses are HTTP's");
                core.head(ExchangeId(exchange), status, map);
            }
            Self::Chunk(exchange, text) => core.chunk(ExchangeId(exchange), Bytes::from(text)),
            Self::End(exchange) => core.end(ExchangeId(exchange)),
            Self::Broken(exchange, how, why) => core.broken(ExchangeId(exchange), how, why),
            Self::Looked(look, done, progress) => {
                let mut shown = if done {
                    abide::Look::done(())
                } else {
                    abide::Look::not_yet()
                };
                if let Some(progress) = progress {
                    shown = shown.progress(progress);
                }
                core.looked(LookId(look), shown);
            }
            Self::LookFailed(look, what, is_final, after) => {
                let error = LookError {
                    what: what.to_owned(),
                    is_final,
                    retry_after: after.map(Duration::from_secs_f64),
                };
                core.look_failed(LookId(look), error);
            }
        }
    }
}

/// A job: when it was accepted and what becomes of it.
#[derive(Clone, Debug)]
struct Life {
    born: Duration,
    /// When it changes, since it was accepted; the last change is its end.
    changes: Vec<Duration>,
    canceled: Option<Duration>,
}

impl Life {
    fn end(&self) -> Duration {
        let end = self.born + *self.changes.last().expect("every job ends");
        self.canceled.map_or(end, |at| at.min(end))
    }

    fn revision(&self, now: Duration) -> usize {
        let canceled = usize::from(self.canceled.is_some_and(|at| at <= now));
        let seen = self
            .changes
            .iter()
            .filter(|change| self.born + **change <= now.min(self.end()));
        1 + seen.count() + canceled
    }

    /// When it changes next after an instant.
    fn next(&self, now: Duration) -> Option<Duration> {
        let mut changes = self.changes.iter().map(|change| self.born + *change);
        changes.find(|at| *at > now)
    }

    fn job(&self, id: &str, now: Duration) -> Value {
        let done = now >= self.end();
        let outcome = if self.canceled.is_some() {
            "canceled"
        } else {
            "completed"
        };
        let at = |at: Duration| {
            let millis = i64::try_from(at.as_millis()).expect("traces are short");
            Timestamp::from_millis(EPOCH_MS + millis).to_string()
        };
        json!({
            "id": id, "kind": "render", "status": if done { outcome } else { "running" }, "done": done,
            "outcome": done.then_some(outcome), "revision": self.revision(now), "created_at": at(self.born),
            "updated_at": at(now.min(self.end())), "finished_at": done.then(|| at(self.end())),
            "result": (done && self.canceled.is_none()).then_some(json!({"url": "https://example.com/a.mp4"})),
        })
    }
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// How long the jobs take that are created, one after the other, as the instants of their changes.
    pub(super) lives: Vec<Vec<f64>>,
    /// What goes wrong with which request, by its number from 1.
    pub(super) faults: Vec<(usize, Fault)>,
    /// Whether requests are held and streams are known.
    pub(super) holds: bool,
    pub(super) streams: bool,
    /// When what is looked at by a function is done, and which looks fail.
    pub(super) done_at: f64,
    pub(super) failing_looks: Vec<usize>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            lives: Vec::new(),
            faults: Vec::new(),
            holds: true,
            streams: true,
            done_at: 20.0,
            failing_looks: Vec::new(),
        }
    }
}

/// The server.
pub(super) struct World {
    manner: Manner,
    jobs: BTreeMap<String, Life>,
    coming: BTreeMap<(Duration, u64), Told>,
    names: u64,
    sent: usize,
    looks: usize,
}

impl World {
    pub(super) const fn new(manner: Manner) -> Self {
        Self {
            manner,
            jobs: BTreeMap::new(),
            coming: BTreeMap::new(),
            names: 0,
            sent: 0,
            looks: 0,
        }
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.coming.keys().next().map(|(at, _)| *at)
    }

    /// What is to be told by now.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Told> {
        let later = self.coming.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.coming, later)
            .into_values()
            .collect()
    }

    /// Nothing waits for that exchange any more.
    pub(super) fn abort(&mut self, gone: u64) {
        self.coming.retain(|_, told| {
            !matches!(told, Told::Head(name, ..) | Told::Chunk(name, _) | Told::End(name) | Told::Broken(name, ..) if *name == gone)
        });
    }

    fn at(&mut self, at: Duration, told: Told) {
        self.names += 1;
        self.coming.insert((at, self.names), told);
    }

    pub(super) fn look(&mut self, now: Duration, look: u64) {
        self.looks += 1;
        let at = now + RTT;
        let told = if self.manner.failing_looks.contains(&self.looks) {
            Told::LookFailed(look, "busy", false, Some(2.0))
        } else {
            let share = (at.as_secs_f64() / self.manner.done_at).min(1.0);
            Told::Looked(look, share >= 1.0, Some(share))
        };
        self.at(at, told);
    }

    pub(super) fn send(&mut self, now: Duration, exchange: u64, request: &Request<Bytes>) {
        self.sent += 1;
        let arrived = now + RTT / 2;
        let fault = self
            .manner
            .faults
            .iter()
            .find(|(number, _)| *number == self.sent)
            .map(|(_, fault)| *fault);
        match fault {
            Some(Fault::Refuse) => {
                return self.at(
                    arrived,
                    Told::Broken(exchange, Broken::Connect, "connection refused"),
                );
            }
            Some(Fault::Lose) => {
                return self.at(
                    now + RTT,
                    Told::Broken(exchange, Broken::Lost, "connection reset"),
                );
            }
            Some(Fault::Stall) => return,
            Some(Fault::Status(status, after)) => {
                let headers = after
                    .map(|after| ("retry-after", after.to_string()))
                    .into_iter()
                    .collect();
                return self.answer(now + RTT, exchange, status, headers, "", false);
            }
            Some(Fault::Page) => {
                let headers = vec![("content-type", "text/html".to_owned())];
                return self.answer(
                    now + RTT,
                    exchange,
                    200,
                    headers,
                    "<html>Sign in</html>",
                    false,
                );
            }
            Some(Fault::Cut) | None => {}
        }
        self.serve(arrived, exchange, request, fault == Some(Fault::Cut));
    }

    fn serve(&mut self, arrived: Duration, exchange: u64, request: &Request<Bytes>, cut: bool) {
        let path = request.uri().path().trim_start_matches("/v1/jobs");
        let query = request.uri().query().unwrap_or_default();
        let name = path.trim_start_matches('/');
        let (at, status, headers, text) = match (request.method().as_str(), path) {
            ("POST", "") => (arrived, 201, plain(), self.create(arrived)),
            ("POST", "/wait") => {
                let body: WaitRequest =
                    serde_json::from_slice(request.body()).expect("the client writes requests");
                let (at, text) = self.wait(arrived, &body);
                (at, 200, held(), text)
            }
            ("GET", path) if path.ends_with("/events") => {
                let id = name.trim_end_matches("/events");
                return self.stream(arrived, exchange, id, cut);
            }
            (method, _) => {
                let id = name.trim_end_matches("/cancel");
                match self.read(arrived, method == "POST", id, query) {
                    Some((at, true, text)) => (at, 200, held(), text),
                    Some((at, false, text)) => (at, 200, plain(), text),
                    None => {
                        return self.answer(arrived + RTT / 2, exchange, 404, plain(), "{}", false);
                    }
                }
            }
        };
        self.answer(at + RTT / 2, exchange, status, headers, &text, cut);
    }

    /// Makes the next job, and shows it.
    fn create(&mut self, arrived: Duration) -> String {
        let id = format!("job_{}", self.jobs.len() + 1);
        let changes = self.manner.lives.get(self.jobs.len()).cloned();
        let changes = changes.unwrap_or_else(|| vec![30.0]).into_iter();
        let life = Life {
            born: arrived,
            changes: changes.map(Duration::from_secs_f64).collect(),
            canceled: None,
        };
        let text = life.job(&id, arrived).to_string();
        self.jobs.insert(id, life);
        text
    }

    /// When a request for several jobs is answered, and with what.
    fn wait(&self, arrived: Duration, body: &WaitRequest) -> (Duration, String) {
        let ids: Vec<String> = body.jobs.iter().map(|item| item.id.to_string()).collect();
        let up_to = arrived + body.wait.get();
        let known = ids.iter().filter_map(|id| Some((id, self.jobs.get(id)?)));
        let first = known.clone().map(|(_, life)| life.end()).min();
        let at = first.unwrap_or(up_to).clamp(arrived, up_to);
        let ended = known.filter(|(_, life)| life.end() <= at);
        let ended: Vec<Value> = ended.map(|(id, life)| life.job(id, at)).collect();
        (at, json!({"jobs": ended, "errors": []}).to_string())
    }

    /// When a request for one job is answered, whether it was held until then, and with what.
    fn read(
        &mut self,
        arrived: Duration,
        cancels: bool,
        id: &str,
        query: &str,
    ) -> Option<(Duration, bool, String)> {
        let life = self.jobs.get_mut(id)?;
        if cancels && arrived < life.end() {
            life.canceled = Some(arrived);
        }
        let wait = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("wait=")?.parse::<f64>().ok());
        let Some(wait) = wait.filter(|_| self.manner.holds) else {
            return Some((arrived, false, life.job(id, arrived).to_string()));
        };
        let until = match query.contains("until=done") {
            true => Some(life.end()),
            false => life.next(arrived),
        };
        let up_to = arrived + Duration::from_secs_f64(wait);
        let at = until.unwrap_or(arrived).clamp(arrived, up_to);
        Some((at, true, life.job(id, at).to_string()))
    }

    fn stream(&mut self, arrived: Duration, exchange: u64, id: &str, cut: bool) {
        let Some(life) = self.jobs.get(id).cloned().filter(|_| self.manner.streams) else {
            return self.answer(arrived + RTT / 2, exchange, 406, Vec::new(), "{}", false);
        };
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        self.at(arrived + RTT / 2, Told::Head(exchange, 200, headers));
        let mut at = Some(arrived);
        while let Some(now) = at {
            let done = now >= life.end();
            let (job, revision) = (life.job(id, now), life.revision(now));
            let word = if done { "completed" } else { "progress" };
            let event = format!("id: {revision}\nevent: job.{word}\ndata: {job}\n\n");
            self.at(now + RTT / 2, Told::Chunk(exchange, event));
            if cut {
                return self.at(
                    now + RTT,
                    Told::Broken(exchange, Broken::Lost, "connection reset"),
                );
            }
            at = life.next(now).filter(|_| !done);
        }
        self.at(life.end().max(arrived) + RTT, Told::End(exchange));
    }

    fn answer(
        &mut self,
        at: Duration,
        exchange: u64,
        status: u16,
        headers: Vec<(&'static str, String)>,
        text: &str,
        cut: bool,
    ) {
        self.at(at, Told::Head(exchange, status, headers));
        let (one, two) = text.split_at(text.len() / 2);
        if !one.is_empty() {
            self.at(at, Told::Chunk(exchange, one.to_owned()));
        }
        if cut {
            return self.at(at, Told::Broken(exchange, Broken::Lost, "connection reset"));
        }
        if !two.is_empty() {
            self.at(at, Told::Chunk(exchange, two.to_owned()));
        }
        self.at(at, Told::End(exchange));
    }
}

/// An instant of a trace.
pub(super) fn instant(at: Duration) -> Value {
    seconds(at)
}

fn plain() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/json".to_owned())]
}

fn held() -> Vec<(&'static str, String)> {
    let mut headers = plain();
    headers.push(("preference-applied", "wait".to_owned()));
    headers
}
