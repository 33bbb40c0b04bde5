//! Creates that haven't been answered yet.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abide_wire::Timestamp;
use foldhash::fast::FixedState;

use super::{AnsweredCreate, Attendance, Client};
use crate::clock::Clock;

/// A create that is being carried out. If it is dropped without an answer its client has gone, and the answer counts as
/// lost.
#[derive(Debug)]
pub struct PendingCreate {
    attendance: Arc<Attendance>,
    clock: Clock,
    client: Client,
    body: BodyDigest,
    has_key: bool,
    is_answered: bool,
}

/// Where a handler notes, once it has made a job, the digest of the create's body. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct BodyDigest(Arc<AtomicU64>);

impl BodyDigest {
    /// A digest by which a repeated body is recognized in this process; never 0.
    #[must_use]
    pub fn digest(body: &[u8]) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(body);
        hasher.finish().max(1)
    }

    /// Notes that the job of a body with that digest has been made.
    pub fn note(&self, digest: u64) {
        self.0.store(digest, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|digest| *digest != 0)
    }
}

impl PendingCreate {
    /// A create by that client; `has_key` says whether it has an idempotency key.
    #[must_use]
    pub fn new(attendance: Arc<Attendance>, clock: Clock, client: Client, has_key: bool) -> Self {
        Self {
            attendance,
            clock,
            client,
            body: BodyDigest::default(),
            has_key,
            is_answered: false,
        }
    }

    /// Where the handler notes that it has made the job.
    #[must_use]
    pub fn body(&self) -> BodyDigest {
        self.body.clone()
    }

    /// Counts the answer; `false` if the create made no job and so counts as another request. `is_lost` says that the
    /// answer won't reach the client whole.
    pub fn answered(mut self, is_replay: bool, is_lost: bool, at: Timestamp) -> bool {
        self.is_answered = true;
        self.count(is_replay, is_lost, at)
    }

    fn count(&self, is_replay: bool, is_lost: bool, at: Timestamp) -> bool {
        let Some(body) = self.body.get() else {
            return false;
        };
        let created = AnsweredCreate {
            at,
            body,
            has_key: self.has_key,
            is_replay,
            is_lost,
        };
        self.attendance.created(self.client, created);
        true
    }
}

impl Drop for PendingCreate {
    fn drop(&mut self) {
        if !self.is_answered {
            self.count(false, true, self.clock.now());
        }
    }
}
