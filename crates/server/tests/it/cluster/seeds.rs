//! Nodes, clients and an adversary, by seed; and a judge.
//!
//! A seed says what is done to which node when, and what each client asks of which node. A stopped process can't be
//! had in one thread: a node that is cut off from the log and from the others, and goes on, is what others see of one.
//! `ABIDE_SEEDS=100000` runs that many, from `ABIDE_SEED` on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_server::http::answer::Body;
use abide_server::http::{AppState, Gate};
use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::broken::Broken;
use super::judge::{History, judge};
use super::world::{Chance, World};
use crate::common::{Answer, Event};

const NAMES: [&str; 3] = ["a", "b", "c"];
const CLIENTS: u64 = 4;
const JOBS: u64 = 3;
/// For how long the adversary goes on.
const ADVERSITY: Duration = Duration::from_secs(15);
/// How long clients may need after that.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(15);

type Doors = Arc<Mutex<Vec<Option<(AppState, CancellationToken)>>>>;
type Shared = Arc<Mutex<History>>;

/// A client, which asks any node.
struct Client {
    doors: Doors,
    history: Shared,
    chance: Chance,
    name: u64,
}

impl Client {
    /// Asks a node, and gives its answer, if one comes.
    async fn ask(
        &mut self,
        request: http::request::Builder,
        body: Option<Value>,
    ) -> Option<Answer> {
        let node = self.chance.below(NAMES.len() as u64) as usize;
        let door = self.doors.lock().unwrap()[node].clone();
        let Some((state, dead)) = door else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return None;
        };
        let body = body.map_or_else(Body::default, |body| Body::from(body.to_string()));
        let request = request
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let gate = Gate::new(state, Some([127, 0, 0, 1].into()));
        let answer = async { Answer::read(gate.answer(request).answer().await).await };
        tokio::select! {
            answer = answer => Some(answer),
            () = dead.cancelled() => None,
            () = tokio::time::sleep(ANSWER) => None,
        }
    }

    async fn rest(&mut self) {
        let pause = Duration::from_millis(20 + self.chance.below(300));
        tokio::time::sleep(pause).await;
    }

    fn wrong(&self, what: String) {
        self.history.lock().unwrap().wrong(what);
    }

    fn told(&self, id: &str) -> u64 {
        self.history
            .lock()
            .unwrap()
            .told
            .get(id)
            .copied()
            .unwrap_or(0)
    }

    fn note(&self, answer: &Answer) -> u64 {
        self.history.lock().unwrap().note(&answer.json())
    }

    async fn run(mut self) {
        for n in 0..JOBS {
            let key = format!("{}-{n}", self.name);
            let is_external = self.chance.is(400);
            let Some(id) = self.create(&key, is_external).await else {
                continue;
            };
            self.read(&id).await;
            if is_external {
                self.work(&id).await;
            }
            self.wait(&id).await;
        }
    }

    async fn create(&mut self, key: &str, is_external: bool) -> Option<String> {
        let millis = 100 + self.chance.below(4_000);
        let mut new = json!({"metadata": {"key": key}, "worker": "external"});
        if !is_external {
            new = json!({"metadata": {"key": key}, "simulate": {
                "duration": {"fixed": format!("{millis}ms")}, "outcome": {"error_chance": 0.3}}});
        }
        let tries_once = self.chance.is(300);
        loop {
            let request = Request::post("/v1/jobs").header("idempotency-key", key);
            let answer = self.ask(request, Some(new.clone())).await;
            match &answer {
                Some(answer) if matches!(answer.status, 200 | 202) => {
                    self.note(answer);
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

    /// Reads a job that exists, in three ways.
    async fn read(&mut self, id: &str) {
        let path = format!("/v1/jobs/{id}");
        for way in 0..3 {
            let floor = self.told(id);
            let request = match way {
                0 => Request::get(&path),
                1 => Request::get(&path).header("if-none-match", format!("\"{floor}\"")),
                _ => Request::get(&path).header("cache-control", "no-cache"),
            };
            let Some(answer) = self.ask(request, None).await else {
                continue;
            };
            match (answer.status, way) {
                (200, 0) => {
                    self.note(&answer);
                }
                (200, _) => {
                    let revision = self.note(&answer);
                    if revision < floor {
                        self.wrong(format!("I6: {id} at {revision} after {floor}, way {way}"));
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
                    let revision = self.note(&answer);
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
    async fn wait(&mut self, id: &str) {
        let mut known = 0;
        loop {
            let path = format!("/v1/jobs/{id}?wait=4s&after={known}");
            let Some(answer) = self.ask(Request::get(path), None).await else {
                continue;
            };
            match answer.status {
                200 => {
                    let revision = self.note(&answer);
                    if revision < known {
                        self.wrong(format!(
                            "I6: a hold of {id} went from {known} to {revision}"
                        ));
                    }
                    known = revision;
                    let job = answer.json();
                    if matches!(
                        job["status"].as_str(),
                        Some("completed" | "failed" | "canceled")
                    ) {
                        return;
                    }
                }
                503 => self.rest().await,
                _ => return self.wrong(format!("a hold: {}", answer.text)),
            }
        }
    }

    /// Follows the feed, from node to node.
    async fn follow(mut self) {
        let (mut cursor, mut told) = (String::new(), Vec::new());
        self.history.lock().unwrap().feeds.push(Vec::new());
        loop {
            let node = self.chance.below(NAMES.len() as u64) as usize;
            let door = self.doors.lock().unwrap()[node].clone();
            let Some((state, dead)) = door else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let request = Request::get("/v1/events").header("last-event-id", &cursor);
            let gate = Gate::new(state, Some([127, 0, 0, 1].into()));
            let follow = async {
                let answer = gate
                    .answer(request.body(Body::Empty).unwrap())
                    .answer()
                    .await;
                let mut pieces = answer.into_body().into_pieces();
                let mut text = String::new();
                while let Some(Ok(piece)) = futures_util::StreamExt::next(&mut pieces).await {
                    text.push_str(std::str::from_utf8(&piece).unwrap());
                    while let Some((block, rest)) = text.split_once("\n\n") {
                        let event = Event::parse(block);
                        text = rest.to_owned();
                        let Some(event) = event else { continue };
                        let seq = event.id.split_once('-').unwrap().1.parse().unwrap();
                        if event.name == "reset" {
                            let mut history = self.history.lock().unwrap();
                            history.feeds.pop();
                            history.feeds.push(std::mem::take(&mut told));
                            history.feeds.push(Vec::new());
                        } else {
                            let id = event.data["id"].as_str().unwrap().to_owned();
                            let revision = event.data["revision"].as_u64().unwrap();
                            told.push((seq, id, revision));
                        }
                        cursor = event.id;
                    }
                }
            };
            let hop = Duration::from_millis(500 + self.chance.below(3_000));
            tokio::select! {
                () = follow => {}
                () = dead.cancelled() => {}
                () = tokio::time::sleep(hop) => {}
            }
            let mut history = self.history.lock().unwrap();
            history.feeds.pop();
            history.feeds.push(told.clone());
        }
    }
}

/// What is done to the nodes.
struct Adversary {
    world: World,
    doors: Doors,
    chance: Chance,
}

impl Adversary {
    /// Starts what has ended, as a supervisor does, and says how clients reach the nodes.
    async fn supervise(&mut self) {
        for (n, name) in NAMES.into_iter().enumerate() {
            if !self.world.is_up(name) {
                self.world.kill(name);
                // The database may be away, and then it tries again.
                let _later = self.world.try_start(name).await;
            }
            self.doors.lock().unwrap()[n] = self.world.client_of(name);
        }
    }

    async fn strike(&mut self) {
        let name = NAMES[self.chance.below(3) as usize];
        let faults = self.world.nodes[name].faults.clone();
        let some = self.chance.is(600);
        match self.chance.below(8) {
            0 | 1 => {
                self.world.kill(name);
                let n = NAMES.iter().position(|it| *it == name).unwrap();
                self.doors.lock().unwrap()[n] = None;
                let down = Duration::from_millis(self.chance.below(3_000));
                tokio::time::sleep(down).await;
            }
            2 => faults.is_cut_off.store(some, Ordering::Relaxed),
            3 => faults.is_alone.store(some, Ordering::Relaxed),
            4 => {
                faults.is_cut_off.store(some, Ordering::Relaxed);
                faults.is_alone.store(some, Ordering::Relaxed);
            }
            5 => faults
                .lost_per_mille
                .store(self.chance.below(400) as u32, Ordering::Relaxed),
            6 => self.world.odd_frames(self.chance.below(300) as u32),
            _ => faults
                .clock_ms
                .store(self.chance.below(3_600_000), Ordering::Relaxed),
        }
    }

    async fn rage(&mut self) {
        let clock = self.world.house("a").clock.clone();
        let until = clock.elapsed() + ADVERSITY;
        while clock.elapsed() < until {
            let pause = Duration::from_millis(100 + self.chance.below(1_500));
            tokio::time::sleep(pause).await;
            self.strike().await;
            self.supervise().await;
        }
        self.world.odd_frames(0);
        for name in NAMES {
            let faults = &self.world.nodes[name].faults;
            faults.is_cut_off.store(false, Ordering::Relaxed);
            faults.is_alone.store(false, Ordering::Relaxed);
            faults.lost_per_mille.store(0, Ordering::Relaxed);
        }
    }
}

/// Plays that seed, and gives all that is wrong.
fn play(seed: u64, how: Option<Broken>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        if let Some(how) = how {
            world.wrap = how.wrap();
        }
        for name in NAMES {
            world.start(name).await;
        }
        let doors: Doors = Arc::new(Mutex::new(vec![None; NAMES.len()]));
        let history = Shared::default();
        let mut chance = Chance::new(seed);
        let mut adversary = Adversary {
            world,
            doors: doors.clone(),
            chance: Chance::new(chance.below(u64::MAX)),
        };
        adversary.supervise().await;
        let mut client = |name| Client {
            doors: doors.clone(),
            history: history.clone(),
            chance: Chance::new(chance.below(u64::MAX)),
            name,
        };
        let follower = tokio::spawn(client(CLIENTS).follow());
        let mut clients: JoinSet<()> = (0..CLIENTS).map(|name| client(name).run()).collect();
        adversary.rage().await;
        let all = async { while clients.join_next().await.is_some() {} };
        tokio::pin!(all);
        let mut left = PATIENCE;
        loop {
            // A process that is fenced late still ends.
            adversary.supervise().await;
            let step = Duration::from_millis(500);
            if tokio::time::timeout(step, &mut all).await.is_ok() {
                break;
            }
            left = left.saturating_sub(step);
            if left.is_zero() {
                history
                    .lock()
                    .unwrap()
                    .wrong("I8: a client waits for ever".to_owned());
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        adversary.supervise().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        follower.abort();
        judge(&adversary.world, &mut history.lock().unwrap())
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_to_nodes_and_links_clients_see_one_history() {
    let (first, count) = (
        number("ABIDE_SEED").unwrap_or(0),
        number("ABIDE_SEEDS").unwrap_or(20),
    );
    for seed in first..first + count {
        let wrong = play(seed, None);
        assert!(
            wrong.is_empty(),
            "ABIDE_SEED={seed} ABIDE_SEEDS=1: {wrong:#?}"
        );
    }
}

#[test]
fn the_judge_notices_rules_that_are_broken() {
    for how in [Broken::Unfenced, Broken::NextNumber] {
        let found = (0..60).find(|seed| !play(*seed, Some(how)).is_empty());
        assert!(found.is_some(), "{how:?}");
    }
}
