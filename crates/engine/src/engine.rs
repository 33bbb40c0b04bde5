//! The state, and the one function that changes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use abide_wire::{Code, Stage, Timestamp};

use crate::compact::{Percent, Word};
use crate::delivery::{Book, Notice, RetryPolicy};
use crate::due::{self, Due, DueSet};
use crate::entry::{Created, DefaultJobSet, Entry, Finished, Idempotency};
use crate::hash::{FastMap, FastSet};
use crate::job::{ByKey, CHANGES_MAX, Change, Extra, Job, State};
use crate::learn::Step;
use crate::model::Defaults;
use crate::snapshot::{PartKey, Restoring};
use crate::{Cohort, JobKey, Luck};

/// The most removed jobs whose names are remembered, to answer `410` for them rather than `404`.
pub const REMOVED_MAX: usize = 100_000;
/// The most kinds whose durations are learned.
pub const KINDS_MAX: usize = 1_000;
/// The most different creates whose occurrences are counted.
pub const SAID_MAX: usize = 65_536;

/// The most lists of stages that are kept to be shared.
const SHARED_STAGES_MAX: usize = 8;
/// The most names of stages that are kept to be shared.
const SHARED_WORDS_MAX: usize = 1_000;

/// What the house allows, from the configuration. Its consequences are written into entries, so that a later change
/// of the policy changes nothing that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long the record of an ended job is kept; 24 hours by default.
    pub retention: Duration,
    /// The most jobs there may be, done or not; 1,100,000 by default.
    pub jobs_max: usize,
    /// How often, when, and for how long a webhook is tried.
    pub webhooks: RetryPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(24 * 3600),
            jobs_max: 1_100_000,
            webhooks: RetryPolicy::default(),
        }
    }
}

/// What the world must be told once an entry is durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A job is new or has changed.
    Changed(Arc<Job>),
    /// A job's record is gone.
    Removed(JobKey),
    /// Something happened that says how long jobs of a kind take.
    Learned(Arc<str>, Step),
    /// The simulator's defaults or its seed have changed.
    Settings(Arc<Defaults>, Luck),
    /// There is news of webhooks.
    Webhook(Notice),
    /// The job of the routes that name none is this one.
    DefaultJob(JobKey),
}

/// The state of all jobs. A clone shares the jobs and goes its own way from there.
#[derive(Clone, Debug)]
pub struct Engine {
    policy: Policy,
    luck: Luck,
    defaults: Arc<Defaults>,
    jobs: FastSet<ByKey>,
    jobs_made: u64,
    pub(crate) due: DueSet,
    /// Ended jobs by the time of their removal, to make room where it is needed.
    expiries: BTreeSet<(Timestamp, JobKey)>,
    idempotency: FastMap<u64, (JobKey, Idempotency)>,
    /// How often the same was said. Sorted, so that what is forgotten depends on the entries alone.
    said: BTreeMap<u64, u32>,
    removed: VecDeque<JobKey>,
    removed_set: FastSet<JobKey>,
    kinds: BTreeMap<Arc<str>, Arc<Cohort>>,
    default_job: Option<DefaultJobSet>,
    clock: Option<Timestamp>,
    /// Lists of stages that jobs have in common, the last few; at most [`SHARED_STAGES_MAX`].
    shared_stages: VecDeque<Arc<[Stage]>>,
    /// Names of stages that jobs have in common, the first few; at most [`SHARED_WORDS_MAX`].
    shared_words: BTreeSet<Word>,
    pub(crate) book: Book,
    pub(crate) dirty: FastSet<PartKey>,
    /// What a restore has gathered, while there is one.
    pub(crate) restoring: Option<Box<Restoring>>,
}

