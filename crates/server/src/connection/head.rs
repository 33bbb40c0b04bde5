//! The head of a request in the bytes of a connection, and whether it is so plain that it can be answered without the HTTP library.

use std::mem::MaybeUninit;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// The largest head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most header fields of a request.
pub(super) const FIELDS_MAX: usize = 64;
/// The largest body that is waited for here; a request with a larger one is the HTTP library's.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;

/// Room for the fields of a head.
pub(super) type Room<'b> = [MaybeUninit<httparse::Header<'b>>; FIELDS_MAX];

/// The head of a plain request.
#[derive(Debug)]
pub struct Head<'h> {
    /// The method.
    pub method: &'h str,
    /// The path, with a slash before it and nothing decoded.
    pub path: &'h str,
    /// What comes after the question mark.
    pub query: Option<&'h str>,
    /// The header fields.
    pub fields: &'h [httparse::Header<'h>],
    /// Path and query as they came.
    target: &'h str,
    /// The bytes it was found in.
    bytes: &'h [u8],
}

/// What begins at the front of some bytes.
#[derive(Debug)]
pub(super) enum Found<'h> {
    /// A part of a head.
    Part,
    /// A plain request.
    Plain {
        head: Head<'h>,
        /// How long the head is, in bytes.
        length: usize,
        /// How long the body is that comes after it.
        body: usize,
        /// Whether the client wants no more answers than this.
        is_last: bool,
    },
    /// Anything else: another version, another sort of body, an expectation, a fault.
    Other,
}

/// Looks for a request at the front of those bytes.
///
/// What isn't certain to mean the same to everybody is none of ours: two lengths, a length and an encoding, a target that is no path.
pub(super) fn find<'h>(bytes: &'h [u8], room: &'h mut Room<'h>) -> Found<'h> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Found::Part,
        Ok(httparse::Status::Partial) | Err(_) => return Found::Other,
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version)
    else {
        return Found::Other;
    };
    let is_ours = matches!(method, "GET" | "POST" | "PATCH" | "DELETE" | "PUT");
    if !is_ours || !target.starts_with('/') || length > HEAD_BYTES_MAX {
        return Found::Other;
    }
    let fields: &'h [httparse::Header<'h>] = request.headers;
    let (mut body, mut wish) = (None, None);
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        // The length tells most names apart at once.
        match field.name.len() {
            6 if is("expect") => return Found::Other,
            7 if is("upgrade") => return Found::Other,
            17 if is("transfer-encoding") => return Found::Other,
            14 if is("content-length") => {
                let Some(length) = decimal(field.value).filter(|_| body.is_none()) else {
                    return Found::Other;
                };
                body = Some(length);
            }
            10 if is("connection") => {
                let is_last = field.value.eq_ignore_ascii_case(b"close");
                let is_plain = is_last || field.value.eq_ignore_ascii_case(b"keep-alive");
                if !is_plain || wish.is_some() {
                    return Found::Other;
                }
                wish = Some(is_last);
            }
            _ => {}
        }
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Found::Plain {
        head: Head {
            method,
            path,
            query,
            fields,
            target,
            bytes,
        },
        length,
        body: body.unwrap_or(0),
        is_last: wish.unwrap_or(false),
    }
}

impl Head<'_> {
    /// Path and query, as they came.
    #[must_use]
    pub const fn target(&self) -> &str {
        self.target
    }

    /// The same request as the HTTP library would give it; `None` where that library would refuse it.
    pub(super) fn request(&self, length: usize, body: &[u8]) -> Option<Request<Body>> {
        let bytes = Bytes::copy_from_slice(&self.bytes[..length]);
        // The parts keep what they are parts of, as the library's own do.
        let part = |part: &[u8]| match part.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())
        {
            Some(at) if !part.is_empty() && at + part.len() <= length => {
                bytes.slice(at..at + part.len())
            }
            _ => Bytes::copy_from_slice(part),
        };
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            let value = HeaderValue::from_maybe_shared(part(field.value)).ok()?;
            headers.append(name, value);
        }
        let body = match body {
            [] => Body::empty(),
            body => Body::from(Bytes::copy_from_slice(body)),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::from_maybe_shared(part(self.target.as_bytes())).ok()?;
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// A number of digits and nothing else, as long as it is one that can be meant.
fn decimal(text: &[u8]) -> Option<usize> {
    let is_number = !text.is_empty() && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    let number = is_number.then(|| std::str::from_utf8(text).ok())??;
    number.parse().ok()
}

/// Room for the fields of a head, with nothing in it.
pub(super) const fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; FIELDS_MAX]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(text: &str) -> String {
        match find(text.as_bytes(), &mut room()) {
            Found::Part => "part".to_owned(),
            Found::Other => "other".to_owned(),
            Found::Plain {
                head,
                length,
                body,
                is_last,
            } => {
                let last = if is_last { " last" } else { "" };
                format!("{} {} {length}+{body}{last}", head.method, head.target)
            }
        }
    }

    #[test]
    fn only_what_is_plain_is_answered_here() {
        let table = [
            ("", "part"),
            ("GET / HTTP/1.1\r\nhost: x\r\n", "part"),
            ("GET / HTTP/1.1\r\n\r\n", "GET / 18+0"),
            (
                "GET /a?b HTTP/1.1\r\nConnection: Close\r\n\r\n",
                "GET /a?b 40+0 last",
            ),
            (
                "GET / HTTP/1.1\r\nconnection: keep-alive\r\n\r\n",
                "GET / 42+0",
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: 12\r\n\r\n",
                "POST / 39+12",
            ),
            ("GET / HTTP/1.0\r\n\r\n", "other"),
            ("HEAD / HTTP/1.1\r\n\r\n", "other"),
            ("OPTIONS * HTTP/1.1\r\n\r\n", "other"),
            ("GET http://x/ HTTP/1.1\r\n\r\n", "other"),
            ("GET / HTTP/1.1\r\nconnection: upgrade\r\n\r\n", "other"),
            (
                "GET / HTTP/1.1\r\nconnection: close\r\nconnection: close\r\n\r\n",
                "other",
            ),
            ("GET / HTTP/1.1\r\nupgrade: h2c\r\n\r\n", "other"),
            ("POST / HTTP/1.1\r\nexpect: 100-continue\r\n\r\n", "other"),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                "other",
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
                "other",
            ),
            ("POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", "other"),
            ("POST / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n", "other"),
            (
                "POST / HTTP/1.1\r\ncontent-length: 9999999999\r\n\r\n",
                "other",
            ),
            ("POST / HTTP/1.1\r\ncontent-length: \r\n\r\n", "other"),
            ("GET / HTTP/1.1\r\na : b\r\n\r\n", "other"),
            ("GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n", "other"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "other"),
            ("\u{16}\u{3}\u{1}", "other"),
        ];
        for (text, expected) in table {
            assert_eq!(sort(text), expected, "{text:?}");
        }
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_fields() {
        let long = format!("GET / HTTP/1.1\r\na: {}\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(sort(&long), "other");
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(FIELDS_MAX + 1)
        );
        assert_eq!(sort(&many), "other");
        let enough = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX));
        assert!(sort(&enough).starts_with("GET"));
    }
}
