//! What the rest of a server may ask of its node.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::frame::Up;
use super::gather::{GATHERED_WAIT, Gathered, Told};
use super::heart::Pulse;
use super::hub::Hub;
use crate::clock::Clock;
use crate::driver::{Commands, Failure};
use crate::journal::Position;
use crate::metrics::ClusterLevels;

/// How long a request waits for a leader before it is refused.
pub const LEADER_WAIT: Duration = Duration::from_secs(5);

/// What a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It applies what another node decides.
    Follower,
    /// It decides, in that term.
    Leader {
        /// The term.
        term: u64,
    },
}

/// A node's state, shared between its loop and its handlers.
#[derive(Debug)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Which process of that name.
    pub run: u64,
    /// How long a leader's beat may stay unchanged before another node takes the lead.
    pub lease: Duration,
    clock: Clock,
    role: Mutex<Role>,
    /// What the node has applied.
    applied: Arc<Mutex<Position>>,
    /// How far the log is, as this node has heard.
    heard: AtomicU64,
    /// When it last heard from the leader or read the log to its end, by [`Clock::elapsed`], in milliseconds.
    heard_at: AtomicU64,
    /// When it had last applied all that it had heard of, the same way.
    shown_at: AtomicU64,
    /// How long it has known no leader, in milliseconds.
    leaderless: AtomicU64,
    /// The nodes that live, as their beats say.
    living: Mutex<Vec<String>>,
    /// The link to the leader, where one stands.
    link: Mutex<Option<mpsc::WeakSender<Up>>>,
    /// Answers other nodes.
    teller: OnceLock<Teller>,
    hub: Arc<Hub>,
    pulse: watch::Receiver<Pulse>,
}

