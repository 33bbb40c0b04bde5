//! Endpoints that a vendor's client registers: native ones that are told in the vendor's form.

use std::ops::Bound;
use std::sync::Arc;

use abide_engine::delivery::{CreateEndpoint, DeleteEndpoint, RotateSecret};
use abide_engine::{Endpoint, EndpointKey, Refusal};
use abide_wire::webhook::seconds_of;
use abide_wire::{self as wire, EventKind};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use serde_json::value::RawValue;
use sha2::Sha256;

use super::thing::Thing;
use crate::http::answer::{Answer, Outcome};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::seen::Seen;
use crate::http::state::AppState;
use crate::http::webhooks::target;
use crate::telling::{Telling, put};

/// The most endpoints of an owner's that are looked through.
const ENDPOINTS_MAX: usize = 1_000;

/// The events of an end.
pub(super) const ENDS: [EventKind; 3] =
    [EventKind::Completed, EventKind::Failed, EventKind::Canceled];

/// A vendor's event: its word, of what, and which end.
pub(super) type Event = (&'static str, &'static Thing, EventKind);

/// What is registered.
#[derive(Debug)]
pub(super) struct Registration {
    /// Where to post.
    pub url: String,
    /// The native events.
    pub events: Vec<EventKind>,
    /// How the kinds of jobs begin that it is told of.
    pub kinds: &'static str,
    /// What the dialect likes to remember of it, without spaces; it comes back after the base in the form.
    pub note: String,
    /// What its owner noted on it.
    pub description: Option<String>,
}

impl Registration {
    /// An endpoint that is told of those events of a vendor's, and remembers their words.
    pub(super) fn of(url: &str, wanted: &[&Event], kinds: &'static str) -> Self {
        let is_wanted = |end: &EventKind| wanted.iter().any(|(_, _, kind)| kind == end);
        let words: Vec<&str> = wanted.iter().map(|(word, ..)| *word).collect();
        Self {
            url: url.to_owned(),
            events: ENDS.into_iter().filter(is_wanted).collect(),
            kinds,
            note: words.join(","),
            description: None,
        }
    }
}

/// Registers an endpoint of that dialect's.
///
/// # Errors
///
/// The URL may not be called.
pub(super) fn register(
    state: &AppState,
    call: &Call,
    dialect: &'static str,
    new: Registration,
    answer: fn(&Endpoint) -> Answer,
) -> Result<Outcome, ApiError> {
    let base = Base::of(call);
    let command = CreateEndpoint {
        owner: call.caller.owner,
        url: target(state, &new.url, "url")?,
        events: Some(texts(&new.events)),
        secret: None,
        description: new.description,
        ordered: false,
        rendering: Some(format!("{dialect} {} {}", base.as_str(), new.note)),
        kinds: Some(new.kinds.to_owned()),
    };
    state.ask(command, move |_, endpoint| Ok(answer(&endpoint)))
}

/// The caller's endpoints of that dialect, the oldest first.
pub(super) fn registered(state: &AppState, call: &Call, dialect: &str) -> Vec<Arc<Endpoint>> {
    let webhooks = state.board.webhooks();
    let all = webhooks.endpoints(call.caller.owner, Bound::Unbounded, ENDPOINTS_MAX);
    let all = all.into_iter().map(|(endpoint, _)| endpoint);
    all.filter(|endpoint| is_of(endpoint, dialect)).collect()
}

/// The caller's endpoint of that dialect whose name, 32 digits after a prefix, stands for `{id}` in the path.
///
/// # Errors
///
/// There is none.
pub(super) fn in_path(
    state: &AppState,
    call: &Call,
    dialect: &str,
    prefix: &str,
) -> Result<Arc<Endpoint>, ApiError> {
    let id = call.param("id")?;
    let digits = id.strip_prefix(prefix).filter(|digits| digits.len() == 32);
    let key = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    let webhooks = state.board.webhooks();
    let found =
        key.and_then(|key| webhooks.endpoint(call.caller.owner, EndpointKey::from_u128(key)));
    let found = found.map(|(endpoint, _)| endpoint);
    found
        .filter(|endpoint| is_of(endpoint, dialect))
        .ok_or_else(|| Refusal::NoSuchEndpoint.into())
}

