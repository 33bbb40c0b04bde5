//! Leases: which worker has which external job, and until when.
//!
//! A worker [claims](Claim) the oldest pending job of its owner and gets a lease on it, named by a token. While it
//! holds the lease no one else may report on the job, and each of its reports renews the lease. A worker that is silent
//! for longer than the lease has lost the job: it is pending again, or failed if it was claimed as often as its creator
//! allows. The end of a job, a cancel included, ends its lease. A worker that [releases](super::Work::Release) its job
//! gives it back as if it had never claimed it.
//!
//! A claim that names its token may be repeated: while the worker holds the lease, the answer is the same job. What was
//! repeated is given back by no [abandoned](super::Work::Abandon) claim: another one's answer may be on its way.
//!
//! A lease is a record of its own and no change of the job, so a heartbeat costs no revision and wakes no client.

use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use abide_wire::{Code, Problem, Span, Timestamp, Worker};

use super::change::Finished;
use super::job::{Change, Job, State};
use super::table::Jobs;
use crate::command::{Answer, Command, Decided, Refusal};
use crate::due::{Due, DueSet};
use crate::effect::Touch;
use crate::engine::Engine;
use crate::entry::{Entries, Entry};
use crate::hash::FastMap;
use crate::policy::Policy;
use crate::snapshot::PartKey;
use crate::sorted::SortedSet;
use crate::{JobKey, Owner};

/// What a lease takes, in bytes: its record, its deadline and its part of a checkpoint's names.
const LEASE_BYTES: usize = 256;

/// Claims the oldest pending external job of an owner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Whose jobs.
    pub owner: Owner,
    /// The kinds; every kind if empty.
    pub kinds: Vec<String>,
    /// How long the worker may be silent, by the server's clock.
    pub lease: Duration,
    /// The name of the lease, so that the claim can be repeated; drawn if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

/// A job with the lease that its worker holds.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job.
    pub job: Arc<Job>,
    /// The lease; `None` if the job has ended.
    pub lease: Option<Lease>,
}

/// A worker's hold on a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Names it.
    pub token: Token,
    /// When it is lost unless it is renewed.
    pub until: Timestamp,
    /// How long it is, in milliseconds, from each renewal on.
    pub length_ms: u64,
}

/// Names a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease_{:016x}", self.0)
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let hex = text.strip_prefix("lease_");
        let number = hex.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        // One token, one spelling: no sign, no capital letters, no digits left out.
        let token = number.map(Self).filter(|token| token.to_string() == text);
        token.ok_or(NoToken)
    }
}

/// A text that names no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it isn't a token that a claim was answered with")]
pub struct NoToken;

impl From<Lease> for abide_wire::Lease {
    fn from(lease: Lease) -> Self {
        Self {
            token: lease.token.to_string(),
            expires_at: lease.until,
        }
    }
}

impl Lease {
    fn new(token: Token, at: Timestamp, length_ms: u64) -> Self {
        let until = at + Duration::from_millis(length_ms);
        Self {
            token,
            until,
            length_ms,
        }
    }

    /// Since when it counts: the claim, or the last renewal.
    pub(super) fn since(&self) -> Timestamp {
        self.until - Duration::from_millis(self.length_ms)
    }
}

/// The leases, and the jobs that may be claimed.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    held: FastMap<JobKey, (Owner, Lease)>,
    /// The jobs of the leases, by what names each; two jobs with the same name are two claims under one key.
    by_token: BTreeSet<(Owner, Token, JobKey)>,
    /// Pending external jobs by owner, the oldest first, so that a claim takes as long with a million of them.
    open: BTreeMap<Owner, SortedSet<JobKey>>,
    /// The same by kind.
    open_by_kind: BTreeMap<(Owner, Arc<str>), SortedSet<JobKey>>,
}

impl Leases {
    /// Notes that the job may be claimed, if so.
    pub(super) fn open(&mut self, job: &Job) {
        if job.is_claimable() {
            let of_kind = (job.owner, job.kind.clone());
            self.open.entry(job.owner).or_default().insert(job.key);
            self.open_by_kind
                .entry(of_kind)
                .or_default()
                .insert(job.key);
        }
    }

    /// Takes that back.
    pub(super) fn close(&mut self, job: &Job) {
        if job.is_claimable() {
            let of_kind = (job.owner, job.kind.clone());
            take_out(&mut self.open, job.owner, &job.key);
            take_out(&mut self.open_by_kind, of_kind, &job.key);
        }
    }

