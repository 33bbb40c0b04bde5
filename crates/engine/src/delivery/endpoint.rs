//! Who is told, of what, in which words.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use abide_wire::webhook::Secret;
use abide_wire::{EventKind, Timestamp};

use crate::{EndpointKey, JobKey, Owner};

/// Somebody who is told of jobs by a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub key: EndpointKey,
    /// Whose it is.
    pub owner: Owner,
    /// Where to post.
    pub url: Arc<str>,
    /// Of which events.
    pub events: Events,
    /// Of whose.
    pub scope: Scope,
    /// In which words.
    pub dialect: Dialect,
    /// Whether a job's next event waits until the one before has been taken or given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// What its owner noted on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Arc<str>>,
    /// What deliveries are signed with; `None` in the dialects that know no signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// What they are signed with beside, for a while after a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<OldSecret>,
    /// How often the secret has been replaced.
    #[serde(default)]
    pub rotations: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
    /// Why it isn't called, where it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// Since when every attempt has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When the last of these failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// How many deliveries were given away unsent because too many waited.
    #[serde(default)]
    pub dropped: u64,
    /// Whether the job that brought it along is gone, so that it goes with its last delivery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_orphan: bool,
}

/// A secret that has been replaced and still signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The secret.
    pub secret: Secret,
    /// Until when.
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

/// Of whose events an endpoint is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of all jobs of its owner.
    Owner,
    /// Of one job, which brought it along.
    Job(JobKey),
    /// Of the job of the routes that name none.
    DefaultJob,
}

/// In which words an endpoint is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Standard Webhooks: `{type, timestamp, data}`, signed.
    Standard,
    /// `{"result": "completed" | "error", "timestamp": <milliseconds>}`.
    Result,
    /// `{"status": "completed" | "error"}`, and nothing that isn't a string.
    Status,
}

impl Dialect {
    /// How many there are.
    pub const COUNT: usize = 3;
}

impl Endpoint {
    /// The secrets that sign at that time, the newest first.
    pub fn secrets(&self, at: Timestamp) -> impl Iterator<Item = &Secret> {
        let old = self.old_secret.as_ref().filter(|old| old.until > at);
        self.secret.iter().chain(old.map(|old| &old.secret))
    }

    /// Whether it is called.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.disabled.is_none()
    }
}

/// A set of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// Those that end a job.
    pub const ENDS: Self = Self(0b11_1000);
    /// All that there are.
    pub const ALL: Self = Self(0b11_1111);

    /// The set that these words name: events such as `job.completed`, or `job.*` and `*` for all of them.
    ///
    /// # Errors
    ///
    /// The word that names none, or that there is none.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, String> {
        let mut set = 0;
        for word in words {
            let word = word.as_ref();
            if matches!(word, "*" | "job.*") {
                set = Self::ALL.0;
            } else {
                let place = EventKind::ALL.iter().position(|kind| kind.as_str() == word);
                let place = place.ok_or_else(|| {
                    let known: Vec<&str> = EventKind::ALL.iter().map(EventKind::as_str).collect();
                    format!(
                        "`events` has {word:?}, which is none of {} and `job.*`",
                        known.join(", ")
                    )
                })?;
                set |= 1 << place;
            }
        }
        if set == 0 {
            return Err("`events` must name at least one event".to_owned());
        }
        Ok(Self(set))
    }

    /// Whether it has that event.
    #[must_use]
    pub fn has(self, kind: &EventKind) -> bool {
        EventKind::ALL
            .iter()
            .position(|known| known == kind)
            .is_some_and(|place| self.0 & (1 << place) != 0)
    }

    /// The words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        const WORDS: [&str; 6] = [
            "job.created",
            "job.started",
            "job.progress",
            "job.completed",
            "job.failed",
            "job.canceled",
        ];
        WORDS
            .into_iter()
            .enumerate()
            .filter(move |(place, _)| self.0 & (1 << place) != 0)
            .map(|(_, word)| word)
    }
}

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Self::parse(&words).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_words_and_written_as_words() {
        let words = |set: Events| set.words().collect::<Vec<_>>().join(" ");
        assert_eq!(words(Events::ENDS), "job.completed job.failed job.canceled");
        assert_eq!(Events::parse(&["job.*"]), Ok(Events::ALL));
        let two = Events::parse(&["job.failed", "job.started"]).unwrap();
        assert_eq!(words(two), "job.started job.failed");
        assert!(two.has(&EventKind::Failed) && !two.has(&EventKind::Completed));
        assert!(Events::parse(&["job.exploded"]).is_err());
        assert!(Events::parse::<&str>(&[]).is_err());
        let known: Vec<&str> = EventKind::ALL.iter().map(EventKind::as_str).collect();
        assert_eq!(Events::ALL.words().collect::<Vec<_>>(), known);
    }

    #[test]
    fn an_old_secret_signs_until_its_time_is_over() {
        let at = Timestamp::from_millis;
        let mut endpoint = Endpoint {
            key: EndpointKey::from_u128(1),
            owner: Owner::ANYONE,
            url: "http://a.example/".into(),
            events: Events::ENDS,
            scope: Scope::Owner,
            dialect: Dialect::Standard,
            ordered: false,
            description: None,
            secret: Some(Secret::generate([2; 32])),
            old_secret: None,
            rotations: 1,
            created_at: at(0),
            updated_at: at(0),
            disabled: None,
            failing_since: None,
            failed_at: None,
            dropped: 0,
            is_orphan: false,
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
