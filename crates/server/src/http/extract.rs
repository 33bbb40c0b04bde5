//! What handlers take from a request, refused with problem details where it is wrong.

use std::time::Duration;

use abide_wire::limits::BODY_BYTES_MAX;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::fields::Fields;
use super::strict::Strict;

/// How long a body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// How deep brackets may go in a body; most JSON parsers stand as much.
const DEPTH_MAX: usize = 120;

/// A body of JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// A body of JSON, or no body, which is the default.
#[derive(Clone, Copy, Debug)]
pub struct OptionalJson<T>(pub T);

/// A body of JSON, or no body, which is the default; and its text.
#[derive(Clone, Debug)]
pub struct Worded<T> {
    /// What it says.
    pub value: T,
    /// In which words.
    pub text: Bytes,
}

/// The query, of which every parameter is known.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// What stands in the path's place holders.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body).await?;
        require_json(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let worded = Worded::from_request(request, state).await?;
        Ok(Self(worded.value))
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for Worded<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let text = read_body(&parts.headers, body).await?;
        let value = optional(&parts.headers, &text)?;
        Ok(Self { value, text })
    }
}

/// Reads the JSON of a body that came with those fields; no body is the default.
///
/// # Errors
///
/// It doesn't say that it is JSON (`415`), is none (`400`), or doesn't fit (`422`).
pub(super) fn optional<F, T>(fields: &F, body: &[u8]) -> Result<T, ApiError>
where
    F: Fields + ?Sized,
    T: DeserializeOwned + Default,
{
    if body.is_empty() {
        return Ok(T::default());
    }
    require_json(fields)?;
    parse(body)
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.uri)
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// The query of that URI.
    ///
    /// # Errors
    ///
    /// A parameter is unknown or has a value it can't have.
    pub fn of(uri: &Uri) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let detail = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, detail)| detail);
                ApiError::invalid_member(format!("in the query: {detail}"))
            })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            // A path that isn't text names nothing that there is.
            .map_err(|rejection| ApiError::not_found(rejection.body_text()))
    }
}

/// The whole body, within its limits of size and time.
///
/// # Errors
///
/// It is too large (`413`), too slow (`408`), or the connection broke.
pub async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    // What is announced as too large isn't read at all.
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(ApiError::too_large(BODY_BYTES_MAX));
    }
    let read = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIME_MAX, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(BODY_BYTES_MAX))
        }
        // Nobody is left to read this; it only ends the handler.
        Ok(Err(error)) => Err(ApiError::invalid_json(format!(
            "the body broke off: {error}"
        ))),
        Err(_elapsed) => Err(ApiError::slow_body(BODY_TIME_MAX)),
    }
}

/// Reads JSON, and names the member that is wrong.
///
/// # Errors
///
/// It is no JSON (`400`), or it is and doesn't fit (`422`).
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Free-form members are kept as text and not looked into, so text that isn't UTF-8 would pass unseen.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::invalid_json(format!("the body is not UTF-8: {error}")))?;
    if depth(text) > DEPTH_MAX {
        return Err(ApiError::invalid_json(format!(
            "it is nested more than {DEPTH_MAX} deep"
        )));
    }
    // Where nothing is wrong there is nothing to name, and keeping track of the way to each member costs as much as reading it.
    let mut json = serde_json::Deserializer::from_str(text);
    if let Ok(value) = T::deserialize(Strict(&mut json))
        && json.end().is_ok()
    {
        return Ok(value);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return ApiError::invalid_json(inner.to_string());
        }
        match path.as_str() {
            "." => ApiError::invalid_member(inner.to_string()),
            path => ApiError::invalid_member(format!("`{path}`: {inner}")),
        }
    })?;
    json.end()
        .map_err(|error| ApiError::invalid_json(error.to_string()))?;
    Ok(value)
}

/// How deep the brackets go, at most; exactly where that is more than [`DEPTH_MAX`]. Free-form members are passed on unread, and whoever reads them in the end may not stand any depth.
fn depth(text: &str) -> usize {
    // Brackets can't go deeper than there are of them, and counting them is quick.
    let count = memchr::memchr2_iter(b'[', b'{', text.as_bytes()).count();
    if count <= DEPTH_MAX {
        return count;
    }
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Bodies must say that they are JSON. Among other things this keeps a page of a foreign site from posting here from its
/// visitor's browser, which may send forms and plain text anywhere, and JSON only where it is asked to.
fn require_json<F: Fields + ?Sized>(fields: &F) -> Result<(), ApiError> {
    let is_json = fields.text("content-type").is_some_and(|found| {
        let essence = found.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json") || {
            let essence = essence.to_ascii_lowercase();
            essence.starts_with("application/") && essence.ends_with("+json")
        }
    });
    if is_json {
        Ok(())
    } else {
        let found = fields.value("content-type").map(HeaderValue::from_bytes);
        Err(ApiError::unsupported_type(
            found.and_then(Result::ok).as_ref(),
        ))
    }
}