impl Engine {
    /// A server's state before its first entry.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            book: Book::new(&policy.webhooks),
            policy,
            luck: Luck::new(0),
            defaults: Arc::default(),
            jobs: FastSet::default(),
            jobs_made: 0,
            due: DueSet::default(),
            expiries: BTreeSet::new(),
            idempotency: FastMap::default(),
            said: BTreeMap::new(),
            removed: VecDeque::new(),
            removed_set: FastSet::default(),
            kinds: BTreeMap::new(),
            default_job: None,
            clock: None,
            shared_stages: VecDeque::new(),
            shared_words: BTreeSet::new(),
            dirty: FastSet::default(),
            restoring: None,
        }
    }

    /// What the house allows.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Luck, as it is seeded now.
    #[must_use]
    pub const fn luck(&self) -> Luck {
        self.luck
    }

    /// The simulator's defaults.
    #[must_use]
    pub const fn defaults(&self) -> &Arc<Defaults> {
        &self.defaults
    }

    /// A job by its name.
    #[must_use]
    pub fn job(&self, key: JobKey) -> Option<&Arc<Job>> {
        self.jobs.get(&key).map(|ByKey(job)| job)
    }

    /// All jobs, in no order.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.iter().map(|ByKey(job)| job)
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is no job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether there was a job of that name and its record has been removed, as far as that is remembered.
    #[must_use]
    pub fn was_removed(&self, key: JobKey) -> bool {
        self.removed_set.contains(&key)
    }

    /// The names of removed jobs, the oldest first.
    pub fn removed(&self) -> impl Iterator<Item = JobKey> + '_ {
        self.removed.iter().copied()
    }

    /// What is known of how long jobs take, by kind.
    pub fn kinds(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Cohort>)> {
        self.kinds.iter()
    }

    /// The job of the routes that name none.
    #[must_use]
    pub const fn default_job(&self) -> Option<&DefaultJobSet> {
        self.default_job.as_ref()
    }

    /// What the manual clock last showed.
    #[must_use]
    pub const fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// How many jobs were ever made.
    #[must_use]
    pub const fn jobs_made(&self) -> u64 {
        self.jobs_made
    }

    pub(crate) fn remembered(&self, key: u64, now: Timestamp) -> Option<(JobKey, Idempotency)> {
        self.idempotency
            .get(&key)
            .filter(|(_, memory)| memory.until > now)
            .copied()
    }

    pub(crate) fn times_said(&self, what: u64) -> u32 {
        self.said.get(&what).copied().unwrap_or(0)
    }

    pub(crate) fn next_expiry(&self) -> Option<JobKey> {
        self.expiries.first().map(|(_, key)| *key)
    }

    /// Changes the state by one fact. The only function that does.
    ///
    /// It can't fail, reads no clock and draws no numbers. A fact that doesn't fit (finishing an ended job) changes
    /// nothing.
    pub fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) {
        match entry {
            Entry::Seeded { seed } => {
                self.luck = Luck::new(*seed);
                // Luck begins anew, so what was said before counts as never said.
                for said in std::mem::take(&mut self.said).into_keys() {
                    self.dirty.insert(PartKey::Said(said));
                }
                self.dirty.insert(PartKey::Meta);
                effects.push(Effect::Settings(self.defaults.clone(), self.luck));
            }
            Entry::Created(created) => self.created(created, effects),
            Entry::Started { job, at } => self.change(*job, effects, |job| {
                (job.state == State::Pending).then(|| {
                    job.state = State::Running;
                    job.started_at = Some(*at);
                    let first = job.stages.as_deref().and_then(<[Stage]>::first);
                    let stage = first.map(|stage| Word::from(stage.name.as_str()));
                    job.stages_begun = u16::from(first.is_some());
                    Change {
                        at: *at,
                        state: State::Running,
                        percent: first.is_some().then_some(0.0.into()),
                        stage,
                    }
                })
            }),
            Entry::Progressed {
                job,
                at,
                percent,
                stage,
            } => self.change(*job, effects, |job| {
                (job.state == State::Running).then(|| {
                    job.stages_begun = job.stages_begun.saturating_add(1);
                    Change {
                        at: *at,
                        state: State::Running,
                        percent: Some((*percent).into()),
                        stage: stage.as_deref().map(Word::from),
                    }
                })
            }),
            Entry::Finished(finished) => self.finished(finished, effects),
            Entry::Removed { job } => self.removed_job(*job, effects),
            Entry::Forgotten { key } => {
                if let Some((_, memory)) = self.idempotency.remove(key) {
                    self.due.remove(memory.until, Due::Forget(*key));
                    self.dirty.insert(PartKey::Idempotency(*key));
                }
            }
            Entry::Settings(defaults) => {
                self.defaults = Arc::new(defaults.as_ref().clone());
                self.dirty.insert(PartKey::Meta);
                effects.push(Effect::Settings(self.defaults.clone(), self.luck));
            }
            Entry::Clock { at } => {
                self.clock = Some(*at);
                self.dirty.insert(PartKey::Meta);
            }
            Entry::DefaultJob(set) => {
                self.default_job = Some(set.as_ref().clone());
                self.dirty.insert(PartKey::Meta);
                effects.push(Effect::DefaultJob(set.job));
            }
            Entry::Webhook(fact) => {
                let (book, mut touch) = self.book_and_touch(effects);
                book.apply(fact, &mut touch);
            }
        }
    }

    fn created(&mut self, created: &Created, effects: &mut Vec<Effect>) {
        if self.jobs.contains(&created.job) {
            return;
        }
        let kind = self.shared_kind(&created.kind);
        let mut plan = created.plan.clone();
        let stages = plan.as_mut().map(|plan| match plan.stages.take() {
            Some(own) => self.shared(own),
            None => self.defaults.stages.clone(),
        });
        let extra = Extra {
            input: created.input.clone(),
            metadata: created.metadata.clone(),
            result: None,
            error: None,
            deadline_at: created.deadline_at,
            webhook: created.webhook.clone().map(Box::new),
        };
        let job = Job {
            key: created.job,
            owner: created.owner,
            kind,
            worker: created.worker,
            state: State::Pending,
            revision: 1,
            changes: Box::new([Change {
                at: created.at,
                state: State::Pending,
                percent: None,
                stage: None,
            }]),
            created_at: created.at,
            started_at: None,
            finished_at: None,
            expires_at: None,
            plan: plan.map(Arc::new),
            stages,
            stages_begun: 0,
            extra: (extra != Extra::default()).then(|| Arc::new(extra)),
        };
        if let Some(said) = created.said {
            self.say(said);
        }
        if let Some(memory) = created.idempotency {
            self.remember(created.job, memory);
            self.dirty.insert(PartKey::Idempotency(memory.key));
        }
        self.jobs_made += 1;
        self.dirty.insert(PartKey::Meta);
        let job = Arc::new(job);
        self.insert(job.clone());
        effects.push(Effect::Changed(job.clone()));
        self.learn(&job, Step::Began(job.key), effects);
        if let Some(target) = &created.webhook {
            self.add_endpoint_of_job(&job, target, effects);
        }
        self.tell_endpoints(&job, effects);
    }

    /// Notes what a step of a job's says about its kind, where the job is followed.
    fn learn(&mut self, job: &Job, step: Step, effects: &mut Vec<Effect>) {
        let Some(cohort) = self.kinds.get_mut(&job.kind) else {
            return;
        };
        let is_followed = match step {
            Step::Began(key) => cohort.wants(key),
            Step::Ended(key, _) | Step::Left(key, _) => cohort.follows(key),
        };
        if is_followed {
            Arc::make_mut(cohort).note(step);
            self.dirty.insert(PartKey::Kind(job.kind.clone()));
            effects.push(Effect::Learned(job.kind.clone(), step));
        }
    }

    /// The kind of that name, shared between its jobs while there are not too many kinds.
    pub(crate) fn shared_kind(&mut self, name: &str) -> Arc<str> {
        if let Some((kind, _)) = self.kinds.get_key_value(name) {
            return kind.clone();
        }
        let kind: Arc<str> = Arc::from(name);
        if self.kinds.len() < KINDS_MAX {
            self.kinds.insert(kind.clone(), Arc::default());
        }
        kind
    }

    /// The same stages, shared with the jobs that have them too.
    pub(crate) fn shared(&mut self, stages: Arc<[Stage]>) -> Arc<[Stage]> {
        if *stages == *self.defaults.stages {
            return self.defaults.stages.clone();
        }
        if let Some(known) = self.shared_stages.iter().find(|known| ***known == *stages) {
            return known.clone();
        }
        if self.shared_stages.len() == SHARED_STAGES_MAX {
            self.shared_stages.pop_front();
        }
        self.shared_stages.push_back(stages.clone());
        stages
    }

    /// The same word, shared with the jobs that have it too.
    pub(crate) fn shared_word(&mut self, word: Word) -> Word {
        if let Some(known) = self.shared_words.get(&word) {
            return known.clone();
        }
        if self.shared_words.len() < SHARED_WORDS_MAX {
            self.shared_words.insert(word.clone());
        }
        word
    }

    /// That word, if it is one of those.
    pub(crate) fn find_word(&self, text: &str) -> Option<Word> {
        self.shared_words.get(text).cloned()
    }

    fn say(&mut self, said: u64) {
        *self.said.entry(said).or_default() += 1;
        self.dirty.insert(PartKey::Said(said));
        if self.said.len() > SAID_MAX
            && let Some((forgotten, _)) = self.said.pop_first()
        {
            self.dirty.insert(PartKey::Said(forgotten));
        }
    }

    fn finished(&mut self, finished: &Finished, effects: &mut Vec<Effect>) {
        let before = self.job(finished.job).map(|job| job.is_done());
        self.change(finished.job, effects, |job| {
            (!job.is_done()).then(|| {
                let last = job.changes.last();
                let (percent, stage) =
                    last.map_or((None, None), |last| (last.percent, last.stage.clone()));
                let completed = finished.outcome == abide_wire::Outcome::Completed;
                job.state = finished.outcome.into();
                job.finished_at = Some(finished.at);
                job.expires_at = Some(finished.expires_at);
                if finished.result.is_some() || finished.error.is_some() {
                    let extra = Arc::make_mut(job.extra.get_or_insert_default());
                    extra.result.clone_from(&finished.result);
                    extra.error = finished.error.clone().map(Box::new);
                }
                Change {
                    at: finished.at,
                    state: job.state,
                    percent: if completed {
                        Some(Percent::from(100.0))
                    } else {
                        percent
                    },
                    stage: if completed { None } else { stage },
                }
            })
        });
        if before == Some(false) {
            self.ended(finished, effects);
        }
    }

    /// What the end of a job means beyond the job.
    fn ended(&mut self, finished: &Finished, effects: &mut Vec<Effect>) {
        let Some(job) = self.job(finished.job).cloned() else {
            return;
        };
        let millis = finished.at.since(job.created_at).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let is_cut_off = job.state == State::Canceled
            || job
                .error()
                .is_some_and(|error| error.code == Code::DEADLINE_EXCEEDED);
        let step = if is_cut_off {
            Step::Left(job.key, millis)
        } else {
            Step::Ended(job.key, millis)
        };
        self.learn(&job, step, effects);
        if let Some(set) = self.default_job.as_ref().filter(|set| set.job == job.key)
            && let Some(reset_ms) = set.reset_ms
        {
            let at = finished.at + Duration::from_millis(reset_ms);
            self.due.insert(at, Due::Reset(job.key));
        }
    }

    fn removed_job(&mut self, key: JobKey, effects: &mut Vec<Effect>) {
        if self.job(key).is_none_or(|job| !job.is_done()) {
            return;
        }
        self.remove(key);
        self.bury(key);
        self.dirty.insert(PartKey::Job(key));
        self.dirty.insert(PartKey::Removed(key));
        effects.push(Effect::Removed(key));
        let (book, mut touch) = self.book_and_touch(effects);
        book.job_removed(key, &mut touch);
    }

    /// Changes a job by what `change` does to it, where it does anything.
    fn change(
        &mut self,
        key: JobKey,
        effects: &mut Vec<Effect>,
        change: impl FnOnce(&mut Job) -> Option<Change>,
    ) {
        // Readers hold the job as it was, so there is always a copy to make.
        let Some(mut job) = self.job(key).map(|job| Job::clone(job)) else {
            return;
        };
        let Some(mut change) = change(&mut job) else {
            return;
        };
        change.stage = change.stage.map(|stage| self.shared_word(stage));
        let mut changes = std::mem::take(&mut job.changes).into_vec();
        if changes.len() == CHANGES_MAX {
            changes.remove(0);
        }
        // There are a million of these lists, and each is soon as long as it will be.
        changes.reserve_exact(1);
        changes.push(change);
        job.changes = changes.into();
        job.revision += 1;
        let job = Arc::new(job);
        self.remove(key);
        self.insert(job.clone());
        effects.push(Effect::Changed(job.clone()));
        self.tell_endpoints(&job, effects);
    }

    /// Puts a job in, with its deadlines.
    pub(crate) fn insert(&mut self, job: Arc<Job>) {
        if let Some(restoring) = &mut self.restoring {
            restoring.due.extend(due::of_job(&job));
            let expiry = job.expires_at.map(|at| (at, job.key));
            restoring.expiries.extend(expiry);
        } else {
            for (at, due) in due::of_job(&job) {
                self.due.insert(at, due);
            }
            if let Some(at) = job.expires_at {
                self.expiries.insert((at, job.key));
            }
            self.dirty.insert(PartKey::Job(job.key));
        }
        self.jobs.insert(ByKey(job));
    }

    /// Takes a job out, with its deadlines.
    fn remove(&mut self, key: JobKey) {
        let Some(ByKey(job)) = self.jobs.take(&key) else {
            return;
        };
        for (at, due) in due::of_job(&job) {
            self.due.remove(at, due);
        }
        if let Some(at) = job.expires_at {
            self.expiries.remove(&(at, key));
        }
    }

    /// Remembers the name of a removed job, and forgets the oldest where there are too many.
    pub(crate) fn bury(&mut self, key: JobKey) {
        if self.removed_set.insert(key) {
            self.removed.push_back(key);
        }
        if self.removed.len() > REMOVED_MAX
            && let Some(oldest) = self.removed.pop_front()
        {
            self.removed_set.remove(&oldest);
            self.dirty.insert(PartKey::Removed(oldest));
        }
    }

    pub(crate) fn remember(&mut self, job: JobKey, memory: Idempotency) {
        if let Some((_, before)) = self.idempotency.insert(memory.key, (job, memory)) {
            self.due.remove(before.until, Due::Forget(memory.key));
        }
        self.due.insert(memory.until, Due::Forget(memory.key));
    }
}

