//! The one loop: decide, journal, apply, tell.
//!
//! Commands come in by a channel, deadlines by the clock. A pass takes all that has gathered, turns it into entries, makes them
//! durable with one append, and only then tells anybody: the board, the waiters, the callers. While the disk syncs one batch the
//! next one gathers in the channel, so group commit costs nothing and an idle server answers after a single sync.
//!
//! The engine is ahead of the disk while an append is under way, and nobody sees it. Where an append fails and may
//! succeed later (a full disk), the batch is kept and tried again; until it is written every command is refused with
//! [`Failure::Storage`] and the board stays as it was, so nothing that was told is ever lost, and nothing is told that may be.
//!
//! Where more comes than the loop can do, it says so rather than falling behind for ever: what finds the channel full is
//! refused at once, and what has waited for longer than [`SHED_AFTER`] is refused undone as long as more than a batch waits behind
//! it. So an answer is late by little more than that whatever the load, and when the load ends the loop is soon back in time.

use std::fmt;
use std::marker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};

use abide_engine::delivery::{Notice, Send};
use abide_engine::snapshot::{Part, PartKey};
use abide_engine::{Command, Effect, Engine, Entry, Policy, Refusal};
use abide_wire::Timestamp;

use crate::board::Board;
use crate::clock::Clock;
use crate::journal::{Checkpoints, Journal, JournalError};
use crate::metrics::Metrics;

/// The most commands that may wait for the loop.
const COMMANDS_MAX: usize = 8_192;
/// The most commands in one batch.
const BATCH_COMMANDS_MAX: usize = 1_024;
/// How long a command may have waited when others wait behind it; those that have waited longer are refused.
pub const SHED_AFTER: Duration = Duration::from_millis(500);
/// The most entries that deadlines add to one batch.
const BATCH_DUE_MAX: usize = 4_096;
/// So many entries after a checkpoint the next may come, as soon as nobody waits for the loop.
const CHECKPOINT_ENTRIES: u64 = 50_000;
/// So many entries after a checkpoint the next comes, whoever waits: it bounds what a restart has to replay.
const CHECKPOINT_ENTRIES_MAX: u64 = 400_000;
/// How long to wait before a failed append is tried again.
const APPEND_RETRY: Duration = Duration::from_millis(250);

/// The door to the loop. Cloning gives another; when the last is dropped the loop writes what is left and ends.
#[derive(Clone, Debug)]
pub struct Commands {
    sender: mpsc::Sender<Request>,
    /// Set while the journal can't write.
    failing: Arc<AtomicBool>,
    clock: Clock,
}

#[derive(Debug)]
enum Request {
    Command(Box<dyn Asked>),
    Advance(Duration, oneshot::Sender<Timestamp>),
}

/// A command on its way through the loop: asked, carried out, and answered once its entries are durable.
trait Asked: fmt::Debug + marker::Send {
    /// Since when it waits, by the machine's time.
    fn since(&self) -> Duration;
    /// Decides and applies it. The answer is kept for [`Asked::reply`].
    fn carry_out(&mut self, engine: &mut Engine, now: Timestamp, batch: &mut Batch);
    /// Tells the caller what came of it, or that failure.
    fn reply(self: Box<Self>, failure: Option<Failure>);
}

#[derive(Debug)]
struct Ask<C: Command> {
    command: C,
    since: Duration,
    answer: Result<C::Answer, Failure>,
    reply: oneshot::Sender<Result<C::Answer, Failure>>,
}

impl<C: Command> Asked for Ask<C> {
    fn since(&self) -> Duration {
        self.since
    }

    fn carry_out(&mut self, engine: &mut Engine, now: Timestamp, batch: &mut Batch) {
        let (entries, effects) = (&mut batch.entries, &mut batch.effects);
        let answer = engine.carry_out(&self.command, now, entries, effects);
        self.answer = answer.map_err(Failure::from);
    }

    fn reply(self: Box<Self>, failure: Option<Failure>) {
        // The caller may have gone; that is no reason to do anything else.
        let _gone = self.reply.send(failure.map_or(self.answer, Err));
    }
}

/// A door to the loop that doesn't keep it open.
#[derive(Clone, Debug)]
pub struct WeakCommands {
    sender: mpsc::WeakSender<Request>,
    failing: Arc<AtomicBool>,
    clock: Clock,
}

