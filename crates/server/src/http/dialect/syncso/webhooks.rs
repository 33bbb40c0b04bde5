//! Webhooks: the generation at its end, signed by the account's one secret.

use abide_wire::EventKind;
use abide_wire::webhook::seconds_of;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::wire::body;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::hook::{hmac_hex, told};
use crate::http::dialect::job::{self, Hook};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;
use crate::telling::{Telling, Told, put};

/// Where to tell of a generation.
pub(super) fn hook(call: &Call, url: &str) -> Hook {
    let kinds = [EventKind::Completed, EventKind::Failed, EventKind::Canceled];
    Hook {
        url: url.to_owned(),
        events: Some(kinds.map(|kind| kind.as_str().to_owned()).into()),
        secret: Some(label(call)),
    }
}

/// `GET /dashboard/webhook-secret`
pub(super) fn secret(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::secret(state, label(call), |secret| {
        json::answer(StatusCode::OK, &json!({"secret": secret.expose()}))
    })
}

fn label(call: &Call) -> String {
    format!("syncso/{:016x}", call.caller.owner.0)
}

/// The generation as it was at the event.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |_, seen, _| {
        let body = body(seen).to_string();
        let at = seconds_of(telling.at).to_string();
        let mut headers = HeaderMap::new();
        if let Some(secret) = telling.secrets.first() {
            let signature = hmac_hex(
                secret.expose().as_bytes(),
                &[at.as_bytes(), b".", body.as_bytes()],
            );
            put(
                &mut headers,
                "sync-signature",
                &format!("t={at},v1={signature}"),
            );
        }
        Told {
            has_titles: true,
            body,
            headers: Some(headers),
        }
    })
}
