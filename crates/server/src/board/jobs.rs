//! The jobs, and how the loop's effects are shown.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use abide_engine::hash::{FastMap, FastSet};
use abide_engine::jobs::{ByKey, REMOVED_MAX};
use abide_engine::sorted::SortedSet;
use abide_engine::{Defaults, Effect, Engine, Job, JobKey, Owner, Rng, Token};
use abide_wire::{Remaining, Timestamp, Until};
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::claims::{self, Claims};
use super::feed::{Feed, FeedChange, Place};
use super::kinds::Kinds;
use super::names::{Names, NamesOf};
use super::text::{JobText, JobTexts};
use super::waiters::{Bell, Waiter, Waiters, Watcher, ring};
use super::webhooks::WebhookBoard;
use crate::recent::Recent;
use crate::sharded::Sharded;

/// How many shards the jobs are divided into.
const SHARDS: usize = 64;
/// The most jobs per shard whose JSON is kept.
const TEXTS_MAX: usize = 128;

/// What readers see. Shared by reference.
#[derive(Debug)]
pub struct Board {
    pub(super) shards: Sharded<JobKey, Shard>,
    /// All keys by owner, for lists in order of creation.
    index: RwLock<BTreeMap<Owner, SortedSet<JobKey>>>,
    count: AtomicUsize,
    removed: RwLock<Recent<JobKey, Owner>>,
    kinds: Kinds,
    settings: RwLock<(Arc<Defaults>, Rng)>,
    webhooks: WebhookBoard,
    named: RwLock<BTreeMap<Arc<str>, JobKey>>,
    client_names: Names,
    /// How many jobs bring faults along, and whether the defaults have any. Most servers have none, and needn't look
    /// for them.
    faulty: AtomicUsize,
    has_faults: AtomicBool,
    /// What all records take, as the engine counts it.
    stored_bytes: AtomicUsize,
    pub(super) claims: Claims,
    feed: Feed,
}

/// A shard of the jobs, with all that changes together with a job.
#[derive(Debug, Default)]
pub(super) struct Shard {
    jobs: FastSet<ByKey>,
    pub(super) waiters: Waiters,
    /// The JSON of jobs that have been read, as they are now; at most [`TEXTS_MAX`].
    texts: FastMap<JobKey, JobTexts>,
}

/// What a look found.
#[derive(Clone, Debug)]
pub enum Look {
    /// The job.
    Found(Arc<Job>),
    /// Its record, which was that owner's, has been removed.
    Gone(Owner),
    /// There is no such job.
    Unknown,
}

impl Board {
    /// A board that shows what the engine holds, with that feed.
    #[must_use]
    pub fn new(engine: &Engine, feed: Feed) -> Self {
        let mut removed = Recent::new(REMOVED_MAX);
        for (key, owner) in engine.jobs().removed() {
            *removed.get_or_add(key).0 = owner;
        }
        let names = engine.jobs().names();
        let board = Self {
            shards: Sharded::new(SHARDS, Shard::default),
            index: RwLock::default(),
            count: AtomicUsize::new(engine.jobs().len()),
            removed: RwLock::new(removed),
            kinds: Kinds::new(engine),
            settings: RwLock::new((engine.jobs().defaults().clone(), engine.jobs().rng())),
            webhooks: WebhookBoard::new(engine.deliveries()),
            named: RwLock::new(names.map(|named| (named.name.clone(), named.job)).collect()),
            client_names: Names::default(),
            faulty: AtomicUsize::new(0),
            has_faults: AtomicBool::new(!engine.jobs().defaults().faults.is_empty()),
            stored_bytes: AtomicUsize::new(engine.stored().all()),
            claims: Claims::default(),
            feed,
        };
        board.put_all(engine);
        board
    }

    /// Shows what has become durable, then rings the waiters.
    pub fn publish(&self, effects: &[Effect]) {
        ring(self.show(effects));
    }

