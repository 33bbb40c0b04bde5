//! All of it together: a plan becomes a history.

use std::collections::BTreeMap;
use std::time::Duration;

use abide::Job;
use abide_engine::JobKey;
use abide_server::board::Look;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::actors::Actors;
use super::disk::{Disk, Failing};
use super::draw::Draw;
use super::history::{Event, History, NO_START, STOP, View};
use super::net::Net;
use super::node::{Node, Wall};
use super::plan::{Act, Breakage, Plan};
use super::receivers::Receivers;

/// How long a process is away that ended by itself.
const RESTART: Duration = Duration::from_secs(1);
/// How long a stop may take, from the end of the first connection.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// How long after the last step the world may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(240);
/// How long the disk has been full when the server is stopped.
const FULL: Duration = Duration::from_secs(3);
/// How many workers each owner has.
const WORKERS: u64 = 2;
/// How often the server's counts are looked at.
const SAMPLE: Duration = Duration::from_millis(500);

/// What is to become of the server.
#[derive(Debug)]
enum Order {
    Kill {
        down: Duration,
        is_power: bool,
        set_by_ms: i64,
    },
    Restart {
        down: Duration,
        set_by_ms: i64,
    },
    Finish,
}

/// What is broken, and what breaks it.
#[derive(Clone)]
struct World {
    plan: Plan,
    history: History,
    net: Net,
    disk: Disk,
    wall: Wall,
    receivers: Receivers,
    actors: Actors,
}

