//! The events of all of the caller's jobs as one stream.
//!
//! Its ids are places in the feed, not revisions. It begins with what happens next unless the client says where it
//! was. What it has forgotten it doesn't make up: an event `reset` says that there is a gap, and up to where, and the
//! client lists its jobs.

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use super::access::Caller;
use super::answer::Outcome;
use super::call::Call;
use super::error::ApiError;
use super::events::{
    EVENTS_BYTES, Pace, StreamQuery, Woken, answer, last_event_id, stream_of, write_change,
    write_event,
};
use super::find::find;
use super::route::{Meets, Row};
use super::state::AppState;

/// How many changes are looked at in one go.
const CHANGES_AT_ONCE: usize = 64;

/// The data of a `reset`: there is a gap before this place.
#[derive(Debug, Serialize)]
struct Reset {
    cursor: u64,
    /// Where the jobs are listed as they are.
    snapshot: &'static str,
}

/// The routes.
pub(super) const ROUTES: &[Row] = &[Row::get("/v1/events", stream)
    .holds(|_| true)
    .meets(Meets::Feed)
    .about("Waiting", "streamJobs", "Stream the events of all jobs")
    .text("The same for all of the caller's jobs. `id:` is a place in the feed; a `reset` has no job, and \
        means that the jobs must be listed.")
    .params(&[last_event_id("The last place in the feed that the client has. Empty is as good as none.")])
    .query::<StreamQuery>()
    .answers(&[stream_of("The stream, which doesn't end by itself.")])];

/// `GET /v1/events`
fn stream(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let query: StreamQuery = call.query()?;
    let newest = state.board.follow();
    let begin = *newest.borrow();
    let cursor = query.cursor(&call.headers)?.unwrap_or(begin);
    let feed = Feed {
        cursor,
        is_ahead: cursor > begin,
        newest,
        pace: Pace::new(state, &call.caller)?,
        caller: call.caller,
        state: state.clone(),
    };
    let events = futures_util::stream::unfold(feed, Feed::next);
    Ok(Outcome::Now(answer(events)))
}

/// One stream of the feed.
struct Feed {
    state: AppState,
    caller: Caller,
    /// The last place that was looked at.
    cursor: u64,
    /// Whether the client was further than this feed has ever been: it followed another server, or one that has
    /// forgotten.
    is_ahead: bool,
    newest: watch::Receiver<u64>,
    pace: Pace,
}

impl Feed {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            // Marked as seen before looking, so that a change in between rings.
            let newest = *self.newest.borrow_and_update();
            let text = self.news();
            if !text.is_empty() {
                return Some((self.pace.with_greeting(text), self));
            }
            if self.cursor < newest {
                // Others' changes. The next ones may be ours, but everybody gets a turn.
                tokio::task::yield_now().await;
                continue;
            }
            let newest = &mut self.newest;
            let changed = async move || {
                // The board outlives every stream of it.
                let _ = newest.changed().await;
            };
            match self.pace.sleep(&self.state, changed).await {
                Woken::News => {}
                Woken::Heartbeat => return Some((self.pace.heartbeat(), self)),
                Woken::End => return None,
            }
        }
    }

    /// The next events after the cursor, which is moved past them.
    fn news(&mut self) -> String {
        let mut text = String::new();
        let (changes, newest) = self.state.board.feed_after(self.cursor, CHANGES_AT_ONCE);
        let Some(changes) = changes.filter(|_| !self.is_ahead) else {
            self.is_ahead = false;
            self.reset(newest, &mut text);
            return text;
        };
        for change in changes {
            if text.len() >= EVENTS_BYTES {
                break;
            }
            self.cursor = change.cursor;
            if change.owner != self.caller.owner {
                continue;
            }
            // A job that was removed meanwhile has no more to tell.
            if let Ok(job) = find(&self.state, &self.caller, change.job) {
                write_change(&mut text, change.cursor, &self.state, &job, change.revision);
            }
        }
        text
    }

    fn reset(&mut self, newest: u64, text: &mut String) {
        let reset = Reset {
            cursor: newest,
            snapshot: "/v1/jobs",
        };
        write_event(text, "reset", newest, &reset);
        self.cursor = newest;
    }
}
