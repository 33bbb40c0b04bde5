//! The description of the interface for machines, made from the handlers that it describes.
//!
//! A handler says what is its own: its parameters, its body, its answers. What is the same for all of a sort (who must show a key, which
//! problems may come, which headers every answer has) is added by [`complete`], from the same table by which the shell lets
//! requests in. So neither can drift from what the server does.
//!
//! Where the server has no API keys the description asks for none.

mod complete;
#[cfg(feature = "docs")]
mod pages;

use std::sync::OnceLock;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use utoipa::openapi::OpenApi;

use super::state::AppState;

/// The pages for people.
pub(super) fn routes() -> Router<AppState> {
    #[cfg(feature = "docs")]
    return pages::routes();
    #[cfg(not(feature = "docs"))]
    Router::new()
}

/// `GET /openapi.json`
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Operations",
    operation_id = "readDescription",
    summary = "Read this description",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = serde_json::Value))
)]
pub(super) async fn json(State(state): State<AppState>) -> Response {
    static OPEN: OnceLock<Bytes> = OnceLock::new();
    static KEYED: OnceLock<Bytes> = OnceLock::new();
    let is_open = state.access.is_open();
    let text = if is_open { &OPEN } else { &KEYED }.get_or_init(|| {
        let json = serde_json::to_vec(&description(!is_open));
        json.expect("a description has only text keys").into()
    });
    let mut response = text.clone().into_response();
    let out = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    out.insert(header::CONTENT_TYPE, json);
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The description of a server that asks for a key, or of one that doesn't.
fn description(has_keys: bool) -> OpenApi {
    complete::complete(super::api().into_openapi(), has_keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept in the repository is what the code says; set `ABIDE_BLESS` to write it anew.
    #[test]
    fn the_description_is_the_one_that_was_looked_at() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let now = description(true).to_pretty_json().unwrap() + "\n";
        if std::env::var_os("ABIDE_BLESS").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        for (n, (now, kept)) in now.lines().zip(kept.lines()).enumerate() {
            assert_eq!(
                now,
                kept,
                "line {} of {path}; ABIDE_BLESS=1 writes it",
                n + 1
            );
        }
        assert_eq!(now.len(), kept.len(), "{path}; ABIDE_BLESS=1 writes it");
    }
}