impl WeakCommands {
    /// The door, unless the last one has been dropped.
    #[must_use]
    pub fn upgrade(&self) -> Option<Commands> {
        let sender = self.sender.upgrade()?;
        Some(Commands {
            sender,
            failing: self.failing.clone(),
            clock: self.clock.clone(),
        })
    }
}

/// Why a command came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The engine refused it. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal can't write. The command may have been taken and may be carried out once the journal can; asking
    /// again under the same idempotency key is safe.
    #[error("the server can't write at the moment; nothing that was acknowledged is lost")]
    Storage,
    /// Too many commands wait already, or this one has waited for too long. Nothing has changed.
    #[error("the server has more to do than it can at the moment")]
    Overloaded,
    /// The loop has ended.
    #[error("the server is going down")]
    ShuttingDown,
}

impl Commands {
    /// Runs the command and returns once its entries are durable.
    ///
    /// # Errors
    ///
    /// A [`Failure`] says why it wasn't.
    ///
    /// # Cancel safety
    ///
    /// The command is on its way when this returns; dropping the future drops the answer alone.
    pub fn ask<C: Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<C::Answer, Failure>> + marker::Send + use<C> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(Request::Command(Box::new(Ask {
            command,
            since: self.clock.elapsed(),
            answer: Err(Failure::ShuttingDown),
            reply,
        })));
        async move {
            sent?;
            answer.await.unwrap_or(Err(Failure::ShuttingDown))
        }
    }

    /// A door that doesn't keep the loop from ending.
    #[must_use]
    pub fn downgrade(&self) -> WeakCommands {
        WeakCommands {
            sender: self.sender.downgrade(),
            failing: self.failing.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Advances the manual clock, from deadline to deadline, and answers with what it shows when everything that was due on the way has
    /// happened and is durable.
    ///
    /// # Errors
    ///
    /// Where the loop has ended or has too much to do.
    pub async fn advance(&self, by: Duration) -> Result<Timestamp, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Advance(by, reply))?;
        answer.await.map_err(|_| Failure::ShuttingDown)
    }

    /// How many commands wait for the loop.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Why a command would come to nothing at the moment, if it would.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if self.sender.is_closed() {
            Some(Failure::ShuttingDown)
        } else if self.failing.load(Ordering::Relaxed) {
            Some(Failure::Storage)
        } else {
            None
        }
    }

    fn send(&self, request: Request) -> Result<(), Failure> {
        self.sender.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Failure::ShuttingDown,
        })
    }
}

/// Why a server can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The journal can't be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A task of the loop's panicked or was canceled.
    #[error("the journal's task failed")]
    Task(#[from] JoinError),
}

/// The loop, and all that it owns.
#[derive(Debug)]
pub struct Driver {
    engine: Engine,
    /// Away while an append is under way.
    journal: Option<Box<dyn Journal>>,
    checkpoints: Option<Box<dyn Checkpoints>>,
    checkpointed: u64,
    checkpointing: Option<JoinHandle<Checkpointed>>,
    clock: Clock,
    board: Arc<Board>,
    requests: mpsc::Receiver<Request>,
    advancing: Option<Advancing>,
    failing: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    /// Who takes webhooks to their receivers.
    courier: Option<mpsc::UnboundedSender<Send>>,
}

/// How far the manual clock is to be advanced, and who waits for it to be there.
#[derive(Debug)]
struct Advancing {
    target: Timestamp,
    replies: Vec<oneshot::Sender<Timestamp>>,
}

/// What comes back from writing a checkpoint.
#[derive(Debug)]
struct Checkpointed {
    checkpoints: Box<dyn Checkpoints>,
    seq: u64,
    changed: Vec<PartKey>,
    result: Result<(), JournalError>,
}

/// What one pass has gathered.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    effects: Vec<Effect>,
    /// Commands with what came of each, or why it isn't carried out.
    replies: Vec<(Box<dyn Asked>, Option<Failure>)>,
    /// Who waited for the clock to be where it is now.
    arrived: Vec<oneshot::Sender<Timestamp>>,
}

