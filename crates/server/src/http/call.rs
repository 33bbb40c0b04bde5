//! A request, parsed once.
//!
//! The gate makes one [`Call`] of each request. Handlers, faults, limits and the client report ask it, so that none
//! of them reads a path, a query or a header in its own way.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, AsHeaderName};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use abide_wire::{Timestamp, headers};

use super::access::Caller;
use super::error::ApiError;
use super::json;
use super::limits::Held;
use super::mount::Mount;
use super::value::value;

/// The most place holders of one path.
const PARAMS_MAX: usize = 4;
/// The longest request id that is taken from the client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

const PREFER: HeaderName = HeaderName::from_static(headers::PREFER);
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static(headers::REQUEST_ID);

/// A request that has a route.
#[derive(Debug)]
pub(super) struct Call {
    /// The method; a `HEAD` has the route of its `GET`.
    pub method: Method,
    /// The target, as it was sent.
    pub uri: Uri,
    /// What comes before the path that the route has.
    pub mount: Mount,
    /// Where the place holders of the route are in the path.
    pub params: Params,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body, if the route has one.
    pub body: Bytes,
    /// The room among the bytes in flight that the body takes. A command that the body went into keeps it.
    pub room: Option<Arc<Held>>,
    /// What the client would like.
    pub prefer: Prefer,
    /// The client.
    pub caller: Caller,
    /// Whether its connection is encrypted.
    pub is_tls: bool,
    /// Whether it comes by a trusted proxy.
    pub is_proxied: bool,
    /// When it came.
    pub now: Timestamp,
}

/// The place holders of a path: the name of each, and its place in the path.
#[derive(Clone, Debug, Default)]
pub(super) struct Params([(&'static str, Range<usize>); PARAMS_MAX]);

impl Params {
    /// The place holders that a match found, which are pieces of that path.
    pub(super) fn of(path: &str, found: &matchit::Params<'static, '_>) -> Self {
        let mut params = Self::default();
        for (param, (name, value)) in params.0.iter_mut().zip(found.iter()) {
            let start = value.as_ptr().addr() - path.as_ptr().addr();
            *param = (name, start..start + value.len());
        }
        params
    }

    /// What stands for `{name}` in that path, as it was sent.
    pub(super) fn text<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        let param = self.0.iter().find(|(known, _)| *known == name);
        param.map(|(_, range)| &path[range.clone()])
    }
}

impl Call {
    /// What stands for `{name}` in the path, percent-decoded.
    ///
    /// # Errors
    ///
    /// It isn't text, and so names nothing.
    pub(super) fn param(&self, name: &str) -> Result<Cow<'_, str>, ApiError> {
        let text = self.params.text(self.uri.path(), name).unwrap_or_default();
        if memchr::memchr(b'%', text.as_bytes()).is_none() {
            return Ok(text.into());
        }
        let text = percent_decode_str(text).decode_utf8();
        text.map_err(|_| ApiError::not_found(format!("Invalid URL: Invalid UTF-8 in `{name}`")))
    }

    /// The parameters of the query, decoded, in the order in which they were sent.
    pub(super) fn pairs(&self) -> url::form_urlencoded::Parse<'_> {
        url::form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes())
    }

    /// The query, of which every parameter is known.
    ///
    /// # Errors
    ///
    /// A parameter is unknown or has a value it can't have.
    pub(super) fn query<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.uri.query().is_none() {
            return Ok(T::default());
        }
        let pairs = || serde_urlencoded::Deserializer::new(self.pairs());
        // A query with nothing wrong needs no name for it; see `json::read`.
        T::deserialize(pairs()).or_else(|_| {
            serde_path_to_error::deserialize(pairs())
                .map_err(|error| ApiError::invalid_member(format!("in the query: {error}")))
        })
    }

    /// The body, which must be JSON.
    ///
    /// # Errors
    ///
    /// It doesn't say that it is JSON (`415`), is none (`400`), or doesn't fit (`422`).
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        json::require(&self.headers)?;
        json::read(&self.body)
    }

    /// The same; no body is the default.
    ///
    /// # Errors
    ///
    /// As for [`Call::json`].
    pub(super) fn optional_json<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        self.json()
    }

    /// The first value of that field, if it is plain text.
    pub(super) fn field(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The line of that field, if it is there.
///
/// # Errors
///
/// It is there more than once, and others may go by another one.
pub(super) fn only<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> Result<Option<&'h HeaderValue>, ApiError> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next();
    match lines.next() {
        None => Ok(line),
        Some(_) => Err(ApiError::invalid_member(format!(
            "send the header `{name}` only once"
        ))),
    }
}

