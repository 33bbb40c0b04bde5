//! The loop.

use std::marker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;

use abide_engine::delivery::{Notice, Send};
use abide_engine::{Effect, Engine, Entry, Policy};
use abide_wire::Timestamp;

use super::checkpoint::Checkpointer;
use super::commands::{Asked, COMMANDS_MAX, Commands, Failure, Request};
use super::restore::{Loaded, load, resume};
use crate::board::Board;
use crate::clock::Clock;
use crate::journal::{Journal, JournalError, may_block};
use crate::metrics::Metrics;

/// The most commands in one batch.
const BATCH_COMMANDS_MAX: usize = 1_024;
/// How long a command waits for the loop at most, about: as many may be under way as the loop does meanwhile. With the
/// pause that a request may make before it finds a place, it is answered within half a second.
const WAIT_MAX: Duration = Duration::from_millis(150);
/// Fewer places than this the loop never leaves, however slow it is.
const PLACES_MIN: usize = BATCH_COMMANDS_MAX;
/// The most entries that deadlines add to one batch, and about as many effects.
pub(super) const BATCH_DUE_MAX: usize = 1_024;
/// Effects after which a batch takes no further command: one that changes much would otherwise keep those behind it
/// waiting for all that come with it.
const BATCH_EFFECTS_MAX: usize = 4_096;
/// A loop that has waited so long for something to do is idle. One under load waits for the next commands for a moment
/// after nearly every pass: its clients have just been answered.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Few entries are longer, in bytes.
const ENTRY_BYTES: usize = 1_024;
/// How long to wait before a failed append is tried again.
const APPEND_RETRY: Duration = Duration::from_millis(250);

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
    pub(super) engine: Engine,
    /// Away while an append is under way.
    pub(super) journal: Option<Box<dyn Journal>>,
    pub(super) checkpointer: Checkpointer,
    pub(super) clock: Clock,
    pub(super) board: Arc<Board>,
    pub(super) requests: mpsc::Receiver<Request>,
    advancing: Option<Advancing>,
    failing: Arc<AtomicBool>,
    pace: Pace,
    /// How long the loop has waited for what the next pass does.
    waited: Duration,
    /// Whether workers could not report for a while, so that their leases count anew.
    pub(super) resumes: bool,
    metrics: Arc<Metrics>,
    /// Takes webhooks to their receivers.
    courier: Option<mpsc::UnboundedSender<Send>>,
}

/// A caller that waits until the board shows all that the log may have.
type CaughtUp = oneshot::Sender<Result<(), Failure>>;

/// How quickly the loop carries commands out.
#[derive(Debug)]
struct Pace {
    /// How many requests that change something there may be; see [`Commands::places`].
    places: Arc<AtomicUsize>,
    /// When the last pass began, and how many requests it took.
    last: (Duration, usize),
}

/// How far the manual clock is to be advanced, and the callers that wait for it.
#[derive(Debug)]
struct Advancing {
    target: Timestamp,
    replies: Vec<oneshot::Sender<Result<Timestamp, Failure>>>,
}

/// What one pass has gathered.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) effects: Vec<Effect>,
    /// Commands, each with what came of it.
    replies: Vec<Box<dyn Asked>>,
    /// The callers that waited for the clock to be where it is now.
    arrived: Vec<oneshot::Sender<Result<Timestamp, Failure>>>,
    /// The callers that wait for the board to show what had been acknowledged.
    caught_up: Vec<CaughtUp>,
}

