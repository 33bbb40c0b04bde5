//! From a request to a job, once per idempotency key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use abide_wire::{NewJob, Timestamp, WebhookTarget, Worker, limits};

use super::job::{CHANGE_BYTES, Change, Extra, JOB_BYTES, Job, Rare, State};
use super::learn::Step;
use super::plan::{Plan, Planned};
use super::request::{attempts_max, digest_of, request_digest, validate};
use super::table::Jobs;
use crate::command::{self, Command, Decided, Refusal};
use crate::due::{Due, DueSet};
use crate::effect::Touch;
use crate::engine::Engine;
use crate::entry::{Entries, Entry};
use crate::hash::FastMap;
use crate::policy::Policy;
use crate::rng::{digest, seed_of_key, seed_of_occurrence};
use crate::snapshot::PartKey;
use crate::stored::IDEMPOTENCY_BYTES;
use crate::{JobKey, Json, Owner};

/// The kind of a job whose creator gives none.
pub const KIND_DEFAULT: &str = "video_translation";
/// The most different bodies of creates whose occurrences are counted.
pub const BODIES_MAX: usize = 65_536;

/// The most idempotency keys of one owner that are remembered. The oldest is forgotten for the next.
pub const IDEMPOTENCY_KEYS_MAX: usize = 100_000;

/// Creates a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Create {
    /// Who asks, and whose job it is.
    pub owner: Owner,
    /// What is asked for.
    pub new: NewJob<Json>,
    /// A repeat under the same key within [`limits::IDEMPOTENCY_KEPT`] is answered with the same job.
    pub idempotency_key: Option<String>,
    /// The form in which the webhook that it brings along is told; see
    /// [`Endpoint::rendering`](crate::Endpoint::rendering).
    pub rendering: Option<String>,
    /// The trace that it belongs to, as `traceparent` says it; at most [`limits::TRACEPARENT_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Creates a job for another process, which has computed the digest of what it says about the job itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateDigested {
    /// What is asked for.
    pub(crate) create: Create,
    body_digest: u64,
}

impl From<Create> for CreateDigested {
    fn from(create: Create) -> Self {
        Self {
            body_digest: digest_of(&create.new, create.idempotency_key.is_some()),
            create,
        }
    }
}

/// Creates several jobs, all or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateAll {
    /// The jobs, of one owner. Their own idempotency keys are passed over.
    pub jobs: Vec<Create>,
    /// A repeat under the same key is answered with all the jobs that were made under it.
    pub idempotency_key: Option<String>,
    /// Whether a repeat may say something else.
    pub repeats_any: bool,
}

/// A job was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// Its name.
    pub job: JobKey,
    /// When.
    pub at: Timestamp,
    /// Whose it is.
    #[serde(default)]
    pub owner: Owner,
    /// What sort of work it is.
    pub kind: String,
    /// Who does the work.
    #[serde(default)]
    pub worker: Worker,
    /// What it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// What its creator noted on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// What the simulator has decided about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// How often workers may claim it; once if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// The trace that it belongs to, as `traceparent` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When it fails if it hasn't ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Where to tell of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookTarget>,
    /// The form in which that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendering: Option<String>,
    /// The idempotency key that it was created under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// The digest of the body, if the job's draws depend on how often that came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_digest: Option<u64>,
}

/// An idempotency key, and what it was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Owner::is_anyone")]
    pub owner: Owner,
    /// The digest of owner and key.
    pub key: u64,
    /// The digest of the request that it came with. 0 in forms before level 3, which had it made in another way: any
    /// request counts as the same.
    #[serde(default)]
    pub request: u64,
    /// When it is forgotten.
    pub until: Timestamp,
}

/// What is remembered of creates, beside their jobs.
#[derive(Clone, Debug, Default)]
pub(super) struct Creates {
    /// How many jobs were ever created.
    pub(super) made: u64,
    pub(super) idempotency: FastMap<u64, (JobKey, Idempotency)>,
    /// Each owner's idempotency keys, the one that is forgotten next first.
    keys: FastMap<Owner, BTreeSet<(Timestamp, u64)>>,
    /// How often each body came. Sorted, so that what is forgotten depends on the entries alone.
    pub(super) bodies: BTreeMap<u64, u32>,
}

