//! Filters by what creators noted on their jobs.

use std::borrow::Cow;
use std::fmt;

use abide_engine::Json;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Whether the metadata has each of these values under its name. Members that no filter names are skipped, so nothing
/// is kept of them.
pub(super) fn has(metadata: &Json, filters: &[(String, String)]) -> bool {
    let mut json = serde_json::Deserializer::from_str(metadata.get());
    let found = json.deserialize_map(Members(filters));
    found.is_ok_and(|found| found.into_iter().all(|is_equal| is_equal))
}

/// Reads an object, and says of each filter whether the member of its name has its value.
struct Members<'f>(&'f [(String, String)]);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<bool>, A::Error> {
        let mut found = vec![false; self.0.len()];
        while let Some(name) = members.next_key_seed(Name)? {
            if !self.0.iter().any(|(wanted, _)| *wanted == name) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = members.next_value::<Value>()?;
            for (found, (wanted, text)) in found.iter_mut().zip(self.0) {
                if *wanted == name {
                    *found = match &value {
                        Value::String(value) => value == text,
                        // Numbers and the like are compared as they are written.
                        other => *text == *other.to_string(),
                    };
                }
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(name.to_owned()))
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(name))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn a_filter_compares_texts_by_value_and_others_as_they_are_written() {
        let text = r#"{"team": "a\u0062", "n": 2, "f": 1.50, "o": {"x": [1, null]},
            "n\u006f": true, "twice": 1, "twice": 2}"#;
        let metadata = Json::from(RawValue::from_string(text.to_owned()).unwrap());
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[("team", "ab")], true),
            (&[("team", "ab"), ("n", "2")], true),
            (&[("team", "ab"), ("n", "3")], false),
            (&[("n", "2"), ("n", "3")], false),
            (&[("f", "1.5")], true),
            (&[("o", r#"{"x":[1,null]}"#)], true),
            (&[("no", "true")], true),
            (&[("twice", "2")], true),
            (&[("twice", "1")], false),
            (&[("absent", "")], false),
        ];
        for (filters, expected) in table {
            let owned: Vec<_> = filters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(has(&metadata, &owned), *expected, "{filters:?}");
        }
    }
}
