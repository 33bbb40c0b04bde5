//! Webhooks: the generation at its end, signed by the account's one secret.

use serde_json::json;

use super::wire::body;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::hook::{ENDS, timed_signature, told};
use crate::http::dialect::job::{self, Hook};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;
use crate::telling::{Telling, Told};

/// Where to tell of a generation.
pub(super) fn hook(call: &Call, url: &str) -> Hook {
    Hook {
        url: url.to_owned(),
        events: Some(ENDS.into()),
        secret: Some(label(call)),
    }
}

/// `GET /dashboard/webhook-secret`
pub(super) fn secret(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::secret(state, label(call), |secret| {
        json::ok(&json!({"secret": secret.expose()}))
    })
}

fn label(call: &Call) -> String {
    format!("syncso/{:016x}", call.caller.owner.0)
}

/// The generation as it was at the event.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |_, seen, _| {
        let body = body(seen).to_string();
        Told {
            has_titles: true,
            headers: Some(timed_signature(telling, &body, "sync-signature", "v1")),
            body,
        }
    })
}