impl Driver {
    /// Reads the journal and has everything ready: what was due while the server was down has happened when this returns.
    ///
    /// `seed` is the seed of all luck from now on; `None` keeps that of the journal, and `fresh_seed` is taken where there is none. Blocks
    /// on the journal; call it through `spawn_blocking` where that waits for a disk.
    ///
    /// # Errors
    ///
    /// The journal can't be read, or is of a newer version.
    pub fn open(
        mut journal: Box<dyn Journal>,
        clock: Clock,
        policy: Policy,
        seed: Option<u64>,
        fresh_seed: u64,
    ) -> Result<(Self, Commands, Arc<Board>), DriverError> {
        let mut engine = Engine::new(policy);
        let checkpointed = load(&mut engine, journal.as_mut())?;
        let mut batch = Batch::default();
        let is_fresh = engine.jobs_made() == 0 && engine.luck().seed() == 0;
        let seed = seed.or(is_fresh.then_some(fresh_seed));
        if let Some(seed) = seed.filter(|seed| *seed != engine.luck().seed()) {
            batch.entries.push(Entry::Seeded { seed });
            engine.apply(&batch.entries[0], &mut batch.effects);
        }
        if let Some(shown) = engine.clock() {
            // Fails only where the clock runs by itself, and then there is nothing to catch up with.
            let _runs = clock.advance_to(shown);
        }
        engine.fire(
            clock.now(),
            usize::MAX,
            &mut batch.entries,
            &mut batch.effects,
        );
        let last_seq = journal.append(&encode(&batch.entries))?;
        let board = Arc::new(Board::new(&engine, last_seq));
        let (sender, requests) = mpsc::channel(COMMANDS_MAX);
        let driver = Self {
            engine,
            checkpoints: Some(journal.checkpoints()),
            journal: Some(journal),
            checkpointed,
            checkpointing: None,
            clock,
            board: board.clone(),
            requests,
            advancing: None,
            failing: Arc::default(),
            metrics: Arc::default(),
            courier: None,
        };
        let commands = Commands {
            sender,
            failing: driver.failing.clone(),
            clock: driver.clock.clone(),
        };
        Ok((driver, commands, board))
    }

