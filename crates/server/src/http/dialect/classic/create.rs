//! `POST /jobs`

use std::time::Duration;

use http::{HeaderValue, header};
use serde::Deserialize;

use abide_engine::{Create, Created, Json};
use abide_wire::{DurationLaw, NewJob, OutcomePlan, Simulate, Span, headers};

use super::words::show;
use crate::attendance::body_digest;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::error::{ApiError, soon};
use crate::http::represent::add_age;
use crate::http::state::AppState;
use crate::http::trace;

/// What a create may say. Members that aren't known here are passed over, as these systems do.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
pub(super) struct NewClassicJob {
    /// How long the job runs, in seconds; by default like any other simulated job.
    #[schema(minimum = 0, maximum = 31_622_400)]
    processing_duration: Option<f64>,
    /// Whether it fails. A body that doesn't say it means no.
    should_error: Option<bool>,
}

/// `POST /jobs`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let new: Option<NewClassicJob> = call.optional_json()?;
    let simulate = new.map(simulate).transpose()?;
    let caller = call.caller;
    let digest = body_digest(&serde_json::to_vec(&simulate).unwrap_or_default());
    let has_key = call.headers.contains_key(headers::IDEMPOTENCY_KEY);
    let create = Create {
        owner: caller.owner,
        new: NewJob {
            simulate,
            ..NewJob::<Json>::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: trace::parent(&call.headers).map(str::to_owned),
    };
    let state = state.clone();
    soon(async move {
        let Created { job, .. } = state.commands.ask(create).await?;
        let pending = state.pending_create(&caller, job.key, digest, has_key, false);
        let mut answer = show(&state, &job);
        let out = answer.headers_mut();
        add_age(out, &job, state.clock.now());
        let path = HeaderValue::try_from(format!("/status/{}", job.key));
        let path = path.map_err(|error| ApiError::internal(&error))?;
        out.insert(header::LOCATION, path);
        answer.extensions_mut().insert(pending);
        Ok(answer)
    })
}

fn simulate(new: NewClassicJob) -> Result<Simulate, ApiError> {
    let duration = new
        .processing_duration
        .map(|seconds| {
            let length = Duration::try_from_secs_f64(seconds).ok();
            length.filter(|length| *length <= Span::MAX).ok_or_else(|| {
                ApiError::invalid_member(format!(
                    "`processing_duration` must be 0 to {} seconds, but is {seconds}",
                    Span::MAX.as_secs()
                ))
            })
        })
        .transpose()?;
    Ok(Simulate {
        duration: duration.map(|length| DurationLaw::Fixed(Span::new(length))),
        outcome: Some(OutcomePlan {
            error_chance: Some(f64::from(u8::from(new.should_error == Some(true)))),
            error: None,
        }),
        ..Simulate::default()
    })
}
