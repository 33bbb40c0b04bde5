//! What the request of a create must be, and the digests by which a repeated one is known.

use abide_wire::webhook::Secret;
use abide_wire::{NewJob, OnWorkerLost, WebhookTarget, Worker, limits};
use rapidhash::v3::rapidhash_v3;

use super::create::KIND_DEFAULT;
use crate::Json;
use crate::command::Refusal;
use crate::delivery::Events;
use crate::same::{write_canonical, write_text};

/// Bytes reserved for the canonical form of a request.
const BODY_BYTES: usize = 512;

/// The [digest](body_digest) of a create where something asks for it: an idempotency key, or the draws of a simulated
/// job without a key of its own. Else 0, which then means nothing.
pub(super) fn digest_of(new: &NewJob<Json>, has_key: bool) -> u64 {
    let is_simulated = new.worker.unwrap_or_default() == Worker::Simulator;
    let own = new.simulate.as_ref();
    let draws_by_body = is_simulated && own.is_none_or(|simulate| simulate.key.is_none());
    match has_key || draws_by_body {
        true => body_digest(new),
        false => 0,
    }
}

/// A digest of everything that a create says about the job itself.
///
/// It is stored, so it must never change. It needn't be cryptographic: a client that makes two bodies collide on
/// purpose harms only itself.
pub(super) fn body_digest(new: &NewJob<Json>) -> u64 {
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    write_text(new.kind.as_deref().unwrap_or(KIND_DEFAULT), &mut bytes);
    for json in [&new.input, &new.metadata] {
        match json {
            Some(json) => write_canonical(json, &mut bytes),
            None => bytes.push(b'-'),
        }
    }
    bytes.push(u8::from(new.worker == Some(Worker::External)));
    if let Some(simulate) = &new.simulate {
        // Writing to memory doesn't fail, and what was read is JSON.
        let _ = serde_json::to_writer(&mut bytes, simulate);
    }
    rapidhash_v3(&bytes)
}

/// A digest of the whole create, of which `body_digest` is the [digest](body_digest) of what is about the job; never 0.
pub(super) fn request_digest(new: &NewJob<Json>, body_digest: u64) -> u64 {
    let mut bytes = body_digest.to_le_bytes().to_vec();
    let _ = serde_json::to_writer(&mut bytes, &(&new.webhook, &new.deadline_s));
    // Without these it is what it was before they came: keys are remembered across versions.
    if new.on_worker_lost.is_some() || new.attempts_max.is_some() {
        let _ = serde_json::to_writer(&mut bytes, &(new.on_worker_lost, new.attempts_max));
    }
    rapidhash_v3(&bytes).max(1)
}

/// How often workers may claim the job, if more than once.
pub(super) fn attempts_max(new: &NewJob<Json>) -> Option<u32> {
    let is_retried = new.on_worker_lost == Some(OnWorkerLost::Retry);
    is_retried.then(|| new.attempts_max.unwrap_or(limits::ATTEMPTS_DEFAULT))
}

fn validate_attempts(new: &NewJob<Json>) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::Invalid(text));
    if new.on_worker_lost.is_some() && new.worker != Some(Worker::External) {
        return invalid("`on_worker_lost` needs `worker` to be \"external\"".to_owned());
    }
    let Some(attempts) = new.attempts_max else {
        return Ok(());
    };
    if new.on_worker_lost != Some(OnWorkerLost::Retry) {
        return invalid("`attempts_max` needs `on_worker_lost` to be \"retry\"".to_owned());
    }
    if !(1..=limits::ATTEMPTS_MAX).contains(&attempts) {
        return invalid(format!(
            "`attempts_max` must be between 1 and {}, but is {attempts}",
            limits::ATTEMPTS_MAX
        ));
    }
    Ok(())
}

/// Refuses a request that breaks a bound, and names member and bound.
pub(super) fn validate(new: &NewJob<Json>) -> Result<(), Refusal> {
    if let Some(kind) = &new.kind
        && (kind.is_empty() || kind.chars().count() > limits::WORD_CHARS_MAX)
    {
        return Err(Refusal::Invalid(format!(
            "`kind` must be 1 to {} characters long, but is {}",
            limits::WORD_CHARS_MAX,
            kind.chars().count()
        )));
    }
    // It becomes a key of PostgreSQL and a variable of a worker's command, and neither can hold one.
    if new.kind.as_ref().is_some_and(|kind| kind.contains('\0')) {
        let what = "`kind` must not have the character NUL (U+0000) in it";
        return Err(Refusal::Invalid(what.to_owned()));
    }
    if let Some(metadata) = &new.metadata {
        let length = metadata.get().len();
        if length > limits::METADATA_BYTES_MAX {
            return Err(Refusal::Invalid(format!(
                "`metadata` must be at most {} bytes long, but is {length}",
                limits::METADATA_BYTES_MAX,
            )));
        }
        let members = metadata
            .members()
            .ok_or_else(|| Refusal::Invalid("`metadata` must be an object".to_owned()))?;
        if members > limits::METADATA_MEMBERS_MAX {
            return Err(Refusal::Invalid(format!(
                "`metadata` must have at most {} members, but has {members}",
                limits::METADATA_MEMBERS_MAX,
            )));
        }
    }
    if let Some(simulate) = &new.simulate {
        if new.worker == Some(Worker::External) {
            return Err(Refusal::Invalid(
                "`simulate` must not be given where `worker` is \"external\"".to_owned(),
            ));
        }
        simulate.validate().map_err(Refusal::Invalid)?;
    }
    validate_attempts(new)?;
    if let Some(webhook) = &new.webhook {
        validate_webhook(webhook)?;
    }
    Ok(())
}

fn validate_webhook(webhook: &WebhookTarget) -> Result<(), Refusal> {
    if webhook.url.is_empty() || webhook.url.len() > limits::URL_BYTES_MAX {
        return Err(Refusal::Invalid(format!(
            "`url` of `webhook` must be 1 to {} bytes long",
            limits::URL_BYTES_MAX
        )));
    }
    if let Some(events) = &webhook.events {
        Events::parse(events).map_err(Refusal::Invalid)?;
    }
    if let Some(secret) = &webhook.secret {
        secret
            .parse::<Secret>()
            .map_err(|error| Refusal::Invalid(format!("`secret` of `webhook`: {error}")))?;
    }
    Ok(())
}
