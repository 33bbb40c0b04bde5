//! Nodes of one cluster in one process: a log in memory, channels as links, and faults at every seam.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::cluster::network::pair;
use abide_server::cluster::{Inbound, Membership, Network, Role, Settings, Upstream};
use abide_server::config::{Config, Layers};
use abide_server::http::AppState;
use abide_server::journal::{Call, Fault, Journal, Leading, SharedMemoryJournal};
use abide_server::{Assembly, Fresh, Server, ServerError};
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::receiver::Receiver;
use crate::common::{House, START};

/// How long a leader may be silent.
pub const LEASE: Duration = Duration::from_secs(2);

/// A cluster under test.
pub struct World {
    pub log: SharedMemoryJournal,
    wires: Arc<Wires>,
    pub nodes: BTreeMap<&'static str, Machine>,
    runs: u64,
    /// What clients measure by.
    pub clock: Clock,
    /// By how much the database's clock is wrong, in milliseconds.
    pub database_ms: Arc<AtomicI64>,
    /// Who gets the webhooks.
    pub receiver: Arc<Receiver>,
    /// What stands between a node and the log; for tests of rules that are broken on purpose.
    pub wrap: fn(SharedMemoryJournal) -> Box<dyn Journal>,
}

/// Where a node runs. Its faults outlive its processes.
pub struct Machine {
    process: Option<Process>,
    pub faults: Arc<Faults>,
}

struct Process {
    assembly: Assembly,
    house: House,
    /// Canceled when the process ends, so that its clients' connections break.
    dead: CancellationToken,
}

/// What happens to a node's calls.
#[derive(Debug, Default)]
pub struct Faults {
    /// Whether the database can't be reached.
    pub is_cut_off: AtomicBool,
    /// Whether other nodes can't be reached.
    pub is_alone: AtomicBool,
    /// In how many of 1,000 appends the answer is lost, and in as many the request.
    pub lost_per_mille: AtomicU32,
    /// By how much its wall clock is wrong, in milliseconds.
    pub clock_ms: AtomicI64,
    chance: Mutex<Chance>,
}

/// A small generator of its own, so that a seed says all.
#[derive(Clone, Debug, Default)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below that number.
    pub fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }

    pub fn is(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

impl Faults {
    fn meet(&self, call: Call) -> Option<Fault> {
        if self.is_cut_off.load(Ordering::Relaxed) {
            return Some(Fault::Away);
        }
        let lost = u64::from(self.lost_per_mille.load(Ordering::Relaxed));
        let mut chance = self.chance.lock().unwrap();
        match call {
            Call::Append if chance.is(lost) => Some(Fault::LostAnswer),
            Call::Append if chance.is(lost) => Some(Fault::LostRequest),
            Call::Read | Call::Lease if chance.is(lost) => Some(Fault::Away),
            _ => None,
        }
    }
}

/// The links between nodes.
#[derive(Debug, Default)]
struct Wires {
    ends: Mutex<BTreeMap<String, mpsc::Sender<Inbound>>>,
    /// In how many of 1,000 cases a frame is lost, doubled, late or too early.
    odd_per_mille: AtomicU32,
    chance: Mutex<Chance>,
}

/// A node's end of all links.
#[derive(Debug)]
struct Plug {
    wires: Arc<Wires>,
    faults: Arc<Faults>,
}

impl Network for Plug {
    fn dial(&self, leader: &Leading) -> BoxFuture<'static, io::Result<Upstream>> {
        let end = self
            .wires
            .ends
            .lock()
            .unwrap()
            .get(&leader.address)
            .cloned();
        let (wires, faults) = (self.wires.clone(), self.faults.clone());
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let end = end.ok_or_else(refused)?;
            let (upstream, wire_up) = pair();
            let (wire_down, inbound) = pair();
            end.send(inbound).await.map_err(|_| refused())?;
            let (Inbound { down, up }, Upstream { up: to, down: from }) = (wire_up, wire_down);
            let is_cut = move || faults.is_alone.load(Ordering::Relaxed);
            tokio::spawn(carry(up, to, wires.clone(), is_cut.clone()));
            tokio::spawn(carry(from, down, wires, is_cut));
            Ok(upstream)
        })
    }
}

