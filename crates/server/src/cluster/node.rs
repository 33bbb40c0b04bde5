//! The loop of a node: follow, be promoted, lead.

use std::sync::Arc;
use std::time::Duration;

use abide_engine::Configure;
use abide_engine::delivery::{Send, SetMasterSecret};
use abide_engine::entry::{LEVEL, LEVEL_READ_FROM};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::changed::Changed;
use super::errands::Errands;
use super::heart::{Heart, Pulse, Stopped, steer};
use super::hub::{Hub, Pushing};
use super::links::Links;
use super::network::{Inbound, Network};
use super::reader::Reader;
use super::status::{Role, Status};
use crate::board::Board;
use crate::clock::Clock;
use crate::driver::{Commands, Driver, DriverError, Led, WeakCommands};
use crate::journal::{Journal, Member, Position};
use crate::metrics::Metrics;

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name, unique in the cluster. A second process of the name takes it over, and the first one ends.
    pub node: String,
    /// Which process of that name this is: a number that no other process of the cluster has.
    pub run: u64,
    /// Where other nodes reach it; empty if they can't.
    pub address: String,
    /// How long a leader's beat may stay unchanged before another node takes the lead; 2 s by default.
    pub lease: Duration,
    /// Whether it may lead.
    pub may_lead: bool,
}

/// What makes a server one of several.
#[derive(Debug)]
pub struct Membership {
    /// How it takes part.
    pub settings: Settings,
    /// Makes links to the leader.
    pub network: Arc<dyn Network>,
    /// The links that others have made to this node.
    pub incoming: mpsc::Receiver<Inbound>,
}

/// What a leader makes sure of when it begins, each if the log doesn't have it.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) seed: u64,
    pub(crate) secret: SetMasterSecret,
    pub(crate) configure: Configure,
}

/// A node's loop, and all that it owns.
#[derive(Debug)]
pub struct Node {
    pub(super) driver: Driver,
    pub(super) commands: WeakCommands,
    pub(super) beginning: Beginning,
    pub(super) status: Arc<Status>,
    pub(super) hub: Arc<Hub>,
    pub(super) pulse: watch::Receiver<Pulse>,
    pub(super) heart: AbortOnDropHandle<Stopped>,
    pub(super) stop_heart: CancellationToken,
    pub(super) links: Links,
    pub(super) incoming: mpsc::Receiver<Inbound>,
    pub(super) reader: Reader,
    /// What the engine has applied.
    pub(super) position: Position,
    /// The term of the last batch.
    pub(super) term: u64,
    pub(super) errands: Errands,
    pub(super) changed: Changed,
    metrics: Arc<Metrics>,
}

/// A node that hasn't begun.
#[derive(Debug)]
pub(crate) struct Opened {
    driver: Driver,
    commands: WeakCommands,
    beginning: Beginning,
    status: Arc<Status>,
    hub: Arc<Hub>,
    pulse: watch::Receiver<Pulse>,
    heart: Heart,
    links: Links,
    incoming: mpsc::Receiver<Inbound>,
    reader: Reader,
    position: Position,
    term: u64,
    metrics: Arc<Metrics>,
}

impl Opened {
    /// What handlers may ask of the node.
    pub(crate) fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// See [`Driver::counted`].
    pub(crate) fn counted(mut self, metrics: Arc<Metrics>) -> Self {
        self.driver = self.driver.counted(metrics.clone());
        self.metrics = metrics;
        self
    }

    /// See [`Driver::set_courier`].
    pub(crate) fn set_courier(&mut self, courier: mpsc::UnboundedSender<Send>) {
        self.driver.set_courier(courier);
    }

    /// Has it beat.
    pub(crate) fn start(self) -> Node {
        let stop_heart = CancellationToken::new();
        Node {
            heart: AbortOnDropHandle::new(tokio::spawn(self.heart.run(stop_heart.clone()))),
            stop_heart,
            driver: self.driver,
            beginning: self.beginning,
            status: self.status,
            hub: self.hub,
            pulse: self.pulse,
            links: self.links,
            incoming: self.incoming,
            reader: self.reader,
            position: self.position,
            term: self.term,
            errands: Errands::new(self.commands.places(), self.metrics.clone()),
            commands: self.commands,
            changed: Changed::default(),
            metrics: self.metrics,
        }
    }
}

/// What a follower does next.
pub(super) enum Next {
    Lead(u64),
    End,
}