/// What a client would like, from `Prefer` (RFC 7240).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `wait=N`: to be held so many seconds.
    pub wait: Option<Duration>,
    /// `respond-async`: not to be held.
    pub respond_async: bool,
}

impl Prefer {
    /// Reads every `Prefer` header. What isn't understood is ignored, as the RFC wants it.
    #[must_use]
    pub fn of<F: Fields + ?Sized>(fields: &F) -> Self {
        let mut prefer = Self::default();
        let values = fields.texts("prefer");
        for preference in values.flat_map(|value| value.split(',')) {
            let essence = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = essence.split_once('=').unwrap_or((essence, ""));
            let value = value.trim().trim_matches('"');
            // The first of several counts.
            if name.trim().eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                prefer.wait = value.parse().ok().map(Duration::from_secs);
            }
            prefer.respond_async |= name.trim().eq_ignore_ascii_case("respond-async");
        }
        prefer
    }
}

/// The entity tags of a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    any: bool,
    revisions: Vec<u64>,
}

impl Tags {
    /// Those of `If-None-Match`; none where the header isn't there or isn't understood.
    #[must_use]
    pub fn if_none_match<F: Fields + ?Sized>(fields: &F) -> Self {
        Self::read(fields, "if-none-match", true)
    }

    /// Those of `If-Match`, where the header is there. Weak tags never match there.
    #[must_use]
    pub fn if_match(headers: &HeaderMap) -> Option<Self> {
        headers
            .contains_key(header::IF_MATCH)
            .then(|| Self::read(headers, "if-match", false))
    }

    /// Whether it is `*`.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// Whether that revision is among them.
    #[must_use]
    pub fn matches(&self, revision: u64) -> bool {
        self.any || self.revisions.contains(&revision)
    }

    /// The revision that the client has: the current one where it is among them, else the newest.
    #[must_use]
    pub fn revision(&self, current: u64) -> Option<u64> {
        if self.matches(current) {
            return Some(current);
        }
        self.revisions
            .iter()
            .copied()
            .filter(|seen| *seen < current)
            .max()
    }

    fn read<F: Fields + ?Sized>(fields: &F, name: &'static str, weak: bool) -> Self {
        let mut tags = Self::default();
        for tag in fields.texts(name).flat_map(|value| value.split(',')) {
            let tag = tag.trim();
            tags.any |= tag == "*";
            let strong = tag.strip_prefix("W/").filter(|_| weak).unwrap_or(tag);
            tags.revisions.extend(
                strong
                    .strip_prefix('"')
                    .and_then(|tag| tag.strip_suffix('"'))
                    .and_then(|tag| tag.parse::<u64>().ok()),
            );
        }
        tags
    }
}

/// The entity tag of a revision.
#[must_use]
pub fn tag_of_revision(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits in quotes are a header value")
}

