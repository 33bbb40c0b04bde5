//! The board: what readers see, and where they wait.
//!
//! Reads never enter the loop. The loop publishes each job on the board once its change is durable, and everybody who
//! reads looks here.
//!
//! Wake-ups are hints, the state is the truth. A waiter is registered first, then looks, then sleeps; a change is put on the
//! board first, then the waiters are rung. Whatever order the two take, the waiter either sees the change when it looks or is
//! rung after it. A ring is remembered by the waiter until it sleeps ([`Notify::notify_one`]), so none is lost in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher as _;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use slab::Slab;
use tokio::sync::{Notify, watch};

use abide_engine::engine::REMOVED_MAX;
use abide_engine::job::ByKey;
use abide_engine::model::Defaults;
use abide_engine::{Cohort, Curve, Effect, Engine, Job, JobKey, Luck, Owner};
use abide_wire::{Remaining, Timestamp, Until};

use crate::webhook_board::WebhookBoard;
use abide_engine::hash::{FastHash, FastMap, FastSet};

/// Into how many parts the jobs are divided, each with a lock of its own.
const SHARDS: usize = 64;
/// The most jobs in each part whose JSON is kept.
const TEXTS_MAX: usize = 128;
/// Larger JSON is made again for each read, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// The most changes that the feed of all jobs remembers.
pub const FEED_CHANGES_MAX: usize = 65_536;

/// What readers see. Shared by reference.
#[derive(Debug)]
pub struct Board {
    hash: FastHash,
    shards: Box<[RwLock<Shard>]>,
    /// All names by owner, for lists in order of creation.
    index: RwLock<BTreeMap<Owner, BTreeSet<JobKey>>>,
    jobs: AtomicUsize,
    removed: RwLock<(FastSet<JobKey>, VecDeque<JobKey>)>,
    kinds: RwLock<FastMap<Arc<str>, Kind>>,
    settings: RwLock<(Arc<Defaults>, Luck)>,
    webhooks: WebhookBoard,
    default_job: RwLock<Option<JobKey>>,
    /// Whether any job, or the defaults, have had a fault since the start. Most servers have none, and needn't look for them.
    plays_faults: AtomicBool,
    feed: Mutex<Feed>,
    /// The cursor of the newest change, for those who follow the feed.
    newest: watch::Sender<u64>,
}

/// A part of the jobs, and who waits for them.
#[derive(Debug, Default)]
struct Shard {
    jobs: FastSet<ByKey>,
    /// Who waits for which job: a list exists only while somebody does, so that the million jobs that nobody waits for pay
    /// nothing for it.
    waiters: FastMap<JobKey, Slab<Arc<Bell>>>,
    /// The JSON of jobs that somebody has read, as they are now; at most [`TEXTS_MAX`].
    texts: FastMap<JobKey, JobText>,
}

/// A job's JSON at one revision, without an estimate of what remains.
#[derive(Clone, Debug)]
pub struct JobText {
    /// Of which revision.
    pub revision: u64,
    /// The JSON.
    pub bytes: Bytes,
    /// Where in it the `null` is that stands for the estimate.
    pub remaining: Range<usize>,
}

impl JobText {
    /// That JSON of that revision.
    #[must_use]
    pub fn new(revision: u64, json: Vec<u8>) -> Self {
        // What clients sent comes before it, and after it there are only the links, which have the last brace that is opened.
        const LINKS: &[u8] = b",\"links\":";
        let links = memchr::memrchr(b'{', &json).unwrap_or_default();
        let end = links.saturating_sub(LINKS.len());
        debug_assert!(
            json[..end].ends_with(b"\"remaining_ms\":null"),
            "it isn't a job's"
        );
        Self {
            revision,
            bytes: json.into(),
            remaining: end.saturating_sub(4)..end,
        }
    }
}

/// What is known of how long jobs of a kind take.
#[derive(Debug, Default)]
struct Kind {
    cohort: Cohort,
    /// What the cohort said when somebody last asked and it said something new.
    curve: RwLock<Curve>,
}

/// The last changes of all jobs.
#[derive(Debug)]
struct Feed {
    changes: VecDeque<FeedChange>,
    /// Changes up to this cursor may be missing.
    forgotten: u64,
}

/// What a look found.
#[derive(Clone, Debug)]
pub enum Look {
    /// The job.
    Found(Arc<Job>),
    /// Its record has been removed.
    Gone,
    /// There is no such job.
    Unknown,
}