/// Brings frames from one end to the other, as the wires are.
async fn carry<T: Clone + Send + 'static>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<T>,
    wires: Arc<Wires>,
    is_cut: impl Fn() -> bool,
) {
    loop {
        let frame = tokio::select! {
            frame = from.recv() => match frame {
                Some(frame) => frame,
                None => return,
            },
            () = to.closed() => return,
        };
        if is_cut() {
            return;
        }
        let odd = u64::from(wires.odd_per_mille.load(Ordering::Relaxed));
        let (what, late) = {
            let mut chance = wires.chance.lock().unwrap();
            match chance.is(odd) {
                true => (chance.below(5), chance.below(20)),
                false => (4, 0),
            }
        };
        let late = Duration::from_millis(late);
        match what {
            // It is lost.
            0 => {}
            // The link breaks.
            1 => return,
            // It comes twice.
            2 => {
                let _gone = to.send(frame.clone()).await;
                let _gone = to.send(frame).await;
            }
            // Others overtake it.
            3 => {
                let to = to.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    let _gone = to.send(frame).await;
                });
            }
            // It takes a while, and those behind it too.
            _ => {
                if !late.is_zero() {
                    tokio::time::sleep(late).await;
                }
                let _gone = to.send(frame).await;
            }
        }
    }
}

impl World {
    /// A log and no node.
    pub fn new(seed: u64) -> Self {
        let wires = Wires {
            chance: Mutex::new(Chance::new(seed)),
            ..Wires::default()
        };
        let log = SharedMemoryJournal::new(1);
        let database_ms = Arc::<AtomicI64>::default();
        log.set_clock(off_by({
            let off = database_ms.clone();
            move || off.load(Ordering::Relaxed)
        }));
        Self {
            log,
            database_ms,
            wires: Arc::new(wires),
            nodes: BTreeMap::new(),
            runs: 0,
            clock: Clock::running(START, NonZeroU32::MIN),
            receiver: Arc::new(Receiver::new(seed)),
            wrap: |journal| Box::new(journal),
        }
    }