#[cfg(test)]
mod tests {
    use abide_wire::NewJob;
    use axum::routing::post;
    use axum::{Router, http};
    use serde::Deserialize;
    use serde_json::value::RawValue;
    use tower::ServiceExt as _;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        #[expect(dead_code, reason = "read from requests only")]
        wait: Option<u32>,
    }

    fn router() -> Router {
        Router::new()
            .route(
                "/json",
                post(async |OptionalJson(_): OptionalJson<NewJob<Box<RawValue>>>| "fine"),
            )
            .route("/must", post(async |Json(_): Json<Wish>| "fine"))
            .route(
                "/query/{id}",
                post(async |Path(_): Path<String>, Query(_): Query<Wish>| "fine"),
            )
    }

    async fn answer(path: &str, content_type: Option<&str>, body: Body) -> (u16, String) {
        let mut request = http::Request::post(path);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let response = router().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_named() {
        let json = Some("application/json");
        let large = format!("{{\"kind\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
        let table: &[(&str, Option<&str>, &str, u16, &str)] = &[
            ("/json", None, "", 200, "fine"),
            ("/json", Some("text/plain"), "", 200, "fine"),
            ("/json", json, "", 200, "fine"),
            (
                "/json",
                json,
                r#"{"kind":"a","input":{"b":[1]}}"#,
                200,
                "fine",
            ),
            (
                "/json",
                Some("Application/vnd.x+JSON; charset=utf-8"),
                "{}",
                200,
                "fine",
            ),
            (
                "/json",
                Some("application/jsonlines"),
                "{}",
                415,
                "unsupported_type",
            ),
            ("/json", None, "{}", 415, "but is none"),
            ("/json", Some("text/plain"), "{}", 415, "text/plain"),
            ("/json", json, "{", 400, "invalid_json"),
            ("/json", json, "{} x", 400, "trailing"),
            ("/json", json, r#"{"input":{"a":}}"#, 400, "invalid_json"),
            ("/json", json, r#"{"knd":"a"}"#, 422, "unknown field `knd`"),
            ("/json", json, r#"{"kind":1}"#, 422, "`kind`: invalid type"),
            (
                "/json",
                json,
                r#"{"kind":"a","kind":"b"}"#,
                422,
                "duplicate",
            ),
            (
                "/json",
                json,
                r#"{"simulate":{"duration":{"uniform":{"min":-1,"max":2}}}}"#,
                422,
                "`simulate.duration.uniform.min`: a duration must not be negative",
            ),
            ("/json", json, "[]", 422, "expected an object"),
            ("/json", json, " null", 422, "expected an object"),
            ("/json", json, "nul", 400, "invalid_json"),
            ("/json", json, &large, 413, "262144"),
            ("/must", json, "", 400, "EOF"),
            ("/must", json, r#"{"wait":1}"#, 200, "fine"),
            ("/query/x", None, "", 200, "fine"),
            ("/query/x?wait=1", None, "", 200, "fine"),
            ("/query/x?wait=-1", None, "", 422, "wait"),
            ("/query/x?wiat=1", None, "", 422, "unknown field `wiat`"),
            ("/query/%ff", None, "", 404, "UTF-8"),
        ];
        for (path, content_type, body, status, said) in table {
            let (got, text) = answer(path, *content_type, Body::from(body.to_string())).await;
            let short: String = body.chars().take(80).collect();
            assert_eq!(got, *status, "{path} {short}: {text}");
            assert!(text.contains(said), "{path} {short}: {text}");
        }
    }

    #[tokio::test]
    async fn a_body_that_isnt_text_is_refused_also_where_nobody_looks() {
        let body = [&br#"{"input":""#[..], &[0xff, 0xfe], &br#""}"#[..]].concat();
        let (status, text) = answer("/json", Some("application/json"), Body::from(body)).await;
        assert_eq!(status, 400, "{text}");
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_limited_too() {
        let chunk = Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 100_000]));
        let stream = futures_util::stream::iter(
            [chunk.as_ref().unwrap(); 3].map(|chunk| Ok::<_, std::io::Error>(chunk.clone())),
        );
        let (status, _) =
            answer("/json", Some("application/json"), Body::from_stream(stream)).await;
        assert_eq!(status, 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let (status, text) =
            answer("/json", Some("application/json"), Body::from_stream(never)).await;
        assert_eq!(status, 408, "{text}");
    }

    #[test]
    fn preferences_are_read_as_the_rfc_has_them() {
        let table: &[(&[&str], Option<u64>, bool)] = &[
            (&[], None, false),
            (&["wait=25"], Some(25), false),
            (&["respond-async, wait=10"], Some(10), true),
            (&["Wait = 7"], Some(7), false),
            (&["wait=\"7\"; x=y"], Some(7), false),
            (&["return=minimal", "wait=3"], Some(3), false),
            (&["wait=3, wait=4"], Some(3), false),
            (&["wait=-3", "wait=soon"], None, false),
            (&["respond-async"], None, true),
        ];
        for (lines, wait, respond_async) in table {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append("prefer", HeaderValue::from_str(line).unwrap());
            }
            let expected = Prefer {
                wait: wait.map(Duration::from_secs),
                respond_async: *respond_async,
            };
            assert_eq!(Prefer::of(&headers), expected, "{lines:?}");
        }
    }

    #[tokio::test]
    async fn brackets_go_only_so_deep() {
        let json = Some("application/json");
        let nested = |n: usize| format!(r#"{{"input":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        let quoted = format!(r#"{{"input":"\\\"{}"}}"#, "[".repeat(500));
        for (body, status) in [
            (nested(119), 200),
            (nested(120), 400),
            (nested(60_000), 400),
            (quoted, 200),
        ] {
            let (got, text) = answer("/json", json, Body::from(body)).await;
            assert_eq!(got, status, "{text}");
        }
    }

    #[test]
    fn tags_carry_revisions() {
        assert_eq!(tag_of_revision(7), "\"7\"");
        let table: &[(&str, bool, &[u64], Option<u64>)] = &[
            ("\"7\"", false, &[7], Some(7)),
            (" W/\"7\" , \"5\"", false, &[7, 5], Some(7)),
            ("\"5\", \"6\", \"9\"", false, &[5, 6, 9], Some(6)),
            ("\"9\"", false, &[9], None),
            ("7", false, &[], None),
            ("*", true, &[], Some(7)),
            ("\"\"", false, &[], None),
            ("\"-1\", \"7", false, &[], None),
        ];
        for (text, any, revisions, seen) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(text).unwrap());
            let tags = Tags::if_none_match(&headers);
            assert_eq!(
                (tags.any, tags.revisions.as_slice()),
                (*any, *revisions),
                "{text}"
            );
            assert_eq!(tags.revision(7), *seen, "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Tags::if_match(&headers), None);
        headers.insert(header::IF_MATCH, HeaderValue::from_static("W/\"7\""));
        assert!(!Tags::if_match(&headers).unwrap().matches(7));
    }
}
