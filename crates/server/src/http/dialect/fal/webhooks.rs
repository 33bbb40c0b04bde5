//! Webhooks, signed by Ed25519 over the lines request id, user id, timestamp and the digest of the body.

use abide_wire::Outcome as End;
use abide_wire::webhook::{Secret, seconds_of};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::HeaderMap;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::request::REQUEST;
use super::wire::payload;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::hook::{hex, told};
use crate::http::dialect::job::{self, Hook, failure};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;
use crate::telling::{Telling, Told, put};

/// The name of the secret that the key is made of, one for the whole server.
const KEY: &str = "fal";
const USER: &str = "abide";

/// Where to tell of a request.
pub(super) fn hook(url: String) -> Hook {
    Hook {
        url,
        events: None,
        secret: Some(KEY.to_owned()),
    }
}

/// `GET /.well-known/jwks.json`
pub(super) fn keys(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    job::secret(state, KEY.to_owned(), |secret| {
        let x = key(secret).map(|key| BASE64_URL_SAFE_NO_PAD.encode(key.public_key()));
        let key = x.map(|x| json!({"kty": "OKP", "crv": "Ed25519", "x": x}));
        json::ok(&json!({"keys": Vec::from_iter(key)}))
    })
}

/// The key that is made of a secret's bytes.
fn key(secret: &Secret) -> Option<Ed25519KeyPair> {
    let text = secret.expose();
    let bytes = BASE64_STANDARD
        .decode(text.trim_start_matches("whsec_"))
        .ok()?;
    Ed25519KeyPair::from_seed_unchecked(bytes.get(..32)?).ok()
}

/// Says an end, signed.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |_, seen, _| {
        let id = REQUEST.id_of(seen);
        let mut body = json!({
            "request_id": id,
            "gateway_request_id": id,
            "status": if seen.outcome == Some(End::Completed) { "OK" } else { "ERROR" },
            "payload": payload(seen),
        });
        if let Some((_, message)) = failure(seen) {
            body["error"] = json!(message);
            body["payload"] = Value::Null;
        }
        let body = body.to_string();
        let at = seconds_of(telling.at).to_string();
        let mut headers = HeaderMap::new();
        put(&mut headers, "x-fal-webhook-request-id", &id);
        put(&mut headers, "x-fal-webhook-user-id", USER);
        put(&mut headers, "x-fal-webhook-timestamp", &at);
        if let Some(key) = telling.secrets.first().and_then(|secret| key(secret)) {
            let digest = hex(&Sha256::digest(body.as_bytes()));
            let signed = [&id, USER, &at, &digest].join("\n");
            let signature = hex(key.sign(signed.as_bytes()).as_ref());
            put(&mut headers, "x-fal-webhook-signature", &signature);
        }
        Told {
            has_titles: false,
            body,
            headers: Some(headers),
        }
    })
}
