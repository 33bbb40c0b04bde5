//! The facts, in their stored form.
//!
//! An entry says what is so, never what was asked for: it holds everything that the clock, the seed or a caller
//! decided. Its JSON is the journal's own and differs from what goes over the wire. The golden files in
//! `tests/it/golden` hold it fast, and entries of every released version must stay readable.

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use crate::JobKey;
use crate::delivery::Fact;
use crate::jobs::{Created, Defaults, Finished, Named};

/// Few entries are longer, in bytes.
const ENTRY_BYTES: usize = 1_024;

/// Facts, in the order in which they are applied.
pub type Entries = Vec<Entry>;

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// All draws are made from this seed from now on.
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
    /// A name stands for this job from now on.
    Named(Box<Named>),
    /// Something about webhooks.
    Webhook(Box<Fact>),
}

impl From<Fact> for Entry {
    fn from(fact: Fact) -> Self {
        Self::Webhook(Box::new(fact))
    }
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
    /// The bytes are not an entry of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
