//! The bytes of a delivery, per dialect.

use std::sync::Arc;

use serde_json::json;

use abide_wire::{Event, EventKind, Outcome, Timestamp};

use super::Dialect;
use crate::EndpointKey;
use crate::job::{Job, State};

/// What a test delivery's `type` says.
pub const TEST_EVENT: &str = "webhook.test";

/// What the last change of a job was.
#[must_use]
pub fn event_of(job: &Job) -> EventKind {
    let mut states = job.changes.iter().rev().map(|change| change.state);
    match (states.next().unwrap_or(job.state), states.next()) {
        (State::Completed, _) => EventKind::Completed,
        (State::Failed, _) => EventKind::Failed,
        (State::Canceled, _) => EventKind::Canceled,
        (State::Pending, _) => EventKind::Created,
        (State::Running, Some(State::Running)) => EventKind::Progress,
        (State::Running, _) => EventKind::Started,
    }
}

/// What is posted of the last change of a job, in that dialect; `None` where the dialect has no words for it.
#[must_use]
pub fn body_of(job: &Job, kind: &EventKind, dialect: Dialect) -> Option<Arc<str>> {
    let at = job.updated_at();
    let body = match dialect {
        Dialect::Standard => serde_json::to_string(&Event {
            kind: kind.clone(),
            timestamp: at,
            data: job.to_wire(None),
        })
        .expect("a job has no map with keys that are not text"),
        Dialect::Result => {
            json!({"result": word_of(job)?, "timestamp": at.as_millis()}).to_string()
        }
        Dialect::Status => json!({"status": word_of(job)?}).to_string(),
    };
    Some(body.into())
}

/// What is posted as a test, in that dialect.
#[must_use]
pub fn test_body(endpoint: EndpointKey, at: Timestamp, dialect: Dialect) -> Arc<str> {
    let body = match dialect {
        Dialect::Standard => json!({
            "type": TEST_EVENT,
            "timestamp": at,
            "data": {"endpoint": endpoint},
        }),
        Dialect::Result => json!({"result": "completed", "timestamp": at.as_millis()}),
        Dialect::Status => json!({"status": "completed"}),
    };
    body.to_string().into()
}

/// The classic dialects know two ends.
fn word_of(job: &Job) -> Option<&'static str> {
    match job.state.outcome()? {
        Outcome::Completed => Some("completed"),
        Outcome::Failed | Outcome::Canceled => Some("error"),
    }
}