/// Removes that endpoint, and answers so.
///
/// # Errors
///
/// The loop refuses.
pub(super) fn remove(
    state: &AppState,
    call: &Call,
    endpoint: EndpointKey,
    answer: Answer,
) -> Result<Outcome, ApiError> {
    let owner = call.caller.owner;
    state.ask(DeleteEndpoint { owner, endpoint }, |_, ()| Ok(answer))
}

/// Gives that endpoint a new secret.
///
/// # Errors
///
/// The loop refuses.
pub(super) fn rotate(
    state: &AppState,
    call: &Call,
    endpoint: EndpointKey,
    keeps_old: bool,
    answer: fn(&Endpoint) -> Answer,
) -> Result<Outcome, ApiError> {
    let command = RotateSecret {
        owner: call.caller.owner,
        endpoint,
        secret: None,
        keeps_old,
    };
    state.ask(command, move |_, endpoint| Ok(answer(&endpoint)))
}

/// The names of those native events.
pub(super) fn texts(kinds: &[EventKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.as_str().to_owned()).collect()
}

/// The name of that endpoint, 32 digits.
pub(super) fn id_text(endpoint: EndpointKey) -> String {
    format!("{:032x}", endpoint.as_u128())
}

/// What was noted at the registration.
pub(super) fn note(endpoint: &Endpoint) -> &str {
    let form = endpoint.rendering.as_deref().unwrap_or_default();
    form.splitn(3, ' ').nth(2).unwrap_or_default()
}

fn is_of(endpoint: &Endpoint, dialect: &str) -> bool {
    let form = endpoint.rendering.as_deref().unwrap_or_default();
    form.split(' ').next() == Some(dialect)
}

/// The event of an attempt as a dialect sees it: what happened, the job as it was then, and the note of the
/// registration, if it is for a registered endpoint.
pub(super) fn told<T>(
    telling: &Telling<'_>,
    tell: impl FnOnce(&EventKind, &Seen<'_>, Option<&str>) -> T,
) -> Option<T> {
    let event: wire::Event<Box<RawValue>> = serde_json::from_str(telling.event).ok()?;
    let mut words = telling.form.splitn(3, ' ').skip(1);
    let base = Base::new(words.next()?);
    let seen = Seen::new(&event.data, &base, event.timestamp);
    Some(tell(&event.kind, &seen, words.next()))
}

/// The event of the vendor's that this is, if those words have it: what was noted at the registration, if it is for a
/// registered endpoint.
pub(super) fn event(
    events: &'static [Event],
    kind: &EventKind,
    seen: &Seen<'_>,
    wanted: Option<&str>,
) -> Option<&'static Event> {
    let is_it = |(_, of, end): &&Event| of.kind == seen.kind && end == kind;
    let found @ (word, ..) = events.iter().find(is_it)?;
    let is_wanted = wanted.is_none_or(|all| all.split(',').any(|one| one == *word));
    is_wanted.then_some(found)
}

/// The header of that name with the time and, under that version, the HMAC of the time and the body; none if the job
/// has no secret.
pub(super) fn timed_signature(
    telling: &Telling<'_>,
    body: &str,
    name: &'static str,
    version: &str,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(secret) = telling.secrets.first() {
        let at = seconds_of(telling.at).to_string();
        let parts = [at.as_bytes(), b".", body.as_bytes()];
        let signature = hmac_hex(secret.expose().as_bytes(), &parts);
        put(&mut headers, name, &format!("t={at},{version}={signature}"));
    }
    headers
}

/// HMAC-SHA256 of those parts one after the other, in hexadecimal digits.
pub(super) fn hmac_hex(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    hex(&mac.finalize().into_bytes())
}

/// Those bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        // RFC 4231, test case 2.
        let signature = hmac_hex(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            signature,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
