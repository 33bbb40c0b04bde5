//! Free-form JSON that is passed through as it came.

use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// JSON text that nobody here looks into. Cloning shares it.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// How many members it has, if it is an object. Nothing of it is kept.
    #[must_use]
    pub fn members(&self) -> Option<usize> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = usize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<usize, A::Error> {
                let mut count = 0;
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }
        let mut json = serde_json::Deserializer::from_str(self.get());
        json.deserialize_map(Count).ok()
    }

    /// The text, as the serializer passes it on.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        let raw = RawValue::from_string(value.to_string())
            .expect("a parsed value is written as valid JSON");
        Self(raw.into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_counted_in_objects_alone() {
        let table = [
            ("{}", Some(0)),
            (r#" {"a": {"b": [1, 2]}, "c\u0064": null} "#, Some(2)),
            ("[]", None),
            ("null", None),
            ("\"{}\"", None),
        ];
        for (text, members) in table {
            let raw = RawValue::from_string(text.trim().to_owned()).unwrap();
            assert_eq!(Json::from(raw).members(), members, "{text}");
        }
    }
}
