//! Endpoints: register, list, read, change, remove, rotate.

use std::ops::Bound;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use abide_engine::delivery::{
    Breaker, ChangeEndpoint, CreateEndpoint, DeleteEndpoint, RotateSecret,
};
use abide_engine::{Endpoint, EndpointKey, Refusal};
use abide_wire::webhook::{Secret, SecretError};
use abide_wire::{endpoint as wire, limits};

use super::job::target;
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome, empty};
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::http::{json, paging};

/// Which page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    limit: Option<usize>,
    page_token: Option<String>,
    /// Only deliveries that stand like this.
    pub status: Option<String>,
}

impl PageQuery {
    /// How many items on the page, and the key of the last item of the page before.
    ///
    /// # Errors
    ///
    /// Either has a value it can't have.
    pub(super) fn page(&self) -> Result<(usize, Option<u128>), ApiError> {
        let limit = self.limit.unwrap_or(limits::PAGE_JOBS_DEFAULT);
        let token = self.page_token.as_deref();
        Ok((
            paging::limit(Some(limit), limit)?,
            token.map(paging::after).transpose()?,
        ))
    }
}

/// A [`wire::EndpointPage`] whose endpoints are written already.
#[derive(Debug, Serialize)]
struct Page {
    webhooks: Vec<Box<RawValue>>,
    next_page_token: Option<String>,
}

/// `POST /v1/webhooks`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let new: wire::NewEndpoint = call.json()?;
    let command = CreateEndpoint {
        owner: call.caller.owner,
        url: target(state, &new.url, "url")?,
        events: new.events,
        secret: secret(new.secret.as_deref())?,
        description: new.description,
        ordered: new.ordered.unwrap_or(false),
        rendering: None,
        kinds: None,
    };
    state.ask(command, |state, endpoint| {
        let path = format!("/v1/webhooks/{}", endpoint.key);
        let mut answer = with_secret(StatusCode::CREATED, state, &endpoint, Breaker::default());
        let path = HeaderValue::try_from(path).map_err(|error| ApiError::internal(&error))?;
        answer.headers_mut().insert(header::LOCATION, path);
        Ok(answer)
    })
}

/// `GET /v1/webhooks`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let query: PageQuery = call.query()?;
    if query.status.is_some() {
        return Err(ApiError::invalid_member(
            "in the query: `status` is for lists of deliveries",
        ));
    }
    let (limit, last) = query.page()?;
    let after = last.map_or(Bound::Unbounded, |last| {
        Bound::Excluded(EndpointKey::from_u128(last))
    });
    let webhooks = state.board.webhooks();
    let mut found = webhooks.endpoints(call.caller.owner, after, limit + 1);
    let next = paging::cut(&mut found, limit, |(endpoint, _)| endpoint.key.as_u128());
    let (webhooks, rest) = paging::fitting(
        &found,
        |(endpoint, breaker)| show(state, endpoint, *breaker),
        |(endpoint, _)| endpoint.key.as_u128(),
    );
    let page = Page {
        webhooks,
        next_page_token: rest.or(next),
    };
    Ok(json::ok(&page).into())
}

/// `GET /v1/webhooks/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let (endpoint, breaker) = find(state, &call.caller, &call.param("id")?)?;
    Ok(json::ok(&show(state, &endpoint, breaker)).into())
}

/// `PATCH /v1/webhooks/{id}`
pub(super) fn change(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let change: wire::EndpointChange = call.json()?;
    let (endpoint, breaker) = find(state, &call.caller, &id)?;
    let url = change.url.as_deref();
    let command = ChangeEndpoint {
        owner: call.caller.owner,
        endpoint: endpoint.key,
        url: url.map(|url| target(state, url, "url")).transpose()?,
        events: change.events,
        description: change.description,
        ordered: change.ordered,
        enabled: change.enabled,
    };
    state.ask(command, move |state, endpoint| {
        Ok(json::ok(&show(state, &endpoint, breaker)))
    })
}

/// `DELETE /v1/webhooks/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = DeleteEndpoint {
        owner: call.caller.owner,
        endpoint: key_of(&call.param("id")?)?,
    };
    state.ask(command, |_, ()| Ok(empty(StatusCode::NO_CONTENT)))
}

/// `POST /v1/webhooks/{id}/rotate`
pub(super) fn rotate(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let rotation: wire::Rotation = call.optional_json()?;
    let (endpoint, breaker) = find(state, &call.caller, &id)?;
    let command = RotateSecret {
        owner: call.caller.owner,
        endpoint: endpoint.key,
        secret: secret(rotation.secret.as_deref())?,
        keeps_old: true,
    };
    state.ask(command, move |state, endpoint| {
        Ok(with_secret(StatusCode::OK, state, &endpoint, breaker))
    })
}

/// The key that an id on the wire stands for.
///
/// # Errors
///
/// It names nothing.
pub(super) fn key_of(id: &str) -> Result<EndpointKey, ApiError> {
    id.parse().map_err(|_| Refusal::NoSuchEndpoint.into())
}

/// The caller's endpoint with that id.
///
/// # Errors
///
/// There is none.
pub(super) fn find(
    state: &AppState,
    caller: &Caller,
    id: &str,
) -> Result<(Arc<Endpoint>, Breaker), ApiError> {
    let found = state.board.webhooks().endpoint(caller.owner, key_of(id)?);
    found.ok_or_else(|| Refusal::NoSuchEndpoint.into())
}

fn secret(text: Option<&str>) -> Result<Option<Secret>, ApiError> {
    text.map(str::parse)
        .transpose()
        .map_err(|error: SecretError| ApiError::invalid_member(format!("`secret`: {error}")))
}

/// The endpoint with its secret, which no cache may keep.
fn with_secret(
    status: StatusCode,
    state: &AppState,
    endpoint: &Endpoint,
    breaker: Breaker,
) -> Answer {
    let mut shown = show(state, endpoint, breaker);
    shown.secret = endpoint
        .secret
        .as_ref()
        .map(|secret| secret.expose().into());
    let mut answer = json::answer(status, &shown);
    let never = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(header::CACHE_CONTROL, never);
    answer
}

fn show(state: &AppState, endpoint: &Endpoint, breaker: Breaker) -> wire::Endpoint {
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