/// What came of a node's attempt to lead.
pub(super) enum Promoted {
    /// It leads.
    Leads,
    /// Another node leads by now.
    Superseded,
    /// There will be no more commands.
    Ended,
}

impl Node {
    /// Reads the log and enters the cluster as a follower. Blocks on the journal as [`Driver::open`] does.
    ///
    /// # Errors
    ///
    /// The log can't be read, or isn't shared.
    pub(crate) fn open(
        journal: Box<dyn Journal>,
        clock: Clock,
        beginning: Beginning,
        membership: Membership,
    ) -> Result<(Opened, Commands, Arc<Board>), DriverError> {
        let Membership {
            settings,
            network,
            incoming,
        } = membership;
        let hub = Arc::new(Hub::default());
        let journal = Box::new(Pushing {
            journal,
            hub: hub.clone(),
        });
        let is_blocking = journal.is_blocking();
        let policy = beginning.configure.policy.clone();
        let (mut driver, commands, board) = Driver::follower(journal, clock.clone(), policy)?;
        let shared = driver.shared();
        let (position, term) = (shared.position(), shared.term());
        let (tail, mut lease) = (shared.tail(), shared.lease());
        let member = Member {
            node: settings.node.clone(),
            run: settings.run,
            address: settings.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reads_from: LEVEL_READ_FROM,
            reads_to: LEVEL,
            applied: position.batch,
            beat: 0,
        };
        lease.join(&member)?;
        // It begins with the time of the others.
        let begun = clock.elapsed();
        let beat = lease.beat(&settings.node, settings.run, position.batch)?;
        steer(&clock, &beat, begun, settings.lease);
        let (pulse_in, pulse) = watch::channel(Pulse::default());
        let identity = (settings.node, settings.run, settings.lease);
        let status = {
            *hub.applied.lock() = position;
            Status::new(identity, clock.clone(), hub.clone(), pulse.clone())
        };
        let heart = Heart {
            lease: Some(lease),
            is_blocking,
            may_lead: settings.may_lead,
            clock,
            status: status.clone(),
            pulse: pulse_in,
        };
        let opened = Opened {
            driver,
            commands: commands.downgrade(),
            beginning,
            status,
            hub,
            pulse,
            heart,
            links: Links::new(network),
            incoming,
            reader: Reader::new(tail, is_blocking),
            position,
            term,
            metrics: Arc::default(),
        };
        Ok((opened, commands, board))
    }

    /// Runs until every [`Commands`] has been dropped. A leader hands over then.
    ///
    /// # Errors
    ///
    /// The log failed in a way that trying again doesn't mend, another node has written where this one was about to, or
    /// another process has this one's name. Everything that was acknowledged is safe; the process should start again.
    pub async fn run(mut self) -> Result<(), DriverError> {
        let ended = self.turns().await;
        let is_whole = ended.is_ok() && !self.pulse.borrow().is_refused;
        if is_whole && self.status.role() != Role::Follower && !self.hub.has_links() {
            // No other node has the state in memory: the next process reads little.
            self.driver.checkpoint().await;
        }
        self.hub.close();
        self.stop_heart.cancel();
        let (lease, refused) = self.heart.await?;
        // What was acknowledged is in the log, also where this ends by an error; the next leader needn't wait.
        let role = self.status.role();
        self.status.set_role(Role::Follower);
        if let (Role::Leader { term }, Some(mut lease)) = (role, lease) {
            let _unknown = tokio::task::spawn_blocking(move || lease.hand_over(term)).await?;
        }
        ended?;
        if let Some(refused) = refused {
            return Err(refused.into());
        }
        self.driver.close().await
    }

    async fn turns(&mut self) -> Result<(), DriverError> {
        let mut left = Vec::new();
        loop {
            let term = match self.follow(left).await? {
                Next::Lead(term) => term,
                Next::End => return Ok(()),
            };
            left = Vec::new();
            match self.promote(term).await? {
                Promoted::Leads => {}
                Promoted::Superseded => continue,
                Promoted::Ended => return Ok(()),
            }
            match self.lead(term).await? {
                Led::Deposed(requests) => left = requests,
                Led::Ended => return Ok(()),
            }
            tracing::info!(term, "another node leads now");
            self.metrics.superseded();
            self.driver.give_up_checkpoint();
            self.hub.close();
            self.position = self.driver.shared().position();
            self.status.set_applied(self.position);
            self.status.set_role(Role::Follower);
        }
    }
}
