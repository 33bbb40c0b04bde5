//! Creates: the body is read once, where it lies, and the answer is written once, when the job is durable.
//!
//! Creates that are held or bring faults along are not among them, for these go on long after the job has been made.

use std::panic::AssertUnwindSafe;

use abide_engine::Json as RawJson;
use abide_wire::NewJob;
use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;

use super::{ANSWER_BYTES, Around, begin, refused};
use crate::attendance::BodyDigest;
use crate::connection::{Head, Later, Quick};
use crate::http::access::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{Prefer, optional};
use crate::http::fields::Fields as _;
use crate::http::jobs::{Base, Preference, Wish};
use crate::http::limits::Class;
use crate::http::routes::Route;
use crate::http::shell::{Name, RequestId, Shell, class_of, panicked};
use crate::http::state::AppState;
use crate::http::trace::Trace;
use crate::http::visit::Visit;

/// The path of a create.
const PATH: &str = "/v1/jobs";

/// A create that was let in.
struct Making {
    id: RequestId,
    around: Around,
    base: Base,
    preference: Preference,
    visit: Visit,
    said: BodyDigest,
    digest: u64,
}

impl Shell {
    /// Begins a create, if it is a plain one.
    pub(super) fn create(&self, head: &Head<'_>, body: &[u8], is_last: bool) -> Option<Quick> {
        let state = self.state();
        let class = class_of(head.path, head.query, head.fields);
        let is_plain = head.path == PATH
            && head.query.is_none()
            && class == Class::Request
            // A browser says where its page is from, which may be a reason to refuse.
            && head.fields.value("sec-fetch-site").is_none()
            && !state.board.plays_faults();
        if !is_plain {
            return None;
        }
        let owner = state.access.owner(head.fields).ok()?;
        let new: Result<NewJob<RawJson>, ApiError> = optional(head.fields, body);
        let simulate = new.as_ref().ok().and_then(|new| new.simulate.as_ref());
        if simulate.is_some_and(|simulate| simulate.faults.is_some()) {
            return None;
        }
        let (begun, now) = state.clock.both();
        let caller = Caller::new(owner, self.address(), head.fields);
        let verdict = state.rates.take(caller.client, class, now);
        if verdict.is_some_and(|verdict| !verdict.allowed) {
            return None;
        }
        let route = Route::of(head.path);
        let (visit, said) = Visit::of_create(state, &caller, head.fields);
        let making = Making {
            id: Name::of(head.fields, state).into(),
            around: Around {
                method: "POST",
                route,
                class,
                begun,
                verdict,
                is_last,
                trace: Trace::begin("POST", route, head.path),
            },
            base: Base::of(None, head.fields),
            preference: match Prefer::of(head.fields).respond_async {
                true => Preference::RespondAsync,
                false => Preference::None,
            },
            visit,
            said,
            digest: BodyDigest::digest(body),
        };
        let wish = new.and_then(|new| Wish::of(state, &caller, new, head.fields));
        Some(Quick::Later(Box::pin(made(state.clone(), making, wish))))
    }
}

/// Has the job made, and says so.
async fn made(state: AppState, mut making: Making, wish: Result<Wish, ApiError>) -> Later {
    let answering = AssertUnwindSafe(async {
        let made = wish?.make(&state, &making.said, making.digest).await?;
        let now = state.clock.now();
        let mut out = Vec::with_capacity(ANSWER_BYTES);
        begin(made.status(), &mut out);
        let body = made.answer(&state, &making.base, making.preference, now, &mut out)?;
        making.around.is_last |= state.stop.is_cancelled();
        let name = making.id.as_name();
        let (status, body) = (made.status(), Some(&*body));
        making
            .around
            .end(&state, name, PATH, status, now, body, &mut out);
        Ok::<_, ApiError>((out, made.replayed, now))
    });
    let response = match answering.catch_unwind().await {
        Ok(Ok((out, replayed, now))) => {
            making.visit.made(replayed, now);
            return Later::Bytes(out);
        }
        Ok(Err(error)) => error.into_response(),
        Err(panic) => panicked(&*panic),
    };
    let (id, around) = (making.id, making.around);
    Later::Response(refused(&state, response, id, around, PATH, making.visit))
}