impl Creates {
    /// Remembers an idempotency key, and forgets its owner's oldest one for it if there are too many.
    fn remember(&mut self, job: JobKey, memory: Idempotency, touch: &mut Touch<'_>) {
        self.forget(memory.key, touch);
        self.restore(job, memory, touch.due);
        touch.stored.add(memory.owner, IDEMPOTENCY_BYTES);
        touch.dirty(PartKey::Idempotency(memory.key));
        let own = self.keys.get(&memory.owner);
        if let Some(own) = own.filter(|own| own.len() > IDEMPOTENCY_KEYS_MAX)
            && let Some((_, oldest)) = own.first().copied()
        {
            self.forget(oldest, touch);
        }
    }

    /// Puts an idempotency key in, with its deadline.
    pub(super) fn restore(&mut self, job: JobKey, memory: Idempotency, due: &mut DueSet) {
        self.idempotency.insert(memory.key, (job, memory));
        due.insert(memory.until, Due::Forget(memory.key));
        let own = self.keys.entry(memory.owner).or_default();
        own.insert((memory.until, memory.key));
    }

    /// What was made under the key of that digest, if it isn't forgotten.
    fn under(&self, key: u64, now: Timestamp) -> Option<(JobKey, Idempotency)> {
        let found = self.idempotency.get(&key).copied();
        found.filter(|(_, memory)| memory.until > now)
    }

    pub(super) fn forget(&mut self, key: u64, touch: &mut Touch<'_>) {
        let Some((_, memory)) = self.idempotency.remove(&key) else {
            return;
        };
        touch.due.remove(memory.until, Due::Forget(key));
        touch.dirty(PartKey::Idempotency(key));
        touch.stored.remove(memory.owner, IDEMPOTENCY_BYTES);
        if let Some(own) = self.keys.get_mut(&memory.owner) {
            own.remove(&(memory.until, key));
            if own.is_empty() {
                self.keys.remove(&memory.owner);
            }
        }
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = (Owner, usize)> {
        let memories = self.idempotency.values();
        memories.map(|(_, memory)| (memory.owner, IDEMPOTENCY_BYTES))
    }

    /// Forgets all bodies: under another seed they count as never seen.
    pub(super) fn forget_bodies(&mut self, touch: &mut Touch<'_>) {
        let bodies = std::mem::take(&mut self.bodies).into_keys();
        touch.dirty.extend(bodies.map(PartKey::Body));
    }

    fn count_body(&mut self, digest: u64, touch: &mut Touch<'_>) {
        *self.bodies.entry(digest).or_default() += 1;
        touch.dirty(PartKey::Body(digest));
        if self.bodies.len() > BODIES_MAX
            && let Some((forgotten, _)) = self.bodies.pop_first()
        {
            touch.dirty(PartKey::Body(forgotten));
        }
    }
}

impl Command for Create {
    type Answer = command::Created;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let digest = digest_of(&self.new, self.idempotency_key.is_some());
        engine.decide_create(self, digest, now, entries)
    }
}

impl Command for CreateDigested {
    type Answer = command::Created;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        engine.decide_create(&self.create, self.body_digest, now, entries)
    }
}

impl Command for CreateAll {
    type Answer = Vec<command::Created>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let (jobs, policy) = (&engine.jobs, &engine.policy);
        let Some(first) = self.jobs.first() else {
            return Ok(Vec::new());
        };
        let digests: Vec<_> = self
            .jobs
            .iter()
            .map(|create| digest_of(&create.new, self.idempotency_key.is_some()))
            .collect();
        let asked = |(n, create): (usize, &Create)| {
            let key = self.key_of(n)?;
            Some(Idempotency::new(create, digests[n], &key, now))
        };
        let asked: Vec<_> = self.jobs.iter().enumerate().map(asked).collect();
        let before_now = self.made_before(first.owner, jobs, now, &asked)?;
        if !before_now.is_empty() {
            return Ok(before_now);
        }
        let before = entries.len();
        let creates = self.jobs.iter().zip(digests).zip(asked);
        let made = creates.map(|((create, digest), asked)| {
            validate(&create.new)?;
            let create = (create, digest);
            let job = jobs.make(create, asked, now, policy, (&mut *entries, before))?;
            Ok((job, false))
        });
        let made: Result<Vec<_>, _> = made.collect();
        if made.is_err() {
            entries.truncate(before);
        } else {
            engine.check_creates(first.owner, before, entries)?;
        }
        made
    }
}

impl CreateAll {
    fn key_of(&self, n: usize) -> Option<String> {
        self.idempotency_key
            .as_ref()
            .map(|key| format!("{key} {n}"))
    }