    /// Where batches and syncs are counted.
    #[must_use]
    pub fn counted(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Hands webhooks to that courier; without one they wait. The channel needs no limit of its own, because the engine has
    /// never more deliveries under way than [`RetryPolicy::flying_max`](abide_engine::delivery::RetryPolicy::flying_max).
    #[must_use]
    pub fn with_courier(mut self, courier: mpsc::UnboundedSender<Send>) -> Self {
        self.courier = Some(courier);
        self
    }

    /// Runs until every [`Commands`] has been dropped; then writes a checkpoint and closes the journal.
    ///
    /// # Errors
    ///
    /// The journal failed in a way that trying again doesn't mend. Everything that was acknowledged is safe.
    pub async fn run(mut self) -> Result<(), DriverError> {
        let mut requests = Vec::new();
        loop {
            // The first pass gathers nothing: what was under way before a restart is due.
            let batch = self.decide(&mut requests);
            self.write_and_tell(batch).await?;
            self.step_clock();
            self.checkpoint_if_due().await;
            let Some(()) = self.gather(&mut requests).await else {
                break;
            };
        }
        self.close().await
    }

    /// Waits for commands or a deadline. `None` when there will be no more commands.
    async fn gather(&mut self, requests: &mut Vec<Request>) -> Option<()> {
        let due = self.engine.next_due();
        let advancing = self.may_advance();
        let clock = self.clock.clone();
        tokio::select! {
            received = self.requests.recv_many(requests, BATCH_COMMANDS_MAX) => {
                (received > 0).then_some(())
            }
            () = async { clock.sleep_until(due.unwrap_or(Timestamp::MAX)).await }, if due.is_some() => Some(()),
            () = std::future::ready(()), if advancing => Some(()),
        }
    }

    /// What is due and what is asked for, as entries, applied.
    fn decide(&mut self, requests: &mut Vec<Request>) -> Batch {
        let mut batch = Batch::default();
        let now = self.clock.now();
        self.engine
            .fire(now, BATCH_DUE_MAX, &mut batch.entries, &mut batch.effects);
        let is_behind = self.requests.len() >= BATCH_COMMANDS_MAX;
        let elapsed = self.clock.elapsed();
        for request in requests.drain(..) {
            match request {
                Request::Command(asked)
                    if is_behind && elapsed.saturating_sub(asked.since()) > SHED_AFTER =>
                {
                    batch.replies.push((asked, Some(Failure::Overloaded)));
                }
                Request::Command(mut asked) => {
                    asked.carry_out(&mut self.engine, now, &mut batch);
                    batch.replies.push((asked, None));
                }
                Request::Advance(by, reply) => {
                    let advancing = self.advancing.get_or_insert(Advancing {
                        target: now,
                        replies: Vec::new(),
                    });
                    advancing.target = advancing.target + by;
                    advancing.replies.push(reply);
                }
            }
        }
        // What has just been made may begin at once, and then its beginning is in the same append: an idle disk would
        // otherwise be busy with it when the next create comes.
        self.engine
            .fire(now, BATCH_DUE_MAX, &mut batch.entries, &mut batch.effects);
        if self.courier.is_some() {
            self.engine.dispatch(now, &mut batch.effects);
        }
        self.arrive(now, &mut batch);
        batch
    }

    /// Notes where the manual clock stands, where it has been advanced as far as was asked: a restart goes on from there.
    fn arrive(&mut self, now: Timestamp, batch: &mut Batch) {
        let is_there = self.may_advance()
            && self.advancing.as_ref().is_some_and(|advancing| {
                advancing.target <= now && self.engine.next_due().is_none_or(|due| due > now)
            });
        if let Some(advancing) = self.advancing.take_if(|_| is_there) {
            let entry = Entry::Clock { at: now };
            self.engine.apply(&entry, &mut batch.effects);
            batch.entries.push(entry);
            batch.arrived = advancing.replies;
        }
    }

    /// Makes the batch durable, then tells of it.
    async fn write_and_tell(&mut self, mut batch: Batch) -> Result<(), DriverError> {
        let bytes = Arc::new(encode(&batch.entries));
        let count = bytes.len() as u64;
        let last_seq = loop {
            match self.append(bytes.clone()).await? {
                Ok(last_seq) => {
                    self.failing.store(false, Ordering::Relaxed);
                    break last_seq;
                }
                Err(error) if error.is_retryable() => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        entries = count,
                        "the journal can't write; trying again"
                    );
                    self.failing.store(true, Ordering::Relaxed);
                    self.metrics.append_failed();
                    for (asked, _) in batch.replies.drain(..) {
                        asked.reply(Some(Failure::Storage));
                    }
                    self.refuse_for_a_while().await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.board
            .publish(&batch.effects, last_seq + 1 - count.min(last_seq));
        for (asked, failure) in batch.replies {
            asked.reply(failure);
        }
        for effect in batch.effects {
            if let (Effect::Webhook(Notice::Send(send)), Some(courier)) = (effect, &self.courier) {
                // A courier that has gone leaves it to the next start: the delivery is still due.
                let _gone = courier.send(*send);
            }
        }
        for reply in batch.arrived {
            let _gone = reply.send(self.clock.now());
        }
        Ok(())
    }

    async fn append(
        &mut self,
        bytes: Arc<Vec<Vec<u8>>>,
    ) -> Result<Result<u64, JournalError>, DriverError> {
        let mut journal = self
            .journal
            .take()
            .expect("the journal is back after every append");
        let (entries, begun) = (bytes.len(), self.clock.elapsed());
        let result = if bytes.is_empty() {
            Ok(journal.last_seq())
        } else if journal.is_blocking() {
            let (back, result) = tokio::task::spawn_blocking(move || {
                let result = journal.append(&bytes);
                (journal, result)
            })
            .await?;
            journal = back;
            result
        } else {
            journal.append(&bytes)
        };
        self.journal = Some(journal);
        if entries > 0 {
            self.metrics.appended(entries, self.clock.elapsed() - begun);
        }
        Ok(result)
    }

    /// Refuses whatever comes until it is time to try the journal again.
    async fn refuse_for_a_while(&mut self) {
        let clock = self.clock.clone();
        let mut pause = std::pin::pin!(clock.hold(APPEND_RETRY));
        loop {
            tokio::select! {
                () = &mut pause => return,
                request = self.requests.recv() => match request {
                    Some(Request::Command(asked)) => asked.reply(Some(Failure::Storage)),
                    Some(Request::Advance(..)) => {}
                    None => return pause.await,
                },
            }
        }
    }

    /// Whether a manual clock is being advanced and may go on. It stands still while receivers are being called, so that
    /// a schedule of days runs attempt by attempt.
    fn may_advance(&self) -> bool {
        self.advancing.is_some()
            && (self.courier.is_none() || self.engine.webhooks().in_flight() == 0)
    }

    /// Takes a manual clock one deadline further, where it is being advanced.
    fn step_clock(&mut self) {
        if self.may_advance()
            && let Some(advancing) = &self.advancing
        {
            let target = advancing.target;
            let next = self.engine.next_due().filter(|due| *due <= target);
            // Fails only where the clock runs by itself, and nobody can ask for that.
            let _runs = self.clock.advance_to(next.unwrap_or(target));
        }
    }

    /// Has a checkpoint written beside the appends, when so many entries have come since the last.
    async fn checkpoint_if_due(&mut self) {
        if self
            .checkpointing
            .as_ref()
            .is_some_and(JoinHandle::is_finished)
        {
            self.checkpoint_written().await;
        }
        let seq = self
            .journal
            .as_ref()
            .map_or(0, |journal| journal.last_seq());
        // A job that changes often under load is written once instead of many times, and the load has the disk for itself.
        let enough = if self.requests.is_empty() {
            CHECKPOINT_ENTRIES
        } else {
            CHECKPOINT_ENTRIES_MAX
        };
        if seq.saturating_sub(self.checkpointed) >= enough {
            self.start_checkpoint(seq);
        }
    }

    fn start_checkpoint(&mut self, seq: u64) {
        let Some(mut checkpoints) = self.checkpoints.take() else {
            return;
        };
        let mut parts = self.engine.take_dirty();
        // So late it must not fall behind for ever.
        let is_urgent = seq.saturating_sub(self.checkpointed) >= CHECKPOINT_ENTRIES_MAX;
        let write = move || {
            // In order, because neighbors in the file are then written together.
            parts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let mut write = || {
                let mut changes = parts
                    .iter()
                    .map(|(key, part)| (key.to_string(), part.as_ref().map(Part::encode)));
                checkpoints.write(seq, &mut changes)
            };
            let result = if is_urgent { write() } else { aside(write) };
            Checkpointed {
                checkpoints,
                seq,
                changed: parts.into_iter().map(|(key, _)| key).collect(),
                result,
            }
        };
        self.checkpointing = Some(tokio::task::spawn_blocking(write));
    }

    async fn checkpoint_written(&mut self) {
        let Some(task) = self.checkpointing.take() else {
            return;
        };
        match task.await {
            Ok(done) => {
                self.checkpoints = Some(done.checkpoints);
                match done.result {
                    Ok(()) => self.checkpointed = done.seq,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a checkpoint could not be written; the entries are kept"
                        );
                        self.engine.mark_dirty(done.changed);
                        // Not at once again: the next try comes after as many entries more.
                        self.checkpointed = done.seq;
                    }
                }
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "writing a checkpoint panicked; there will be no more of them until a restart"
            ),
        }
    }