    pub(super) fn put(&mut self, owner: Owner, job: JobKey, lease: Lease, touch: &mut Touch<'_>) {
        self.end(job, touch);
        self.restore(owner, job, lease, touch.due);
        touch.stored.add(owner, LEASE_BYTES);
        touch.dirty(PartKey::Lease(job));
    }

    /// Ends the lease of a job, if there is one.
    pub(super) fn end(&mut self, job: JobKey, touch: &mut Touch<'_>) -> Option<Lease> {
        let (owner, lease) = self.held.remove(&job)?;
        self.by_token.remove(&(owner, lease.token, job));
        touch.due.remove(lease.until, Due::Lease(job));
        touch.stored.remove(owner, LEASE_BYTES);
        touch.dirty(PartKey::Lease(job));
        Some(lease)
    }

    /// Puts a lease in, with its deadline.
    pub(super) fn restore(&mut self, owner: Owner, job: JobKey, lease: Lease, due: &mut DueSet) {
        self.held.insert(job, (owner, lease));
        self.by_token.insert((owner, lease.token, job));
        due.insert(lease.until, Due::Lease(job));
    }

    pub(super) fn stored(&self, job: JobKey) -> Option<(Owner, Lease)> {
        self.held.get(&job).copied()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = JobKey> + '_ {
        self.held.keys().copied()
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = (Owner, usize)> {
        self.held.values().map(|(owner, _)| (*owner, LEASE_BYTES))
    }

    /// The job that is held under that name.
    fn named(&self, owner: Owner, token: Token) -> Option<JobKey> {
        let first = JobKey::from_u128(0);
        let (of, found, job) = self.by_token.range((owner, token, first)..).next()?;
        (*of == owner && *found == token).then_some(*job)
    }

    /// The oldest job that may be claimed of that owner, of one of these kinds or of any.
    fn oldest(&self, owner: Owner, kinds: &[String]) -> Option<JobKey> {
        if kinds.is_empty() {
            return self.open.get(&owner)?.first().copied();
        }
        let oldest = |kind: &String| {
            let of_kind = (owner, Arc::from(kind.as_str()));
            self.open_by_kind.get(&of_kind)?.first().copied()
        };
        kinds.iter().filter_map(oldest).min()
    }
}

/// Takes a job out of the set under that key, and the set with its last one.
fn take_out<K: Ord>(sets: &mut BTreeMap<K, SortedSet<JobKey>>, key: K, job: &JobKey) {
    if let btree_map::Entry::Occupied(mut set) = sets.entry(key) {
        set.get_mut().remove(job);
        if set.get().is_empty() {
            set.remove();
        }
    }
}

impl Command for Claim {
    type Answer = Option<Claimed>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let jobs = &engine.jobs;
        let again = self
            .token
            .and_then(|token| jobs.leases.named(self.owner, token))
            .and_then(|job| Some((job, jobs.lease(job)?)))
            .filter(|(_, lease)| lease.until > now);
        if let Some((job, lease)) = again {
            // Later than before, within one millisecond too: the first claim may be abandoned after this one.
            let at = now.max(lease.since() + Duration::from_millis(1));
            entries.push(Entry::Renewed { job, at });
            return Ok(Some(job));
        }
        let Some(job) = jobs.leases.oldest(self.owner, &self.kinds) else {
            return Ok(None);
        };
        engine.check_room(self.owner, LEASE_BYTES)?;
        // Unlike the count of attempts it never goes back.
        let revision = jobs.get(job).map_or(0, |job| job.revision);
        let seed = job.as_u128() as u64 ^ (job.as_u128() >> 64) as u64;
        let drawn = || Token(jobs.rng().stream(seed, "lease", revision).random());
        entries.push(Entry::Claimed {
            job,
            at: now,
            token: self.token.unwrap_or_else(drawn),
            lease_ms: u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX),
        });
        Ok(Some(job))
    }
}

impl Answer for Option<Claimed> {
    type Key = Option<JobKey>;

    fn read(engine: &Engine, key: Option<JobKey>) -> Result<Self, Refusal> {
        key.map(|key| Claimed::read(engine, key)).transpose()
    }
}

impl Answer for Claimed {
    type Key = JobKey;

