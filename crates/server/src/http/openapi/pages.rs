//! The interface to try out in a browser: Swagger UI, which is part of the binary, with the description that this
//! server gives.
//!
//! Nothing comes from another host, and the policy that goes with the pages says so to the browser. It is looser than
//! the dashboard's in one thing: Swagger UI puts text into the page in ways that trusted types forbid.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode, header};
use utoipa_swagger_ui::Config;

use crate::http::answer::{Answer, Outcome, empty, text};
use crate::http::door::Door;
use crate::http::error::ApiError;
use crate::http::route::Row;

/// What the pages may do: talk to the host they came from, show the small pictures that their style sheet has in it,
/// and add the one style that Swagger UI adds, known by its hash. `checks/docs.sh` sees in a browser that nothing
/// else is asked for.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; \
     style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; object-src 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// `GET /docs` and what the page loads.
pub(in crate::http) const ROUTES: &[Row] = &[
    // The page names its files relative to itself.
    Row::get("/docs", |_, _| Ok(Outcome::Now(moved()))).door(Door::Open),
    Row::get("/docs/", |_, _| serve("").map(Outcome::Now)).door(Door::Open),
    Row::get("/docs/{*path}", |_, call| {
        serve(&call.param("path")?).map(Outcome::Now)
    })
    .door(Door::Open),
];

fn moved() -> Answer {
    let mut answer = empty(StatusCode::PERMANENT_REDIRECT);
    let place = HeaderValue::from_static("/docs/");
    answer.headers_mut().insert(header::LOCATION, place);
    answer
}

fn serve(path: &str) -> Result<Answer, ApiError> {
    let config = Config::from("../openapi.json")
        // A badge from another host otherwise.
        .validator_url("none")
        .display_request_duration(true)
        .default_models_expand_depth(0)
        .try_it_out_enabled(true);
    let file = utoipa_swagger_ui::serve(path, Arc::new(config))
        .map_err(|error| ApiError::internal(&error))?
        .ok_or_else(|| ApiError::not_found("the pages have no file of that name"))?;
    let kind =
        HeaderValue::from_str(&file.content_type).map_err(|error| ApiError::internal(&error))?;
    let mut answer = text(file.bytes.into_owned());
    let out = answer.headers_mut();
    out.insert(header::CONTENT_TYPE, kind);
    if file.gzpipped {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in HEADERS {
        out.insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_there_under_the_policy() {
        for path in [
            "",
            "index.css",
            "swagger-ui.css",
            "swagger-ui-bundle.js",
            "swagger-ui-standalone-preset.js",
            "swagger-initializer.js",
        ] {
            let response = serve(path).unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            for (name, value) in HEADERS {
                assert_eq!(response.headers()[&name], value, "{path}");
            }
        }
        assert_eq!(serve("no.js").unwrap_err().problem().status, 404);
    }
}
