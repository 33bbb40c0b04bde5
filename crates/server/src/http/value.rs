//! Header values that are made while a request is answered.
//!
//! A read of a job makes several of them, which is why numbers are put down without the formatting machinery.

use std::cell::RefCell;

use http::HeaderValue;

/// The text of a value under way.
#[derive(Debug)]
pub(super) struct Text<'a>(&'a mut Vec<u8>);

/// The value that `write` writes, which must be visible ASCII and spaces.
pub(super) fn value(write: impl FnOnce(&mut Text<'_>)) -> HeaderValue {
    // The room is kept from one value to the next, so that each costs the one allocation that it is kept in.
    thread_local! {
        static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    ROOM.with_borrow_mut(|room| {
        room.clear();
        write(&mut Text(room));
        HeaderValue::from_bytes(room).expect("words and digits are a header value")
    })
}

/// Small numbers as entity tags have them: most revisions and pauses are small, and their values need no room.
const TAGS: [&str; 32] = [
    "\"0\"", "\"1\"", "\"2\"", "\"3\"", "\"4\"", "\"5\"", "\"6\"", "\"7\"", "\"8\"", "\"9\"",
    "\"10\"", "\"11\"", "\"12\"", "\"13\"", "\"14\"", "\"15\"", "\"16\"", "\"17\"", "\"18\"",
    "\"19\"", "\"20\"", "\"21\"", "\"22\"", "\"23\"", "\"24\"", "\"25\"", "\"26\"", "\"27\"",
    "\"28\"", "\"29\"", "\"30\"", "\"31\"",
];

/// A number as a value.
pub(super) fn number(number: u64) -> HeaderValue {
    match small(number) {
        Some(tag) => HeaderValue::from_static(&tag[1..tag.len() - 1]),
        None => value(|text| {
            text.number(number);
        }),
    }
}

/// The entity tag of a revision.
pub(super) fn tag_of_revision(revision: u64) -> HeaderValue {
    match small(revision) {
        Some(tag) => HeaderValue::from_static(tag),
        None => value(|text| {
            text.str("\"").number(revision).str("\"");
        }),
    }
}

fn small(number: u64) -> Option<&'static str> {
    TAGS.get(usize::try_from(number).ok()?).copied()
}

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
        let (mut digits, mut start, mut rest) = ([0; 16], 16, number);
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdef"[(rest & 0xf) as usize];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[start..]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_together_of_words_and_numbers() {
        let made = value(|text| {
            text.str("n=")
                .number(0_u8)
                .str(";h=")
                .hex(0xabc_0123)
                .hex(0);
        });
        assert_eq!(made, "n=0;h=abc01230");
        assert_eq!(value(|_| ()), "");
        for n in 0..40 {
            assert_eq!(number(n), n.to_string());
            assert_eq!(tag_of_revision(n), format!("\"{n}\""));
        }
    }
}
