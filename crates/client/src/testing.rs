//! Jobs for unit tests.

use abide_wire::{Job, JobId, Links, Outcome, Revision, Status, Timestamp};

/// A pending job with that id, to be changed and built.
pub(crate) fn job(id: &str) -> Builder {
    Builder(Job {
        id: JobId::new(id),
        kind: "video_translation".to_owned(),
        status: Status::Pending,
        done: false,
        outcome: None,
        revision: Revision(1),
        progress: None,
        input: None,
        result: None,
        error: None,
        metadata: None,
        created_at: Timestamp::default(),
        started_at: None,
        updated_at: Timestamp::default(),
        finished_at: None,
        expires_at: None,
        remaining_ms: None,
        attempts: None,
        lease: None,
        links: Links::of(id),
    })
}

pub(crate) struct Builder(Job);

impl Builder {
    pub(crate) fn revision(mut self, revision: u64) -> Self {
        self.0.revision = Revision(revision);
        self
    }

    pub(crate) fn completed(mut self) -> Self {
        self.0.status = Status::Completed;
        self.0.done = true;
        self.0.outcome = Some(Outcome::Completed);
        self.0.finished_at = Some(self.0.updated_at);
        self
    }

    pub(crate) fn build(self) -> Job {
        self.0
    }
}
