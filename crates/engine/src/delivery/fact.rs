//! What is written down about webhooks.

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use super::{Attempt, Delivery, Disabled};
use crate::{DeliveryKey, Endpoint, EndpointKey};

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
    /// A delivery that no change of a job made: a test, or an event that had happened before.
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
    /// The next deliveries of an endpoint have followed its deletion, its disabling or its replay.
    Swept {
        /// Which.
        endpoint: EndpointKey,
    },
}

impl Fact {
    /// When it came to be, if it says so.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint.updated_at),
            Self::Disabled { disabled, .. } => Some(disabled.at),
            Self::Announced(delivery) => Some(delivery.created_at),
            Self::Attempted(attempted) => Some(attempted.ended_at),
            Self::Resent { at, .. } => Some(*at),
            Self::Replayed(replayed) => Some(replayed.at),
            Self::Keyed { .. } | Self::Deleted { .. } | Self::Swept { .. } => None,
        }
    }
}

/// There was an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempted {
    /// The delivery.
    pub delivery: DeliveryKey,
    /// The attempt, and what comes of it.
    pub attempt: Attempt,
    /// When it was over, by the clock that drives the schedule.
    pub ended_at: Timestamp,
    /// How long the receiver doesn't want to be called at all, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
}

/// An endpoint's held and failed deliveries are due again, from the beginning of the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// Only those of events from then on.
    pub since: Timestamp,
    /// Whether delivered ones are sent again too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delivered: bool,
    /// When.
    pub at: Timestamp,
    /// The last delivery that was due again so far; the others follow step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<DeliveryKey>,
}
