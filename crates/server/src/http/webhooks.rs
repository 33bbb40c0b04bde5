//! Webhook endpoints and deliveries: who is told, who was told what, and when.

use std::ops::Bound;
use std::time::Duration;

use axum::Json as Respond;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use abide_engine::delivery::{
    self, ChangeEndpoint, CreateEndpoint, DeleteEndpoint, ReplayDeliveries, RetryDelivery,
    RotateSecret, Standing, TestEndpoint,
};
use abide_engine::{Command, Delivery, DeliveryKey, Endpoint, EndpointKey, Refusal};
use abide_wire::webhook::Secret;
use abide_wire::{
    FaultKind, JobId, NewJob, Revision, Timestamp, endpoint as wire, headers, limits,
};

use super::access::Caller;
use super::error::ApiError;
use super::extract::{Json, OptionalJson, Path, Query};
use super::jobs::{find, key_of};
use super::lines::Lines;
use super::state::AppState;
use crate::guard::Target;

/// How much of an answer lists show, in bytes.
const ANSWER_IN_LISTS_MAX: usize = 1_024;
/// How long a create waits for the webhook that goes before its answer.
const EARLY_MAX: Duration = Duration::from_secs(2);
/// The most deliveries of a job that are listed; a job has few events.
const OF_JOB_MAX: usize = 1_000;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many on a page; 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_page_token` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    page_token: Option<String>,
    /// Only those that stand like this: `pending`, `queued`, `held`, `delivered` or `failed`.
    #[param(pattern = "^(pending|queued|held|delivered|failed)$")]
    status: Option<String>,
}

/// What to send again.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReplayQuery {
    /// Only what happened since then.
    since: Option<Timestamp>,
    /// Also what was delivered.
    #[serde(default)]
    delivered: bool,
}

/// `POST /v1/webhooks`
#[utoipa::path(
    post,
    path = "/v1/webhooks",
    tag = "Webhooks",
    operation_id = "createWebhook",
    summary = "Register an endpoint",
    request_body(content = wire::NewEndpoint),
    responses(
        (status = 201, description = "The endpoint, with its secret: it is not shown again.", body = wire::Endpoint, headers(("Location" = String, description = "Where the endpoint is."))),
        (status = 409, description = "There are as many endpoints as there may be.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(new): Json<wire::NewEndpoint>,
) -> Result<Response, ApiError> {
    let command = CreateEndpoint {
        owner: caller.owner,
        url: target(&state, &new.url, "url")?,
        events: new.events,
        secret: secret(new.secret.as_deref())?,
        description: new.description,
        ordered: new.ordered.unwrap_or(false),
    };
    let endpoint = state.commands.ask(command).await?;
    let path = format!("/v1/webhooks/{}", endpoint.key);
    let mut shown = show_endpoint(&state, &endpoint, delivery::Breaker::default());
    shown.secret = endpoint.secret.as_ref().map(Secret::expose);
    let mut response = (StatusCode::CREATED, Respond(shown)).into_response();
    let path = HeaderValue::from_str(&path).map_err(|error| ApiError::internal(&error))?;
    response.headers_mut().insert(header::LOCATION, path);
    Ok(no_store(response))
}

/// `GET /v1/webhooks`
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    tag = "Webhooks",
    operation_id = "listWebhooks",
    summary = "List endpoints",
    description = "The oldest first.",
    params(
        ("limit" = Option<usize>, Query, description = "How many on a page; 100 where nothing is said.", minimum = 1, maximum = 1000),
        ("page_token" = Option<String>, Query, description = "The `next_page_token` of the page before.", pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")
    ),
    responses(
        (status = 200, description = "A page of endpoints.", body = wire::EndpointPage)
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    if query.status.is_some() {
        return Err(ApiError::invalid_member(
            "in the query: `status` is for lists of deliveries",
        ));
    }
    let limit = query.limit()?;
    let after = query.token()?.map_or(Bound::Unbounded, |last| {
        Bound::Excluded(EndpointKey::from_u128(last))
    });
    // One more than asked for says whether there is a next page.
    let webhooks = state.board.webhooks();
    let mut found = webhooks.endpoints(caller.owner, after, limit + 1);
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last);
    Ok(Respond(wire::EndpointPage {
        next_page_token: next.map(|(endpoint, _)| write_token(endpoint.key.as_u128())),
        webhooks: found
            .iter()
            .map(|(endpoint, breaker)| show_endpoint(&state, endpoint, *breaker))
            .collect(),
    })
    .into_response())
}

/// `GET /v1/webhooks/{id}`
#[utoipa::path(
    get,
    path = "/v1/webhooks/{id}",
    tag = "Webhooks",
    operation_id = "readWebhook",
    summary = "Read an endpoint",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`.")
    ),
    responses(
        (status = 200, description = "The endpoint.", body = wire::Endpoint)
    )
)]
pub(super) async fn read(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let (endpoint, breaker) = find_endpoint(&state, &caller, &id)?;
    Ok(Respond(show_endpoint(&state, &endpoint, breaker)).into_response())
}

