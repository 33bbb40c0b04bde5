//! Commands: what a caller asks of the state, and what it is answered.
//!
//! A [`Command`] is decided into entries without changing anything. The driver makes these durable, and the caller is
//! told the [`Answer`] as of the moment they were applied. Each command is a type of its own that names its answer's
//! type, so a create can't be answered with an endpoint.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use abide_wire::{Revision, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::any::AnyCommand;
use crate::effect::Effect;
use crate::engine::Engine;
use crate::entry::Entries;
use crate::{Delivery, DeliveryKey, Endpoint, EndpointKey, Job, JobKey, State};

/// A request to change the state.
pub trait Command: fmt::Debug + Clone + Into<AnyCommand> + Send + 'static {
    /// What the caller is told once the entries are durable.
    type Answer: Answer;

    /// Turns the command into entries and names its answer. Changes nothing.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] says why; then there are no entries.
    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self>;
}

/// What names the answer of a command, or why it is refused.
pub type Decided<C> = Result<<<C as Command>::Answer as Answer>::Key, Refusal>;

/// What a command can be answered with, read from the state after its entries were applied.
pub trait Answer: fmt::Debug + Sized + Send + 'static {
    /// What the decision knows of it. It can be told to another process, which reads the answer from its own state.
    type Key: Serialize + DeserializeOwned;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it isn't there.
    fn read(engine: &Engine, key: Self::Key) -> Result<Self, Refusal>;
}

/// A job that a create made, or had made before under the same idempotency key.
#[derive(Clone, Debug)]
pub struct Created {
    /// The job as it is now.
    pub job: Arc<Job>,
    /// Whether it had been made before.
    pub replayed: bool,
}

/// Why a command was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The job is unknown, or another owner's, also if its record has been removed.
    #[error("there is no such job")]
    NotFound,
    /// Its record has been removed.
    #[error("the job's record has been removed")]
    Gone,
    /// It has ended, and an ended job never changes.
    #[error("the job is done and can't change")]
    Done,
    /// It hasn't ended, and only the record of an ended job can be removed.
    #[error("the job is not done; cancel it first")]
    NotDone,
    /// The simulator works on it.
    #[error(
        "the simulator works on this job; create it with `\"worker\": \"external\"` to report on it"
    )]
    NotExternal,
    /// A worker holds a lease on it, and the report names none.
    #[error(
        "a worker has claimed this job; report with its lease in `Lease-Token`, or cancel the job"
    )]
    Leased,
    /// The lease isn't the job's any more.
    #[error("{}", lost(*is_claimed))]
    LeaseLost {
        /// Whether another worker has the job.
        is_claimed: bool,
    },
    /// The job of the lease has ended.
    #[error("{}", ended(*state))]
    LeaseEnded {
        /// How.
        state: State,
    },
    /// It has changed since the worker read it.
    #[error("the job is at revision {current}")]
    Changed {
        /// Its revision now.
        current: Revision,
    },
    /// The same idempotency key was used with another body.
    #[error("the idempotency key was used with another body for {job}")]
    IdempotencyMismatch {
        /// The job that was made under it.
        job: JobKey,
    },
    /// [`Policy::jobs_max`](crate::Policy::jobs_max) is reached, and no job is done whose place the owner may take.
    #[error(
        "the server holds {limit} jobs at most, and their owner may have no more that are not done"
    )]
    TooManyJobs {
        /// The limit.
        limit: usize,
    },
    /// A limit of stored bytes would be passed.
    #[error("there would be more than {limit} bytes stored, which is the limit `--{name}`")]
    StoredBytes {
        /// The setting that has the limit.
        name: Cow<'static, str>,
        /// The limit.
        limit: usize,
    },
    /// A member is out of its bound.
    #[error("{0}")]
    Invalid(String),
    /// The endpoint is unknown, or another owner's.
    #[error("there is no such webhook endpoint")]
    NoSuchEndpoint,
    /// The delivery is unknown, or another owner's.
    #[error("there is no such delivery")]
    NoSuchDelivery,
    /// The endpoint isn't called at the moment.
    #[error("the endpoint has been disabled since {since}; enable it first")]
    EndpointDisabled {
        /// Since when.
        since: Timestamp,
    },
    /// A replay of the endpoint's deliveries is under way.
    #[error("a replay is under way; ask for another once it is over")]
    Replaying,
    /// The owner's limit of endpoints is reached.
    #[error("there are {limit} webhook endpoints, as many as there may be")]
    TooManyEndpoints {
        /// The limit.
        limit: usize,
    },
}

