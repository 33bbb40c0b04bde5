//! What is written down about webhooks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use crate::{DeliveryKey, Endpoint, EndpointKey};

use super::{Delivery, Disabled};

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Secrets are derived from this one from now on.
    Keyed {
        /// The server's own secret.
        secret: Secret,
    },
    /// An endpoint is this from now on.
    Endpoint(Box<Endpoint>),
    /// An endpoint is no longer called.
    Disabled {
        /// Which.
        endpoint: EndpointKey,
        /// Since when and why.
        disabled: Disabled,
    },
    /// An endpoint was deleted, its deliveries with it.
    Deleted {
        /// Which.
        endpoint: EndpointKey,
    },
    /// There is a delivery that no change of a job has made: a test, or an event that had happened before.
    Announced(Box<Delivery>),
    /// There was an attempt.
    Attempted(Box<Attempted>),
    /// A delivery is due again, from the beginning of the schedule.
    Resent {
        /// Which.
        delivery: DeliveryKey,
        /// When.
        at: Timestamp,
    },
    /// Several are.
    Replayed(Box<Replayed>),
}

/// There was an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempted {
    /// To deliver what.
    pub delivery: DeliveryKey,
    /// Which attempt, counted from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// When it was over, by the clock that drives the schedule.
    pub ended_at: Timestamp,
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
    /// Whether the body was longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// For how long the receiver doesn't want to be called at all, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
    /// What comes of it.
    pub next: Next,
}

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// It was taken.
    Delivered,
    /// It will be tried again.
    RetryAt(Timestamp),
    /// It won't be.
    GaveUp,
}

/// Deliveries of an endpoint are due again, from the beginning of the schedule: those that were held or given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// Of which endpoint.
    pub endpoint: EndpointKey,
    /// Those of events from then on.
    pub since: Timestamp,
    /// Whether those that were taken are sent again too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delivered: bool,
    /// When.
    pub at: Timestamp,
}
