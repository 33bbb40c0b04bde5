//! Event streams of a vendor's job: each change of the job is said in the vendor's words, up to its end.

use std::sync::Arc;

use abide_engine::{Job, JobKey};
use abide_wire::Until;
use bytes::Bytes;
use http::StatusCode;

use super::thing::seen;
use crate::attendance::Read;
use crate::board::{Channel, Waiter, Watcher};
use crate::http::access::Caller;
use crate::http::answer::Outcome;
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::events::{self, Pace, Woken};
use crate::http::find::find;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// What a job as it is now is told as; empty if there is nothing to tell.
pub(super) type Write = fn(&Seen<'_>) -> String;

/// Streams that job, from as it is now to its end.
///
/// # Errors
///
/// As many streams are open as may be.
pub(super) fn stream(
    state: &AppState,
    call: &Call,
    job: &Arc<Job>,
    write: Write,
) -> Result<Outcome, ApiError> {
    let pace = Pace::new(state, &call.caller)?;
    let watcher = Watcher {
        channel: Channel::Stream,
        since: state.clock.now(),
        address: call.caller.address,
    };
    let mut waiter = state.board.waiter(Until::Any, watcher);
    waiter.register(job.key);
    let stream = Stream {
        state: state.clone(),
        caller: call.caller,
        key: job.key,
        base: Base::of(call),
        revision: 0,
        write,
        waiter,
        pace,
    };
    let mut answer = events::answer(futures_util::stream::unfold(stream, Stream::next));
    *answer.status_mut() = StatusCode::OK;
    Ok(Outcome::Now(answer))
}

struct Stream {
    state: AppState,
    caller: Caller,
    key: JobKey,
    base: Base,
    /// The last revision that was told.
    revision: u64,
    write: Write,
    waiter: Waiter,
    pace: Pace,
}

impl Stream {
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would store the stream twice in the future, and thousands may be open"
    )]
    fn next(mut self) -> impl Future<Output = Option<(Bytes, Self)>> + Send {
        async move {
            loop {
                // A job whose record was removed has no more to tell.
                let job = find(&self.state, &self.caller, self.key).ok()?;
                if job.revision > self.revision {
                    self.revision = job.revision;
                    let read = Read {
                        channel: Some(Channel::Stream),
                        ..Read::of(&job, self.state.clock.now())
                    };
                    self.state.attendance.read(self.caller.counted(), read);
                    let text = seen(&self.state, &self.base, &job, self.write);
                    if !text.is_empty() {
                        return Some((self.pace.with_greeting(text), self));
                    }
                }
                if job.is_done() {
                    return None;
                }
                let woken = self.pace.sleep(&self.state, || self.waiter.rung()).await;
                match woken {
                    Woken::News => {}
                    Woken::Heartbeat => return Some((self.pace.heartbeat(), self)),
                    Woken::End => return None,
                }
            }
        }
    }
}
