//! Nodes, clients and an adversary, by seed; and a judge.
//!
//! A seed says what is done to which node when, and what each client asks of which node. A stopped process can't be
//! had in one thread: a node that is cut off from the log and from the others, and goes on, is what others see of one.
//! `ABIDE_SEEDS=100000` runs that many, from `ABIDE_SEED` on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::broken::Broken;
use super::client::{Client, DOORS, Doors, Shared};
use super::judge::{judge, judge_loss};
use super::world::{Chance, World};

const NAMES: [&str; DOORS as usize] = ["a", "b", "c"];
const CLIENTS: u64 = 4;
/// Jobs of each client.
const JOBS: u64 = 3;
/// Those of each client that comes once all is well.
const PROMPT_JOBS: u64 = 8;
/// For how long the adversary goes on.
const ADVERSITY: Duration = Duration::from_secs(15);
/// How long clients may need after that.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long webhooks may need after that.
const DELIVERY: Duration = Duration::from_secs(120);

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
        let name = NAMES[self.chance.below(DOORS) as usize];
        let faults = self.world.nodes[name].faults.clone();
        let some = self.chance.is(600);
        match self.chance.below(10) {
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
            7 | 8 => self.world.move_to(name),
            _ => {
                let clock = match some {
                    true => &self.world.database_ms,
                    false => &faults.clock_ms,
                };
                let off = self.chance.below(7_200_000).cast_signed() - 3_600_000;
                clock.store(off, Ordering::Relaxed);
            }
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
        self.world.receiver.fail(0);
        for name in NAMES {
            let faults = &self.world.nodes[name].faults;
            faults.is_cut_off.store(false, Ordering::Relaxed);
            faults.is_alone.store(false, Ordering::Relaxed);
            faults.lost_per_mille.store(0, Ordering::Relaxed);
        }
    }

    /// Lets that time pass. A process that is fenced late ends and is started again.
    async fn settle(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 500 {
            self.supervise().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.supervise().await;
    }

    /// Waits until these clients have what they want; `false` if they wait for too long.
    async fn outlast(&mut self, mut clients: JoinSet<()>) -> bool {
        let all = async { while clients.join_next().await.is_some() {} };
        tokio::pin!(all);
        let mut left = PATIENCE;
        while !left.is_zero() {
            self.supervise().await;
            let step = Duration::from_millis(500);
            if tokio::time::timeout(step, &mut all).await.is_ok() {
                return true;
            }
            left = left.saturating_sub(step);
        }
        false
    }

    /// Waits until the leader has no webhook left to deliver.
    async fn deliver(&mut self) {
        let mut left = DELIVERY;
        while !left.is_zero() && self.world.deliveries_left().await > 0 {
            self.settle(Duration::from_secs(1)).await;
            left = left.saturating_sub(Duration::from_secs(1));
        }
    }
}

/// A run of one seed.
struct Play {
    adversary: Adversary,
    history: Shared,
    chance: Chance,
    doors: Doors,
}

impl Play {
    /// Three nodes, and a receiver of all webhooks.
    async fn begin(seed: u64, how: Option<Broken>) -> Self {
        let mut world = World::new(seed);
        if let Some(wrap) = how.and_then(Broken::wrap) {
            world.wrap = wrap;
        }
        for name in NAMES {
            world.start(name).await;
        }
        let endpoint = json!({"url": "http://127.0.0.1:9/hook"});
        let leader = world.leader().await;
        let made = world.house(leader).post("/v1/webhooks", endpoint).await;
        assert_eq!(made.status, 201, "{}", made.text);
        world.receiver.fail(200);
        let doors: Doors = Arc::new(Mutex::new(vec![None; NAMES.len()]));
        let mut chance = Chance::new(seed);
        let mut adversary = Adversary {
            world,
            doors: doors.clone(),
            chance: Chance::new(chance.below(u64::MAX)),
        };
        adversary.supervise().await;
        Self {
            adversary,
            history: Shared::default(),
            chance,
            doors,
        }
    }