/// `PATCH /v1/webhooks/{id}`
#[utoipa::path(
    patch,
    path = "/v1/webhooks/{id}",
    tag = "Webhooks",
    operation_id = "changeWebhook",
    summary = "Change an endpoint",
    description = "What isn't named stays.",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`.")
    ),
    request_body(content = wire::EndpointChange),
    responses(
        (status = 200, description = "The endpoint.", body = wire::Endpoint)
    )
)]
pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(change): Json<wire::EndpointChange>,
) -> Result<Response, ApiError> {
    let (endpoint, breaker) = find_endpoint(&state, &caller, &id)?;
    let url = change.url.as_deref();
    let command = ChangeEndpoint {
        owner: caller.owner,
        endpoint: endpoint.key,
        url: url.map(|url| target(&state, url, "url")).transpose()?,
        events: change.events,
        description: change.description,
        ordered: change.ordered,
        enabled: change.enabled,
    };
    let endpoint = state.commands.ask(command).await?;
    Ok(Respond(show_endpoint(&state, &endpoint, breaker)).into_response())
}

/// `DELETE /v1/webhooks/{id}`
#[utoipa::path(
    delete,
    path = "/v1/webhooks/{id}",
    tag = "Webhooks",
    operation_id = "deleteWebhook",
    summary = "Remove an endpoint",
    description = "With what was still to be sent to it.",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`.")
    ),
    responses(
        (status = 204, description = "It is gone.")
    )
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let command = DeleteEndpoint {
        owner: caller.owner,
        endpoint: endpoint_key(&id)?,
    };
    state.commands.ask(command).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/webhooks/{id}/rotate`
#[utoipa::path(
    post,
    path = "/v1/webhooks/{id}/rotate",
    tag = "Webhooks",
    operation_id = "rotateWebhook",
    summary = "Give an endpoint a new secret",
    description = "The old one signs too for 24 hours.",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`.")
    ),
    request_body(content = Option<wire::Rotation>),
    responses(
        (status = 200, description = "The endpoint, with its new secret: it is not shown again.", body = wire::Endpoint)
    )
)]
pub(super) async fn rotate(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalJson(rotation): OptionalJson<wire::Rotation>,
) -> Result<Response, ApiError> {
    let (endpoint, breaker) = find_endpoint(&state, &caller, &id)?;
    let command = RotateSecret {
        owner: caller.owner,
        endpoint: endpoint.key,
        secret: secret(rotation.secret.as_deref())?,
    };
    let endpoint = state.commands.ask(command).await?;
    let mut shown = show_endpoint(&state, &endpoint, breaker);
    shown.secret = endpoint.secret.as_ref().map(Secret::expose);
    Ok(no_store(Respond(shown).into_response()))
}

