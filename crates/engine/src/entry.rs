//! The facts, in their stored form.
//!
//! An entry says what is so, never what was asked for: it holds everything that the clock, the seed or a caller
//! decided. Its JSON is the journal's own and differs from what goes over the wire. The golden files in
//! `tests/it/golden` hold it fast, and entries of every released version must stay readable.
//!
//! # Levels
//!
//! A new form of an entry or a part raises [`LEVEL`]. [`Entry::Level`] stands before the first entry of a level, so
//! that a program that is too old says which one it lacks. What a form means to [`Engine::apply`](crate::Engine::apply)
//! never changes: a changed meaning is a new form. What older programs read past, as the owner in the part `removed`,
//! is no new form.
//!
//! | level | forms that came with it |
//! |---|---|
//! | 1 | all that aren't named below |
//! | 2 | [`Entry::Level`], [`Entry::Policy`], [`Entry::Configured`], [`Entry::Reset`], [`Fact::Swept`], a delivery without its event; the parts `_meta`, `policy` and `kept` |
//! | 3 | the member `request` of an idempotency key, in place of `asked`; [`Entry::Claimed`], [`Entry::Renewed`], [`Entry::LeaseLost`], [`Entry::Released`], [`Entry::Resumed`], `attempts_max` and `traceparent` of a create; the part `lease`, `rare` of a job |

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use crate::JobKey;
use crate::Policy;
use crate::delivery::Fact;
use crate::jobs::{Created, Defaults, Finished, Named, Token};

/// Few entries are longer, in bytes.
const ENTRY_BYTES: usize = 1_024;

/// The newest level of forms that this program reads and writes.
pub const LEVEL: u32 = 3;

/// The oldest level of forms that this program reads.
pub const LEVEL_READ_FROM: u32 = 1;

/// The oldest level that this program can write. While servers of two versions share a log, the newer ones write forms
/// of the level that the older ones read; so a release writes at least those of the release before.
pub const LEVEL_WRITTEN_FROM: u32 = 3;

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
        /// The job.
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
    /// A worker took a pending job, and work began. A report of progress renews its lease, and the job's end ends it.
    Claimed {
        /// Which job.
        job: JobKey,
        /// When.
        at: Timestamp,
        /// What names the lease.
        token: Token,
        /// How long the worker may be silent.
        lease_ms: u64,
    },
    /// A worker renewed its lease and said nothing else.
    Renewed {
        /// The job.
        job: JobKey,
        /// When.
        at: Timestamp,
    },
    /// A worker was silent for too long, and its job is pending again.
    LeaseLost {
        /// Which job.
        job: JobKey,
        /// When.
        at: Timestamp,
    },
    /// A worker gave a job back, which is pending again as if it had not been claimed.
    Released {
        /// Which job.
        job: JobKey,
        /// When.
        at: Timestamp,
    },
    /// The server can take reports again after a time in which it could not: every lease counts anew from here.
    Resumed {
        /// When.
        at: Timestamp,
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
    /// Entries and parts of this level may follow.
    Level {
        /// The level.
        level: u32,
    },
    /// The server allows this from now on.
    Policy(Box<Policy>),
    /// The settings before this are those of a configuration.
    Configured {
        /// Its digest.
        digest: u64,
    },
    /// All jobs, endpoints and deliveries are gone, what was learned of durations too, and the simulator's defaults are
    /// those of a fresh server. Its seed, the clock and the secret of webhooks stay.
    Reset,
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
        self.encode_to(&mut bytes);
        bytes
    }

    /// Appends the stored form.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        serde_json::to_writer(bytes, self)
            .expect("an entry has no map with keys that are not text");
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// The bytes are not an entry of this version, or the entries after it are of a newer [`LEVEL`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match serde_json::from_slice(bytes)? {
            Self::Level { level } if level > LEVEL => Err(DecodeError::Level { needs: level }),
            entry => Ok(entry),
        }
    }

    /// When it came to be, if it says so.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Created(created) => Some(created.at),
            Self::Started { at, .. }
            | Self::Progressed { at, .. }
            | Self::Claimed { at, .. }
            | Self::Renewed { at, .. }
            | Self::LeaseLost { at, .. }
            | Self::Released { at, .. }
            | Self::Resumed { at }
            | Self::Clock { at } => Some(*at),
            Self::Finished(finished) => Some(finished.at),
            Self::Webhook(fact) => fact.at(),
            Self::Seeded { .. }
            | Self::Removed { .. }
            | Self::Forgotten { .. }
            | Self::Settings(_)
            | Self::Named(_)
            | Self::Reset
            | Self::Level { .. }
            | Self::Policy(_)
            | Self::Configured { .. } => None,
        }
    }
}

/// Why the stored form of an entry can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A newer program wrote it.
    #[error("what follows needs level {needs}, and this program reads levels up to {LEVEL}")]
    Level {
        /// The level that it needs.
        needs: u32,
    },
    /// The bytes are no entry.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