/// What [`crate::snapshot`] may reach into.
pub(crate) mod parts {
    use super::{
        Arc, Cohort, DefaultJobSet, Defaults, Due, Engine, Idempotency, JobKey, Luck, Timestamp,
    };
    use std::time::Duration;

    impl Engine {
        pub(crate) fn idempotency(&self, key: u64) -> Option<&(JobKey, Idempotency)> {
            self.idempotency.get(&key)
        }

        pub(crate) fn idempotency_keys(&self) -> impl Iterator<Item = u64> + '_ {
            self.idempotency.keys().copied()
        }

        pub(crate) fn said_keys(&self) -> impl Iterator<Item = u64> + '_ {
            self.said.keys().copied()
        }

        pub(crate) fn said(&self, key: u64) -> Option<u32> {
            self.said.get(&key).copied()
        }

        pub(crate) fn cohort(&self, kind: &str) -> Option<&Arc<Cohort>> {
            self.kinds.get(kind)
        }

        pub(crate) fn restore_meta(
            &mut self,
            seed: u64,
            jobs_made: u64,
            defaults: Defaults,
            clock: Option<Timestamp>,
            default_job: Option<DefaultJobSet>,
        ) {
            self.luck = Luck::new(seed);
            self.jobs_made = jobs_made;
            self.defaults = Arc::new(defaults);
            self.clock = clock;
            self.default_job = default_job;
        }

        pub(crate) fn restore_said(&mut self, key: u64, times: u32) {
            self.said.insert(key, times);
        }

        pub(crate) fn restore_kind(&mut self, kind: Arc<str>, cohort: Cohort) {
            self.kinds.insert(kind, Arc::new(cohort));
        }

        /// What follows from several parts together, once all of them are there.
        pub(crate) fn finish_restore(&mut self) {
            if let Some(restoring) = self.restoring.take() {
                self.due.add_all(restoring.due);
                self.expiries.extend(restoring.expiries);
            }
            let reset = self.default_job.as_ref().and_then(|set| {
                let finished_at = self.job(set.job)?.finished_at?;
                Some((finished_at + Duration::from_millis(set.reset_ms?), set.job))
            });
            if let Some((at, job)) = reset {
                self.due.insert(at, Due::Reset(job));
            }
            self.dirty.clear();
        }
    }
}
