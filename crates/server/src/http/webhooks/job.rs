//! The webhook that a job brings along, and what its create has to do with it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use abide_engine::{Delivery, Job, JobKey};
use abide_wire::webhook::Secret;
use abide_wire::{FaultKind, NewJob, headers};

use crate::guard::Target;
use crate::http::error::ApiError;
use crate::http::state::AppState;

/// How long a create waits for the webhook that goes before its answer.
const EARLY_MAX: Duration = Duration::from_secs(2);

/// The URL as it will be called, if it may be.
pub(in crate::http) fn target(
    state: &AppState,
    url: &str,
    member: &str,
) -> Result<String, ApiError> {
    match Target::parse(url, &state.guard) {
        Ok(target) => Ok(target.as_str().to_owned()),
        Err(refused) => Err(ApiError::invalid_member(format!("`{member}`: {refused}"))),
    }
}

/// Checks the webhook that a job brings along, and writes its URL as it will be called.
pub(in crate::http) fn check_webhook_of<J>(
    state: &AppState,
    new: &mut NewJob<J>,
) -> Result<(), ApiError> {
    if let Some(webhook) = &mut new.webhook {
        webhook.url = target(state, &webhook.url, "webhook.url")?;
    }
    Ok(())
}

/// Lets a webhook that the simulator sends before the create's answer go first, for as long as an exchange may take
/// to be noticed as the receiver's doing.
pub(in crate::http) async fn wait_for_early_webhook(state: &AppState, job: JobKey) {
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
pub(in crate::http) fn show_secret_of_job(state: &AppState, job: &Job, out: &mut HeaderMap) {
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
        let secret = HeaderValue::try_from(secret).expect("a secret is base64");
        out.insert(headers::WEBHOOK_SECRET, secret);
    }
}