    /// The jobs that were made under the key, if it was used before.
    fn made_before(
        &self,
        owner: Owner,
        jobs: &Jobs,
        now: Timestamp,
        asked: &[Option<Idempotency>],
    ) -> Result<Vec<(JobKey, bool)>, Refusal> {
        let mut made = Vec::new();
        let mut is_same = true;
        while let Some(key) = self.key_of(made.len())
            && let Some((job, before)) = jobs.creates.under(key_digest(owner, &key), now)
        {
            let asked = asked.get(made.len()).copied().flatten();
            is_same &= asked.is_some_and(|asked| asked.repeats(&before));
            jobs.owned(owner, job)?;
            made.push((job, true));
        }
        let is_same = is_same && made.len() == asked.len();
        match made.first() {
            Some((job, _)) if !is_same && !self.repeats_any => {
                Err(Refusal::IdempotencyMismatch { job: *job })
            }
            _ => Ok(made),
        }
    }
}

impl Engine {
    fn decide_create(
        &self,
        create: &Create,
        body_digest: u64,
        now: Timestamp,
        entries: &mut Entries,
    ) -> Decided<Create> {
        let before = entries.len();
        let asked = (create, body_digest);
        let answer = self.jobs.decide_create(asked, now, &self.policy, entries)?;
        self.check_creates(create.owner, before, entries)?;
        Ok(answer)
    }

    /// Whether what those entries create has room. If not, they are taken back.
    fn check_creates(
        &self,
        owner: Owner,
        before: usize,
        entries: &mut Entries,
    ) -> Result<(), Refusal> {
        let bytes = entries[before..].iter().map(|entry| match entry {
            Entry::Created(created) => created.bytes(),
            _ => 0,
        });
        let room = self.check_room(owner, bytes.sum());
        if room.is_err() {
            entries.truncate(before);
        }
        room
    }
}

impl Idempotency {
    fn new(create: &Create, body_digest: u64, key: &str, now: Timestamp) -> Self {
        let new = &create.new;
        Self {
            owner: create.owner,
            key: key_digest(create.owner, key),
            request: request_digest(new, body_digest),
            until: now + limits::IDEMPOTENCY_KEPT,
        }
    }

    /// Whether it came with the same request as that one.
    const fn repeats(&self, before: &Self) -> bool {
        before.request == 0 || before.request == self.request
    }
}

fn key_digest(owner: Owner, key: &str) -> u64 {
    digest(&[&owner.0.to_le_bytes(), key.as_bytes()])
}

impl Created {
    /// What it adds to what is stored, in bytes, but for what the simulator has drawn.
    fn bytes(&self) -> usize {
        let json = [&self.input, &self.metadata].into_iter().flatten();
        let json = json.map(|json| json.get().len()).sum::<usize>();
        let memory = self.idempotency.map_or(0, |_| IDEMPOTENCY_BYTES);
        let trace = self.traceparent.as_ref().map_or(0, String::len);
        JOB_BYTES + CHANGE_BYTES + json + memory + trace
    }
}

impl Jobs {
    pub(super) fn decide_create(
        &self,
        (create, body_digest): (&Create, u64),
        now: Timestamp,
        policy: &Policy,
        entries: &mut Entries,
    ) -> Result<(JobKey, bool), Refusal> {
        validate(&create.new)?;
        let key = create.idempotency_key.as_ref();
        let asked = key.map(|key| Idempotency::new(create, body_digest, key, now));
        if let Some(asked) = &asked
            && let Some((job, before)) = self.creates.under(asked.key, now)
        {
            if !asked.repeats(&before) {
                return Err(Refusal::IdempotencyMismatch { job });
            }
            self.owned(create.owner, job)?;
            return Ok((job, true));
        }
        let from = entries.len();
        let create = (create, body_digest);
        let job = self.make(create, asked, now, policy, (entries, from))?;
        Ok((job, false))
    }