    /// Writes what a restart would have to replay, and lets go of the journal.
    async fn close(mut self) -> Result<(), DriverError> {
        self.checkpoint_written().await;
        let seq = self
            .journal
            .as_ref()
            .map_or(0, |journal| journal.last_seq());
        if seq > self.checkpointed {
            self.start_checkpoint(seq);
            self.checkpoint_written().await;
        }
        drop(self.checkpoints.take());
        if let Some(journal) = self.journal.take() {
            tokio::task::spawn_blocking(move || journal.close()).await??;
        }
        Ok(())
    }
}

/// Does that on a thread that gives way to all others: on a busy core what is due is not late because of it.
fn aside<T: marker::Send>(mut work: impl FnMut() -> T + marker::Send) -> T {
    let done = thread::scope(|scope| {
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            give_way();
            work()
        });
        let done = thread.ok()?.join();
        Some(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    // Where there is no room for one more thread it is done here.
    done.unwrap_or_else(work)
}

/// Lets this thread have a tenth of what another gets. Elsewhere than on Linux it would be the whole process that gives way.
fn give_way() {
    #[cfg(target_os = "linux")]
    // Where the system refuses it, it is as it was.
    let _refused = rustix::process::nice(10);
}

fn load(engine: &mut Engine, journal: &mut dyn Journal) -> Result<u64, JournalError> {
    let checkpointed = journal.load(&mut |name, bytes| {
        engine
            .restore(name, bytes)
            .map_err(|error| unreadable(format!("the part {name}"), &error))
    })?;
    engine.restored();
    let mut effects = Vec::new();
    journal.replay(checkpointed, &mut |seq, bytes| {
        let entry =
            Entry::decode(bytes).map_err(|error| unreadable(format!("entry {seq}"), &error))?;
        engine.apply(&entry, &mut effects);
        effects.clear();
        Ok(())
    })?;
    Ok(checkpointed)
}

fn unreadable(what: String, error: &dyn std::error::Error) -> JournalError {
    let detail = error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    JournalError::Unreadable { what, detail }
}

fn encode(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().map(Entry::encode).collect()
}
