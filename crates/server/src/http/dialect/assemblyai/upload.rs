//! Uploads: a recording is read to its end and forgotten. What its beginning says of the job that is made of it comes
//! back in its URL.

use abide_engine::rng::digest;
use serde_json::json;

use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::directive::inline;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// `POST /v2/upload`
pub(super) fn upload(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let at = call.now.as_millis().to_le_bytes();
    let id = digest(&[&call.body, &at]);
    let said = inline(&call.body).map(|directive| format!("?abide:{directive}"));
    let url = format!(
        "https://cdn.assemblyai.com/upload/{id:016x}{}",
        said.unwrap_or_default()
    );
    Ok(json::ok(&json!({"upload_url": url})).into())
}
