//! Deliveries: list, read, send again.

use std::ops::Bound;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use abide_engine::delivery::{Attempt, ReplayDeliveries, RetryDelivery, Standing, TestEndpoint};
use abide_engine::{Delivery, DeliveryKey, Endpoint, Refusal};
use abide_wire::{JobId, Revision, Timestamp, endpoint as wire};

use super::endpoints::{self, PageQuery};
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::{find, key_of as job_key_of};
use crate::http::state::AppState;
use crate::http::{instant, json, paging};

/// How much of an answer lists show, in bytes.
const ANSWER_IN_LISTS_MAX: usize = 1_024;
/// The most deliveries of a job that are listed; a job has few events.
const OF_JOB_MAX: usize = 1_000;

/// What to send again.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReplayQuery {
    /// Only what happened since then.
    #[serde(default, deserialize_with = "instant::optional")]
    since: Option<Timestamp>,
    /// Also what was delivered.
    #[serde(default)]
    delivered: bool,
}

/// A [`wire::DeliveryPage`] whose deliveries are written already.
#[derive(Debug, Serialize)]
struct Page {
    deliveries: Vec<Box<RawValue>>,
    next_page_token: Option<String>,
}

/// `POST /v1/webhooks/{id}/test`
pub(super) fn test(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = TestEndpoint {
        owner: call.caller.owner,
        endpoint: endpoints::key_of(&call.param("id")?)?,
    };
    let caller = call.caller;
    state.ask(command, move |state, delivery| {
        accepted(state, &caller, &delivery)
    })
}

/// `POST /v1/webhooks/{id}/replay`
pub(super) fn replay(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let query: ReplayQuery = call.query()?;
    let command = ReplayDeliveries {
        owner: call.caller.owner,
        endpoint: endpoints::key_of(&id)?,
        since: query.since.unwrap_or_default(),
        delivered: query.delivered,
    };
    state.ask(command, |_, replayed| {
        let started = wire::ReplayStarted { replayed };
        Ok(json::answer(StatusCode::ACCEPTED, &started))
    })
}

/// `GET /v1/webhooks/{id}/deliveries`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let query: PageQuery = call.query()?;
    let (endpoint, _) = endpoints::find(state, &call.caller, &id)?;
    let (limit, last) = query.page()?;
    let status = query.status.as_deref();
    if let Some(status) = status
        && !["pending", "queued", "held", "delivered", "failed"].contains(&status)
    {
        return Err(ApiError::invalid_member(format!(
            "in the query: `status` must be pending, queued, held, delivered or failed, but is {status:?}"
        )));
    }
    let before = last.map_or(Bound::Unbounded, |last| {
        Bound::Excluded(DeliveryKey::from_u128(last))
    });
    let webhooks = state.board.webhooks();
    let (found, next) = webhooks.deliveries(endpoint.key, before, limit, |delivery| {
        status.is_none_or(|status| delivery.standing.as_str() == status)
    });
    let (deliveries, rest) = paging::fitting(
        &found,
        |delivery| show(delivery, &endpoint, ANSWER_IN_LISTS_MAX),
        |delivery| delivery.key.as_u128(),
    );
    let next = next.map(|last| paging::token(last.as_u128()));
    let page = Page {
        deliveries,
        next_page_token: rest.or(next),
    };
    Ok(json::ok(&page).into())
}

/// `GET /v1/jobs/{id}/deliveries`
pub(super) fn of_job(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = find(state, &call.caller, job_key_of(&call.param("id")?)?)?;
    let found = state.board.webhooks().of_job(job.key, OF_JOB_MAX);
    let (deliveries, _) = paging::fitting(
        &found,
        |(delivery, endpoint)| show(delivery, endpoint, ANSWER_IN_LISTS_MAX),
        |(delivery, _)| delivery.key.as_u128(),
    );
    let page = Page {
        deliveries,
        next_page_token: None,
    };
    Ok(json::ok(&page).into())
}

/// `GET /v1/deliveries/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let key = key_of(&call.param("id")?)?;
    Ok(json::ok(&find_shown(state, &call.caller, key)?).into())
}

/// `POST /v1/deliveries/{id}/retry`
pub(super) fn retry(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = RetryDelivery {
        owner: call.caller.owner,
        delivery: key_of(&call.param("id")?)?,
    };
    let caller = call.caller;
    state.ask(command, move |state, delivery| {
        accepted(state, &caller, &delivery)
    })
}

fn key_of(id: &str) -> Result<DeliveryKey, ApiError> {
    id.parse().map_err(|_| Refusal::NoSuchDelivery.into())
}

/// The caller's delivery, whole.
fn find_shown(
    state: &AppState,
    caller: &Caller,
    key: DeliveryKey,
) -> Result<wire::Delivery, ApiError> {
    let found = state.board.webhooks().delivery(caller.owner, key);
    let (delivery, endpoint) = found.ok_or(Refusal::NoSuchDelivery)?;
    let mut shown = show(&delivery, &endpoint, usize::MAX);
    let job = delivery.job.and_then(|job| find(state, caller, job).ok());
    shown.body = delivery
        .event(job.as_deref())
        .map(|event| event.as_ref().to_owned());
    Ok(shown)
}

fn accepted(state: &AppState, caller: &Caller, delivery: &Delivery) -> Result<Answer, ApiError> {
    let shown = find_shown(state, caller, delivery.key)?;
    Ok(json::answer(StatusCode::ACCEPTED, &shown))
}

fn show(delivery: &Delivery, endpoint: &Endpoint, answer_max: usize) -> wire::Delivery {
    let (mut next_attempt_at, mut delivered_at) = (None, None);
    match delivery.standing {
        Standing::Pending { due_at } => next_attempt_at = Some(due_at),
        Standing::Delivered { at } => delivered_at = Some(at),
        Standing::Queued | Standing::Held { .. } | Standing::Failed { .. } => {}
    }
    wire::Delivery {
        id: delivery.key.to_string(),
        endpoint_id: endpoint.key.to_string(),
        url: endpoint.url.as_ref().to_owned(),
        job_id: delivery.job.map(|job| JobId::new(job.to_string())),
        revision: Revision(delivery.revision),
        kind: delivery.event.as_ref().to_owned(),
        status: delivery.standing.as_str().to_owned(),
        created_at: delivery.created_at,
        next_attempt_at,
        delivered_at,
        body: None,
        attempts: delivery
            .attempts
            .iter()
            .map(|attempt| show_attempt(attempt, answer_max))
            .collect(),
        sim_decision: delivery.fault.as_deref().map(str::to_owned),
    }
}

fn show_attempt(attempt: &Attempt, answer_max: usize) -> wire::Attempt {
    let answer = attempt.answer.as_deref().unwrap_or_default();
    let shown = &answer[..answer.floor_char_boundary(answer_max.min(answer.len()))];
    wire::Attempt {
        number: attempt.number,
        at: attempt.at,
        duration_ms: attempt.took_ms,
        status: attempt.status,
        error: attempt.error.as_deref().map(str::to_owned),
        answer: attempt.answer.as_ref().map(|_| shown.to_owned()),
        answer_truncated: attempt.truncated || shown.len() < answer.len(),
        next_attempt_at: attempt.next.retry_at(),
    }
}
