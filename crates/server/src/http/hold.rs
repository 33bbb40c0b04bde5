//! Holding a request until there is news.
//!
//! The order is what makes it safe: room is taken, the waiter is registered, and only then is the job looked at; see
//! [`crate::board`]. A hold ends by news, by its time, by the server going down or by the client going away,
//! whichever is first, and the answer is always the job as it is at that moment.

use std::sync::Arc;
use std::time::Duration;

use abide_engine::Job;
use abide_wire::Until;
use abide_wire::limits::{HOLD_EXACT_MAX, HOLD_SPREAD};

use super::access::Caller;
use super::error::ApiError;
use super::find::find;
use super::limits::{Full, Held};
use super::state::AppState;
use crate::attendance::Read;
use crate::board::{Channel, Watcher};

/// Permission to hold one request. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    channel: Channel,
    length: Duration,
    _held: Held,
}

impl Hold {
    /// Takes room for one more held request of that caller. `wanted` is cut to what the server holds at most.
    ///
    /// # Errors
    ///
    /// As many are held as may be.
    pub(super) fn grant(
        state: &AppState,
        caller: &Caller,
        channel: Channel,
        wanted: Duration,
    ) -> Result<Self, ApiError> {
        let held = state
            .waits
            .hold(caller.client)
            .map_err(|full| refusal(state, full, "held requests"))?;
        Ok(Self {
            channel,
            length: wanted.min(state.config.hold_max.get()),
            _held: held,
        })
    }

    /// How long it is.
    pub(super) const fn length(&self) -> Duration {
        self.length
    }

    /// The hold plus its jitter, so that long requests that began together don't end together.
    pub(super) fn stretched(&self, state: &AppState) -> Duration {
        if self.length <= HOLD_EXACT_MAX {
            return self.length;
        }
        self.length + self.length.mul_f64(state.spread() * HOLD_SPREAD)
    }

    pub(super) fn watcher(&self, state: &AppState, caller: &Caller) -> Watcher {
        Watcher {
            channel: self.channel,
            since: state.clock.now(),
            address: caller.address,
        }
    }

    /// Notes how long after the end of that job a request that was held for it is answered.
    pub(super) fn note_wake(&self, state: &AppState, job: &Job) {
        if let Some(finished_at) = job.finished_at {
            let after = state.clock.now().since(finished_at);
            state.metrics.woken(self.channel, after);
        }
    }
}

/// Holds until the job is news, and gives it as it then is.
///
/// # Errors
///
/// Its record was removed meanwhile.
///
/// # Cancel safety
///
/// Dropping it ends the waiting and nothing else.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would store its arguments twice in the future, and thousands may be held"
)]
pub(super) fn hold(
    state: &AppState,
    caller: &Caller,
    mut job: Arc<Job>,
    hold: &Hold,
    until: Until,
    is_news: impl Fn(&Job) -> bool,
) -> impl Future<Output = Result<Arc<Job>, ApiError>> {
    async move {
        let mut waiter = state.board.waiter(until, hold.watcher(state, caller));
        waiter.register(job.key);
        let mut expiry = std::pin::pin!(state.clock.hold(hold.stretched(state)));
        loop {
            job = find(state, caller, job.key)?;
            if is_news(&job) || job.is_done() {
                hold.note_wake(state, &job);
                return Ok(job);
            }
            if state.stop.is_cancelled() {
                return Ok(job);
            }
            tokio::select! {
                // The stop rings too.
                () = waiter.rung() => {}
                () = &mut expiry => return find(state, caller, job.key),
            }
        }
    }
}

/// Holds a create until its job has ended, gives the job as it then is, and counts that as a read of it.
///
/// # Cancel safety
///
/// Dropping it ends the waiting and nothing else.
pub(super) async fn held_until_end(
    state: &AppState,
    caller: &Caller,
    job: Arc<Job>,
    granted: &Hold,
) -> Arc<Job> {
    if job.is_done() {
        return job;
    }
    let asked_at = state.clock.now();
    let last = job.clone();
    // If its record was removed meanwhile, the last that was known of it is the answer.
    let held = hold(state, caller, job, granted, Until::Done, Job::is_done).await;
    let job = held.unwrap_or(last);
    let read = Read {
        asked_at,
        channel: Some(granted.channel),
        ..Read::of(&job, state.clock.now())
    };
    state.attendance.read(caller.counted(), read);
    job
}

/// Why no room is left, and when to try again: not all clients at the same moment.
pub(super) fn refusal(state: &AppState, full: Full, what: &str) -> ApiError {
    let detail = match full {
        Full::Client(max) => format!("a client may have {max} {what} at the same time"),
        Full::All(max) => format!("the server has {max} {what} at the same time at most"),
    };
    let wait = Duration::from_secs(1).mul_f64(1.0 + 4.0 * state.spread());
    ApiError::too_many_waits(detail, wait)
}
