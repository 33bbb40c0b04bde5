//! Creates that haven't been answered yet.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abide_engine::JobKey;
use foldhash::fast::FixedState;

use super::{AnsweredCreate, Attendance, Client};
use crate::clock::Clock;

/// A create that has made its job, or found the one that was made under its idempotency key. It goes along with the
/// answer; if it is dropped without having been [answered](Self::answered), the client has gone, and the answer counts
/// as lost.
///
/// Clones are the same create, and it is counted when the last is dropped.
#[derive(Clone, Debug)]
pub struct PendingCreate(Arc<Pending>);

#[derive(Debug)]
struct Pending {
    attendance: Arc<Attendance>,
    clock: Clock,
    client: Client,
    job: JobKey,
    body: u64,
    has_key: bool,
    is_replay: bool,
    is_lost: AtomicBool,
}

/// A digest by which a repeated body is recognized in this process; never 0.
#[must_use]
pub fn body_digest(body: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(body);
    hasher.finish().max(1)
}

impl PendingCreate {
    /// A create of that job by that client. `body` is the [digest](body_digest) of its body, `has_key` says whether it
    /// has an idempotency key, and `is_replay` whether the job had been made before under that key.
    #[must_use]
    pub fn new(
        attendance: Arc<Attendance>,
        clock: Clock,
        client: Client,
        job: JobKey,
        body: u64,
        has_key: bool,
        is_replay: bool,
    ) -> Self {
        Self(Arc::new(Pending {
            attendance,
            clock,
            client,
            job,
            body,
            has_key,
            is_replay,
            is_lost: AtomicBool::new(true),
        }))
    }

    /// The job that it made or found.
    #[must_use]
    pub fn job(&self) -> JobKey {
        self.0.job
    }

    /// Whether it found a job that was made before, and so made none.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.0.is_replay
    }

    /// Its answer reaches the client whole.
    pub fn answered(&self) {
        self.0.is_lost.store(false, Ordering::Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let answered = AnsweredCreate {
            at: self.clock.now(),
            job: self.job,
            body: self.body,
            has_key: self.has_key,
            is_replay: self.is_replay,
            is_lost: *self.is_lost.get_mut(),
        };
        self.attendance.created(self.client, answered);
    }
}
