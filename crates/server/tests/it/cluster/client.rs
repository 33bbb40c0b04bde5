//! A client of the cluster, which asks any node and notes what it is told.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::http::answer::Body;
use abide_server::http::{AppState, Gate};
use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::judge::History;
use super::world::Chance;
use crate::common::{Answer, Event};

/// How many nodes a client may ask.
pub const DOORS: u64 = 3;
/// How long a client waits for an answer. No request takes as long, whatever happens to nodes.
const ANSWER: Duration = Duration::from_secs(15);
/// How late a client may hear of an end while all is well: less than a waiter that registers too late.
const PROMPT: Duration = Duration::from_millis(10);

/// A node's state, and what tells that its process has ended.
pub type Door = Option<(AppState, CancellationToken)>;
pub type Doors = Arc<Mutex<Vec<Door>>>;
pub type Shared = Arc<Mutex<History>>;

/// A client.
pub struct Client {
    pub doors: Doors,
    pub history: Shared,
    pub clock: Clock,
    pub chance: Chance,
    pub name: String,
}

/// What a client does once an event of a stream has come.
enum Then {
    GoOn,
    Stop,
}

fn is_done(job: &Value) -> bool {
    let status = job["status"].as_str();
    matches!(status, Some("completed" | "failed" | "canceled"))
}

impl Client {
    fn door(&mut self) -> Door {
        let node = self.chance.below(DOORS) as usize;
        self.doors.lock().unwrap()[node].clone()
    }

