//! One delivery and its attempts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::{Event, EventKind, Timestamp};

use crate::jobs::{Change, Job};
use crate::{DeliveryKey, EndpointKey, JobKey};

/// The most attempts that are remembered per delivery, the last ones. Retries by hand can make more.
pub const ATTEMPTS_MAX: usize = 20;

/// What a delivery takes beside its texts and attempts, in bytes: its record, its deadline, and what it is found by.
pub const DELIVERY_BYTES: usize = 768;

/// One event, for one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name, the `webhook-id` of every attempt.
    pub key: DeliveryKey,
    /// To whom.
    pub endpoint: EndpointKey,
    /// The job; `None` for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobKey>,
    /// The job's revision.
    #[serde(default)]
    pub revision: u64,
    /// What happened, such as `job.completed`.
    pub event: Arc<str>,
    /// The native event, where it isn't a job's: a test. An older program wrote down all events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Arc<str>>,
    /// The change of the job that is told. With the job's record it makes the event, the same at every attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where it stands.
    pub standing: Standing,
    /// How many steps of the schedule it has used up.
    #[serde(default)]
    pub steps: u32,
    /// How many attempts there have been.
    #[serde(default)]
    pub made: u32,
    /// The last of them, the newest last; at most [`ATTEMPTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What the simulator does to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Arc<str>>,
    /// How many copies each attempt sends.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub copies: u32,
}

impl Delivery {
    /// A delivery that is due when its event happens.
    #[must_use]
    pub const fn new(
        key: DeliveryKey,
        endpoint: EndpointKey,
        event: Arc<str>,
        at: Timestamp,
    ) -> Self {
        Self {
            key,
            endpoint,
            job: None,
            revision: 0,
            event,
            body: None,
            change: None,
            created_at: at,
            standing: Standing::Pending { due_at: at },
            steps: 0,
            made: 0,
            attempts: Vec::new(),
            fault: None,
            copies: 1,
        }
    }
}

impl Delivery {
    /// The native event; `None` if it is a job's, and the record of that isn't given or its change is no longer known.
    ///
    /// # Panics
    ///
    /// Never: a job has no map with keys that are not text.
    #[must_use]
    pub fn event(&self, job: Option<&Job>) -> Option<Arc<str>> {
        if self.body.is_some() {
            return self.body.clone();
        }
        // The job may have changed further.
        let change = self.change.as_ref()?;
        let event = Event {
            kind: EventKind::from(self.event.as_ref().to_owned()),
            timestamp: change.at,
            data: job?.seen_at(self.revision, Some(change), None),
        };
        let text = serde_json::to_string(&event);
        Some(
            text.expect("a job has no map with keys that are not text")
                .into(),
        )
    }

    /// What its record takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let attempts = self.attempts.iter().map(Attempt::bytes);
        let body = self.body.as_ref().map_or(0, |body| body.len());
        DELIVERY_BYTES + body + attempts.sum::<usize>()
    }

    /// The job whose record is needed to send it again. One that was delivered needs none.
    pub(super) fn needs(&self) -> Option<JobKey> {
        let is_needed = self.body.is_none() && !matches!(self.standing, Standing::Delivered { .. });
        self.job.filter(|_| is_needed)
    }
}

impl Attempt {
    fn bytes(&self) -> usize {
        let texts = [&self.error, &self.answer].into_iter().flatten();
        size_of::<Self>() + texts.map(|text| text.len()).sum::<usize>()
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_one(copies: &u32) -> bool {
    *copies == 1
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It will be attempted.
    Pending {
        /// When, or as soon after as the receiver's lane is free.
        due_at: Timestamp,
    },
    /// It waits until the job's event before it has been taken or given up.
    Queued,
    /// Its endpoint is disabled; it waits for a replay.
    Held {
        /// Since when.
        since: Timestamp,
    },
    /// It was taken.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// It was given up.
    Failed {
        /// When.
        at: Timestamp,
    },
}

impl Standing {
    /// Whether nothing more will happen to it by itself.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::Failed { .. })
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Queued => "queued",
            Self::Held { .. } => "held",
            Self::Delivered { .. } => "delivered",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which attempt, counted from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds of real time.
    pub took_ms: u64,
    /// What the receiver answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Arc<str>>,
    /// The beginning of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Arc<str>>,
    /// Whether the body was longer, or is no longer kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// What comes of it.
    pub next: Next,
}

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The delivery is delivered.
    Delivered,
    /// The next attempt is made then.
    RetryAt(Timestamp),
    /// The schedule is at its end, or the receiver is gone.
    GaveUp,
}

impl Next {
    /// When the next attempt is planned.
    #[must_use]
    pub const fn retry_at(self) -> Option<Timestamp> {
        match self {
            Self::RetryAt(at) => Some(at),
            Self::Delivered | Self::GaveUp => None,
        }
    }
}
