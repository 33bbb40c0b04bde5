//! The loop of a node: follow, be promoted, lead.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use abide_engine::delivery::{Send, SetMasterSecret};
use abide_engine::{Configure, SetSeed};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::errands::Errands;
use super::frame::Down;
use super::heart::{Heart, Pulse};
use super::hub::{Hub, Pushing, serve};
use super::links::Links;
use super::network::{Inbound, Network, Upstream};
use super::reader::Reader;
use super::status::{Role, Status};
use crate::board::Board;
use crate::clock::Clock;
use crate::driver::{Commands, Driver, DriverError, Led, Request, WeakCommands};
use crate::journal::{Batch, Journal, JournalError, Lease, Member, Position};
use crate::metrics::Metrics;

/// How often a follower without a link reads the log, and looks after what waits.
const READ_EVERY: Duration = Duration::from_millis(250);
/// How long to wait before a call that the database didn't take is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

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
    driver: Driver,
    commands: WeakCommands,
    beginning: Beginning,
    status: Arc<Status>,
    hub: Arc<Hub>,
    pulse: watch::Receiver<Pulse>,
    heart: AbortOnDropHandle<Option<Box<dyn Lease>>>,
    stop_heart: CancellationToken,
    links: Links,
    incoming: mpsc::Receiver<Inbound>,
    reader: Reader,
    /// What the engine has applied.
    position: Position,
    /// The term of the last batch.
    term: u64,
    errands: Errands,
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
}

impl Opened {
    /// What handlers may ask of the node.
    pub(crate) fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// See [`Driver::counted`].
    pub(crate) fn counted(mut self, metrics: Arc<Metrics>) -> Self {
        self.driver = self.driver.counted(metrics);
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
            commands: self.commands,
            beginning: self.beginning,
            status: self.status,
            hub: self.hub,
            pulse: self.pulse,
            links: self.links,
            incoming: self.incoming,
            reader: self.reader,
            position: self.position,
            term: self.term,
            errands: Errands::default(),
        }
    }
}

/// What comes to a follower.
pub(super) enum Event {
    Pulse,
    Down(Option<Down>),
    Linked(io::Result<Upstream>),
    Read(Result<Vec<Batch>, JournalError>),
    Request(Option<Request>),
    Tick,
}

