//! When two free-form JSON texts say the same: a digest of the value, fed by serde and not of the text.
//!
//! The order of members, escapes and the spelling of numbers make no difference, because a client that tries again may
//! write its request anew. Decimals and integers beyond 64 bits are compared as doubles.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};

use crate::Json;

/// A digest of the value. JSON that is nested deeper than 128 levels is compared by its text.
#[must_use]
pub(crate) fn digest_of(json: &Json) -> u64 {
    let mut hash = Sha256::new();
    let mut reader = serde_json::Deserializer::from_str(json.get());
    if Feed(&mut hash).deserialize(&mut reader).is_err() {
        hash = Sha256::new_with_prefix(json.get());
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(bytes)
}

/// Feeds a value to a hash, each sort of value after a letter of its own.
struct Feed<'a>(&'a mut Sha256);

impl<'de> DeserializeSeed<'de> for Feed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Feed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.update(b"n");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.update([b'b', value.into()]);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.update(b"i");
        self.0.update(i128::from(value).to_le_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.update(b"i");
        self.0.update(i128::from(value).to_le_bytes());
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        // What an integer could say is told as one: 1.0 is 1.
        let integer = value as i64;
        if integer as f64 == value && integer < i64::MAX {
            return self.visit_i64(integer);
        }
        self.0.update(b"f");
        self.0.update(value.to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.update(b"s");
        self.0.update((value.len() as u64).to_le_bytes());
        self.0.update(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.0.update(b"[");
        while values.next_element_seed(Feed(self.0))?.is_some() {}
        self.0.update(b"]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        // A sum, because it has no order.
        let (mut sum, mut count) = (0_u128, 0_u64);
        let mut member = Sha256::new();
        while members.next_key_seed(Feed(&mut member))?.is_some() {
            members.next_value_seed(Feed(&mut member))?;
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&member.finalize_reset()[..16]);
            sum = sum.wrapping_add(u128::from_le_bytes(bytes));
            count += 1;
        }
        self.0.update(b"{");
        self.0.update(count.to_le_bytes());
        self.0.update(sum.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::value::RawValue;

    use super::*;

    fn digest(text: &str) -> u64 {
        let raw = RawValue::from_string(text.to_owned());
        digest_of(&Json::from(raw.unwrap()))
    }

    #[test]
    fn what_says_the_same_has_the_same_digest_and_nothing_else_has() {
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
                assert_eq!(digest(text), digest(texts[0]), "{text} is {}", texts[0]);
            }
            let other = all.insert(digest(texts[0]), texts[0]);
            assert_eq!(other, None, "{} is another", texts[0]);
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_compared_by_its_text() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(digest(&deep(10_000)), digest(&deep(10_000)));
        assert_ne!(digest(&deep(10_000)), digest(&deep(10_001)));
    }
}