/// What a client would like, from `Prefer` (RFC 7240).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefer {
    /// `wait=N`: to be held for that many seconds.
    pub wait: Option<Duration>,
    /// `respond-async`: not to be held.
    pub respond_async: bool,
}

impl Prefer {
    /// Reads every `Prefer` header. What isn't understood is ignored, as the RFC wants it.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        for preference in words(headers, &PREFER) {
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
pub(super) struct Tags {
    any: bool,
    revisions: Vec<u64>,
}

impl Tags {
    /// Those of `If-None-Match`; none if the header isn't there or isn't understood.
    pub(super) fn if_none_match(headers: &HeaderMap) -> Self {
        Self::read(headers, &header::IF_NONE_MATCH, true)
    }

    /// Those of `If-Match`, if the header is there. Weak tags never match there.
    pub(super) fn if_match(headers: &HeaderMap) -> Option<Self> {
        let name = &header::IF_MATCH;
        headers
            .contains_key(name)
            .then(|| Self::read(headers, name, false))
    }

    /// Whether it is `*`.
    pub(super) const fn is_any(&self) -> bool {
        self.any
    }

    /// Whether that revision is among them.
    pub(super) fn matches(&self, revision: u64) -> bool {
        self.any || self.revisions.contains(&revision)
    }

    /// The revision that the client has: the current one if it is among them, else the newest.
    pub(super) fn revision(&self, current: u64) -> Option<u64> {
        if self.matches(current) {
            return Some(current);
        }
        self.revisions
            .iter()
            .copied()
            .filter(|seen| *seen < current)
            .max()
    }

    /// The newest revision among them.
    pub(super) fn newest(&self) -> Option<u64> {
        self.revisions.iter().copied().max()
    }

    fn read(headers: &HeaderMap, name: &HeaderName, weak: bool) -> Self {
        let mut tags = Self::default();
        for tag in words(headers, name) {
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

/// The items of a list that may go on over several fields of one name.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let texts = headers.get_all(name).into_iter();
    texts
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
}

/// The id of a request in the log and in its answer. A generated one is formatted only when it is written.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    /// The client's own.
    Sent(Arc<str>),
    /// Generated, and different from those before a restart.
    Generated {
        /// When the server started, in milliseconds.
        started_ms: u64,
        /// How many were generated before.
        n: u64,
    },
}

impl RequestId {
    /// The client's id for its request, if it sent a decent one.
    pub(super) fn sent(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(&REQUEST_ID)?.to_str().ok()?;
        let is_decent = !id.is_empty()
            && id.len() <= REQUEST_ID_BYTES_MAX
            && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_decent.then(|| Self::Sent(id.into()))
    }

    /// The id as a header has it.
    pub(super) fn value(&self) -> HeaderValue {
        value(|text| match self {
            Self::Sent(id) => {
                text.str(id);
            }
            Self::Generated { started_ms, n } => {
                text.str("req_").hex(*started_ms).str("_").hex(*n);
            }
        })
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sent(id) => f.write_str(id),
            Self::Generated { started_ms, n } => write!(f, "req_{started_ms:x}_{n:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn tags_carry_revisions() {
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

    #[test]
    fn a_request_id_is_the_clients_if_it_is_decent() {
        let sent = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(headers::REQUEST_ID, HeaderValue::from_str(id).unwrap());
            RequestId::sent(&headers).map(|id| (id.value(), id.to_string()))
        };
        let mine = sent("mine-1").unwrap();
        assert_eq!(
            (mine.0.to_str().unwrap(), mine.1.as_str()),
            ("mine-1", "mine-1")
        );
        for odd in ["", "not mine", &"x".repeat(129)] {
            assert_eq!(sent(odd), None, "{odd}");
        }
        let generated = RequestId::Generated {
            started_ms: 0x18f,
            n: 0,
        };
        assert_eq!(generated.value(), "req_18f_0");
        assert_eq!(generated.to_string(), "req_18f_0");
    }
}
