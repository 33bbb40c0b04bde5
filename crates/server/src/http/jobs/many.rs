//! Answers of many jobs, written job by job.
//!
//! A page or the answer of a set may have [`limits::ANSWER_BYTES_MAX`], and thousands of clients may read theirs
//! slowly. So what waits for a slow reader is the jobs themselves, which are shared with everybody else, and one piece
//! of the text.

use std::sync::Arc;

use abide_engine::Job;
use abide_wire::{Timestamp, limits};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::http::answer::{Answer, Body};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::limits::{Client, Held};
use crate::http::state::AppState;

/// Bytes that are written at once, about.
const PIECE_BYTES: usize = 64 * 1024;

/// Jobs of one answer, as many as it may have.
#[derive(Debug, Default)]
pub(super) struct Many {
    pub(super) jobs: Vec<Arc<Job>>,
    /// What they take together.
    pub(super) bytes: usize,
}

impl Many {
    /// Adds a job. `false` if the answer has no room for it, and it must be in the next one.
    pub(super) fn add(&mut self, job: Arc<Job>) -> bool {
        let bytes = job.bytes();
        let has_room = self.jobs.is_empty() || self.bytes + bytes <= limits::ANSWER_BYTES_MAX;
        if has_room {
            self.jobs.push(job);
            self.bytes += bytes;
        }
        has_room
    }

    /// The answer: an object whose first member is `jobs`, and which goes on with `tail`.
    ///
    /// # Errors
    ///
    /// The client has too many bytes in flight.
    pub(super) fn answer(
        self,
        state: &AppState,
        client: Client,
        tail: &str,
    ) -> Result<Answer, ApiError> {
        // Its last reader may be the only one who still has these jobs.
        let held = state.inflight.take(client, self.bytes);
        let mut writer = Writer {
            state: state.clone(),
            _held: held.map_err(ApiError::too_many_bytes)?,
            now: state.clock.now(),
            jobs: self.jobs.into_iter(),
            next: b"{\"jobs\":[".to_vec(),
            tail: format!("],{tail}}}"),
        };
        let first = writer.piece();
        let body = match writer.tail.is_empty() {
            true => Body::Bytes(first),
            false => {
                let rest = stream::unfold(writer, async |mut writer| {
                    let is_over = writer.tail.is_empty();
                    (!is_over).then(|| (Ok(writer.piece()), writer))
                });
                Body::stream(stream::iter([Ok(first)]).chain(rest))
            }
        };
        Ok(json::written(body))
    }
}

/// What is still to be written of an answer.
struct Writer {
    state: AppState,
    _held: Held,
    now: Timestamp,
    jobs: std::vec::IntoIter<Arc<Job>>,
    /// What the next piece begins with.
    next: Vec<u8>,
    /// What comes after the last job; empty once that is written too.
    tail: String,
}

impl Writer {
    fn piece(&mut self) -> Bytes {
        let mut text = std::mem::take(&mut self.next);
        while text.len() < PIECE_BYTES {
            let Some(job) = self.jobs.next() else {
                text.extend(std::mem::take(&mut self.tail).into_bytes());
                return text.into();
            };
            let remaining = self.state.board.remaining(&job, self.now);
            job.write_json(job.revision, remaining, &mut text);
            if self.jobs.len() > 0 {
                text.push(b',');
            }
        }
        text.into()
    }
}