/// What a worker needs to know that has lost its lease.
const fn lost(is_claimed: bool) -> &'static str {
    if is_claimed {
        "the lease is lost and another worker has the job; stop working on it"
    } else {
        "the lease is lost and the job is pending again; stop working on it, or claim it anew"
    }
}

/// What a worker needs to know whose job has ended.
const fn ended(state: State) -> &'static str {
    match state {
        State::Canceled => "the job was canceled; stop working on it",
        State::Failed => "the job has failed and can't change; stop working on it",
        State::Completed | State::Pending | State::Running => "the job is done and can't change",
    }
}

impl Engine {
    /// Decides a command, applies its entries and reads its answer, which may be told once the entries are durable.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] says why. Then nothing has changed.
    pub fn carry_out<C: Command>(
        &mut self,
        command: &C,
        now: Timestamp,
        entries: &mut Entries,
        effects: &mut Vec<Effect>,
    ) -> Result<C::Answer, Refusal> {
        let key = self.decide_and_apply(command, now, entries, effects)?;
        C::Answer::read(self, key)
    }

    /// Decides a command and applies its entries. Returns what names the answer.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] says why. Then nothing has changed.
    pub(crate) fn decide_and_apply<C: Command>(
        &mut self,
        command: &C,
        now: Timestamp,
        entries: &mut Entries,
        effects: &mut Vec<Effect>,
    ) -> Decided<C> {
        let before = entries.len();
        let key = command.decide(self, now, entries)?;
        for entry in &entries[before..] {
            self.apply(entry, effects);
        }
        Ok(key)
    }
}

impl Answer for () {
    type Key = ();

    fn read(_: &Engine, (): ()) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Answer for usize {
    type Key = Self;

    fn read(_: &Engine, count: Self) -> Result<Self, Refusal> {
        Ok(count)
    }
}

impl Answer for Arc<Job> {
    type Key = JobKey;

    fn read(engine: &Engine, key: JobKey) -> Result<Self, Refusal> {
        engine.jobs.get(key).cloned().ok_or(Refusal::NotFound)
    }
}

impl Answer for Created {
    type Key = (JobKey, bool);

    fn read(engine: &Engine, (key, replayed): (JobKey, bool)) -> Result<Self, Refusal> {
        let job = Arc::<Job>::read(engine, key)?;
        Ok(Self { job, replayed })
    }
}

impl Answer for Vec<Created> {
    type Key = Vec<(JobKey, bool)>;

    fn read(engine: &Engine, keys: Self::Key) -> Result<Self, Refusal> {
        let read = |key| Created::read(engine, key);
        keys.into_iter().map(read).collect()
    }
}

impl Answer for Arc<Endpoint> {
    type Key = EndpointKey;

    fn read(engine: &Engine, key: EndpointKey) -> Result<Self, Refusal> {
        let found = engine.deliveries.endpoint(key).cloned();
        found.ok_or(Refusal::NoSuchEndpoint)
    }
}

impl Answer for Arc<Delivery> {
    type Key = DeliveryKey;

    fn read(engine: &Engine, key: DeliveryKey) -> Result<Self, Refusal> {
        let found = engine.deliveries.get(key).cloned();
        found.ok_or(Refusal::NoSuchDelivery)
    }
}