impl Driver {
    /// Reads the journal and has everything ready: what was due while the server was down has happened when this
    /// returns. If the journal can be read and not be written at the moment, it happens once it can be.
    ///
    /// The clock shows at least the latest instant of the journal from now on. `policy` is in force if the journal has
    /// none, and `fresh_seed` is the seed. Blocks on the journal; call it through `spawn_blocking` if that waits for a
    /// disk.
    ///
    /// # Errors
    ///
    /// The journal can't be read, or is of a newer version.
    pub fn open(
        mut journal: Box<dyn Journal>,
        clock: Clock,
        policy: Policy,
        fresh_seed: u64,
    ) -> Result<(Self, Commands, Arc<Board>), DriverError> {
        let mut loaded = load(journal.as_mut(), policy.clone())?;
        let behind = clock.raise_to(loaded.engine.latest());
        if !behind.is_zero() && !clock.is_manual() {
            tracing::warn!(
                behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX),
                "the system's clock is behind the latest entry of the log; time goes on from that entry"
            );
        }
        let mut resumes = false;
        match loaded.catch_up(journal.as_mut(), &clock, fresh_seed) {
            Ok(()) => {}
            // Nothing is told before it is durable, so the state is to be what the journal has.
            Err(error) if error.is_retryable() => {
                loaded = load(journal.as_mut(), policy)?;
                resumes = true;
            }
            Err(error) => return Err(error.into()),
        }
        let (mut driver, commands, board) = Self::of(journal, clock, loaded);
        driver.resumes = resumes;
        Ok((driver, commands, board))
    }

    /// The loop on that journal, with what was loaded of it.
    pub(super) fn of(
        journal: Box<dyn Journal>,
        clock: Clock,
        loaded: Loaded,
    ) -> (Self, Commands, Arc<Board>) {
        let Loaded {
            engine,
            feed,
            checkpointed,
        } = loaded;
        let board = Arc::new(Board::new(&engine, feed));
        let failing = Arc::default();
        let (commands, requests) = Commands::open(Arc::clone(&failing), clock.clone());
        let driver = Self {
            engine,
            checkpointer: Checkpointer::new(journal.as_ref(), checkpointed),
            journal: Some(journal),
            clock,
            board: board.clone(),
            requests,
            advancing: None,
            failing,
            pace: Pace {
                places: commands.places(),
                last: (Duration::ZERO, 0),
            },
            waited: Duration::ZERO,
            resumes: false,
            metrics: Arc::default(),
            courier: None,
        };
        (driver, commands, board)
    }

    /// Where batches and syncs are counted.
    #[must_use]
    pub fn counted(mut self, metrics: Arc<Metrics>) -> Self {
        if let Some(journal) = &self.journal {
            metrics.measure(journal.files());
        }
        self.metrics = metrics;
        self
    }

    /// Hands webhooks to that courier; without one they wait. The channel needs no limit of its own, because the engine
    /// has never more deliveries under way than
    /// [`RetryPolicy::flying_max`](abide_engine::delivery::RetryPolicy::flying_max).
    pub fn set_courier(&mut self, courier: mpsc::UnboundedSender<Send>) {
        self.courier = Some(courier);
    }

    /// Runs until every [`Commands`] has been dropped; then writes a checkpoint and closes the journal.
    ///
    /// # Errors
    ///
    /// The journal failed in a way that trying again doesn't mend, or it can't be written and no command can come any
    /// more. Everything that was acknowledged is safe.
    pub async fn run(mut self) -> Result<(), DriverError> {
        let clock = self.clock.clone();
        let mut requests = Vec::new();
        tokio::select! {
            ended = self.work(&mut requests) => ended?,
            () = clock.follow() => {}
        }
        // A clock that is ahead goes on from here at the next start.
        let at = clock.now();
        if clock.is_ahead() && at > self.engine.latest() {
            let entry = Entry::Clock { at };
            if self.append(Arc::new(vec![entry.encode()])).await?.is_ok() {
                self.engine.apply(&entry, &mut Vec::new());
            }
        }
        self.checkpoint().await;
        self.close().await
    }

    /// The passes of the loop, until there will be no more commands. The first one takes `requests`, and what was
    /// under way before a restart, which is due.
    async fn work(&mut self, requests: &mut Vec<Request>) -> Result<(), DriverError> {
        loop {
            self.pass(requests).await?;
            // What a full batch left waits no longer.
            if requests.is_empty() && self.gather(requests).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Decides, writes and tells one batch.
    pub(super) async fn pass(&mut self, requests: &mut Vec<Request>) -> Result<(), DriverError> {
        let is_idle = std::mem::take(&mut self.waited) >= IDLE_WAIT;
        let batch = self.decide(requests);
        self.write_and_tell(batch, requests).await?;
        self.step_clock();
        let seq = self.last_seq();
        let due = self
            .checkpointer
            .write_if_due(&mut self.engine, seq, is_idle);
        due.await;
        Ok(())
    }

    pub(super) fn last_seq(&self) -> u64 {
        let journal = self.journal.as_ref();
        journal.map_or(0, |journal| journal.last_seq())
    }

    /// Waits for commands or a deadline. `None` when there will be no more commands.
    pub(super) async fn gather(&mut self, requests: &mut Vec<Request>) -> Option<()> {
        let due = self.engine.next_due();
        let advancing = self.may_advance();
        let clock = self.clock.clone();
        let begun = clock.elapsed();
        // A pass does what is due before it takes commands. In a pass for that alone, commands that wait would wait for
        // another sync.
        let gathered = tokio::select! {
            biased;
            received = self.requests.recv_many(requests, BATCH_COMMANDS_MAX) => {
                (received > 0).then_some(())
            }
            () = async { clock.sleep_until(due.unwrap_or(Timestamp::MAX)).await }, if due.is_some() => Some(()),
            () = std::future::ready(()), if advancing => Some(()),
            () = tokio::task::yield_now(), if self.checkpointer.is_gathering() => Some(()),
        };
        self.waited = clock.elapsed() - begun;
        gathered
    }

    /// What is due and what is asked for, as entries, applied.
    fn decide(&mut self, requests: &mut Vec<Request>) -> Batch {
        let mut batch = Batch::default();
        let now = self.clock.now();
        if std::mem::take(&mut self.resumes) {
            resume(
                &mut self.engine,
                now,
                &mut batch.entries,
                &mut batch.effects,
            );
        }
        self.engine
            .fire(now, BATCH_DUE_MAX, &mut batch.entries, &mut batch.effects);
        let count = requests.len();
        let mut gathered = std::mem::take(requests).into_iter();
        while batch.effects.len() < BATCH_EFFECTS_MAX
            && let Some(request) = gathered.next()
        {
            match request {
                Request::Command(mut asked) => {
                    asked.carry_out(&mut self.engine, now, &mut batch);
                    batch.replies.push(asked);
                }
                Request::Advance(by, reply) => {
                    let advancing = self.advancing.get_or_insert(Advancing {
                        target: now,
                        replies: Vec::new(),
                    });
                    advancing.target = advancing.target + by;
                    advancing.replies.push(reply);
                }
                Request::CatchUp(reply) => batch.caught_up.push(reply),
            }
        }
        requests.extend(gathered);
        self.pace
            .began(self.clock.elapsed(), count - requests.len());
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

    /// Notes where the manual clock stands, where it has been advanced as far as was asked: a restart goes on from
    /// there.
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

    /// Makes the batch durable, then tells of it. If that fails, `requests` don't wait either: they are those that the
    /// batch had no room for.
    async fn write_and_tell(
        &mut self,
        mut batch: Batch,
        requests: &mut Vec<Request>,
    ) -> Result<(), DriverError> {
        let bytes = Arc::new(encode(&batch.entries));
        let count = bytes.len() as u64;
        loop {
            match self.append(bytes.clone()).await? {
                Ok(()) => {
                    self.failing.store(false, Ordering::Relaxed);
                    break;
                }
                Err(error) if error.is_retryable() => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        entries = count,
                        "the journal can't write; trying again"
                    );
                    self.failing.store(true, Ordering::Relaxed);
                    self.resumes = true;
                    self.metrics.append_failed(&error);
                    for asked in batch.replies.drain(..) {
                        asked.reply(Some(Failure::Storage));
                    }
                    for request in requests.drain(..) {
                        refuse(request, &mut batch.caught_up);
                    }
                    if !self.refuse_for_a_while(&mut batch.caught_up).await {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.board.publish(&batch.effects);
        self.board.show_stored_bytes(self.engine.stored().all());
        for asked in batch.replies {
            asked.reply(None);
        }
        for effect in batch.effects {
            if let (Effect::Webhook(Notice::Send(send)), Some(courier)) = (effect, &self.courier) {
                // A courier that has gone leaves it to the next start: the delivery is still due.
                let _gone = courier.send(*send);
            }
        }
        for reply in batch.arrived {
            let _gone = reply.send(Ok(self.clock.now()));
        }
        for reply in batch.caught_up {
            let _gone = reply.send(Ok(()));
        }
        Ok(())
    }

    async fn append(
        &mut self,
        bytes: Arc<Vec<Vec<u8>>>,
    ) -> Result<Result<(), JournalError>, DriverError> {
        if bytes.is_empty() {
            return Ok(Ok(()));
        }
        let (entries, begun) = (bytes.len(), self.clock.elapsed());
        let journal = self.journal.as_mut();
        let result = match journal.filter(|journal| journal.appends_here(&bytes)) {
            Some(journal) => journal.append_here(&bytes).await.map(|_| ()),
            None => {
                let append = move |journal: &mut dyn Journal| journal.append(&bytes).map(|_| ());
                self.on_journal(append).await?
            }
        };
        let latency = self.journal.as_ref().map(|journal| journal.latency());
        if let Some(latency) = latency.filter(|latency| !latency.is_zero()) {
            tokio::time::sleep(latency).await;
        }
        self.metrics.appended(entries, self.clock.elapsed() - begun);
        Ok(result)
    }

    /// Does that with the journal, on a thread that may wait if the journal does.
    pub(super) async fn on_journal<T: marker::Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Journal) -> T + marker::Send + 'static,
    ) -> Result<T, DriverError> {
        let mut journal = self
            .journal
            .take()
            .expect("the journal is back after every call");
        let (journal, done) = may_block(journal.is_blocking(), move || {
            let done = work(journal.as_mut());
            (journal, done)
        })
        .await?;
        self.journal = Some(journal);
        Ok(done)
    }

    /// Refuses whatever comes until it is time to try the journal again. `false` if there will be no more commands: a
    /// stop doesn't wait for a disk.
    async fn refuse_for_a_while(&mut self, caught_up: &mut Vec<CaughtUp>) -> bool {
        let clock = self.clock.clone();
        let mut pause = std::pin::pin!(clock.hold(APPEND_RETRY));
        loop {
            tokio::select! {
                () = &mut pause => return true,
                request = self.requests.recv() => match request {
                    Some(request) => refuse(request, caught_up),
                    None => return false,
                },
            }
        }
    }

    /// Whether a manual clock is being advanced and may go on. It stands still while receivers are being called, so
    /// that a schedule of days runs attempt by attempt.
    fn may_advance(&self) -> bool {
        self.advancing.is_some()
            && (self.courier.is_none() || self.engine.deliveries().in_flight() == 0)
    }

    /// Takes a manual clock one deadline further, where it is being advanced.
    fn step_clock(&mut self) {
        if self.may_advance()
            && let Some(advancing) = &self.advancing
        {
            let target = advancing.target;
            let next = self.engine.next_due().filter(|due| *due <= target);
            // Fails only if the clock runs by itself, and then the route refuses it.
            let _runs = self.clock.advance_to(next.unwrap_or(target));
        }
    }
}

impl Pace {
    /// A pass begins at `now` and takes that many commands; the time since the last pass is what its commands took.
    fn began(&mut self, now: Duration, count: usize) {
        let (then, taken) = std::mem::replace(&mut self.last, (now, count));
        let took = now.saturating_sub(then);
        adapt(&self.places, taken, took);
    }
}

/// Lets the places follow a loop that carried out that many commands in that time.
///
/// Many commands at once alone say what the loop can do. Places come and go by an eighth each time, so that one slow
/// sync changes little.
pub(crate) fn adapt(places: &AtomicUsize, carried_out: usize, took: Duration) {
    let took = took.as_secs_f64();
    if carried_out >= BATCH_COMMANDS_MAX / 2 && took > 0.0 {
        let now = places.load(Ordering::Relaxed);
        let wanted = (carried_out as f64 / took * WAIT_MAX.as_secs_f64()) as usize;
        let wanted = wanted.clamp(PLACES_MIN, COMMANDS_MAX);
        places.store((now * 7 + wanted).div_ceil(8), Ordering::Relaxed);
    }
}

/// Refuses what can't be written. What asks for all that is acknowledged waits on: what couldn't be told of may be in
/// the log, and others may show it.
fn refuse(request: Request, caught_up: &mut Vec<CaughtUp>) {
    match request {
        Request::Command(asked) => asked.reply(Some(Failure::Storage)),
        Request::Advance(_, reply) => {
            let _gone = reply.send(Err(Failure::Storage));
        }
        Request::CatchUp(reply) => caught_up.push(reply),
    }
}

/// Their stored forms, none longer than it must be: a batch of them lies in memory until it is written.
pub(super) fn encode(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    let encoded = entries.iter().map(|entry| {
        bytes.clear();
        entry.encode_to(&mut bytes);
        bytes.as_slice().to_vec()
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_pace_of_full_passes() {
        // How many requests each pass takes, how long that lasts in milliseconds, and the places in the end.
        let table = [
            (1_024, 10, 15_360),
            (1_024, 50, 3_072),
            (1_024, 100, 1_536),
            (1_024, 10_000, PLACES_MIN),
            (1_024, 1, COMMANDS_MAX),
            // Nothing is known of a loop that isn't busy.
            (10, 1_000, 8_192),
        ];
        for (count, millis, expected) in table {
            let places = Arc::new(AtomicUsize::new(8_192));
            let mut pace = Pace {
                places: places.clone(),
                last: (Duration::ZERO, 0),
            };
            for n in 1..100 {
                pace.began(Duration::from_millis(n * millis), count);
            }
            let places = places.load(Ordering::Relaxed);
            assert!(
                places.abs_diff(expected) <= 8,
                "{count} in {millis} ms: {places}"
            );
        }
    }
}
