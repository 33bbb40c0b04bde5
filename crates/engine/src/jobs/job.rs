//! The record of one job.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::{Fault, Outcome, Problem, Stage, Status, Timestamp, WebhookTarget, Worker};

use super::plan::Planned;
use crate::intern::{Percent, Word, read_kind, read_stages};
use crate::rng::digest;
use crate::{JobKey, Json, Owner};

/// The most changes that are remembered per job. Older ones are forgotten; a stream that asks for them is told so.
pub const CHANGES_MAX: usize = 128;

/// What a job takes beside its own texts, in bytes: its record, its deadlines, and what it is found by.
pub const JOB_BYTES: usize = 768;
/// What a change takes, in bytes.
pub const CHANGE_BYTES: usize = size_of::<Change>();

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, not begun.
    Pending,
    /// At work.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Canceled.
    Canceled,
}

impl State {
    /// How the job has ended, if it has.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Pending | Self::Running => None,
            Self::Completed => Some(Outcome::Completed),
            Self::Failed => Some(Outcome::Failed),
            Self::Canceled => Some(Outcome::Canceled),
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub const fn is_done(self) -> bool {
        self.outcome().is_some()
    }
}

impl From<State> for Status {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Running => Self::Running,
            State::Completed => Self::Completed,
            State::Failed => Self::Failed,
            State::Canceled => Self::Canceled,
        }
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::Failed => Self::Failed,
            Outcome::Canceled => Self::Canceled,
        }
    }
}

/// One change of a job, as far as a reader of its past needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Where the job stood from then on.
    pub state: State,
    /// How far it had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// What was being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Word>,
}

impl Change {
    /// A change to that state, of which nothing else is known.
    #[must_use]
    pub const fn to(state: State, at: Timestamp) -> Self {
        Self {
            at,
            state,
            percent: None,
            stage: None,
        }
    }
}

/// One job.
///
/// Shared by the engine and everybody who reads; changed by [`crate::Engine::apply`] alone, which makes a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub key: JobKey,
    /// Whose it is.
    pub owner: Owner,
    /// What sort of work it is. Shared between jobs of a kind.
    #[serde(deserialize_with = "read_kind")]
    pub kind: Arc<str>,
    /// Who does the work.
    pub worker: Worker,
    /// Where it stands.
    pub state: State,
    /// How many changes it has seen.
    pub revision: u64,
    /// The last changes, the newest last; at most [`CHANGES_MAX`]. The last one is that of `revision`.
    pub changes: Box<[Change]>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When work began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When its record will be deleted, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What the simulator has decided about it; `None` if a worker of its own is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Planned>,
    /// The stages that it goes through. Shared between jobs that have the same.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_stages"
    )]
    pub stages: Option<Arc<[Stage]>>,
    /// How many of its stages have begun.
    #[serde(default)]
    pub stages_begun: u16,
    /// What few jobs have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Arc<Extra>>,
}

/// What few jobs have, kept apart so that the others stay small.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extra {
    /// What it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// What its creator noted on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// What it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<Problem>>,
    /// When it fails if it hasn't ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Where to tell of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Box<WebhookTarget>>,
    /// What fewer still have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rare: Option<Box<Rare>>,
}

/// What very few jobs have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rare {
    /// How often workers have claimed it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// How often workers may claim it before its loss fails it; once if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// The trace that its create belongs to, as `traceparent` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Extra {
    fn bytes(&self) -> usize {
        let json = [&self.input, &self.metadata, &self.result];
        let json = json.into_iter().flatten().map(|json| json.get().len());
        let error = self.error.as_deref().map_or(0, problem_bytes);
        let webhook = self.webhook.as_deref().map_or(0, webhook_bytes);
        let rare = self.rare.as_deref().map_or(0, |rare| {
            size_of::<Rare>() + rare.traceparent.as_ref().map_or(0, String::len)
        });
        size_of::<Self>() + json.sum::<usize>() + error + webhook + rare
    }
}