    /// Asks a node, and gives its answer, if one comes.
    async fn ask(
        &mut self,
        request: http::request::Builder,
        body: Option<Value>,
    ) -> Option<Answer> {
        let Some((state, dead)) = self.door() else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return None;
        };
        let body = body.map_or_else(Body::default, |body| Body::from(body.to_string()));
        let request = request
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let asked = format!("{} {}", request.method(), request.uri());
        let gate = Gate::new(state, Some([127, 0, 0, 1].into()));
        let answer = async { Answer::read(gate.answer(request).answer().await).await };
        tokio::select! {
            answer = answer => Some(answer),
            () = dead.cancelled() => None,
            () = tokio::time::sleep(ANSWER) => {
                self.wrong(format!("I8: {asked} isn't answered"));
                None
            }
        }
    }

    /// Follows a stream of a node until `each` has had enough, the stream ends, its node dies or it is time for another
    /// one. Gives the status.
    async fn events(
        &mut self,
        path: &str,
        cursor: &str,
        mut each: impl FnMut(Event) -> Then,
    ) -> Option<u16> {
        let Some((state, dead)) = self.door() else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return None;
        };
        let request = Request::get(path).header("last-event-id", cursor);
        let request = request.body(Body::Empty).unwrap();
        let gate = Gate::new(state, Some([127, 0, 0, 1].into()));
        let mut status = None;
        let follow = async {
            let answer = gate.answer(request).answer().await;
            status = Some(answer.status().as_u16());
            let mut pieces = answer.into_body().into_pieces();
            let mut text = String::new();
            while let Some(Ok(piece)) = pieces.next().await {
                text.push_str(std::str::from_utf8(&piece).unwrap());
                while let Some((block, rest)) = text.split_once("\n\n") {
                    let event = Event::parse(block);
                    text = rest.to_owned();
                    if let Some(Then::Stop) = event.map(&mut each) {
                        return;
                    }
                }
            }
        };
        let hop = Duration::from_millis(500 + self.chance.below(3_000));
        tokio::select! {
            () = follow => {}
            () = dead.cancelled() => {}
            () = tokio::time::sleep(hop) => {}
        }
        status
    }

    async fn rest(&mut self) {
        let pause = Duration::from_millis(20 + self.chance.below(300));
        tokio::time::sleep(pause).await;
    }

    fn wrong(&self, what: String) {
        self.history.lock().unwrap().wrong(what);
    }

    fn told(&self, id: &str) -> u64 {
        let history = self.history.lock().unwrap();
        history.told.get(id).copied().unwrap_or(0)
    }

    fn note(&self, job: &Value) -> u64 {
        self.history.lock().unwrap().note(job)
    }

    /// Creates that many jobs one after the other, works on some of them, and waits for their ends.
    pub async fn run(mut self, jobs: u64) {
        let mut mine = Vec::new();
        for n in 0..jobs {
            let key = format!("{}-{n}", self.name);
            let is_external = self.chance.is(400);
            let new = match is_external {
                true => json!({"worker": "external"}),
                false => {
                    let millis = 100 + self.chance.below(4_000);
                    simulated(&format!("{millis}ms"), 0.3)
                }
            };
            let Some(id) = self.create(&key, new).await else {
                continue;
            };
            self.read(&id).await;
            if is_external {
                self.work(&id).await;
            }
            mine.push(id.clone());
            match self.chance.below(3) {
                0 => self.hold(&id).await,
                1 => self.stream(&id).await,
                _ => self.hold_set(&mine).await,
            }
        }
    }

    /// Creates short jobs while all is well: each wait ends with the job.
    pub async fn run_promptly(mut self, jobs: u64) {
        for n in 0..jobs {
            let key = format!("{}-{n}", self.name);
            let millis = 1 + self.chance.below(60);
            let new = simulated(&format!("{millis}ms"), 0.0);
            let Some(id) = self.create(&key, new).await else {
                continue;
            };
            let begun = self.clock.elapsed();
            let way = self.chance.below(3);
            match way {
                0 => self.hold(&id).await,
                1 => self.stream(&id).await,
                _ => self.hold_set(std::slice::from_ref(&id)).await,
            }
            let took = self.clock.elapsed() - begun;
            let late = took.saturating_sub(Duration::from_millis(millis));
            if late > PROMPT {
                self.wrong(format!(
                    "I8: the end of {id} is told {late:?} late, way {way}"
                ));
            }
        }
    }

    async fn create(&mut self, key: &str, mut new: Value) -> Option<String> {
        new["metadata"] = json!({"key": key});
        let tries_once = self.chance.is(300);
        loop {
            let request = Request::post("/v1/jobs").header("idempotency-key", key);
            let answer = self.ask(request, Some(new.clone())).await;
            match &answer {
                Some(answer) if matches!(answer.status, 200 | 202) => {
                    self.note(&answer.json());
                    let id = answer.json()["id"].as_str().unwrap().to_owned();
                    let mut history = self.history.lock().unwrap();
                    let ids = history.created.entry(key.to_owned()).or_default();
                    ids.insert(id.clone());
                    return Some(id);
                }
                Some(answer) if answer.status != 503 => {
                    self.wrong(format!("a create: {}", answer.text));
                    return None;
                }
                Some(answer) if tries_once => {
                    if matches!(&*answer.code(), "no_leader" | "overloaded") {
                        self.history.lock().unwrap().refused.insert(key.to_owned());
                    }
                    return None;
                }
                _ => self.rest().await,
            }
        }
    }

    /// Reads a job that exists, in four ways.
    async fn read(&mut self, id: &str) {
        let path = format!("/v1/jobs/{id}");
        for way in 0..4 {
            let floor = self.told(id);
            let request = match way {
                0 => Request::get(&path),
                1 => Request::get(&path).header("if-none-match", format!("\"{floor}\"")),
                2 => Request::get(&path).header("cache-control", "no-cache"),
                _ => Request::get("/v1/jobs?limit=100").header("cache-control", "no-cache"),
            };
            let Some(answer) = self.ask(request, None).await else {
                continue;
            };
            match (answer.status, way) {
                (200, 0) => {
                    self.note(&answer.json());
                }
                (200, 1 | 2) => {
                    let revision = self.note(&answer.json());
                    if revision < floor {
                        self.wrong(format!("I6: {id} at {revision} after {floor}, way {way}"));
                    }
                }
                (200, _) => {
                    let page = answer.json();
                    let jobs = page["jobs"].as_array().unwrap();
                    jobs.iter().for_each(|job| {
                        self.note(job);
                    });
                    match jobs.iter().find(|job| job["id"] == id) {
                        Some(job) if job["revision"].as_u64() < Some(floor) => {
                            self.wrong(format!("I6: {id} went back in a list after {floor}"));
                        }
                        Some(_) => {}
                        None => self.wrong(format!("I7: {id} isn't in a list")),
                    }
                }
                (304, 1) | (503, _) => {}
                (404, _) => self.wrong(format!("I7: {id} is unknown, way {way}")),
                _ => self.wrong(format!("a read: {}", answer.text)),
            }
        }
    }

    /// Reports on a job, as its worker.
    async fn work(&mut self, id: &str) {
        let path = format!("/v1/jobs/{id}");
        let mut percent = 0;
        for _ in 0..200 {
            let known = self.told(id);
            let report = match percent {
                0..90 => json!({"progress": {"percent": percent}}),
                _ => json!({"result": {"key": self.name}}),
            };
            let request = Request::patch(&path).header("if-match", format!("\"{known}\""));
            let Some(answer) = self.ask(request, Some(report)).await else {
                self.read(id).await;
                continue;
            };
            match answer.status {
                200 => {
                    let revision = self.note(&answer.json());
                    if revision <= known {
                        self.wrong(format!("I3: a report on {known} made {revision} of {id}"));
                    }
                    if percent >= 90 {
                        return;
                    }
                    percent += 45;
                }
                // It had been carried out, and the answer was lost; or it is over.
                412 => self.read(id).await,
                409 => return,
                503 => self.rest().await,
                _ => return self.wrong(format!("a report: {}", answer.text)),
            }
        }
    }

    /// Waits for a job's end by held requests.
    async fn hold(&mut self, id: &str) {
        let mut known = 0;
        loop {
            let path = format!("/v1/jobs/{id}?wait=4s&after={known}");
            let Some(answer) = self.ask(Request::get(path), None).await else {
                continue;
            };
            match answer.status {
                200 => {
                    let job = answer.json();
                    let revision = self.note(&job);
                    if revision < known {
                        self.wrong(format!(
                            "I6: a hold of {id} went from {known} to {revision}"
                        ));
                    }
                    known = revision;
                    if is_done(&job) {
                        return;
                    }
                }
                503 => self.rest().await,
                _ => return self.wrong(format!("a hold: {}", answer.text)),
            }
        }
    }

    /// Waits until all of these have ended, by held requests for those that haven't.
    async fn hold_set(&mut self, ids: &[String]) {
        let mut open: Vec<(String, u64)> = ids.iter().map(|id| (id.clone(), 0)).collect();
        while !open.is_empty() {
            let jobs = open
                .iter()
                .map(|(id, after)| json!({"id": id, "after": after}));
            let set = json!({"jobs": jobs.collect::<Vec<_>>(), "wait": "4s"});
            let request = Request::post("/v1/jobs/wait");
            let Some(answer) = self.ask(request, Some(set)).await else {
                continue;
            };
            if answer.status == 503 {
                self.rest().await;
                continue;
            }
            let answered = answer.json();
            if answer.status != 200 || answered["errors"] != json!([]) {
                return self.wrong(format!("I7: a set: {}", answer.text));
            }
            for job in answered["jobs"].as_array().unwrap() {
                let revision = self.note(job);
                let (_, after) = open.iter_mut().find(|(id, _)| job["id"] == **id).unwrap();
                if revision <= *after {
                    self.wrong(format!("I6: a set went from {after} to {revision}: {job}"));
                }
                *after = revision;
            }
            let ended = |id: &str| {
                let jobs = answered["jobs"].as_array().unwrap();
                jobs.iter().any(|job| job["id"] == id && is_done(job))
            };
            open.retain(|(id, _)| !ended(id));
        }
    }

    /// Waits for a job's end by its stream, from node to node: each revision comes once, and in order.
    async fn stream(&mut self, id: &str) {
        let path = format!("/v1/jobs/{id}/events");
        let (mut cursor, mut is_over) = (0, false);
        while !is_over {
            let history = self.history.clone();
            let status = self
                .events(&path, &cursor.to_string(), |event| {
                    let mut history = history.lock().unwrap();
                    let revision = event.data["revision"].as_u64().unwrap();
                    if event.name == "reset" || revision != cursor + 1 {
                        history.wrong(format!(
                            "I4: a stream of {id} went from {cursor} by {event:?}"
                        ));
                    }
                    history.note(&event.data);
                    (cursor, is_over) = (revision, is_done(&event.data));
                    if is_over { Then::Stop } else { Then::GoOn }
                })
                .await;
            match status {
                Some(200) | None => {}
                Some(204) => return,
                Some(503) => self.rest().await,
                Some(status) => return self.wrong(format!("I4: a stream of {id}: {status}")),
            }
        }
    }

    /// Follows the feed, from node to node.
    pub async fn follow(mut self) {
        let (mut cursor, mut told) = (String::new(), Vec::new());
        self.history.lock().unwrap().feeds.push(Vec::new());
        loop {
            let history = self.history.clone();
            let from = cursor.clone();
            self.events("/v1/events", &from, |event| {
                let seq = event.id.split_once('-').unwrap().1.parse().unwrap();
                if event.name == "reset" {
                    let mut history = history.lock().unwrap();
                    history.feeds.pop();
                    history.feeds.push(std::mem::take(&mut told));
                    history.feeds.push(Vec::new());
                } else {
                    let id = event.data["id"].as_str().unwrap().to_owned();
                    let revision = event.data["revision"].as_u64().unwrap();
                    told.push((seq, id, revision));
                }
                cursor = event.id;
                Then::GoOn
            })
            .await;
            let mut history = self.history.lock().unwrap();
            history.feeds.pop();
            history.feeds.push(told.clone());
        }
    }
}

/// A job that runs by itself for that span.
fn simulated(duration: &str, error_chance: f64) -> Value {
    json!({"simulate": {
        "duration": {"fixed": duration},
        "outcome": {"error_chance": error_chance},
    }})
}