/// What a follower does next.
enum Next {
    Lead(u64),
    End,
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
            reads_from: 1,
            reads_to: abide_engine::entry::LEVEL,
            applied: position.batch,
            beat: 0,
        };
        lease.join(&member)?;
        let (pulse_in, pulse) = watch::channel(Pulse::default());
        let identity = (settings.node, settings.run, settings.lease);
        let status = {
            *hub.applied.lock() = position;
            let applied = hub.applied.clone();
            Status::new(identity, clock.clone(), applied, pulse.clone())
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
        self.hub.close();
        self.stop_heart.cancel();
        let lease = self.heart.await?;
        // What was acknowledged is in the log, also where this ends by an error; the next leader needn't wait.
        let role = self.status.role();
        self.status.set_role(Role::Follower);
        if let (Role::Leader { term }, Some(mut lease)) = (role, lease) {
            let _unknown = tokio::task::spawn_blocking(move || lease.hand_over(term)).await?;
        }
        ended?;
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
            if !self.promote(term).await? {
                continue;
            }
            match self.lead(term).await? {
                Led::Deposed(requests) => left = requests,
                Led::Ended => return Ok(()),
            }
            tracing::info!(term, "another node leads now");
            self.hub.close();
            self.position = self.driver.shared().position();
            self.status.set_applied(self.position);
            self.status.set_role(Role::Follower);
        }
    }

    /// Applies what others write, and sends on what clients ask, until it is to lead or to end.
    async fn follow(&mut self, left: Vec<Request>) -> Result<Next, DriverError> {
        for request in left {
            self.send_on(request);
        }
        let mut tick = tokio::time::interval(READ_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(next) = self.turn()? {
                return Ok(next);
            }
            let event = tokio::select! {
                changed = self.pulse.changed() => match changed {
                    Ok(()) => Event::Pulse,
                    // The heart is gone: without it this node can't know who leads.
                    Err(_) => return Ok(Next::End),
                },
                event = self.links.next() => event,
                batches = self.reader.done() => Event::Read(batches?),
                request = self.driver.request(), if self.errands.has_room() => Event::Request(request),
                _ = tick.tick() => Event::Tick,
                // A follower serves no links.
                Some(_refused) = self.incoming.recv() => Event::Pulse,
            };
            match event {
                Event::Pulse => {}
                Event::Down(Some(down)) => self.hear(down)?,
                Event::Down(None) => {
                    self.errands.broken();
                    self.reader.read(self.position);
                }
                Event::Linked(Ok(link)) => {
                    self.errands.linked(&link.up);
                    self.links.upstream = Some(link);
                }
                Event::Linked(Err(error)) => tracing::debug!(%error, "the leader can't be reached"),
                Event::Read(Ok(batches)) => self.caught_up(&batches)?,
                Event::Read(Err(error)) if error.is_retryable() => {
                    tracing::debug!(%error, "the log can't be read");
                }
                Event::Read(Err(error)) => return Err(error.into()),
                Event::Request(Some(request)) => self.send_on(request),
                Event::Request(None) => return Ok(Next::End),
                Event::Tick => self.tick(),
            }
        }
    }

    /// Looks who leads, and whether that is this node.
    fn turn(&mut self) -> Result<Option<Next>, DriverError> {
        let pulse = self.pulse.borrow_and_update().clone();
        if pulse.is_superseded {
            return Err(superseded(&self.status.node).into());
        }
        let leading = &pulse.leading;
        let is_me = leading.node.as_deref() == Some(self.status.node.as_str())
            && leading.run == self.status.run;
        if is_me && leading.term > self.term {
            return Ok(Some(Next::Lead(leading.term)));
        }
        if !is_me && self.links.follow(leading) {
            self.errands.broken();
        }
        Ok(None)
    }

    fn send_on(&mut self, request: Request) {
        let link = self.links.upstream.as_ref().map(|link| &link.up);
        let now = self.status.now();
        self.errands.add(request, now, link);
    }

    fn hear(&mut self, down: Down) -> Result<(), JournalError> {
        match down {
            Down::Batch(batch) => {
                self.status.note_heard(batch.number);
                self.take(&batch)?;
            }
            Down::Committed(at) => {
                self.status.note_heard(at.batch);
                if at.batch > self.position.batch {
                    self.reader.read(self.position);
                }
            }
            Down::Answered { id, answer, at } => self.errands.answered(id, answer, at),
            Down::Now { id, at } => self.errands.now(id, at),
        }
        self.arrive();
        Ok(())
    }

    fn caught_up(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        for batch in batches {
            self.take(batch)?;
        }
        match batches.last() {
            // There may be more.
            Some(_) => self.reader.read(self.position),
            None => self.status.note_heard(self.position.batch),
        }
        self.arrive();
        Ok(())
    }

    /// Applies a batch, if it is the next one. After a hole the log is read.
    fn take(&mut self, batch: &Batch) -> Result<(), JournalError> {
        if batch.follows(self.position) {
            self.driver.absorb(batch)?;
            self.position = batch.position();
            self.term = self.term.max(batch.term);
            self.status.set_applied(self.position);
        } else if batch.number > self.position.batch {
            // Whether it is a hole or another history, the log tells.
            self.reader.read(self.position);
        }
        Ok(())
    }

    fn arrive(&mut self) {
        self.errands.arrive(self.driver.engine(), self.position);
        if self.errands.wants_beyond(self.position) && self.links.upstream.is_none() {
            self.reader.read(self.position);
        }
    }

    fn tick(&mut self) {
        self.errands.expire(self.status.now());
        if self.links.upstream.is_none() || self.errands.wants_beyond(self.position) {
            self.reader.read(self.position);
        }
        self.links.may_dial();
    }

    /// Reads the log to its end and appends the mark. `false` if another node leads by now.
    async fn promote(&mut self, term: u64) -> Result<bool, DriverError> {
        self.links.drop_all();
        if self.pulse.borrow().won != term {
            // The lead was moved here from a leader that lives. It finds out with its next beat, and then writes no more;
            // until this is over it may count on its lead in what it answers.
            tokio::time::sleep(self.status.lease * 3 / 4).await;
        }
        loop {
            self.reader.read(self.position);
            let is_again = match self.reader.done().await? {
                Ok(batches) if batches.is_empty() => {
                    match self.driver.mark(self.position, term).await? {
                        Ok(after) => {
                            self.begin(term, after);
                            return Ok(true);
                        }
                        // The old leader was quicker.
                        Err(JournalError::Superseded { .. }) => false,
                        Err(error) if error.is_retryable() => true,
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(batches) => {
                    for batch in &batches {
                        self.take(batch)?;
                    }
                    false
                }
                Err(error) if error.is_retryable() => true,
                Err(error) => return Err(error.into()),
            };
            let pulse = self.pulse.borrow().clone();
            if self.term > term || pulse.leading.term > term || pulse.is_superseded {
                return Ok(false);
            }
            if is_again {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }

    fn begin(&mut self, term: u64, after: Position) {
        let before = self.position;
        self.hub.push(after, || Batch {
            number: after.batch,
            term,
            nonce: after.nonce,
            before: before.nonce,
            first: before.seq + 1,
            entries: Vec::new(),
        });
        (self.position, self.term) = (after, term);
        self.status.set_applied(after);
        self.status.set_role(Role::Leader { term });
        // What waits for a state that is here now.
        self.arrive();
        tracing::info!(term, "this node leads");
    }

    async fn lead(&mut self, term: u64) -> Result<Led, DriverError> {
        let since = self.status.now();
        let Beginning {
            seed,
            secret,
            configure,
        } = self.beginning.clone();
        let jobs = self.driver.engine().jobs();
        let is_new = jobs.made() == 0 && jobs.rng().seed() == 0;
        let mut requests = Vec::new();
        requests.extend(is_new.then(|| Request::of(SetSeed(seed), since)));
        requests.push(Request::of(secret, since));
        requests.push(Request::of(configure, since));
        requests.extend(self.errands.take_over());
        let deposed = deposed(self.pulse.clone(), term);
        tokio::select! {
            led = self.driver.lead(requests, deposed) => led,
            () = serve(&mut self.incoming, &self.hub, &self.commands, &self.status) => {
                unreachable!("links are served for ever")
            }
        }
    }
}

/// Returns once another node leads, or this one's name is another process's.
async fn deposed(mut pulse: watch::Receiver<Pulse>, term: u64) {
    let is_over = |pulse: &Pulse| {
        let confirmed = pulse
            .confirmed
            .is_some_and(|(confirmed, _)| confirmed > term);
        confirmed || pulse.leading.term > term || pulse.is_superseded
    };
    // Without a heart nothing deposes it but the fence.
    if pulse.wait_for(is_over).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn superseded(node: &str) -> JournalError {
    JournalError::Superseded {
        place: "the cluster".to_owned(),
        detail: format!("another process is the node {node:?}"),
    }
}
