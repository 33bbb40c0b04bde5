//! The dashboard: static files that are part of the binary.
//!
//! It is a client like any other and has no door of its own: everything it shows comes from the public interface, JSON and
//! event streams, with the caller's API key where the server wants one. So its files need no key, and this file knows
//! nothing of jobs.
//!
//! The files run in the browser as they lie in `assets/dashboard`; there is no build step. A debug build reads them from there on every
//! request, so that an edit shows on reload. The policy that goes with them allows scripts, styles and connections of this host alone and
//! nothing inline.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::ApiError;

/// What the page may do: nothing but talk to the host it came from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// What the page can't want of the browser.
const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// The headers of every answer that carries a file.
const HEADERS: [(HeaderName, &str); 6] = [
    // A file's name doesn't change with what is in it, so the browser asks each time, and is told `304`.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        PERMISSIONS_POLICY,
    ),
];

/// The files, by their path under `assets/dashboard`.
#[derive(RustEmbed)]
#[folder = "assets/dashboard"]
struct Files;

/// `GET /` and everything that the page loads, under `/assets/`.
pub(super) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route(
            "/",
            get(async |headers: HeaderMap| serve("index.html", &headers)),
        )
        .route(
            "/assets/{*path}",
            get(async |Path(path): Path<String>, headers: HeaderMap| serve(&path, &headers)),
        )
}

fn serve(path: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let file = Files::get(path)
        .ok_or_else(|| ApiError::not_found("the dashboard has no file of that name"))?;
    let tag = tag_of(&file);
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|sent| matches(sent, &tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = content_type(&file);
        ([(header::CONTENT_TYPE, kind)], file.data).into_response()
    };
    let out = response.headers_mut();
    for (name, value) in HEADERS {
        out.insert(name, HeaderValue::from_static(value));
    }
    let tag = HeaderValue::from_str(&tag).map_err(|error| ApiError::internal(&error))?;
    out.insert(header::ETAG, tag);
    Ok(response)
}

/// The tag of what is in the file. A weak one: on its way out the body may be compressed, which leaves the tag as it is.
fn tag_of(file: &EmbeddedFile) -> String {
    use std::fmt::Write as _;
    let mut tag = String::from("W/\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        // Writing to a `String` can't fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether a value of `If-None-Match` names the tag, by weak comparison.
fn matches(sent: &HeaderValue, tag: &str) -> bool {
    let strip = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(sent) = sent.to_str() else {
        return false;
    };
    sent.trim() == "*" || sent.split(',').any(|one| strip(one) == strip(tag))
}

/// The file's type by its name, and for text that it is UTF-8.
fn content_type(file: &EmbeddedFile) -> String {
    let kind = match file.metadata.mimetype() {
        // What the table says of `.mjs`; RFC 9239 has made the other name the one to use.
        "application/javascript" => "text/javascript",
        kind => kind,
    };
    let is_text = kind.starts_with("text/") || kind == "image/svg+xml";
    if is_text {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn fetch(path: &str, tag: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(Body::empty()).unwrap();
        routes::<()>().oneshot(request).await.unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_file_has_its_type_and_the_policy() {
        for (path, kind) in [
            ("/", "text/html; charset=utf-8"),
            ("/assets/js/main.js", "text/javascript; charset=utf-8"),
            (
                "/assets/vendor/preact.mjs",
                "text/javascript; charset=utf-8",
            ),
            ("/assets/css/tokens.css", "text/css; charset=utf-8"),
            ("/assets/icon.svg", "image/svg+xml; charset=utf-8"),
        ] {
            let response = fetch(path, None).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()["content-type"], kind, "{path}");
            let policy = response.headers()["content-security-policy"]
                .to_str()
                .unwrap();
            assert!(policy.starts_with("default-src 'self';"), "{path}");
            assert!(!policy.contains("unsafe"), "{path}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = fetch("/", None).await;
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let strong = tag.trim_start_matches("W/").to_owned();
        for known in [tag.clone(), strong, format!("\"x\", {tag}"), "*".to_owned()] {
            let again = fetch("/", Some(&known)).await;
            assert_eq!(again.status(), 304, "{known}");
            assert_eq!(again.headers()["etag"], tag.as_str());
            assert!(text(again).await.is_empty());
        }
        assert_eq!(fetch("/", Some("W/\"older\"")).await.status(), 200);
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_served() {
        for path in [
            "/assets/",
            "/assets/nothing.js",
            "/assets/../../Cargo.toml",
            "/assets/..%2f..%2fCargo.toml",
            "/assets/%2e%2e/%2e%2e/src/lib.rs",
            "/assets//etc/passwd",
        ] {
            assert_eq!(fetch(path, None).await.status(), 404, "{path}");
        }
    }

    #[tokio::test]
    async fn the_page_has_nothing_inline_and_names_no_other_host() {
        let mut seen = 0;
        for path in Files::iter() {
            let is_ours = !path.starts_with("vendor/");
            if !is_ours
                || !(path.ends_with(".html") || path.ends_with(".js") || path.ends_with(".css"))
            {
                continue;
            }
            seen += 1;
            let page = text(fetch(&format!("/assets/{path}"), None).await).await;
            // The namespace of SVG is a name, not an address that is contacted.
            let page = page.replace("http://www.w3.org/2000/svg", "");
            for forbidden in [
                "src=\"http",
                "href=\"http",
                "url(http",
                "from 'http",
                "fetch('http",
                "//cdn",
                "innerHTML",
            ] {
                assert!(!page.contains(forbidden), "{path} has {forbidden}");
            }
            if path.ends_with(".html") {
                assert!(
                    !page.contains("<style") && !page.contains(" style="),
                    "{path}"
                );
                assert!(!page.contains("<script>"), "{path}");
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