    /// Shows the effects, and gives the bells that must be rung after that.
    pub(super) fn show(&self, effects: &[Effect]) -> Vec<Arc<Bell>> {
        let mut rung = Vec::new();
        for effect in effects {
            match effect {
                Effect::Changed(job, _) => {
                    self.change(job, &mut rung);
                    if job.is_claimable() {
                        self.claims.pending(job);
                    }
                }
                Effect::Removed(key) => self.remove(*key, &mut rung),
                Effect::Learned(owner, kind, step) => self.kinds.note(*owner, kind, *step),
                Effect::Unlearned(owner, kind) => self.kinds.forget(*owner, kind),
                Effect::Settings(defaults, rng) => {
                    self.has_faults
                        .store(!defaults.faults.is_empty(), Ordering::Relaxed);
                    *self.settings.write() = (defaults.clone(), *rng);
                }
                Effect::Webhook(notice) => self.webhooks.publish(notice),
                Effect::Named(name, key) => {
                    self.named.write().insert(name.clone(), *key);
                }
                Effect::Reset(gone) => self.reset(gone, &mut rung),
            }
        }
        self.feed.add(effects.iter().filter_map(Effect::as_change));
        rung
    }

    /// Puts up all jobs of a start. There may be a million, so the tables get their final size at once, and the keys
    /// are sorted once instead of being inserted one by one.
    fn put_all(&self, engine: &Engine) {
        // A key belongs to a shard by chance, so some have up to a sixteenth more than the average.
        let jobs_per_shard = engine.jobs().len() / SHARDS * 17 / 16;
        for shard in self.shards.all() {
            shard.write().jobs.reserve(jobs_per_shard);
        }
        let mut keys = Vec::with_capacity(engine.jobs().len());
        for job in engine.jobs().iter() {
            self.note_faults(job);
            keys.push((job.owner, job.key));
            let mut shard = self.shards.write(&job.key);
            shard.jobs.insert(ByKey(job.clone()));
        }
        keys.sort_unstable();
        let mut index = self.index.write();
        for own in keys.chunk_by(|(a, _), (b, _)| a == b) {
            index.insert(own[0].0, own.iter().map(|(_, key)| *key).collect());
        }
    }