/// What a problem takes, in bytes.
pub(super) fn problem_bytes(problem: &Problem) -> usize {
    let texts = [&problem.detail, &problem.instance, &problem.request_id];
    let texts = texts.into_iter().flatten().map(String::len);
    let words = problem.kind.len() + problem.title.len() + problem.code.as_str().len();
    size_of::<Problem>() + words + texts.sum::<usize>()
}

fn webhook_bytes(webhook: &WebhookTarget) -> usize {
    let secret = webhook.secret.as_ref().map_or(0, |secret| secret.len());
    let events = webhook.events.iter().flatten().map(String::len);
    size_of::<WebhookTarget>() + webhook.url.len() + secret + events.sum::<usize>()
}

/// A job in a set, found by its name: the set keeps one pointer for each.
#[derive(Clone, Debug)]
pub struct ByKey(pub Arc<Job>);

impl Borrow<JobKey> for ByKey {
    fn borrow(&self) -> &JobKey {
        &self.0.key
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Job {
    /// What its record takes, in bytes: what it was given and has made, and [`JOB_BYTES`] with [`CHANGE_BYTES`] for
    /// each change.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let plan = self.plan.as_ref().map_or(0, Planned::bytes);
        let extra = self.extra.as_ref().map_or(0, |extra| extra.bytes());
        JOB_BYTES + CHANGE_BYTES * self.changes.len() + plan + extra
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.state.is_done()
    }

    /// When it last changed.
    #[must_use]
    pub fn updated_at(&self) -> Timestamp {
        self.changes.last().map_or(self.created_at, |last| last.at)
    }

    /// The oldest revision that is remembered.
    #[must_use]
    pub fn first_revision(&self) -> u64 {
        (self.revision + 1).saturating_sub(self.changes.len() as u64)
    }

    /// The change that made that revision, if it is remembered.
    #[must_use]
    pub fn change(&self, revision: u64) -> Option<&Change> {
        let at = revision.checked_sub(self.first_revision())?;
        self.changes.get(usize::try_from(at).ok()?)
    }

    /// When it fails if it hasn't ended by then.
    #[must_use]
    pub fn deadline_at(&self) -> Option<Timestamp> {
        self.extra.as_ref().and_then(|extra| extra.deadline_at)
    }

    /// The seed of its draws. A job that isn't simulated has none of its own; its key stands in.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.plan.as_ref().map_or_else(
            || digest(&[&self.key.as_u128().to_le_bytes()]),
            Planned::seed,
        )
    }

    /// What goes wrong with it, beside what goes wrong with every job.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.plan.as_ref().map_or(&[], Planned::faults)
    }

    /// The webhook that it brought along.
    #[must_use]
    pub fn webhook(&self) -> Option<&WebhookTarget> {
        self.extra
            .as_ref()
            .and_then(|extra| extra.webhook.as_deref())
    }

    /// What its creator noted on it.
    #[must_use]
    pub fn metadata(&self) -> Option<&Json> {
        self.extra
            .as_ref()
            .and_then(|extra| extra.metadata.as_ref())
    }

    /// Why it failed.
    #[must_use]
    pub fn error(&self) -> Option<&Problem> {
        self.extra.as_ref().and_then(|extra| extra.error.as_deref())
    }

    fn rare(&self) -> Option<&Rare> {
        self.extra.as_ref().and_then(|extra| extra.rare.as_deref())
    }

    /// How often workers have claimed it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.rare().map_or(0, |rare| rare.attempts)
    }

    /// How often workers may claim it before the loss of one fails it.
    #[must_use]
    pub fn attempts_max(&self) -> u32 {
        self.rare().and_then(|rare| rare.attempts_max).unwrap_or(1)
    }

    /// The trace that its create belongs to.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.rare().and_then(|rare| rare.traceparent.as_deref())
    }
}