/// One change in the feed of all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// Its place in the feed: ascending, not dense, and never used again after a restart.
    pub cursor: u64,
    /// Whose job it is.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
    /// The revision that the change made.
    pub revision: u64,
}

/// By which channel somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A held request for one job.
    LongPoll,
    /// A held request for a set of jobs.
    Set,
    /// A stream of one job's events.
    Stream,
    /// A create that holds until its job has ended.
    Create,
}

impl Channel {
    /// Every channel, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::LongPoll, Self::Set, Self::Stream, Self::Create];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LongPoll => "long_poll",
            Self::Set => "set",
            Self::Stream => "stream",
            Self::Create => "create",
        }
    }
}

/// Who waits, as `GET /v1/jobs/{id}/watchers` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// By which channel.
    pub channel: Channel,
    /// Since when.
    pub since: Timestamp,
    /// From which address, where that is known.
    pub address: Option<std::net::IpAddr>,
}

/// A waiter's bell. It hangs at every job that the waiter waits for.
#[derive(Debug)]
struct Bell {
    ring: Notify,
    until: Until,
    watcher: Watcher,
}

/// Somebody who waits for one job or for several. Dropping it takes it off the board.
///
/// The order is what makes it safe: [`register`](Self::register), then [`Board::look`], and only where there is no news sleep until
/// it is [`rung`](Self::rung), then look again.
#[derive(Debug)]
pub struct Waiter {
    board: Arc<Board>,
    bell: Arc<Bell>,
    /// Where its bell hangs. Most wait for a single job, and then there is no list.
    place: Option<(JobKey, usize)>,
    more_places: Vec<(JobKey, usize)>,
}

impl Board {
    /// A board that shows what the engine holds, as of the entry with that number.
    #[must_use]
    pub fn new(engine: &Engine, last_seq: u64) -> Self {
        let mut board = Self {
            hash: FastHash::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: RwLock::default(),
            jobs: AtomicUsize::new(0),
            removed: RwLock::default(),
            kinds: RwLock::default(),
            settings: RwLock::new((engine.defaults().clone(), engine.luck())),
            webhooks: WebhookBoard::new(engine.webhooks()),
            default_job: RwLock::new(engine.default_job().map(|set| set.job)),
            plays_faults: AtomicBool::new(!engine.defaults().faults.is_empty()),
            feed: Mutex::new(Feed {
                changes: VecDeque::new(),
                forgotten: last_seq,
            }),
            newest: watch::Sender::new(last_seq),
        };
        board.put_all(engine);
        {
            let mut removed = write(&board.removed);
            for key in engine.removed() {
                removed.0.insert(key);
                removed.1.push_back(key);
            }
        }
        {
            let mut kinds = write(&board.kinds);
            for (kind, cohort) in engine.kinds() {
                kinds.entry(kind.clone()).or_default().cohort = cohort.as_ref().clone();
            }
        }
        board
    }

    /// Shows what has become durable, and rings whoever waits for it.
    ///
    /// `first_seq` is the number of the first entry of the batch; the feed's cursors are taken from the batch's numbers.
    pub fn publish(&self, effects: &[Effect], first_seq: u64) {
        ring(self.show(effects, first_seq));
    }

    /// Shows the effects, and gives the bells that must be rung after that.
    fn show(&self, effects: &[Effect], first_seq: u64) -> Vec<Arc<Bell>> {
        let mut cursor = first_seq;
        let mut changes = Vec::new();
        let mut rung = Vec::new();
        for effect in effects {
            match effect {
                Effect::Changed(job) => {
                    self.change(job, &mut rung);
                    changes.push(FeedChange {
                        cursor,
                        owner: job.owner,
                        job: job.key,
                        revision: job.revision,
                    });
                    cursor += 1;
                }
                Effect::Removed(key) => self.take_off(*key, &mut rung),
                Effect::Learned(kind, step) => {
                    let mut kinds = write(&self.kinds);
                    kinds.entry(kind.clone()).or_default().cohort.note(*step);
                }
                Effect::Settings(defaults, luck) => {
                    if !defaults.faults.is_empty() {
                        self.plays_faults.store(true, Ordering::Relaxed);
                    }
                    *write(&self.settings) = (defaults.clone(), *luck);
                }
                Effect::Webhook(notice) => self.webhooks.publish(notice),
                Effect::DefaultJob(key) => *write(&self.default_job) = Some(*key),
            }
        }
        self.feed(changes);
        rung
    }

