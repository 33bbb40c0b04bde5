//! What streams and webhooks tell.

use std::fmt;

use crate::{Job, Json, Timestamp};
use serde::{Deserialize, Serialize};

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum EventKind {
    /// It was accepted.
    Created,
    /// Work began.
    Started,
    /// It came further.
    Progress,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was canceled.
    Canceled,
    /// Something this version has no name for.
    Other(String),
}

impl EventKind {
    /// Every kind that our server sends.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::Started,
        Self::Progress,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "job.created",
            Self::Started => "job.started",
            Self::Progress => "job.progress",
            Self::Completed => "job.completed",
            Self::Failed => "job.failed",
            Self::Canceled => "job.canceled",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for EventKind {
    fn from(word: String) -> Self {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .unwrap_or(Self::Other(word))
    }
}

impl From<EventKind> for String {
    fn from(kind: EventKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of a webhook, as Standard Webhooks has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "J: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event<J = Json> {
    /// What happened.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: EventKind,
    /// When it happened, not when it was sent.
    pub timestamp: Timestamp,
    /// The job as it was then.
    #[cfg_attr(feature = "openapi", schema(value_type = Job))]
    pub data: Job<J>,
}
