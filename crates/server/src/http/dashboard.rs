//! The dashboard: static files that are part of the binary.
//!
//! It is a client like any other and has no door of its own: everything it shows comes from the public interface,
//! JSON and event streams, with the caller's API key where the server wants one. So its files need no key, and this
//! file knows nothing of jobs.
//!
//! The files run in the browser as they lie in `assets/dashboard`; there is no build step. A debug build reads them
//! from there on every request, so that an edit shows on reload. The policy that goes with them allows scripts,
//! styles and connections of this host alone and nothing inline.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::answer::{Outcome, empty, text};
use super::door::Door;
use super::error::ApiError;
use super::route::Row;

/// What the page may do: nothing but talk to the host it came from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
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

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row::get("/", |_, call| serve("index.html", &call.headers)).door(Door::Open),
    Row::get("/assets/{*path}", |_, call| {
        serve(&call.param("path")?, &call.headers)
    })
    .door(Door::Open),
];

fn serve(path: &str, headers: &HeaderMap) -> Result<Outcome, ApiError> {
    let file = Files::get(path)
        .ok_or_else(|| ApiError::not_found("the dashboard has no file of that name"))?;
    let tag = tag_of(&file);
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|sent| matches(sent, &tag));
    let mut answer = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let kind = HeaderValue::try_from(content_type(&file));
        let mut answer = text(match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        });
        let kind = kind.map_err(|error| ApiError::internal(&error))?;
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    };
    let out = answer.headers_mut();
    for (name, value) in HEADERS {
        out.insert(name, HeaderValue::from_static(value));
    }
    let tag = HeaderValue::from_str(&tag).map_err(|error| ApiError::internal(&error))?;
    out.insert(header::ETAG, tag);
    Ok(Outcome::Now(answer))
}

/// The tag of what is in the file. A weak one: on its way out the body may be compressed, which leaves the tag as it
/// is.
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
    use super::*;
    use crate::http::answer::Answer;
    use crate::http::error::answer_of;

    async fn fetch(path: &str, tag: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(tag) = tag {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
        }
        match serve(path, &headers) {
            Ok(outcome) => outcome.answer().await,
            Err(error) => answer_of(Err(error)),
        }
    }

    async fn text_of(answer: Answer) -> String {
        let bytes = answer.into_body().collect(1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_file_has_its_type_and_the_policy() {
        for (path, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("js/main.js", "text/javascript; charset=utf-8"),
            ("vendor/preact.mjs", "text/javascript; charset=utf-8"),
            ("css/tokens.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml; charset=utf-8"),
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
    async fn the_page_names_the_version_that_runs() {
        let page = text_of(fetch("index.html", None).await).await;
        let version = concat!(
            "name=\"version\" content=\"",
            env!("CARGO_PKG_VERSION"),
            "\""
        );
        assert!(page.contains(version), "{version}");
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = fetch("index.html", None).await;
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let strong = tag.trim_start_matches("W/").to_owned();
        for known in [tag.clone(), strong, format!("\"x\", {tag}"), "*".to_owned()] {
            let again = fetch("index.html", Some(&known)).await;
            assert_eq!(again.status(), 304, "{known}");
            assert_eq!(again.headers()["etag"], tag.as_str());
            assert!(text_of(again).await.is_empty());
        }
        assert_eq!(fetch("index.html", Some("W/\"older\"")).await.status(), 200);
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_served() {
        for path in [
            "",
            "nothing.js",
            "../../Cargo.toml",
            "..%2f..%2fCargo.toml",
            "%2e%2e/%2e%2e/src/lib.rs",
            "/etc/passwd",
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
            let page = text_of(fetch(&format!("{path}"), None).await).await;
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