    fn feed(&self, changes: Vec<FeedChange>) {
        let Some(last) = changes.last().map(|change| change.cursor) else {
            return;
        };
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        feed.changes.extend(changes);
        let surplus = feed.changes.len().saturating_sub(FEED_CHANGES_MAX);
        let newest_forgotten = feed.changes.drain(..surplus).next_back();
        if let Some(change) = newest_forgotten {
            feed.forgotten = change.cursor;
        }
        drop(feed);
        self.newest.send_replace(last);
    }

    /// Puts up all jobs of a start. There may be a million: the tables are made as large as they will be, and the names are sorted
    /// once instead of being searched a place for.
    fn put_all(&mut self, engine: &Engine) {
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            // A little more than its share, because shares are drawn.
            shard.jobs.reserve(engine.len() / SHARDS * 17 / 16);
        }
        let mut names = Vec::with_capacity(engine.len());
        for job in engine.jobs() {
            self.note_faults(job);
            names.push((job.owner, job.key));
            let at = self.shard_of(job.key);
            let shard = self.shards[at].get_mut();
            let shard = shard.unwrap_or_else(PoisonError::into_inner);
            shard.jobs.insert(ByKey(job.clone()));
        }
        *self.jobs.get_mut() = names.len();
        names.sort_unstable();
        let index = self.index.get_mut();
        let index = index.unwrap_or_else(PoisonError::into_inner);
        for own in names.chunk_by(|(a, _), (b, _)| a == b) {
            let keys = own.iter().map(|(_, key)| *key).collect();
            index.insert(own[0].0, keys);
        }
    }

    fn note_faults(&self, job: &Job) {
        if job
            .plan
            .as_ref()
            .is_some_and(|plan| !plan.faults.is_empty())
        {
            self.plays_faults.store(true, Ordering::Relaxed);
        }
    }

    fn put(&self, job: Arc<Job>) {
        self.note_faults(&job);
        write(&self.index)
            .entry(job.owner)
            .or_default()
            .insert(job.key);
        self.jobs.fetch_add(1, Ordering::Relaxed);
        write(self.shard(job.key)).jobs.insert(ByKey(job));
    }

    fn change(&self, job: &Arc<Job>, rung: &mut Vec<Arc<Bell>>) {
        let mut shard = write(self.shard(job.key));
        if !shard.jobs.contains(&job.key) {
            drop(shard);
            self.put(job.clone());
            return;
        }
        shard.jobs.replace(ByKey(job.clone()));
        if !shard.texts.is_empty() {
            shard.texts.remove(&job.key);
        }
        if shard.waiters.is_empty() {
            return;
        }
        if job.is_done() {
            // Nothing will happen to this job any more: whoever waits is rung for the last time.
            if let Some(mut waiters) = shard.waiters.remove(&job.key) {
                rung.extend(waiters.drain());
            }
        } else if let Some(waiters) = shard.waiters.get(&job.key) {
            let any = waiters.iter().filter(|(_, bell)| bell.until == Until::Any);
            rung.extend(any.map(|(_, bell)| bell.clone()));
        }
    }

    fn take_off(&self, key: JobKey, rung: &mut Vec<Arc<Bell>>) {
        let (job, waiters) = {
            let mut shard = write(self.shard(key));
            let Some(ByKey(job)) = shard.jobs.take(&key) else {
                return;
            };
            shard.texts.remove(&key);
            (job, shard.waiters.remove(&key))
        };
        if let Some(mut waiters) = waiters {
            rung.extend(waiters.drain());
        }
        self.jobs.fetch_sub(1, Ordering::Relaxed);
        {
            let mut index = write(&self.index);
            if let Some(own) = index.get_mut(&job.owner) {
                own.remove(&key);
                if own.is_empty() {
                    index.remove(&job.owner);
                }
            }
        }
        let mut removed = write(&self.removed);
        let (set, order) = &mut *removed;
        if set.insert(key) {
            order.push_back(key);
        }
        if order.len() > REMOVED_MAX
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
    }

    /// The job of that name, whoever asks.
    #[must_use]
    pub fn look(&self, key: JobKey) -> Look {
        if let Some(ByKey(job)) = read(self.shard(key)).jobs.get(&key) {
            return Look::Found(job.clone());
        }
        if read(&self.removed).0.contains(&key) {
            Look::Gone
        } else {
            Look::Unknown
        }
    }

    /// The job of that name, if it is that owner's; somebody else's job is unknown.
    #[must_use]
    pub fn look_as(&self, owner: Owner, key: JobKey) -> Look {
        match self.look(key) {
            Look::Found(job) if job.owner != owner => Look::Unknown,
            look => look,
        }
    }

    /// The JSON of that job, made by `make` where nobody has read this revision of it before, or not lately.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub fn text<E>(
        &self,
        job: &Job,
        make: impl FnOnce(&Job) -> Result<JobText, E>,
    ) -> Result<JobText, E> {
        if let Some(text) = read(self.shard(job.key)).texts.get(&job.key)
            && text.revision == job.revision
        {
            return Ok(text.clone());
        }
        let text = make(job)?;
        if text.bytes.len() <= TEXT_BYTES_MAX {
            let mut shard = write(self.shard(job.key));
            // It may have changed meanwhile, and what is old must not stay.
            let is_current = |ByKey(now): &ByKey| now.revision == job.revision;
            if shard.jobs.get(&job.key).is_some_and(is_current) {
                if shard.texts.len() >= TEXTS_MAX
                    && let Some(other) = shard.texts.keys().next().copied()
                {
                    shard.texts.remove(&other);
                }
                shard.texts.insert(job.key, text.clone());
            }
        }
        Ok(text)
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.load(Ordering::Relaxed)
    }

    /// Whether there is no job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of that owner's jobs before `before` and from `from` on, the newest first, at most `limit`.
    #[must_use]
    pub fn names(
        &self,
        owner: Owner,
        from: Bound<JobKey>,
        before: Bound<JobKey>,
        limit: usize,
    ) -> Vec<JobKey> {
        if let (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) =
            (from, before)
            && a >= b
        {
            // A range that ends before it begins would panic; one of a single name is asked for by that name.
            return Vec::new();
        }
        let index = read(&self.index);
        let Some(own) = index.get(&owner) else {
            return Vec::new();
        };
        own.range((from, before))
            .rev()
            .copied()
            .take(limit)
            .collect()
    }

    /// How long the job will still take, by what is known of its kind.
    #[must_use]
    pub fn remaining(&self, job: &Job, now: Timestamp) -> Option<Remaining> {
        if job.is_done() {
            return None;
        }
        let elapsed = now.since(job.created_at).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let kinds = read(&self.kinds);
        let kind = kinds.get(&job.kind)?;
        {
            let curve = read(&kind.curve);
            if kind.cohort.is_current(&curve, now) {
                return curve.remaining(elapsed);
            }
        }
        let curve = kind.cohort.curve(now);
        let remaining = curve.remaining(elapsed);
        *write(&kind.curve) = curve;
        remaining
    }

    /// The simulator's defaults and its luck.
    #[must_use]
    pub fn settings(&self) -> (Arc<Defaults>, Luck) {
        read(&self.settings).clone()
    }

    /// Endpoints and deliveries.
    #[must_use]
    pub const fn webhooks(&self) -> &WebhookBoard {
        &self.webhooks
    }

    /// The job of the routes that name none, as it was set last; its record may have been removed.
    #[must_use]
    pub fn default_job(&self) -> Option<JobKey> {
        *read(&self.default_job)
    }

    /// Whether there may be a fault to play: `false` says that there is none.
    #[must_use]
    pub fn plays_faults(&self) -> bool {
        self.plays_faults.load(Ordering::Relaxed)
    }

    /// Somebody who will wait for `until` at the jobs where it registers.
    #[must_use]
    pub fn waiter(self: &Arc<Self>, until: Until, watcher: Watcher) -> Waiter {
        Waiter {
            board: self.clone(),
            bell: Arc::new(Bell {
                ring: Notify::new(),
                until,
                watcher,
            }),
            place: None,
            more_places: Vec::new(),
        }
    }

    /// Rings everybody who waits, to look whether there is something else than a change.
    pub fn ring_all(&self) {
        for shard in &self.shards {
            let waiters: Vec<_> = {
                let shard = read(shard);
                let all = shard.waiters.values().flat_map(Slab::iter);
                all.map(|(_, bell)| bell.clone()).collect()
            };
            ring(waiters);
        }
    }

    /// Who waits for that job.
    #[must_use]
    pub fn watchers(&self, key: JobKey) -> Vec<Watcher> {
        let shard = read(self.shard(key));
        shard.waiters.get(&key).map_or_else(Vec::new, |waiters| {
            waiters
                .iter()
                .map(|(_, bell)| bell.watcher.clone())
                .collect()
        })
    }

    /// The changes after `cursor`, at most `limit`, the oldest first; `None` where some of them have been forgotten.
    ///
    /// The second value is the cursor of the newest change there is.
    #[must_use]
    pub fn feed_after(&self, cursor: u64, limit: usize) -> (Option<Vec<FeedChange>>, u64) {
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = *self.newest.borrow();
        if cursor < feed.forgotten {
            return (None, newest);
        }
        let from = feed
            .changes
            .partition_point(|change| change.cursor <= cursor);
        let after = feed.changes.range(from..).take(limit).copied();
        (Some(after.collect()), newest)
    }

    /// The cursor of the newest change, and a bell that rings when there is a newer one.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn shard(&self, key: JobKey) -> &RwLock<Shard> {
        &self.shards[self.shard_of(key)]
    }

    fn shard_of(&self, key: JobKey) -> usize {
        let hash = self.hash.hash_one(key);
        usize::try_from(hash % SHARDS as u64).unwrap_or(0)
    }
}

