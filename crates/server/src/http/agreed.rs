//! JSON on which all parsers agree.
//!
//! JSON's grammar has texts that are none, because half of a surrogate pair stands alone, and numbers that no double
//! can hold; parsers drop them, replace them or refuse the whole (RFC 8259, 6 and 8.2). Free-form members are passed on
//! as they came, so one of these would make an answer unreadable to many who read it, and is refused instead.

use memchr::{memchr, memchr2, memchr2_iter};

/// What parsers don't agree on, and where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Odd<'t> {
    /// The member, as in `input.a[2]`.
    pub(super) member: String,
    /// Where it is, in bytes from the beginning.
    pub(super) offset: usize,
    /// What it says.
    pub(super) text: &'t str,
}

/// A number of so many digits is within a double, whatever they are.
const DIGITS_FEW: usize = 300;

/// The first of what parsers don't agree on in that JSON.
pub(super) fn odd(json: &str) -> Option<Odd<'_>> {
    if !may_be_odd(json.as_bytes()) {
        return None;
    }
    let mut walk = Walk {
        bytes: json.as_bytes(),
        at: 0,
    };
    let (offset, end) = walk.odd()?;
    Some(Odd {
        member: member_at(json, offset),
        offset,
        text: &json[offset..end],
    })
}

/// Whether anything may be odd in that JSON, from what is found quickly: most bodies have no escape, no exponent and no
/// long number, and needn't be walked through.
fn may_be_odd(json: &[u8]) -> bool {
    let is_digit = |at: usize| json.get(at).is_some_and(u8::is_ascii_digit);
    let is_signed = |at: usize| matches!(json.get(at), Some(b'+' | b'-'));
    let is_exponent =
        |at: usize| at > 0 && is_digit(at - 1) && (is_digit(at + 1) || is_signed(at + 1));
    // A long number covers two places in a row of those that are half as far apart.
    let mut places = (0..json.len()).step_by(DIGITS_FEW / 2);
    let mut is_before = false;
    memchr(b'\\', json).is_some()
        || memchr2_iter(b'e', b'E', json).any(is_exponent)
        || places.any(|at| std::mem::replace(&mut is_before, is_digit(at)) && is_before)
}

/// A walk over the tokens of a JSON text.
struct Walk<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Walk<'_> {
    /// Where the first odd token begins and ends.
    fn odd(&mut self) -> Option<(usize, usize)> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    if let Some(odd) = self.string() {
                        return Some(odd);
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let begin = self.at;
                    self.number();
                    if is_beyond_double(&self.bytes[begin..self.at]) {
                        return Some((begin, self.at));
                    }
                }
                _ => self.at += 1,
            }
        }
        None
    }

    /// Goes past a string, or gives the surrogate in it that stands alone.
    fn string(&mut self) -> Option<(usize, usize)> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += memchr2(b'"', b'\\', rest)?;
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return None;
            }
            match self.unit(self.at) {
                None => self.at += 2,
                Some(0xd800..0xdc00) if matches!(self.unit(self.at + 6), Some(0xdc00..0xe000)) => {
                    self.at += 12;
                }
                Some(0xd800..0xe000) => return Some((self.at, self.at + 6)),
                Some(_) => self.at += 6,
            }
        }
    }

    /// The unit that is escaped there by its number.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn number(&mut self) {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let end = rest.iter().position(|byte| !is_part(byte));
        self.at += end.unwrap_or(rest.len());
    }
}

fn is_beyond_double(number: &[u8]) -> bool {
    // A number with few digits and no exponent needn't be read.
    let is_short = number.len() <= DIGITS_FEW && memchr2(b'e', b'E', number).is_none();
    let text = std::str::from_utf8(number).unwrap_or_default();
    !is_short && text.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The way to the member that is at that place: its names and numbers.
fn member_at(json: &str, offset: usize) -> String {
    /// A step of the way: the name of a member, or the number of an element.
    enum Step<'t> {
        Name(&'t str),
        Number(usize),
    }
    let mut walk = Walk {
        bytes: json.as_bytes(),
        at: 0,
    };
    let (mut way, mut is_name) = (Vec::new(), false);
    while walk.at <= offset
        && let Some(byte) = walk.bytes.get(walk.at)
    {
        let begin = walk.at;
        walk.at += 1;
        match byte {
            b'{' => {
                way.push(Step::Name(""));
                is_name = true;
            }
            b'[' => way.push(Step::Number(0)),
            b'}' | b']' => drop(way.pop()),
            b',' => match way.last_mut() {
                Some(Step::Number(number)) => *number += 1,
                _ => is_name = true,
            },
            b'"' => {
                walk.at = begin;
                if walk.string().is_some() || walk.at > offset {
                    break;
                }
                if is_name && let Some(Step::Name(name)) = way.last_mut() {
                    *name = &json[begin + 1..walk.at - 1];
                    is_name = false;
                }
            }
            _ => {}
        }
    }
    way.iter().fold(String::new(), |path, step| match step {
        Step::Name(name) if path.is_empty() => (*name).to_owned(),
        Step::Name(name) => format!("{path}.{name}"),
        Step::Number(number) => format!("{path}[{number}]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parsers_dont_agree_on_is_found_where_it_is() {
        type Found<'t> = Option<(&'t str, usize, &'t str)>;
        let table: &[(&str, Found<'_>)] = &[
            (
                r#"{"a": "\ud83d\ude00 \\ud800 \u0000", "b": [1e308, -0.0, 1E-999]}"#,
                None,
            ),
            (r#"{"a": "no number 1e999"}"#, None),
            (r#"{"a": "\ud800"}"#, Some(("a", 7, "\\ud800"))),
            (
                r#"{"a": [1, {"b": "x\udc00y"}]}"#,
                Some(("a[1].b", 18, "\\udc00")),
            ),
            (r#"{"a": "\ud800\u0041"}"#, Some(("a", 7, "\\ud800"))),
            (r#"{"a": "\\\ud800"}"#, Some(("a", 9, "\\ud800"))),
            (
                r#"{"a": {"b": 1, "\udfff": 1}}"#,
                Some(("a.b", 16, "\\udfff")),
            ),
            (
                r#"{"a": {}, "c": [[], 1E400]}"#,
                Some(("c[1]", 20, "1E400")),
            ),
            (r"-1e+400", Some(("", 0, "-1e+400"))),
        ];
        for (json, expected) in table {
            let found = odd(json).map(|odd| (odd.member, odd.offset, odd.text));
            let found = found
                .as_ref()
                .map(|(member, at, text)| (member.as_str(), *at, *text));
            assert_eq!(found, *expected, "{json}");
        }
        let long = format!("{{\"a\": 1{}}}", "0".repeat(400));
        assert_eq!(odd(&long).unwrap().member, "a");
        assert_eq!(odd(&format!("0.{}", "1".repeat(400))), None);
    }
}