    /// Nodes of those names, the first of which leads.
    pub async fn of(names: &[&'static str]) -> Self {
        let mut world = Self::new(7);
        for name in names {
            world.start(name).await;
            world.led_by(names[0]).await;
        }
        world
    }

    /// Makes frames odd in that number of 1,000 cases.
    pub fn odd_frames(&self, per_mille: u32) {
        self.wires.odd_per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// Starts a process of that node.
    pub async fn start(&mut self, name: &'static str) {
        self.try_start(name).await.unwrap();
    }

    pub async fn try_start(&mut self, name: &'static str) -> Result<(), ServerError> {
        self.runs += 1;
        let run = self.runs;
        let machine = self.nodes.entry(name).or_insert_with(|| Machine {
            process: None,
            faults: Arc::new(Faults {
                chance: Mutex::new(Chance::new(run)),
                ..Faults::default()
            }),
        });
        let faults = machine.faults.clone();
        let met = faults.clone();
        let journal = (self.wrap)(self.log.open_with(move |call| met.meet(call)));
        let off = faults.clone();
        let clock = off_by(move || off.clock_ms.load(Ordering::Relaxed));
        let (end, incoming) = mpsc::channel(16);
        let membership = Membership {
            settings: Settings {
                node: name.to_owned(),
                run,
                address: name.to_owned(),
                lease: LEASE,
                may_lead: true,
            },
            network: Arc::new(Plug {
                wires: self.wires.clone(),
                faults,
            }),
            incoming,
        };
        let receiver = self.receiver.clone();
        let fresh = Fresh {
            seed: 7,
            secret: Secret::generate([run.to_le_bytes()[0]; 32]),
        };
        let assembly = Server::assemble_node(
            config(),
            clock.clone(),
            journal,
            |_| Some(receiver),
            fresh,
            membership,
        )
        .await?;
        self.wires.ends.lock().unwrap().insert(name.to_owned(), end);
        machine.process = Some(Process {
            house: House::of(assembly.state.clone(), clock),
            assembly,
            dead: CancellationToken::new(),
        });
        Ok(())
    }

    /// Ends the node's process at once.
    pub fn kill(&mut self, name: &str) {
        self.wires.ends.lock().unwrap().remove(name);
        if let Some(process) = self.nodes.get_mut(name).and_then(|it| it.process.take()) {
            process.dead.cancel();
            process.assembly.crash();
        }
    }

    /// Ends it in good order.
    pub async fn stop(&mut self, name: &str) -> Result<(), ServerError> {
        self.wires.ends.lock().unwrap().remove(name);
        let process = self.nodes.get_mut(name).and_then(|it| it.process.take());
        let Process {
            assembly, house, ..
        } = process.expect("a node that runs");
        drop(house);
        assembly.close().await
    }

    /// Whether its process runs.
    pub fn is_up(&self, name: &str) -> bool {
        let process = self.nodes.get(name).and_then(|it| it.process.as_ref());
        process.is_some_and(|process| !process.assembly.has_ended())
    }

    pub fn house(&self, name: &str) -> &House {
        &self.process(name).house
    }

    pub fn state(&self, name: &str) -> &AppState {
        &self.house(name).state
    }

    /// What a client of that node needs: its state, and what tells that the process has ended.
    pub fn client_of(&self, name: &str) -> Option<(AppState, CancellationToken)> {
        let process = self.nodes.get(name)?.process.as_ref()?;
        Some((process.house.state.clone(), process.dead.clone()))
    }

    fn process(&self, name: &str) -> &Process {
        self.nodes[name].process.as_ref().expect("a node that runs")
    }

    /// What the node is.
    pub fn role(&self, name: &str) -> Role {
        self.state(name).cluster.as_ref().unwrap().role()
    }

    /// Moves the lead to that node, as an operator does.
    pub fn move_to(&self, name: &str) {
        let mut log = self.log.open();
        let mut lease = log.shared().unwrap().lease();
        let term = lease.leading().unwrap().term;
        let members = lease.members().unwrap();
        let member = members.iter().find(|member| member.node == name).unwrap();
        assert!(lease.take(name, member.run, term).unwrap());
    }

    /// How many webhooks the leader has yet to deliver.
    pub async fn deliveries_left(&self) -> usize {
        let counts = self.state(self.leader().await).board.webhooks().counts();
        let open = counts.deliveries().into_iter();
        open.filter(|(standing, _)| !matches!(*standing, "delivered" | "failed"))
            .map(|(_, count)| count)
            .sum()
    }

    /// Waits until that node leads.
    pub async fn led_by(&self, name: &str) {
        for _ in 0..10_000 {
            if matches!(self.role(name), Role::Leader { .. }) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} never leads");
    }

    /// The node that leads, of those that run; waits until there is one.
    pub async fn leader(&self) -> &'static str {
        for _ in 0..10_000 {
            let leads = |name: &&&'static str| {
                self.is_up(name) && matches!(self.role(name), Role::Leader { .. })
            };
            if let Some(name) = self.nodes.keys().find(leads) {
                return name;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no node leads");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.kill(name);
        }
    }
}

/// A clock that is wrong by that many milliseconds, which may change.
fn off_by(millis: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
    let right = Clock::running(START, NonZeroU32::MIN);
    let wrong = move || Timestamp::from_millis(right.now().as_millis() + millis());
    Clock::of_system(wrong, NonZeroU32::MIN)
}

fn config() -> Config {
    let layers = Layers::default()
        .flag("rate-limit", "off")
        .flag("webhook-retry", "1s,2s,4s,4s,4s,4s,4s,4s,4s,4s,4s,4s");
    layers.resolve().unwrap().config
}
