//! The header lines of an answer, written in one way whether they go into the HTTP library's map or straight onto a connection.
//!
//! A read of a job writes ten of them, which is why numbers are put down without the formatting machinery.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where header lines go.
pub(super) trait Lines {
    /// Adds a line with the value that `write` writes. The name is in lower case.
    fn line(&mut self, name: &'static str, write: impl FnOnce(&mut Text<'_>));

    /// Adds a line with that value.
    fn word(&mut self, name: &'static str, value: &str) {
        self.line(name, |text| {
            text.str(value);
        });
    }
}

/// The value of a line: words, digits and signs that a header may have.
#[derive(Debug)]
pub(super) struct Text<'a>(&'a mut Vec<u8>);

impl Text<'_> {
    /// Adds that text.
    pub(super) fn str(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds that number, in decimal digits.
    pub(super) fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.str(itoa::Buffer::new().format(number))
    }

    /// Adds that number, in hexadecimal digits.
    pub(super) fn hex(&mut self, number: u64) -> &mut Self {
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            let digit = (number >> (4 * place)) & 0xf;
            self.0.push(b"0123456789abcdef"[digit as usize]);
        }
        self
    }
}

impl Lines for HeaderMap {
    fn line(&mut self, name: &'static str, write: impl FnOnce(&mut Text<'_>)) {
        let mut value = Vec::with_capacity(32);
        write(&mut Text(&mut value));
        let value =
            HeaderValue::from_maybe_shared(value).expect("words and digits are a header value");
        self.insert(HeaderName::from_static(name), value);
    }
}

impl Lines for Vec<u8> {
    fn line(&mut self, name: &'static str, write: impl FnOnce(&mut Text<'_>)) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        write(&mut Text(self));
        self.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_same_in_a_map_and_in_bytes() {
        let (mut bytes, mut map) = (Vec::new(), HeaderMap::new());
        fn write(out: &mut impl Lines) {
            out.line("x-a", |text| {
                text.str("n=")
                    .number(0_u8)
                    .str(";h=")
                    .hex(0xabc_0123)
                    .hex(0);
            });
            out.word("x-b", "word");
        }
        write(&mut bytes);
        write(&mut map);
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            "x-a: n=0;h=abc01230\r\nx-b: word\r\n"
        );
        assert_eq!(map["x-a"], "n=0;h=abc01230");
        assert_eq!(map["x-b"], "word");
    }
}
