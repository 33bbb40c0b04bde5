//! `POST /v1/jobs`

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};

use abide_engine::{Create, Created, Job, Json};
use abide_wire::{NewJob, Timestamp, headers};

use super::idempotency;
use crate::attendance::body_digest;
use crate::board::Channel;
use crate::http::answer::{Answer, Outcome};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::error::{ApiError, held, soon};
use crate::http::hold::{Hold, held_until_end};
use crate::http::represent::{add_preference, add_respond_async, show_new};
use crate::http::state::AppState;
use crate::http::trace;
use crate::http::webhooks::{check_webhook_of, show_secret_of_job, wait_for_early_webhook};

const OPERATION_LOCATION: HeaderName = HeaderName::from_static(headers::OPERATION_LOCATION);

/// Whether the create is to be held until the job has ended.
pub(super) fn asks_to_hold(call: &Call) -> bool {
    wanted_hold(call).is_some()
}

fn wanted_hold(call: &Call) -> Option<Duration> {
    let prefer = call.prefer;
    prefer.wait.filter(|_| !prefer.respond_async)
}

/// `POST /v1/jobs`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let mut new: NewJob<Json> = call.optional_json()?;
    check_webhook_of(state, &mut new)?;
    let caller = call.caller;
    let create = Create {
        owner: caller.owner,
        new,
        idempotency_key: idempotency::key(&call.headers)?,
        rendering: None,
        traceparent: trace::parent(&call.headers).map(str::to_owned),
    };
    // Room for the hold is taken first: a create that can't be held as asked should make no job.
    let granted = wanted_hold(call)
        .map(|length| Hold::grant(state, &caller, Channel::Create, length))
        .transpose()?;
    let digest = body_digest(&call.body);
    let has_key = create.idempotency_key.is_some();
    let is_async = call.prefer.respond_async;
    let base = Base::of(call);
    let created = state.commands.ask_keeping(create, call.room.clone());
    let state = state.clone();
    let is_hold = granted.is_some();
    let answer = async move {
        let Created { job, replayed } = created.await?;
        let pending = state.pending_create(&caller, job.key, digest, has_key, replayed);
        // In boxes, because most creates have no need of their room.
        if state.board.plays_faults() {
            Box::pin(wait_for_early_webhook(&state, job.key)).await;
        }
        let job = match &granted {
            Some(granted) => Box::pin(held_until_end(&state, &caller, job, granted)).await,
            None => job,
        };
        let mut answer = accepted(&state, &job, &base, state.clock.now());
        let out = answer.headers_mut();
        if replayed {
            let replayed = HeaderValue::from_static("true");
            out.insert(headers::IDEMPOTENT_REPLAYED, replayed);
        }
        if let Some(granted) = &granted {
            add_preference(out, granted.length());
        } else if is_async {
            add_respond_async(out);
        }
        answer.extensions_mut().insert(pending);
        Ok(answer)
    };
    if is_hold { held(answer) } else { soon(answer) }
}

/// The job, and where it is: a `200` if it has ended already, else a `202`.
fn accepted(state: &AppState, job: &Job, base: &Base, now: Timestamp) -> Answer {
    let mut answer = show_new(state, job, now);
    if !job.is_done() {
        *answer.status_mut() = StatusCode::ACCEPTED;
    }
    let out = answer.headers_mut();
    let path = format!("/v1/jobs/{}", job.key);
    out.insert(OPERATION_LOCATION, base.url(&path));
    let path = HeaderValue::try_from(path).expect("an id is letters and digits");
    out.insert(header::LOCATION, path);
    show_secret_of_job(state, job, out);
    answer
}