    fn read(engine: &Engine, key: JobKey) -> Result<Self, Refusal> {
        let job = Arc::<Job>::read(engine, key)?;
        let lease = engine.jobs.lease(key);
        Ok(Self { job, lease })
    }
}

impl Job {
    /// Whether a worker may claim it.
    #[must_use]
    pub fn is_claimable(&self) -> bool {
        self.worker == Worker::External && self.state == State::Pending
    }
}

impl Jobs {
    /// The lease that a worker holds on that job.
    #[must_use]
    pub fn lease(&self, job: JobKey) -> Option<Lease> {
        self.leases.stored(job).map(|(_, lease)| lease)
    }

    /// Whether any worker holds a lease.
    #[must_use]
    pub fn has_leases(&self) -> bool {
        self.leases.keys().next().is_some()
    }

    /// Refuses the report of a worker that doesn't hold the job. `token` is the lease that it claims to have.
    ///
    /// # Errors
    ///
    /// The job is another worker's, or was lost.
    pub(super) fn check_lease(
        &self,
        job: &Job,
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let held = self.lease(job.key);
        match (token, held) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(Refusal::Leased),
            (Some(_), _) if job.is_done() => Err(Refusal::LeaseEnded { state: job.state }),
            (Some(token), Some(held)) if held.token == token && held.until > now => Ok(()),
            (Some(_), held) => Err(Refusal::LeaseLost {
                is_claimed: held.is_some_and(|held| Some(held.token) != token),
            }),
        }
    }

    /// What follows from the silence of a worker.
    pub(super) fn lease_due(&self, key: JobKey, at: Timestamp, policy: &Policy) -> Option<Entry> {
        let (job, lease) = (self.get(key)?, self.lease(key)?);
        let (attempts, max) = (job.attempts(), job.attempts_max());
        if attempts < max {
            return Some(Entry::LeaseLost { job: key, at });
        }
        let silent = Span::new(Duration::from_millis(lease.length_ms));
        let error = Problem::new(504, Code::WORKER_LOST, "The job's worker was lost").detail(
            format!("the worker of attempt {attempts} of {max} was silent for {silent}"),
        );
        Some(Finished::failed(job, at, error, policy))
    }

    pub(super) fn claimed(
        &mut self,
        key: JobKey,
        at: Timestamp,
        (token, length_ms): (Token, u64),
        touch: &mut Touch<'_>,
    ) -> Option<Arc<Job>> {
        let mut job = Job::clone(self.get(key).filter(|job| job.is_claimable())?);
        job.state = State::Running;
        job.started_at = Some(at);
        let extra = Arc::make_mut(job.extra.get_or_insert_default());
        extra.rare.get_or_insert_default().attempts += 1;
        let change = Change::to(State::Running, at);
        let lease = Lease::new(token, at, length_ms);
        self.leases.put(job.owner, key, lease, touch);
        Some(self.change(job, change, touch))
    }

    /// Counts the length of a lease from that instant on.
    pub(super) fn renew(&mut self, key: JobKey, at: Timestamp, touch: &mut Touch<'_>) {
        if let Some((owner, lease)) = self.leases.stored(key) {
            let lease = Lease::new(lease.token, at, lease.length_ms);
            self.leases.put(owner, key, lease, touch);
        }
    }

    /// The same for all leases: no worker could renew one meanwhile.
    pub(super) fn renew_all(&mut self, at: Timestamp, touch: &mut Touch<'_>) {
        let keys: Vec<JobKey> = self.leases.keys().collect();
        for key in keys {
            self.renew(key, at, touch);
        }
    }

    /// Makes a claimed job pending again. `counts` says whether the claim stays counted as an attempt.
    pub(super) fn unclaimed(
        &mut self,
        key: JobKey,
        at: Timestamp,
        counts: bool,
        touch: &mut Touch<'_>,
    ) -> Option<Arc<Job>> {
        self.leases.end(key, touch)?;
        let mut job = Job::clone(self.get(key)?);
        job.state = State::Pending;
        job.started_at = None;
        if !counts {
            let extra = Arc::make_mut(job.extra.get_or_insert_default());
            let attempts = &mut extra.rare.get_or_insert_default().attempts;
            *attempts = attempts.saturating_sub(1);
        }
        Some(self.change(job, Change::to(State::Pending, at), touch))
    }
}