    /// Makes the job. The entries after the first `from` are decided and not yet applied.
    fn make(
        &self,
        (create, body_digest): (&Create, u64),
        idempotency: Option<Idempotency>,
        now: Timestamp,
        policy: &Policy,
        (entries, from): (&mut Entries, usize),
    ) -> Result<JobKey, Refusal> {
        self.make_room(create.owner, policy, (&mut *entries, from))?;
        let new = &create.new;
        let decided = entries[from..].iter();
        let made_now = decided.filter_map(|entry| match entry {
            Entry::Created(created) => Some(created.body_digest),
            _ => None,
        });
        let job = self.next_key(now, made_now.clone().count());
        let own = new.simulate.as_ref();
        let worker = new.worker.unwrap_or_default();
        let (seed, counted) = match own.and_then(|simulate| simulate.key.as_deref()) {
            Some(key) => (seed_of_key(key), None),
            None => {
                let before = self.creates.bodies.get(&body_digest).copied();
                let same_now = made_now.filter(|made| *made == Some(body_digest));
                let before = same_now.fold(before.unwrap_or(0), |before, _| before + 1);
                let seed = seed_of_occurrence(body_digest, before);
                (seed, Some(body_digest))
            }
        };
        entries.push(Entry::Created(Box::new(Created {
            job,
            at: now,
            owner: create.owner,
            kind: new.kind.clone().unwrap_or_else(|| KIND_DEFAULT.to_owned()),
            worker,
            input: new.input.clone(),
            metadata: new.metadata.clone(),
            plan: (worker == Worker::Simulator)
                .then(|| self.defaults().plan(own, seed, self.rng())),
            attempts_max: attempts_max(new),
            traceparent: create.traceparent.clone(),
            deadline_at: new.deadline_s.map(|span| now + span.get()),
            webhook: new.webhook.clone(),
            rendering: create.rendering.clone(),
            idempotency,
            body_digest: counted.filter(|_| worker == Worker::Simulator),
        })));
        Ok(job)
    }

    /// Removes an ended job, if there are as many as the policy allows.
    fn make_room(
        &self,
        owner: Owner,
        policy: &Policy,
        (entries, from): (&mut Entries, usize),
    ) -> Result<(), Refusal> {
        let limit = policy.jobs_max;
        let decided = &entries[from..];
        let removed = decided
            .iter()
            .filter(|entry| matches!(entry, Entry::Removed { .. }))
            .count();
        // The others are created jobs.
        let made = decided.len() - removed;
        if !self.shares.has_room(owner, made, limit) {
            return Err(Refusal::TooManyJobs { limit });
        }
        if self.len() + made - removed >= limit {
            let job = self.shares.first_out(owner, made, removed);
            let job = job.ok_or(Refusal::TooManyJobs { limit })?;
            entries.push(Entry::Removed { job });
        }
        Ok(())
    }

    /// The name of the next job but that many.
    fn next_key(&self, now: Timestamp, but: usize) -> JobKey {
        let mut random = [0; 10];
        let made = self.made() + but as u64;
        self.rng()
            .stream(now.as_millis().unsigned_abs(), "job key", made)
            .fill(&mut random);
        JobKey::new(now, random)
    }

    pub(super) fn created(&mut self, created: &Created, touch: &mut Touch<'_>) -> Option<Arc<Job>> {
        if self.get(created.job).is_some() || self.owner_of_removed(created.job).is_some() {
            return None;
        }
        let mut plan = created.plan.clone();
        let stages = plan.as_mut().map(|plan| match plan.stages.take() {
            Some(own) if *own != *self.defaults().stages => self.intern.stages(own),
            _ => self.defaults().stages.clone(),
        });
        let rare = Rare {
            attempts: 0,
            attempts_max: created.attempts_max,
            traceparent: created.traceparent.clone(),
        };
        let extra = Extra {
            input: created.input.clone(),
            metadata: created.metadata.clone(),
            result: None,
            error: None,
            deadline_at: created.deadline_at,
            webhook: created.webhook.clone().map(Box::new),
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        };
        let job = Arc::new(Job {
            key: created.job,
            owner: created.owner,
            kind: self.intern.kind(&created.kind),
            worker: created.worker,
            state: State::Pending,
            revision: 1,
            changes: Box::new([Change::to(State::Pending, created.at)]),
            created_at: created.at,
            started_at: None,
            finished_at: None,
            expires_at: None,
            plan: plan.map(Planned::from),
            stages,
            stages_begun: 0,
            extra: (extra != Extra::default()).then(|| Arc::new(extra)),
        });
        if let Some(digest) = created.body_digest {
            self.creates.count_body(digest, touch);
        }
        if let Some(memory) = created.idempotency {
            self.creates.remember(created.job, memory, touch);
        }
        self.creates.made += 1;
        touch.dirty(PartKey::Made);
        self.put(&job, touch);
        self.kinds.note(&job, Step::Began(job.key), touch);
        Some(job)
    }
}