impl Waiter {
    /// Begins to wait for that job. Nothing happens where there is no such job or it has ended: look after this, and only
    /// then sleep.
    pub fn register(&mut self, key: JobKey) {
        let mut shard = write(self.board.shard(key));
        if shard.jobs.get(&key).is_none_or(|ByKey(job)| job.is_done()) {
            return;
        }
        let waiters = shard.waiters.entry(key).or_default();
        let place = (key, waiters.insert(self.bell.clone()));
        if self.place.is_none() {
            self.place = Some(place);
        } else {
            self.more_places.push(place);
        }
    }

    /// Sleeps until one of the jobs has changed since this was last awaited, or since it was registered.
    ///
    /// # Cancel safety
    ///
    /// A ring that nobody awaited is kept for the next time.
    pub async fn rung(&self) {
        self.bell.ring.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for (key, place) in self
            .place
            .take()
            .into_iter()
            .chain(self.more_places.drain(..))
        {
            let mut shard = write(self.board.shard(key));
            let Some(waiters) = shard.waiters.get_mut(&key) else {
                continue;
            };
            // After a job's end its list is gone, and a place may have been given to somebody else.
            if waiters
                .get(place)
                .is_some_and(|bell| Arc::ptr_eq(bell, &self.bell))
            {
                waiters.remove(place);
            }
            if waiters.is_empty() {
                shard.waiters.remove(&key);
            }
        }
    }
}