/// `POST /v1/webhooks/{id}/test`
#[utoipa::path(
    post,
    path = "/v1/webhooks/{id}/test",
    tag = "Webhooks",
    operation_id = "testWebhook",
    summary = "Send an endpoint a test",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`.")
    ),
    responses(
        (status = 202, description = "The delivery, on its way.", body = wire::Delivery),
        (status = 409, description = "The endpoint is disabled.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn test(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let command = TestEndpoint {
        owner: caller.owner,
        endpoint: endpoint_key(&id)?,
    };
    delivery_after(&state, &caller, command).await
}

/// `POST /v1/webhooks/{id}/replay`
#[utoipa::path(
    post,
    path = "/v1/webhooks/{id}/replay",
    tag = "Webhooks",
    operation_id = "replayWebhook",
    summary = "Send again what failed or was held",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`."), ReplayQuery
    ),
    responses(
        (status = 202, description = "How many deliveries are due again.", body = wire::ReplayStarted),
        (status = 409, description = "The endpoint is disabled.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ReplayQuery>,
) -> Result<Response, ApiError> {
    let command = ReplayDeliveries {
        owner: caller.owner,
        endpoint: endpoint_key(&id)?,
        since: query.since.unwrap_or_default(),
        delivered: query.delivered,
    };
    let replayed = state.commands.ask(command).await?;
    let started = Respond(wire::ReplayStarted { replayed });
    Ok((StatusCode::ACCEPTED, started).into_response())
}

/// `GET /v1/webhooks/{id}/deliveries`
#[utoipa::path(
    get,
    path = "/v1/webhooks/{id}/deliveries",
    tag = "Webhooks",
    operation_id = "listDeliveries",
    summary = "List the deliveries of an endpoint",
    description = "The newest first.",
    params(
        ("id" = String, Path, description = "The endpoint's id, `wh_…`."), PageQuery
    ),
    responses(
        (status = 200, description = "A page of deliveries.", body = wire::DeliveryPage)
    )
)]
pub(super) async fn deliveries(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let (endpoint, _) = find_endpoint(&state, &caller, &id)?;
    let limit = query.limit()?;
    let status = query.status.as_deref();
    if let Some(status) = status
        && !["pending", "queued", "held", "delivered", "failed"].contains(&status)
    {
        return Err(ApiError::invalid_member(format!(
            "in the query: `status` must be pending, queued, held, delivered or failed, but is {status:?}"
        )));
    }
    let before = query.token()?.map_or(Bound::Unbounded, |last| {
        Bound::Excluded(DeliveryKey::from_u128(last))
    });
    let webhooks = state.board.webhooks();
    let mut found = webhooks.deliveries(endpoint.key, before, limit + 1, |delivery| {
        status.is_none_or(|status| delivery.standing.as_str() == status)
    });
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last);
    Ok(Respond(wire::DeliveryPage {
        next_page_token: next.map(|delivery| write_token(delivery.key.as_u128())),
        deliveries: found
            .iter()
            .map(|delivery| show_delivery(delivery, &endpoint, ANSWER_IN_LISTS_MAX))
            .collect(),
    })
    .into_response())
}