/// Answers a question of another node by what this one knows.
struct Teller(Box<dyn Fn(&Value) -> Value + Send + Sync>);

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl Status {
    pub(super) fn new(
        (node, run, lease): (String, u64, Duration),
        clock: Clock,
        hub: Arc<Hub>,
        pulse: watch::Receiver<Pulse>,
    ) -> Arc<Self> {
        let applied = hub.applied.clone();
        let heard = applied.lock().batch;
        let status = Self {
            node,
            run,
            lease,
            role: Mutex::new(Role::Follower),
            heard: AtomicU64::new(heard),
            applied,
            heard_at: AtomicU64::new(0),
            shown_at: AtomicU64::new(0),
            leaderless: AtomicU64::new(0),
            living: Mutex::default(),
            link: Mutex::default(),
            teller: OnceLock::new(),
            hub,
            clock,
            pulse,
        };
        Arc::new(status)
    }

    /// What the node is.
    #[must_use]
    pub fn role(&self) -> Role {
        *self.role.lock()
    }

    /// What it has applied.
    #[must_use]
    pub fn applied(&self) -> Position {
        *self.applied.lock()
    }

    /// How many batches it has heard of and not applied.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let heard = self.heard.load(Ordering::Relaxed);
        heard.saturating_sub(self.applied().batch)
    }

    /// How long it has heard neither from the leader nor from the log; nothing while it leads.
    #[must_use]
    pub fn stale_for(&self) -> Duration {
        if self.role() != Role::Follower {
            return Duration::ZERO;
        }
        let at = Duration::from_millis(self.heard_at.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(at)
    }

    /// The node that leads, and its term, as this one has last seen it.
    #[must_use]
    pub fn leader(&self) -> (Option<String>, u64) {
        let pulse = self.pulse.borrow();
        (pulse.leading.node.clone(), pulse.leading.term)
    }

    /// Whether requests should come here: it leads, or it is up to date.
    ///
    /// # Errors
    ///
    /// [`Failure::NoLeader`] if it has heard of nothing for the length of the lease.
    pub fn check(&self) -> Result<(), Failure> {
        let is_fresh = self.stale_for() <= self.lease;
        is_fresh.then_some(()).ok_or(Failure::NoLeader)
    }

    /// Returns once the board shows all that any node had acknowledged before this was called.
    ///
    /// # Errors
    ///
    /// [`Failure::NoLeader`] if that can't be told within [`LEADER_WAIT`].
    pub async fn catch_up(&self, commands: &Commands) -> Result<(), Failure> {
        // A leader too: a follower that reads the log may have shown what this node has written and not heard of yet.
        let caught_up = tokio::time::timeout(LEADER_WAIT, commands.catch_up()).await;
        caught_up.unwrap_or(Err(Failure::NoLeader))?;
        // It may have been promoted meanwhile.
        if matches!(self.role(), Role::Leader { .. }) && !self.leads_for_certain().await {
            return Err(Failure::NoLeader);
        }
        Ok(())
    }

    /// Whether no other node can lead: the term was confirmed by a beat that began less than three quarters of the
    /// lease ago, and another node waits for the whole of it. Waits for the next beat if need be.
    pub(super) async fn leads_for_certain(&self) -> bool {
        let certain = async {
            let mut pulse = self.pulse.clone();
            loop {
                let Role::Leader { term } = self.role() else {
                    return false;
                };
                if self.is_confirmed(&pulse.borrow_and_update(), term) {
                    return true;
                }
                if pulse.changed().await.is_err() {
                    return false;
                }
            }
        };
        let certain = tokio::time::timeout(LEADER_WAIT, certain).await;
        certain.unwrap_or(false)
    }

    fn is_confirmed(&self, pulse: &Pulse, term: u64) -> bool {
        pulse.confirmed.is_some_and(|(confirmed, begun)| {
            confirmed == term && self.clock.elapsed().saturating_sub(begun) < self.lease * 3 / 4
        })
    }

    /// Has questions of other nodes answered like that. The first call counts.
    pub(crate) fn answer_by(&self, tell: impl Fn(&Value) -> Value + Send + Sync + 'static) {
        let _first = self.teller.set(Teller(Box::new(tell)));
    }

    /// What this node answers to another one.
    pub(super) fn tell(&self, question: &Value) -> Option<Told> {
        let Teller(tell) = self.teller.get()?;
        Some(Told {
            node: self.node.clone(),
            answer: tell(question),
        })
    }

    /// What the other nodes answer to a question, within half a second.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the answers.
    pub(crate) async fn gather(&self, question: Value) -> Gathered {
        let told = if self.role() == Role::Follower {
            let link = self.link.lock().as_ref().and_then(|link| link.upgrade());
            let ask = |id| {
                let sent = link.map(|link| link.try_send(Up::Gather { id, question }));
                usize::from(sent.is_some_and(|sent| sent.is_ok()))
            };
            self.hub.questions.ask(GATHERED_WAIT, ask).await
        } else {
            self.hub.gather(&question, None).await
        };
        let mut missing = self.living.lock().clone();
        missing.retain(|name| *name != self.node && told.iter().all(|one| one.node != *name));
        Gathered { told, missing }
    }

    /// A link to the leader stands. It is this node's loop that has it.
    pub(super) fn linked(&self, link: &mpsc::Sender<Up>) {
        *self.link.lock() = Some(link.downgrade());
    }

    /// These nodes live.
    pub(super) fn set_living(&self, names: Vec<String>) {
        *self.living.lock() = names;
    }

    /// The machine's time, by which everything here is measured.
    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(super) fn set_role(&self, role: Role) {
        *self.role.lock() = role;
        self.note_heard(self.applied().batch);
    }

    pub(super) fn set_applied(&self, position: Position) {
        *self.applied.lock() = position;
        self.note_shown(self.clock.elapsed());
    }

    pub(super) fn note_heard(&self, batch: u64) {
        self.heard.fetch_max(batch, Ordering::Relaxed);
        let now = self.clock.elapsed();
        self.heard_at.store(millis(now), Ordering::Relaxed);
        self.note_shown(now);
    }

    fn note_shown(&self, now: Duration) {
        if self.behind() == 0 {
            self.shown_at.store(millis(now), Ordering::Relaxed);
        }
    }

    /// This node has known no leader for that long, beside what was noted before.
    pub(super) fn note_leaderless(&self, time: Duration) {
        self.leaderless.fetch_add(millis(time), Ordering::Relaxed);
    }

    /// How the node stands, for its metrics.
    #[must_use]
    pub fn figures(&self) -> ClusterLevels {
        let (now, pulse) = (self.clock.elapsed(), self.pulse.borrow());
        let since =
            |at: &AtomicU64| now.saturating_sub(Duration::from_millis(at.load(Ordering::Relaxed)));
        let leads = self.role() != Role::Follower;
        ClusterLevels {
            leads,
            term: pulse.leading.term,
            applied: self.applied().seq,
            behind: if leads {
                Duration::ZERO
            } else {
                since(&self.shown_at)
            },
            beat_age: pulse
                .confirmed
                .map_or(now, |(_, begun)| now.saturating_sub(begun)),
            clock_offset_ms: pulse.clock_offset_ms,
            leaderless: Duration::from_millis(self.leaderless.swap(0, Ordering::Relaxed)),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