fn ring(bells: Vec<Arc<Bell>>) {
    for bell in bells {
        bell.ring.notify_one();
    }
}

// A panic while a lock was held leaves a board that is as whole as the last insert: each holds one whole value.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use abide_engine::{Cancel, Command, Create, Entry, Policy};
    use abide_wire::NewJob;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn watcher() -> Watcher {
        Watcher {
            channel: Channel::LongPoll,
            since: START,
            address: None,
        }
    }

    /// An engine with a job that somebody else works on, and what told of it.
    fn engine_with_job(engine: &mut Engine) -> (JobKey, Vec<Effect>) {
        let command = Create {
            owner: Owner::ANYONE,
            new: NewJob {
                worker: Some(abide_wire::Worker::External),
                ..NewJob::default()
            },
            idempotency_key: None,
        };
        let effects = apply(engine, &command);
        let Some(Effect::Changed(job)) = effects.first() else {
            panic!("a create tells of a job");
        };
        (job.key, effects)
    }

    fn apply(engine: &mut Engine, command: &impl Command) -> Vec<Effect> {
        let (mut entries, mut effects) = (Vec::<Entry>::new(), Vec::new());
        let carried_out = engine.carry_out(command, START, &mut entries, &mut effects);
        assert!(carried_out.is_ok());
        effects
    }

    fn cancel(job: JobKey) -> Cancel {
        Cancel {
            owner: Owner::ANYONE,
            job,
        }
    }

    /// Register, look, sleep, against show, ring: in every order that the two can take, the waiter learns of the end.
    #[test]
    fn no_order_of_waiting_and_telling_loses_a_wake_up() {
        const STEPS: u32 = 12;
        let mut orders = HashSet::new();
        for choices in 0..1_u32 << STEPS {
            let mut engine = Engine::new(Policy::default());
            let (key, created) = engine_with_job(&mut engine);
            let board = Arc::new(Board::new(&Engine::new(Policy::default()), 0));
            board.publish(&created, 1);
            let ended = apply(&mut engine, &cancel(key));

            let mut cx = Context::from_waker(Waker::noop());
            let mut waiter = board.waiter(Until::Done, watcher());
            let (mut told, mut bells) = (0, Vec::new());
            let (mut registered, mut looked, mut done) = (false, false, false);
            let mut order = String::new();
            // After the choices the teller finishes, and then the waiter goes on alone until it sleeps for good.
            for step in 0..STEPS + 8 {
                if told < 2 && (step >= STEPS || choices >> step & 1 == 1) {
                    match told {
                        0 => bells = board.show(&ended, 2),
                        _ => ring(std::mem::take(&mut bells)),
                    }
                    told += 1;
                    order.push_str("tell ");
                } else if done {
                    break;
                } else if !registered {
                    waiter.register(key);
                    registered = true;
                    order.push_str("register ");
                } else if !looked {
                    done = matches!(board.look(key), Look::Found(job) if job.is_done());
                    looked = true;
                    order.push_str("look ");
                } else if pin!(waiter.rung()).poll(&mut cx).is_ready() {
                    // Whoever sleeps looks again only when it is rung.
                    looked = false;
                    order.push_str("wake ");
                }
            }
            assert!(done, "the wake-up was lost in the order {order}");
            orders.insert(order);
        }
        assert!(orders.len() >= 8, "only {} orders were tried", orders.len());
    }

    /// Waiters register while their jobs end, on as many threads as there are: everybody wakes.
    #[test]
    fn a_million_races_of_waiting_and_ending_lose_no_wake_up() {
        const ROUNDS: usize = 500;
        const JOBS: usize = 1_000;
        const WAITERS: usize = 2;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let board = Arc::new(Board::new(&Engine::new(Policy::default()), 0));
            let mut engine = Engine::new(Policy::default());
            let (keys, creations): (Vec<_>, Vec<_>) =
                (0..JOBS).map(|_| engine_with_job(&mut engine)).unzip();
            let ends: Arc<[_]> = keys
                .iter()
                .map(|key| apply(&mut engine, &cancel(*key)))
                .collect();
            for _ in 0..ROUNDS {
                for created in &creations {
                    board.publish(created, 1);
                }
                let mut waits = tokio::task::JoinSet::new();
                for _ in 0..WAITERS {
                    let (board, keys) = (board.clone(), keys.clone());
                    waits.spawn(async move {
                        for key in keys {
                            let mut waiter = board.waiter(Until::Done, watcher());
                            waiter.register(key);
                            while !matches!(board.look(key), Look::Found(job) if job.is_done()) {
                                waiter.rung().await;
                            }
                        }
                    });
                }
                let telling = tokio::task::spawn_blocking({
                    let (board, ends) = (board.clone(), ends.clone());
                    move || ends.iter().for_each(|end| board.publish(end, 2))
                });
                let all = async {
                    while let Some(wait) = waits.join_next().await {
                        wait.unwrap();
                    }
                    telling.await.unwrap();
                };
                tokio::time::timeout(std::time::Duration::from_secs(30), all)
                    .await
                    .expect("a wake-up was lost: somebody still waits");
                let removed: Vec<_> = keys.iter().map(|key| Effect::Removed(*key)).collect();
                board.publish(&removed, 3);
            }
        });
    }

    #[test]
    fn a_waiter_that_goes_leaves_nothing_behind() {
        let mut engine = Engine::new(Policy::default());
        let (key, created) = engine_with_job(&mut engine);
        let board = Arc::new(Board::new(&Engine::new(Policy::default()), 0));
        board.publish(&created, 1);
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let mut waiter = board.waiter(Until::Any, watcher());
                waiter.register(key);
                waiter
            })
            .collect();
        assert_eq!(board.watchers(key).len(), 10);
        drop(waiters);
        assert!(board.watchers(key).is_empty());
        assert!(read(board.shard(key)).waiters.is_empty());
    }

    #[test]
    fn the_feed_says_where_it_has_forgotten_something() {
        let mut engine = Engine::new(Policy::default());
        let board = Board::new(&Engine::new(Policy::default()), 100);
        assert_eq!(board.feed_after(99, 10), (None, 100));
        assert_eq!(board.feed_after(100, 10), (Some(Vec::new()), 100));
        let (_, created) = engine_with_job(&mut engine);
        board.publish(&created, 105);
        let (changes, newest) = board.feed_after(100, 10);
        assert_eq!(newest, 105);
        assert_eq!(changes.unwrap()[0].cursor, 105);
        assert_eq!(board.feed_after(105, 10).0, Some(Vec::new()));
    }
}