    fn note_faults(&self, job: &Job) {
        if !job.faults().is_empty() {
            self.faulty.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put(&self, job: Arc<Job>) {
        self.note_faults(&job);
        self.client_names.add(&job);
        let mut index = self.index.write();
        index.entry(job.owner).or_default().insert(job.key);
        drop(index);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.shards.write(&job.key).jobs.insert(ByKey(job));
    }

    fn change(&self, job: &Arc<Job>, rung: &mut Vec<Arc<Bell>>) {
        let mut shard = self.shards.write(&job.key);
        if !shard.jobs.contains(&job.key) {
            drop(shard);
            self.put(job.clone());
            return;
        }
        shard.jobs.replace(ByKey(job.clone()));
        if !shard.texts.is_empty() {
            shard.texts.remove(&job.key);
        }
        shard.waiters.changed(job.key, job.is_done(), rung);
    }

    fn remove(&self, key: JobKey, rung: &mut Vec<Arc<Bell>>) {
        let mut shard = self.shards.write(&key);
        let Some(ByKey(job)) = shard.jobs.take(&key) else {
            return;
        };
        shard.texts.remove(&key);
        shard.waiters.changed(key, true, rung);
        drop(shard);
        self.client_names.remove(&job);
        self.count.fetch_sub(1, Ordering::Relaxed);
        if !job.faults().is_empty() {
            self.faulty.fetch_sub(1, Ordering::Relaxed);
        }
        let mut index = self.index.write();
        if let Some(own) = index.get_mut(&job.owner) {
            own.remove(&key);
            if own.is_empty() {
                index.remove(&job.owner);
            }
        }
        drop(index);
        *self.removed.write().get_or_add(key).0 = job.owner;
    }

    /// Takes everything down, and rings all who wait. `gone` is what the engine had.
    fn reset(&self, gone: &Arc<dyn Any + Send + Sync>, rung: &mut Vec<Arc<Bell>>) {
        let mut shards = Vec::with_capacity(SHARDS);
        for shard in self.shards.all() {
            let shard = std::mem::take(&mut *shard.write());
            rung.extend(shard.waiters.all());
            shards.push(shard);
        }
        let index = std::mem::take(&mut *self.index.write());
        let removed = std::mem::replace(&mut *self.removed.write(), Recent::new(REMOVED_MAX));
        self.count.store(0, Ordering::Relaxed);
        self.named.write().clear();
        let client_names = self.client_names.clear();
        self.kinds.clear();
        let webhooks = self.webhooks.clear();
        self.faulty.store(0, Ordering::Relaxed);
        self.has_faults.store(false, Ordering::Relaxed);
        // The engine's last, because it shares the records: the loop has let go of it by then.
        drop_aside((shards, index, removed, client_names, webhooks, gone.clone()));
    }

    /// The job with that key, whichever owner's it is.
    #[must_use]
    pub fn look(&self, key: JobKey) -> Look {
        if let Some(ByKey(job)) = self.shards.read(&key).jobs.get(&key) {
            return Look::Found(job.clone());
        }
        let removed = self.removed.read().get(&key).copied();
        removed.map_or(Look::Unknown, Look::Gone)
    }

    /// The job with that key, if it is that owner's; another owner's job is unknown, removed or not.
    #[must_use]
    pub fn look_as(&self, owner: Owner, key: JobKey) -> Look {
        match self.look(key) {
            Look::Found(job) if job.owner != owner => Look::Unknown,
            Look::Gone(of) if of != owner => Look::Unknown,
            look => look,
        }
    }

    /// The JSON of that job, with that estimate of what remains. Made once for each revision, and shared by all who
    /// read it.
    ///
    /// # Panics
    ///
    /// Never: a job is known as it is.
    #[must_use]
    pub fn json(&self, job: &Job, remaining: Option<Remaining>) -> Bytes {
        let json = self.with_text(job, job.revision, |text| text.with(remaining));
        json.expect("a job is as it is")
    }

    /// Appends the JSON of that job as clients saw it at that revision, in one line, if that is remembered. Says
    /// whether it is.
    pub fn write_line(
        &self,
        job: &Job,
        revision: u64,
        remaining: Option<Remaining>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.with_text(job, revision, |text| text.write_line(remaining, out))
            .is_some()
    }

    /// Reads the JSON of that job at that revision, which is kept for the next one to read it.
    fn with_text<T>(
        &self,
        job: &Job,
        revision: u64,
        read: impl FnOnce(&JobText) -> T,
    ) -> Option<T> {
        let shard = self.shards.read(&job.key);
        let texts = shard.texts.get(&job.key);
        if let Some(text) = texts.and_then(|texts| texts.get(job, revision)) {
            return Some(read(text));
        }
        drop(shard);
        let text = JobText::new(job, revision)?;
        let done = read(&text);
        if text.is_short() {
            self.keep(job, text);
        }
        Some(done)
    }

    fn keep(&self, job: &Job, text: JobText) {
        let mut shard = self.shards.write(&job.key);
        // The job may have changed meanwhile, and old text must not stay.
        let is_current = |ByKey(now): &ByKey| now.revision == job.revision;
        if shard.jobs.get(&job.key).is_some_and(is_current) {
            if shard.texts.len() >= TEXTS_MAX
                && !shard.texts.contains_key(&job.key)
                && let Some(other) = shard.texts.keys().next().copied()
            {
                shard.texts.remove(&other);
            }
            shard.texts.entry(job.key).or_default().keep(job, text);
        }
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is no job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all records take, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    /// Shows what all records take.
    pub(crate) fn show_stored_bytes(&self, bytes: usize) {
        self.stored_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The keys of that owner's jobs before `before` and from `from` on, the newest first, at most `limit`.
    #[must_use]
    pub fn names(
        &self,
        owner: Owner,
        from: Bound<JobKey>,
        before: Bound<JobKey>,
        limit: usize,
    ) -> Vec<JobKey> {
        let index = self.index.read();
        let own = index.get(&owner).into_iter();
        own.flat_map(|own| own.range(from.as_ref(), before.as_ref()).rev())
            .copied()
            .take(limit)
            .collect()
    }

    /// How long the job will still take, by what is known of its kind.
    #[must_use]
    pub fn remaining(&self, job: &Job, now: Timestamp) -> Option<Remaining> {
        self.kinds.remaining(job, now)
    }

    /// The simulator's defaults and its seed.
    #[must_use]
    pub fn settings(&self) -> (Arc<Defaults>, Rng) {
        self.settings.read().clone()
    }

    /// Endpoints and deliveries.
    #[must_use]
    pub const fn webhooks(&self) -> &WebhookBoard {
        &self.webhooks
    }

    /// The job that a name stands for. Its record may have been removed.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<JobKey> {
        self.named.read().get(name).copied()
    }

    /// Finds jobs by names that their clients gave them, from now on and those that are there. Called once, before
    /// anything changes.
    pub fn find_by(&self, names_of: NamesOf) {
        self.client_names.learn(names_of);
        for shard in self.shards.all() {
            for ByKey(job) in &shard.read().jobs {
                self.client_names.add(job);
            }
        }
    }

    /// The newest job of that owner that has that name, as [`Board::find_by`] was told.
    #[must_use]
    pub fn found_by(&self, owner: Owner, name: u64) -> Option<JobKey> {
        self.client_names.newest(owner, name)
    }

    /// Whether there may be a fault to play. If not, no job has any.
    #[must_use]
    pub fn plays_faults(&self) -> bool {
        self.has_faults.load(Ordering::Relaxed) || self.faulty.load(Ordering::Relaxed) > 0
    }

    /// A client that will wait for `until` at the jobs where it registers.
    #[must_use]
    pub fn waiter(self: &Arc<Self>, until: Until, watcher: Watcher) -> Waiter {
        Waiter::new(self.clone(), until, watcher)
    }

    /// A worker that waits for a job of that owner, of one of these kinds or, if there are none, of any. `name` is that
    /// of its claim, if it may send that again.
    #[must_use]
    pub fn claim_place(
        self: &Arc<Self>,
        owner: Owner,
        kinds: &[String],
        name: Option<Token>,
    ) -> claims::Place {
        claims::Place::take(self, owner, kinds, name)
    }

    /// A claim of that name has got its job. Wakes those that wait under it: their answers are the same one.
    pub fn claimed(&self, owner: Owner, name: Token) {
        self.claims.named(owner, name);
    }

    /// How many workers wait for a job.
    #[must_use]
    pub fn claims(&self) -> usize {
        self.claims.len()
    }

    /// Wakes all waiters, to look for something else than a change.
    pub fn ring_all(&self) {
        for shard in self.shards.all() {
            let bells = shard.read().waiters.all();
            ring(bells);
        }
    }

    /// The clients that wait for that job.
    #[must_use]
    pub fn watchers(&self, key: JobKey) -> Vec<Watcher> {
        self.shards.read(&key).waiters.of(key)
    }

    /// The changes after that number, at most `limit`, the oldest first; `None` if some of them have been forgotten.
    ///
    /// The second value is the number of the newest change.
    #[must_use]
    pub fn feed_after(&self, seq: u64, limit: usize) -> (Option<Vec<FeedChange>>, u64) {
        self.feed.after(seq, limit)
    }

    /// The place of that number in this feed.
    #[must_use]
    pub fn place(&self, seq: u64) -> Place {
        self.feed.place(seq)
    }

    /// Whether that place is one of this log and ahead of this feed.
    #[must_use]
    pub fn is_ahead(&self, place: Place) -> bool {
        self.feed.is_ahead(place)
    }

    /// The number of that place; `None` if it is one of another log, or ahead of this feed.
    #[must_use]
    pub fn seq_of(&self, place: Place) -> Option<u64> {
        self.feed.seq_of(place)
    }

    /// The number of the newest change; it tells when there is a newer one.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.feed.follow()
    }
}

/// Drops what takes long to drop where nothing waits for it. In place, if there is no such place.
fn drop_aside(gone: impl Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn_blocking(move || drop(gone));
    }
}

impl Shard {
    /// Whether there is a job with that key that hasn't ended.
    pub(super) fn is_running(&self, key: JobKey) -> bool {
        let job = self.jobs.get(&key);
        job.is_some_and(|ByKey(job)| !job.is_done())
    }
}