/// Plays a plan from its beginning until the world has come to rest.
///
/// Blocks the thread; virtual time costs nothing.
///
/// # Panics
///
/// If the system has no room for a runtime.
#[must_use]
pub fn run(plan: &Plan) -> History {
    #[cfg(feature = "sabotage")]
    abide_server::sabotage::register_late(
        plan.sabotage == super::plan::Sabotage::RegisterAfterLooking,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs little");
    runtime.block_on(async {
        let world = World::new(plan);
        world.play().await;
        world.history
    })
}

impl World {
    fn new(plan: &Plan) -> Self {
        let draw = Draw::new(plan.seed);
        let history = History::begin();
        let wall = Wall::new();
        let net = Net::new(draw.named("net"));
        let receivers = Receivers::new(&history, &wall, draw.named("receivers"));
        let actors = Actors::new(
            plan,
            draw.named("actors"),
            &history,
            &wall,
            &receivers,
            &net,
        );
        Self {
            plan: plan.clone(),
            disk: Disk::new(draw.named("disk"), plan.sabotage),
            history,
            net,
            wall,
            receivers,
            actors,
        }
    }

    async fn play(&self) {
        let (orders, received) = mpsc::unbounded_channel();
        let server = tokio::spawn(self.clone().keep_up(received));
        let mut followers = JoinSet::new();
        for owner in 0..2 {
            self.actors.subscribe(owner).await;
            let actors = self.actors.clone();
            followers.spawn(async move { actors.follow(owner).await });
            for number in 0..WORKERS {
                let actors = self.actors.clone();
                followers.spawn(async move { actors.claim_jobs(owner, number).await });
            }
        }
        // The feeds are open before anything happens.
        sleep(Duration::from_millis(100)).await;
        let mut acting = JoinSet::new();
        for step in self.plan.steps.clone() {
            let (world, orders) = (self.clone(), orders.clone());
            acting.spawn(async move {
                sleep(step.at).await;
                match step.act {
                    Act::Break(breakage) => world.break_it(breakage, &orders).await,
                    act => world.actors.act(step.number, act).await,
                }
            });
        }
        while acting.join_next().await.is_some() {}
        let _ = orders.send(Order::Finish);
        // It ends by itself, and what it found is in the history.
        let _ = server.await;
        followers.shutdown().await;
    }

    fn broke(&self, host: Option<u64>, length: Duration, breakage: Breakage) {
        let broke = Event::Broke {
            host,
            until: self.history.age() + length,
            what: format!("{breakage:?}"),
        };
        self.history.note("world", broke);
    }

    async fn break_it(&self, breakage: Breakage, orders: &mpsc::UnboundedSender<Order>) {
        let kill = |down, is_power, set_by_ms| {
            let _ = orders.send(Order::Kill {
                down,
                is_power,
                set_by_ms,
            });
        };
        match breakage {
            Breakage::Kill { down, set_by_ms } => kill(down, false, set_by_ms),
            Breakage::Power { down } => kill(down, true, 0),
            Breakage::PowerAtAppend { append, down } => {
                let mut appends = self.disk.appends();
                let at = *appends.borrow() + append;
                let reached = appends.wait_for(|appends| *appends >= at);
                if timeout(REST_MAX / 8, reached).await.is_ok() {
                    sleep(self.disk.latency() / 2).await;
                    kill(down, true, 0);
                }
            }
            Breakage::Restart { down, set_by_ms } => {
                let _ = orders.send(Order::Restart { down, set_by_ms });
            }
            Breakage::DiskFull { length } => {
                self.broke(None, length, breakage);
                self.disk.fill(length);
                sleep(length).await;
            }
            Breakage::StopFull { length } => {
                self.broke(None, length, breakage);
                self.disk.fill(length);
                sleep(FULL).await;
                let (down, set_by_ms) = (RESTART, 0);
                let _ = orders.send(Order::Restart { down, set_by_ms });
            }
            Breakage::DiskBroken { is_written } => {
                self.broke(None, Duration::ZERO, breakage);
                self.disk.fail(match is_written {
                    true => Failing::Lying,
                    false => Failing::Broken,
                });
            }
            Breakage::Partition { client, length } => {
                self.broke(Some(client), length, breakage);
                self.net.hold(client, length);
                sleep(length).await;
            }
            Breakage::Cut { client } => {
                self.broke(Some(client), Duration::ZERO, breakage);
                self.net.cut(Some(client));
            }
            Breakage::Slow { client, by } => {
                self.broke(Some(client), Duration::MAX / 4, breakage);
                self.net.slow(client, by);
            }
            Breakage::Receiver {
                receiver,
                mood,
                length,
            } => {
                self.broke(None, length, breakage);
                self.receivers.mood(receiver, mood, length);
                sleep(length).await;
            }
            Breakage::Clock { by_ms } => self.set_clock(by_ms),
        }
    }

    /// Keeps a server up, but for what it is ordered.
    async fn keep_up(self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let (disk, net, wall) = (&self.disk, &self.net, &self.wall);
            let started = Node::start(disk, net, wall, &self.receivers, self.plan.sabotage).await;
            let mut node = match started {
                Ok(node) => node,
                Err(error) => {
                    self.gone(format!("{NO_START}: {error}"));
                    sleep(RESTART).await;
                    continue;
                }
            };
            self.history.note("server", Event::Up);
            self.audit(&node);
            let down = loop {
                tokio::select! {
                    biased;
                    ended = &mut node.running => {
                        self.gone(format!("ended by itself: {ended:?}"));
                        node.kill();
                        self.net.cut(None);
                        self.disk.crash();
                        break RESTART;
                    }
                    order = orders.recv() => match order {
                        Some(Order::Kill { down, is_power, set_by_ms }) => {
                            // A killed process leaves to the system what it has written.
                            if !is_power {
                                sleep(self.disk.latency() * 2).await;
                            }
                            self.crash(node);
                            self.set_clock(set_by_ms);
                            break down;
                        }
                        Some(Order::Restart { down, set_by_ms }) => {
                            self.closes();
                            self.set_clock(set_by_ms);
                            let began = self.history.age();
                            let stopped = node.stop().await;
                            let took = self.history.age() - began;
                            self.history.note("server", Event::Stopped { took });
                            self.gone(format!("stopped: {stopped:?}"));
                            self.net.cut(None);
                            break down;
                        }
                        Some(Order::Finish) | None => return self.finish(node).await,
                    },
                    () = sleep(SAMPLE) => self.sample(&node),
                }
            };
            sleep(down).await;
        }
    }

    /// Sets the clock of the server's machine.
    fn set_clock(&self, by_ms: i64) {
        if by_ms != 0 {
            self.broke(None, Duration::ZERO, Breakage::Clock { by_ms });
            self.wall.set(by_ms);
        }
    }

    /// Takes no connection any more, because the server is about to be stopped.
    fn closes(&self) {
        let broke = Event::Broke {
            host: None,
            until: self.history.age() + STOP_WAIT,
            what: STOP.to_owned(),
        };
        self.history.note("server", broke);
        self.net.close();
    }

    fn gone(&self, why: String) {
        self.net.close();
        self.history.note("server", Event::Down(why));
    }

    fn crash(&self, node: Node) {
        node.kill();
        self.net.cut(None);
        let lost = self.disk.crash();
        self.gone(format!("crashed, {lost} entries were not synced"));
    }

    fn sample(&self, node: &Node) {
        let state = &node.state;
        self.history
            .sample((state.board.stored_bytes(), state.inflight.len()));
    }

    /// Every job that anyone was told of, as the server has it.
    fn known(&self, node: &Node) -> BTreeMap<String, Option<View>> {
        let known = self.history.known().into_iter();
        let mut known: BTreeMap<_, _> = known.map(|job| (job, None)).collect();
        for (job, view) in &mut known {
            let key: Option<JobKey> = job.parse().ok();
            if let Some(Look::Found(found)) = key.map(|key| node.state.board.look(key)) {
                let json = serde_json::to_vec(&found.to_wire(None)).unwrap_or_default();
                let job = serde_json::from_slice::<Job>(&json).ok();
                *view = job.as_ref().map(View::of);
            }
        }
        known
    }

    /// Looks in process for every job that anyone was told of.
    fn audit(&self, node: &Node) {
        for (job, view) in self.known(node) {
            self.history.note("auditor", Event::Audited { job, view });
        }
    }

    /// Waits until nothing is left to do, looks at everything, stops, starts once more and looks again.
    async fn finish(&self, node: Node) {
        let open = |node: &Node| {
            let counts = node.state.board.webhooks().counts();
            let deliveries = counts.deliveries();
            let open = deliveries
                .into_iter()
                .filter(|(status, _)| !matches!(*status, "delivered" | "failed"));
            open.map(|(_, count)| count).sum::<usize>()
        };
        // What was to break and had no occasion doesn't break the end.
        self.disk.heal();
        // A job whose create was never answered is known by the list alone.
        for owner in 0..2 {
            self.actors.audit(owner).await;
        }
        let rested = timeout(REST_MAX, async {
            let is_done = |view: &Option<View>| view.as_ref().is_none_or(|view| view.done);
            while open(&node) > 0 || !self.known(&node).values().all(is_done) {
                self.sample(&node);
                sleep(SAMPLE * 4).await;
            }
        });
        let _ = rested.await;
        for owner in 0..2 {
            self.actors.audit(owner).await;
        }
        let open = open(&node);
        let known = self.known(&node);
        // A report without a lease begins a job that no worker has claimed, and then none can: its reporter is to end
        // it.
        let moments = self.history.moments();
        let is_remarked = |view: &View| {
            moments.iter().any(|moment| {
                matches!(&moment.event, Event::Remarked { job, status, .. }
                    if *job == view.job && !status.is_some_and(|it| (400..500).contains(&it)))
            })
        };
        let is_running = |view: &&View| {
            let plan = self.plan.job_of(view);
            let ends = plan.is_some_and(|plan| plan.ends(is_remarked(view)));
            !view.done && ends
        };
        let running = known.values().flatten().filter(is_running).count();
        self.history.note("server", Event::Rested { open, running });
        self.audit(&node);
        self.closes();
        let stopped = node.stop().await;
        self.gone(format!("stopped: {stopped:?}"));
        self.net.cut(None);
        let (disk, net, wall) = (&self.disk, &self.net, &self.wall);
        match Node::start(disk, net, wall, &self.receivers, self.plan.sabotage).await {
            Ok(node) => {
                self.history.note("server", Event::Up);
                self.audit(&node);
                node.kill();
            }
            Err(error) => self.gone(format!("{NO_START}: {error}")),
        }
    }
}