/// `GET /v1/jobs/{id}/deliveries`
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/deliveries",
    tag = "Jobs",
    operation_id = "listDeliveriesOfJob",
    summary = "Who was told",
    description = "The webhooks that went out for the job, the newest first, up to 1,000.",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`.")
    ),
    responses(
        (status = 200, description = "The deliveries.", body = wire::DeliveryPage)
    )
)]
pub(super) async fn of_job(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let job = find(&state, &caller, key_of(&id)?)?;
    let found = state.board.webhooks().of_job(job.key, OF_JOB_MAX);
    Ok(Respond(wire::DeliveryPage {
        deliveries: found
            .iter()
            .map(|(delivery, endpoint)| show_delivery(delivery, endpoint, ANSWER_IN_LISTS_MAX))
            .collect(),
        next_page_token: None,
    })
    .into_response())
}

/// `GET /v1/deliveries/{id}`
#[utoipa::path(
    get,
    path = "/v1/deliveries/{id}",
    tag = "Webhooks",
    operation_id = "readDelivery",
    summary = "Read a delivery",
    description = "With every attempt, and up to 16 KiB of each answer.",
    params(
        ("id" = String, Path, description = "The delivery's id, `msg_…`.")
    ),
    responses(
        (status = 200, description = "The delivery.", body = wire::Delivery)
    )
)]
pub(super) async fn delivery(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let key = delivery_key(&id)?;
    let found = state.board.webhooks().delivery(caller.owner, key);
    let (delivery, endpoint) = found.ok_or(Refusal::NoSuchDelivery)?;
    Ok(Respond(show_delivery(&delivery, &endpoint, usize::MAX)).into_response())
}

/// `POST /v1/deliveries/{id}/retry`
#[utoipa::path(
    post,
    path = "/v1/deliveries/{id}/retry",
    tag = "Webhooks",
    operation_id = "retryDelivery",
    summary = "Send a delivery again",
    params(
        ("id" = String, Path, description = "The delivery's id, `msg_…`.")
    ),
    responses(
        (status = 202, description = "The delivery, on its way.", body = wire::Delivery),
        (status = 409, description = "The endpoint is disabled.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let command = RetryDelivery {
        owner: caller.owner,
        delivery: delivery_key(&id)?,
    };
    delivery_after(&state, &caller, command).await
}

impl PageQuery {
    fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.limit.unwrap_or(limits::PAGE_JOBS_DEFAULT);
        if (1..=limits::PAGE_JOBS_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(ApiError::invalid_member(format!(
                "in the query: `limit` must be 1 to {}, but is {limit}",
                limits::PAGE_JOBS_MAX
            )))
        }
    }

    fn token(&self) -> Result<Option<u128>, ApiError> {
        let Some(token) = &self.page_token else {
            return Ok(None);
        };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
        let number = bytes.and_then(|bytes| Some(u128::from_be_bytes(bytes.try_into().ok()?)));
        number
            .map(Some)
            .ok_or_else(|| ApiError::invalid_member("in the query: `page_token` is none of ours"))
    }
}

fn write_token(last: u128) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last.to_be_bytes())
}

/// The URL as it will be called, if it may be.
pub(super) fn target(state: &AppState, url: &str, member: &str) -> Result<String, ApiError> {
    match Target::parse(url, &state.guard) {
        Ok(target) => Ok(target.as_str().to_owned()),
        Err(refused) => Err(ApiError::invalid_member(format!("`{member}`: {refused}"))),
    }
}

/// Checks the webhook that a job brings along, and writes its URL as it will be called.
pub(super) fn check_webhook_of<J>(state: &AppState, new: &mut NewJob<J>) -> Result<(), ApiError> {
    if let Some(webhook) = &mut new.webhook {
        webhook.url = target(state, &webhook.url, "webhook.url")?;
    }
    Ok(())
}

/// Lets a webhook that the simulator sends before the create's answer go first, for as long as an exchange may take to be
/// noticed as the receiver's doing.
pub(super) async fn wait_for_early_webhook(state: &AppState, job: abide_engine::JobKey) {
    if !state.board.plays_faults() {
        return;
    }
    let is_early =
        |delivery: &Delivery| delivery.fault.as_deref() == Some(FaultKind::WebhookEarly.as_str());
    let webhooks = state.board.webhooks();
    tokio::select! {
        () = webhooks.attempted(job, is_early) => {}
        () = state.clock.hold(EARLY_MAX) => {}
    }
}

/// Shows the secret that was made for the webhook that a job brought along.
pub(super) fn show_secret_of_job(state: &AppState, job: &abide_engine::Job, out: &mut impl Lines) {
    let target = job
        .extra
        .as_ref()
        .and_then(|extra| extra.webhook.as_deref());
    if target.is_none_or(|target| target.secret.is_some()) {
        return;
    }
    let endpoint = state.board.webhooks().endpoint_of_job(job.key);
    let secret = endpoint.and_then(|endpoint| endpoint.secret.as_ref().map(Secret::expose));
    if let Some(secret) = secret {
        out.word(headers::WEBHOOK_SECRET, &secret);
    }
}

fn secret(text: Option<&str>) -> Result<Option<Secret>, ApiError> {
    text.map(str::parse)
        .transpose()
        .map_err(|error: abide_wire::webhook::SecretError| {
            ApiError::invalid_member(format!("`secret`: {error}"))
        })
}

fn endpoint_key(id: &str) -> Result<EndpointKey, ApiError> {
    id.parse().map_err(|_| Refusal::NoSuchEndpoint.into())
}

fn delivery_key(id: &str) -> Result<DeliveryKey, ApiError> {
    id.parse().map_err(|_| Refusal::NoSuchDelivery.into())
}

fn find_endpoint(
    state: &AppState,
    caller: &Caller,
    id: &str,
) -> Result<(std::sync::Arc<Endpoint>, delivery::Breaker), ApiError> {
    let found = state
        .board
        .webhooks()
        .endpoint(caller.owner, endpoint_key(id)?);
    found.ok_or_else(|| Refusal::NoSuchEndpoint.into())
}

async fn delivery_after(
    state: &AppState,
    caller: &Caller,
    command: impl Command<Answer = std::sync::Arc<Delivery>>,
) -> Result<Response, ApiError> {
    let delivery = state.commands.ask(command).await?;
    let webhooks = state.board.webhooks();
    let (delivery, endpoint) = webhooks
        .delivery(caller.owner, delivery.key)
        .ok_or(Refusal::NoSuchDelivery)?;
    let shown = show_delivery(&delivery, &endpoint, usize::MAX);
    Ok((StatusCode::ACCEPTED, Respond(shown)).into_response())
}

/// An answer with a secret in it is for nobody's cache.
fn no_store(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn show_endpoint(
    state: &AppState,
    endpoint: &Endpoint,
    breaker: delivery::Breaker,
) -> wire::Endpoint {
    let now = state.clock.now();
    let old_secret = endpoint.old_secret.as_ref();
    wire::Endpoint {
        id: endpoint.key.to_string(),
        url: endpoint.url.as_ref().to_owned(),
        events: endpoint.events.words().map(str::to_owned).collect(),
        description: endpoint.description.as_deref().map(str::to_owned),
        ordered: endpoint.ordered,
        enabled: endpoint.is_enabled(),
        disabled: endpoint.disabled.map(|disabled| wire::Disabled {
            at: disabled.at,
            reason: disabled.reason.as_str().to_owned(),
        }),
        failing_since: endpoint.failing_since,
        breaker: wire::Breaker {
            state: match breaker.open_until {
                None => "closed",
                Some(until) if until > now => "open",
                Some(_) => "half_open",
            }
            .to_owned(),
            until: breaker.open_until.filter(|until| *until > now),
            failures: breaker.failures,
            window: breaker.window,
        },
        dropped: endpoint.dropped,
        secret: None,
        old_secret_until: old_secret.map(|old| old.until).filter(|until| *until > now),
        created_at: endpoint.created_at,
        updated_at: endpoint.updated_at,
    }
}

fn show_delivery(delivery: &Delivery, endpoint: &Endpoint, answer_max: usize) -> wire::Delivery {
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
        attempts: delivery
            .attempts
            .iter()
            .map(|attempt| show_attempt(attempt, answer_max))
            .collect(),
        sim_decision: delivery.fault.as_deref().map(str::to_owned),
    }
}

fn show_attempt(attempt: &delivery::Attempt, answer_max: usize) -> wire::Attempt {
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
        next_attempt_at: attempt.next_at,
    }
}
