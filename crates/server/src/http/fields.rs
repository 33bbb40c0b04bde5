//! The header fields of a request, read in one way whoever holds them: the HTTP library's map, or the bytes of a connection.

use http::HeaderMap;

/// What is asked of the fields of a request. Names are in lower case.
pub trait Fields {
    /// The values of that field, in the order in which they came.
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]>;

    /// The first value of that field.
    fn value(&self, name: &'static str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The values of that field which are plain text, in the order in which they came.
    fn texts<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.values(name).filter_map(plain)
    }

    /// The first value of that field, where it is plain text.
    fn text(&self, name: &'static str) -> Option<&str> {
        self.value(name).and_then(plain)
    }
}

impl Fields for HeaderMap {
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }
}

/// Fields as they were found in the bytes of a request.
impl Fields for [httparse::Header<'_>] {
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }
}

/// The value as text, if it has nothing in it but visible ASCII, spaces and tabs.
fn plain(value: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    if value.iter().all(is_plain) {
        std::str::from_utf8(value).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_map_and_bytes_have_the_same_fields() {
        let fields: &[(&str, &[u8])] = &[
            ("Accept", b"*/*"),
            ("X-One", b"a"),
            ("x-one", b"b\tc"),
            ("x-odd", b"caf\xc3\xa9"),
            ("x-odd", b"plain"),
            ("x-empty", b""),
        ];
        let bytes: Vec<_> = fields
            .iter()
            .map(|(name, value)| httparse::Header { name, value })
            .collect();
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        for name in ["accept", "x-one", "x-odd", "x-empty", "x-none"] {
            let of_bytes: Vec<_> = bytes.values(name).collect();
            assert_eq!(
                of_bytes,
                Fields::values(&map, name).collect::<Vec<_>>(),
                "{name}"
            );
            assert_eq!(bytes.text(name), map.text(name), "{name}");
            let text = map.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(bytes.text(name), text, "{name}");
        }
        assert_eq!(bytes.texts("x-odd").collect::<Vec<_>>(), ["plain"]);
    }
}
