//! The record of one endpoint.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use super::events::Events;
use super::fact::Replayed;
use crate::{EndpointKey, JobKey, Owner};

/// What an endpoint takes beside its texts, in bytes: its record, its secrets, its lane, and what it is found by.
pub const ENDPOINT_BYTES: usize = 1_024;

/// A URL that is told of jobs by requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub key: EndpointKey,
    /// Whose it is.
    pub owner: Owner,
    /// The URL that deliveries are posted to.
    pub url: Arc<str>,
    /// The events that it is told of.
    pub events: Events,
    /// The jobs that it is told of.
    pub scope: Scope,
    /// The form in which it is told; the native event if `None`. A word of the edge's, which the engine hands back with
    /// each [`Send`](super::Send) and doesn't look into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendering: Option<Arc<str>>,
    /// How the kinds of the jobs begin that it is told of; all of them if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Arc<str>>,
    /// Whether a job's next event waits until the one before is delivered or given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// What its owner noted on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Arc<str>>,
    /// The secret that signs deliveries; they are unsigned if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The secret before it, which signs too for a while after a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<OldSecret>,
    /// How often the secret has been replaced.
    #[serde(default)]
    pub rotations: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
    /// Since when and why it isn't called; it is if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// Since when every attempt has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When the last of these failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// How many deliveries were dropped unsent because too many waited.
    #[serde(default)]
    pub dropped: u64,
    /// Whether the job that brought it along is gone, so that it goes with its last delivery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_orphan: bool,
    /// The replay that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaying: Option<Box<Replayed>>,
}

/// A secret that has been replaced and still signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The secret.
    pub secret: Secret,
    /// When it ends.
    pub until: Timestamp,
}

/// That an endpoint isn't called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Why an endpoint isn't called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its owner said so.
    Owner,
    /// It answered `410 Gone`.
    Gone,
    /// Every attempt had failed for days.
    Failing,
}

impl Reason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// The jobs that an endpoint is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All jobs of its owner.
    Owner,
    /// One job, which brought it along.
    Job(JobKey),
    /// The jobs of a [name](crate::jobs::named).
    Named(Arc<str>),
}

impl Endpoint {
    /// An endpoint that is told of the ends of jobs in the native form, unsigned and in no order.
    #[must_use]
    pub const fn new(
        key: EndpointKey,
        owner: Owner,
        url: Arc<str>,
        scope: Scope,
        at: Timestamp,
    ) -> Self {
        Self {
            key,
            owner,
            url,
            events: Events::ENDS,
            scope,
            rendering: None,
            kinds: None,
            ordered: false,
            description: None,
            secret: None,
            old_secret: None,
            rotations: 0,
            created_at: at,
            updated_at: at,
            disabled: None,
            failing_since: None,
            failed_at: None,
            dropped: 0,
            is_orphan: false,
            replaying: None,
        }
    }

    /// The secrets that sign at that time, the newest first.
    pub fn secrets(&self, at: Timestamp) -> impl Iterator<Item = &Secret> {
        let old = self.old_secret.as_ref().filter(|old| old.until > at);
        self.secret.iter().chain(old.map(|old| &old.secret))
    }

    /// What its record takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&self.rendering, &self.description].into_iter().flatten();
        let texts = texts.map(|text| text.len()).sum::<usize>();
        ENDPOINT_BYTES + self.url.len() + texts
    }

    /// Whether it is called.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.disabled.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_signs_until_its_time_is_over() {
        let at = Timestamp::from_millis;
        let (key, url) = (EndpointKey::from_u128(1), "http://a.example/".into());
        let mut endpoint = Endpoint {
            secret: Some(Secret::generate([2; 32])),
            ..Endpoint::new(key, Owner::ANYONE, url, Scope::Owner, at(0))
        };
        assert_eq!(endpoint.secrets(at(5)).count(), 1);
        endpoint.old_secret = Some(OldSecret {
            secret: Secret::generate([1; 32]),
            until: at(10),
        });
        let signing = |millis| endpoint.secrets(at(millis)).cloned().collect::<Vec<_>>();
        assert_eq!(signing(9), [[2; 32], [1; 32]].map(Secret::generate));
        assert_eq!(signing(10), [Secret::generate([2; 32])]);
    }
}
