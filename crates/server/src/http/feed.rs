//! The events of all of the caller's jobs as one stream.
//!
//! Its ids are places in the feed, not revisions. It begins with what happens next unless the client says where it
//! was. What it has forgotten it doesn't make up: an event `reset` says that there is a gap, and up to where, and the
//! client lists its jobs.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::access::Caller;
use super::answer::Outcome;
use super::call::Call;
use super::error::ApiError;
use super::events::{
    EVENTS_BYTES, Pace, Woken, answer, last_event, last_event_id, stream_of, write_change,
    write_event,
};
use super::find::find;
use super::route::{Meets, Row};
use super::state::AppState;
use crate::board::Place;

/// How many changes are looked at in one go.
const CHANGES_AT_ONCE: usize = 64;

/// The data of a `reset`: there is a gap before this place.
#[derive(Debug, Serialize)]
struct Reset {
    cursor: Place,
    /// Where the jobs are listed as they are.
    snapshot: &'static str,
}

/// From where the feed goes on, for those who can't send the header.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// The same as the header, for those who can't send it.
    #[param(value_type = Option<String>, pattern = "^([0-9a-f]{1,16}-)?[0-9]{1,19}$")]
    last_event_id: Option<Place>,
    /// The same, in the word of a long poll.
    #[param(value_type = Option<String>, pattern = "^([0-9a-f]{1,16}-)?[0-9]{1,19}$")]
    after: Option<Place>,
    /// A token of `POST /v1/stream-tokens` in place of a key.
    #[expect(dead_code, reason = "the gate reads it")]
    token: Option<String>,
}

/// The routes.
pub(super) const ROUTES: &[Row] = &[Row::get("/v1/events", stream)
    .holds(|_| true)
    .with_token()
    .meets(Meets::Feed)
    .about("Waiting", "streamJobs", "Stream the events of all jobs")
    .text("The same for all of the caller's jobs. `id:` is a place in the feed of this server's log; a `reset` has no \
        job, and means that the jobs must be listed: a change was forgotten, or the place is of another log.")
    .params(&[last_event_id(
        "The last place in the feed that the client has. Empty counts as none.",
        "^(([0-9a-f]{1,16}-)?[0-9]{1,19})?$",
    )])
    .query::<FeedQuery>()
    .answers(&[stream_of("The stream, which doesn't end by itself.")])];

/// `GET /v1/events`
fn stream(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let query: FeedQuery = call.query()?;
    let newest = state.board.follow();
    let begin = *newest.borrow();
    let place = last_event(&call.headers)?
        .or(query.last_event_id)
        .or(query.after);
    let seq = place.map_or(Some(begin), |place| state.board.seq_of(place));
    let feed = Feed {
        cursor: seq.unwrap_or(begin),
        is_lost: seq.is_none(),
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
    /// The number of the last change that was looked at.
    cursor: u64,
    /// Whether the client was at a place that this feed has never had: it followed another server, or one that has
    /// forgotten.
    is_lost: bool,
    newest: watch::Receiver<u64>,
    pace: Pace,
}

impl Feed {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(part) = self.pace.rest().await {
            return Some((part, self));
        }
        loop {
            if self.pace.is_outdated(&self.state) {
                return None;
            }
            let turn = self.pace.turn().await;
            // Marked as seen before looking, so that a change in between rings.
            let newest = *self.newest.borrow_and_update();
            let text = self.news();
            drop(turn);
            if !text.is_empty() {
                let part = self.pace.begin(&self.state, &self.caller, text)?;
                return Some((part, self));
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
    fn news(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let (changes, newest) = self.state.board.feed_after(self.cursor, CHANGES_AT_ONCE);
        let Some(changes) = changes.filter(|_| !self.is_lost) else {
            self.is_lost = false;
            self.reset(newest, &mut text);
            return text;
        };
        for change in changes {
            if text.len() >= EVENTS_BYTES {
                break;
            }
            self.cursor = change.seq;
            if change.owner != self.caller.owner {
                continue;
            }
            // A job that was removed meanwhile has no more to tell.
            if let Ok(job) = find(&self.state, &self.caller, change.job) {
                let place = self.state.board.place(change.seq);
                write_change(&mut text, place, &self.state, &job, change.revision);
            }
        }
        text
    }

    fn reset(&mut self, newest: u64, text: &mut Vec<u8>) {
        let cursor = self.state.board.place(newest);
        let reset = Reset {
            cursor,
            snapshot: "/v1/jobs",
        };
        write_event(text, "reset", cursor, &reset);
        self.cursor = newest;
    }
}
