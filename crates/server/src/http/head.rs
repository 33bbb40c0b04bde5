//! What follows from the head of a request alone, and the head that a connection brought last.
//!
//! A client that asks again on its connection mostly sends the head that it sent before, and comparing two heads takes
//! less than finding out anew which route it leads to, whose key it shows and what it would like.

use http::request::Parts;
use http::{HeaderMap, Method, Version};
use parking_lot::Mutex;

use super::access::Caller;
use super::call::{Params, Prefer};
use super::door::Door;
use super::mount::Mount;
use super::route::Row;

/// A longer head isn't kept, in bytes.
const BYTES_MAX: usize = 1024;

/// What was found about a head that may be answered, and isn't held.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The route's path, which is its name in metrics.
    pub route: &'static str,
    /// Who may ask there.
    pub door: Door,
    /// The row.
    pub row: &'static Row,
    /// What comes before the row's path.
    pub mount: Mount,
    /// Where the place holders are.
    pub params: Params,
    /// The client, which may ask for this.
    pub caller: Caller,
    /// What it would like.
    pub prefer: Prefer,
    /// Whether it comes by a trusted proxy.
    pub is_proxied: bool,
}

/// The head of the last request on a connection. A clone has none.
#[derive(Debug, Default)]
pub(super) struct Last(Mutex<Option<Box<Kept>>>);

#[derive(Debug)]
struct Kept {
    text: Text,
    /// Which keys there were.
    keys: u64,
    head: Head,
}

/// A head as it came. A copy, because the original keeps the buffer that it was read into.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    method: Method,
    /// The target, and then the name and the value of each field, each with a zero after it: none has one in it.
    bytes: Vec<u8>,
}

impl Text {
    /// That of these parts; `None` if it isn't worth keeping.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let target = parts.uri.path_and_query()?.as_str();
        if parts.version != Version::HTTP_11 || parts.uri.authority().is_some() {
            return None;
        }
        let mut bytes = Vec::with_capacity(BYTES_MAX / 4);
        for piece in std::iter::once(target.as_bytes()).chain(pieces(&parts.headers)) {
            if bytes.len() + piece.len() >= BYTES_MAX {
                return None;
            }
            bytes.extend_from_slice(piece);
            bytes.push(0);
        }
        bytes.shrink_to_fit();
        let method = parts.method.clone();
        Some(Self { method, bytes })
    }

    /// Whether these parts have the same text.
    fn is_of(&self, parts: &Parts) -> bool {
        let Some(target) = parts.uri.path_and_query() else {
            return false;
        };
        let mut rest = self.bytes.as_slice();
        let mut is_next = |piece: &[u8]| {
            let after = rest
                .strip_prefix(piece)
                .and_then(|rest| rest.strip_prefix(&[0]));
            after.is_some_and(|after| {
                rest = after;
                true
            })
        };
        let is_same = parts.method == self.method
            && parts.version == Version::HTTP_11
            && parts.uri.authority().is_none()
            && is_next(target.as_str().as_bytes())
            && pieces(&parts.headers).all(&mut is_next);
        is_same && rest.is_empty()
    }
}

/// The name and the value of each field, in turn.
fn pieces(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.iter();
    fields.flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()])
}

impl Last {
    /// What was found about the last head, if these parts are the same and the keys are those of that number.
    pub(super) fn find(&self, parts: &Parts, keys: u64) -> Option<Head> {
        let kept = self.0.lock();
        let kept = kept.as_ref()?;
        (kept.keys == keys && kept.text.is_of(parts)).then(|| kept.head.clone())
    }

    /// Keeps what was found about a head.
    pub(super) fn keep(&self, text: Text, keys: u64, head: Head) {
        *self.0.lock() = Some(Box::new(Kept { text, keys, head }));
    }

    /// Keeps nothing.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

impl Clone for Last {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, target: &str, lines: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn heads_are_the_same_if_nothing_in_them_differs() {
        let lines = [("host", "x"), ("accept", "a"), ("accept", "b"), ("x-y", "")];
        let one = parts("GET", "/v1/jobs/1?a=b", &lines);
        let text = Text::of(&one).unwrap();
        assert!(text.is_of(&one));
        let others = [
            parts("HEAD", "/v1/jobs/1?a=b", &lines),
            parts("GET", "/v1/jobs/1?a=", &lines),
            parts("GET", "/v1/jobs/1", &lines),
            parts("GET", "http://x/v1/jobs/1?a=b", &lines),
            parts("GET", "/v1/jobs/1?a=b", &lines[..3]),
            parts("GET", "/v1/jobs/1?a=b", &lines[1..]),
            parts(
                "GET",
                "/v1/jobs/1?a=b",
                &[lines[0], lines[2], lines[1], lines[3]],
            ),
            parts(
                "GET",
                "/v1/jobs/1?a=b",
                &[lines[0], lines[1], lines[2], ("x-z", "")],
            ),
            parts(
                "GET",
                "/v1/jobs/1?a=b",
                &[lines[0], lines[1], lines[2], ("x-y", "z")],
            ),
            parts(
                "GET",
                "/v1/jobs/1?a=b",
                &[&lines[..], &[("x-z", "")]].concat(),
            ),
        ];
        for other in &others {
            assert!(!text.is_of(other), "{other:?}");
        }
    }

    #[test]
    fn a_long_head_and_one_with_a_host_in_its_target_are_not_kept() {
        let long = "x".repeat(BYTES_MAX);
        assert!(Text::of(&parts("GET", "/", &[("x-y", &long)])).is_none());
        assert!(Text::of(&parts("GET", "http://x/", &[])).is_none());
    }
}