    fn client(&mut self, name: String) -> Client {
        Client {
            doors: self.doors.clone(),
            history: self.history.clone(),
            clock: self.adversary.world.clock.clone(),
            chance: Chance::new(self.chance.below(u64::MAX)),
            name,
        }
    }

    fn clients(&mut self) -> JoinSet<()> {
        (0..CLIENTS)
            .map(|n| self.client(n.to_string()).run(JOBS))
            .collect()
    }

    /// Clients while nodes are killed, moved and cut off; then clients while all is well; then the judge.
    async fn whole(mut self) -> Vec<String> {
        let follower = tokio::spawn(self.client("feed".to_owned()).follow());
        let clients = self.clients();
        self.adversary.rage().await;
        let mut is_over = self.adversary.outlast(clients).await;
        self.adversary.settle(Duration::from_secs(6)).await;
        let prompt = (0..CLIENTS).map(|n| self.client(format!("p{n}")));
        let prompt = prompt.map(|client| client.run_promptly(PROMPT_JOBS));
        let prompt = prompt.collect();
        is_over &= self.adversary.outlast(prompt).await;
        if !is_over {
            let mut history = self.history.lock().unwrap();
            history.wrong("I8: a client waits for ever".to_owned());
        }
        self.adversary.deliver().await;
        self.adversary.settle(Duration::from_secs(3)).await;
        follower.abort();
        judge(&self.adversary.world, &mut self.history.lock().unwrap())
    }

    /// Clients while the database loses what it had acknowledged, as an asynchronous standby does that takes over.
    async fn loss(mut self) -> Vec<String> {
        let clients = self.clients();
        tokio::time::sleep(Duration::from_millis(500 + self.chance.below(2_000))).await;
        let last = self.adversary.world.log.batches().last().unwrap().number;
        let lost = 1 + self.chance.below(last.min(5) - 1);
        self.adversary.world.log.lose_after(last - lost);
        // Answers to what was written before.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = self.history.lock().unwrap().created.len();
        tokio::time::sleep(PATIENCE).await;
        drop(clients);
        let after = self.history.lock().unwrap().created.len();
        judge_loss(&self.adversary.world, after - before)
    }
}

/// Plays that seed with these rules, and gives all that is wrong.
fn play(seed: u64, how: Option<Broken>, has_loss: bool) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    #[cfg(feature = "sabotage")]
    abide_server::sabotage::register_late(how == Some(Broken::LateRegistration));
    runtime.block_on(async {
        let play = Play::begin(seed, how).await;
        match has_loss {
            true => play.loss().await,
            false => play.whole().await,
        }
    })
}

/// Each seed has a runtime of its own, so every processor plays some.
fn judge_seeds(has_loss: bool) {
    let seeds = Mutex::new(seeds());
    let work = || {
        while let Some(seed) = { seeds.lock().unwrap().next() } {
            let wrong = play(seed, None, has_loss);
            assert!(
                wrong.is_empty(),
                "ABIDE_SEED={seed} ABIDE_SEEDS=1: {wrong:#?}"
            );
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("ABIDE_SEED").unwrap_or(0);
    first..first + number("ABIDE_SEEDS").unwrap_or(40)
}

#[test]
fn whatever_happens_to_nodes_and_links_clients_see_one_history() {
    judge_seeds(false);
}

#[test]
fn what_the_database_loses_is_noticed_by_every_node_before_anything_else_is_acknowledged() {
    judge_seeds(true);
}

#[test]
fn the_judge_notices_rules_that_are_broken() {
    for how in Broken::ALL.iter().copied() {
        let has_loss = how == Broken::Chainless;
        let found = (0..60).find(|seed| !play(*seed, Some(how), has_loss).is_empty());
        assert!(found.is_some(), "{how:?}");
    }
}
