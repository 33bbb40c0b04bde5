//! When two free-form JSON texts say the same: both have the same canonical bytes.
//!
//! The order of members, escapes and the spelling of numbers make no difference, because a client that tries again may
//! write its request anew. Decimals and integers beyond 64 bits are compared as doubles.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::Json;

/// Appends the value's canonical bytes. JSON that is nested deeper than 128 levels is told by its text.
pub(crate) fn write_canonical(json: &Json, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut reader = serde_json::Deserializer::from_str(json.get());
    if Canonical(out).deserialize(&mut reader).is_err() {
        out.truncate(begin);
        out.push(b't');
        write_text(json.get(), out);
    }
}

/// A text after its length, so that it is told apart from what follows.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a value, each sort of value after a letter of its own.
struct Canonical<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push(b'n');
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.extend_from_slice(&[b'b', value.into()]);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(b'i');
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        if let Ok(value) = i64::try_from(value) {
            return self.visit_i64(value);
        }
        self.0.push(b'u');
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // What an integer could say is told as one: 1.0 is 1.
        let integer = value as i64;
        if integer as f64 == value && integer < i64::MAX {
            return self.visit_i64(integer);
        }
        self.0.push(b'f');
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.push(b's');
        write_text(value, self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        while values.next_element_seed(Canonical(self.0))?.is_some() {}
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.0.push(b'{');
        let begin = self.0.len();
        let mut ends = vec![0];
        while members.next_key_seed(Canonical(self.0))?.is_some() {
            members.next_value_seed(Canonical(self.0))?;
            ends.push(self.0.len() - begin);
        }
        let written = self.0.split_off(begin);
        let mut members: Vec<_> = ends
            .windows(2)
            .map(|ends| &written[ends[0]..ends[1]])
            .collect();
        members.sort_unstable();
        members
            .iter()
            .for_each(|member| self.0.extend_from_slice(member));
        self.0.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::value::RawValue;

    use super::*;

    fn canonical(text: &str) -> Vec<u8> {
        let raw = RawValue::from_string(text.to_owned());
        let mut bytes = Vec::new();
        write_canonical(&Json::from(raw.unwrap()), &mut bytes);
        bytes
    }

    #[test]
    fn what_says_the_same_has_the_same_bytes_and_nothing_else_has() {
        let values: &[&[&str]] = &[
            &["null"],
            &["true"],
            &["false"],
            &["0", "-0", "0.0", "-0.0", "0e9"],
            &["1", "1.0", "1.00", "1e0", "10e-1"],
            &["-1", "-1.0"],
            &["100", "1e2", "1E+2"],
            &["0.1", "1e-1", "0.10"],
            &["18446744073709551615"],
            &["18446744073709551614"],
            &["1e300", "10e299"],
            &[r#""1""#, r#""\u0031""#],
            &[r#""é""#, r#""\u00e9""#, r#""\u00E9""#],
            &[r#""a/b""#, r#""a\/b""#],
            &["[]", "[ ]"],
            &["{}"],
            &["[null]"],
            &["[[]]"],
            &["[1,2]", "[1, 2.0]"],
            &["[2,1]"],
            &["[[1],2]"],
            &["[[1,2]]"],
            &[r#"["ab","c"]"#],
            &[r#"["a","bc"]"#],
            &[
                r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#,
                r#"{"b":{"d":"\u0078","c":[1.0,2]},"a":1e0}"#,
            ],
            &[r#"{"a":{"c":[1,2],"d":"x"},"b":1}"#],
            &[r#"{"a":1,"b":2}"#, r#"{ "\u0062" : 2, "a" : 1 }"#],
            &[r#"{"a":2,"b":1}"#],
            &[r#"{"a":"b"}"#],
            &[r#"{"b":"a"}"#],
            &[r#"["a","b"]"#],
        ];
        let mut all = HashMap::new();
        for texts in values {
            for text in *texts {
                assert_eq!(
                    canonical(text),
                    canonical(texts[0]),
                    "{text} is {}",
                    texts[0]
                );
            }
            let other = all.insert(canonical(texts[0]), texts[0]);
            assert_eq!(other, None, "{} is another", texts[0]);
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_compared_by_its_text() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(canonical(&deep(10_000)), canonical(&deep(10_000)));
        assert_ne!(canonical(&deep(10_000)), canonical(&deep(10_001)));
    }
}
