//! The header lines of an answer, written in one way whether they go into the HTTP library's map or straight onto a connection.

use std::fmt;
use std::io::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where header lines go.
pub(super) trait Lines {
    /// Adds a line. The name is in lower case; the value is made of words, digits and signs that a header may have.
    fn line(&mut self, name: &'static str, value: fmt::Arguments<'_>);
}

impl Lines for HeaderMap {
    fn line(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        let value = match value.as_str() {
            Some(text) => HeaderValue::from_static(text),
            None => HeaderValue::from_maybe_shared(fmt::format(value).into_bytes())
                .expect("words and digits are a header value"),
        };
        self.insert(HeaderName::from_static(name), value);
    }
}

impl Lines for Vec<u8> {
    fn line(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        // Writing to memory doesn't fail.
        let _ = self.write_fmt(value);
        self.extend_from_slice(b"\r\n");
    }
}
