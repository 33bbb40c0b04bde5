//! Webhooks: the prediction, signed by the account's one secret.

use abide_wire::EventKind;
use serde_json::{Value, json};

use super::wire::body;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::hook::{ENDS, told};
use crate::http::dialect::job::{self, Hook};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;
use crate::telling::{Telling, Told};

/// The native events that the vendor's words stand for.
const EVENTS: [(&str, &[EventKind]); 4] = [
    ("start", &[EventKind::Started]),
    ("output", &[]),
    ("logs", &[EventKind::Progress]),
    ("completed", &ENDS),
];

/// Where to tell of the prediction of that request.
pub(super) fn hook(call: &Call, url: &str, request: &Value) -> Hook {
    let filter = request["webhook_events_filter"].as_array();
    let is_wanted =
        |word: &str| filter.is_none_or(|words| words.iter().any(|wanted| wanted == word));
    let wanted = EVENTS.iter().filter(|(word, _)| is_wanted(word));
    let events = wanted.flat_map(|(_, kinds)| kinds.iter().cloned());
    Hook {
        url: url.to_owned(),
        events: Some(events.collect()),
        secret: Some(label(call)),
    }
}

/// `GET /v1/webhooks/default/secret`
pub(super) fn secret(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::secret(state, label(call), |secret| {
        json::ok(&json!({"key": secret.expose()}))
    })
}

fn label(call: &Call) -> String {
    format!("replicate/{:016x}", call.caller.owner.0)
}

/// The prediction as it was at the event.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |_, seen, _| Told {
        has_titles: false,
        body: body(seen).to_string(),
        headers: None,
    })
}
