//! The facts, in their stored form.
//!
//! An entry says what is so, never what somebody wished: it holds everything that clock, luck or a caller decided.
//! Its JSON is the journal's own and differs from what goes over the wire; the golden files in `tests/it/golden` hold it fast, and
//! entries of every released version must stay readable.

use serde::{Deserialize, Serialize};

use abide_wire::{Outcome, Problem, Simulate, Timestamp, WebhookTarget, Worker};

use crate::model::{Defaults, Plan};
use crate::{JobKey, Json, Owner};

/// Few entries are longer, in bytes.
const ENTRY_BYTES: usize = 1_024;

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// All luck is drawn from this seed from now on.
    Seeded {
        /// The seed.
        seed: u64,
    },
    /// A job was accepted.
    Created(Box<Created>),
    /// Work began.
    Started {
        /// On which job.
        job: JobKey,
        /// When.
        at: Timestamp,
    },
    /// A job came further.
    Progressed {
        /// Which.
        job: JobKey,
        /// When.
        at: Timestamp,
        /// How far, in percent.
        percent: f32,
        /// What is being done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
    },
    /// A job ended.
    Finished(Box<Finished>),
    /// A job's record was removed, because its owner asked or because it was old.
    Removed {
        /// Which.
        job: JobKey,
    },
    /// An idempotency key is no longer remembered.
    Forgotten {
        /// Its digest.
        key: u64,
    },
    /// The simulator's defaults are these from now on.
    Settings(Box<Defaults>),
    /// The manual clock shows this.
    Clock {
        /// What it shows.
        at: Timestamp,
    },
    /// The job of the routes that name none is this one.
    DefaultJob(Box<DefaultJobSet>),
    /// Something about webhooks.
    Webhook(Box<crate::delivery::Fact>),
}

impl From<crate::delivery::Fact> for Entry {
    fn from(fact: crate::delivery::Fact) -> Self {
        Self::Webhook(Box::new(fact))
    }
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
    /// When it fails if it hasn't ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Where to tell of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookTarget>,
    /// Under which idempotency key it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// The digest of what was said, where luck is drawn by how often that was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<u64>,
}

/// An idempotency key, and what it was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The digest of owner and key.
    pub key: u64,
    /// The digest of what was asked for under it.
    pub asked: u64,
    /// Until when it is remembered.
    pub until: Timestamp,
}

/// A job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Which.
    pub job: JobKey,
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// When its record will be removed.
    pub expires_at: Timestamp,
}

/// The job of the routes that name none is this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefaultJobSet {
    /// Which.
    pub job: JobKey,
    /// How it, and those after it, are played.
    pub simulate: Simulate,
    /// How long after its end it starts again as a new job, in milliseconds; never where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_ms: Option<u64>,
}

impl Entry {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_BYTES);
        serde_json::to_writer(&mut bytes, self)
            .expect("an entry has no map with keys that are not text");
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// Where the bytes are not an entry of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
