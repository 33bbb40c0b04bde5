//! A sort of job of a vendor's.

use std::sync::Arc;

use abide_engine::{Job, Refusal};
use abide_wire::Timestamp;
use serde_json::Value;

use super::id::Id;
use crate::http::answer::Answer;
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::find;
use crate::http::kept::Show;
use crate::http::route::Subject;
use crate::http::seen::{Seen, Shown};
use crate::http::state::AppState;

/// A sort of job of a vendor's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thing {
    /// The native kind, which is `NAME.THING`. Durations are learned by it, and jobs of another kind are none of these.
    pub kind: &'static str,
    /// How ids are written.
    pub id: Id,
    /// A read's answer.
    pub show: Show,
}

impl Thing {
    /// The caller's job whose id stands for `{id}` in the path.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn in_path(&self, state: &AppState, call: &Call) -> Result<Arc<Job>, ApiError> {
        let id = call.param("id")?;
        self.find(state, call, &id)
    }

    /// The caller's job with that id.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn find(
        &self,
        state: &AppState,
        call: &Call,
        id: &str,
    ) -> Result<Arc<Job>, ApiError> {
        let unknown = || ApiError::from(Refusal::NotFound);
        let key = self.id.key(id).ok_or_else(unknown)?;
        // To a vendor's client what was removed never was.
        let job = find(state, &call.caller, key).map_err(|_| unknown())?;
        (*job.kind == *self.kind).then_some(job).ok_or_else(unknown)
    }

    /// The job that the request is about, for its row.
    pub(super) fn subject(&self, call: &Call) -> Option<Subject> {
        self.subject_of(call, &call.param("id").ok()?)
    }

    /// The job with that id, for its row.
    pub(super) fn subject_of(&self, call: &Call, id: &str) -> Option<Subject> {
        let owner = call.caller.owner;
        self.id.key(id).map(|job| Subject { job, owner })
    }

    /// The job as an answer.
    pub(super) fn shown(&self, state: &AppState, call: &Call, job: &Arc<Job>) -> Answer {
        self.shown_at(state, &Base::of(call), job)
    }

    /// The same, to a client that reaches the dialect there.
    pub(super) fn shown_at(&self, state: &AppState, base: &Base, job: &Arc<Job>) -> Answer {
        let mut answer = state.kept.find_or(job, self.show, base, || {
            seen(state, base, job, |seen| {
                let answer = (self.show)(seen);
                (answer, !seen.is_momentary())
            })
        });
        if state.board.plays_faults() {
            answer.extensions_mut().insert(Shown {
                job: job.key,
                show: self.show,
                base: base.clone(),
                has_result: true,
            });
        }
        answer
    }

    /// The id of that job in the vendor's form.
    pub(super) fn id_of(&self, seen: &Seen<'_>) -> String {
        self.id.text(seen.key())
    }
}

/// What `show` makes of the job.
pub(super) fn seen<T>(
    state: &AppState,
    base: &Base,
    job: &Job,
    show: impl FnOnce(&Seen<'_>) -> T,
) -> T {
    let now = state.clock.now();
    let wire = job.to_wire(state.board.remaining(job, now));
    show(&Seen::new(&wire, base, now).queued(job))
}

/// The text of that member, if it has one.
pub(super) fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member)?.as_str()
}

/// The text of that member, which must have one.
///
/// # Errors
///
/// It has none.
pub(super) fn required<'v>(value: &'v Value, member: &str) -> Result<&'v str, ApiError> {
    let missing = || ApiError::invalid_member(format!("`{member}`: it is required"));
    text(value, member).ok_or_else(missing)
}

/// That instant in whole seconds, as many vendors write it; `null` for none.
pub(super) fn seconds(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.as_millis().div_euclid(1_000).into())
}
