//! Free-form JSON that is passed through as it came.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// JSON text as it came: what a job was given and what it made. Cloning shares it.
///
/// Numbers keep their digits, and what is odd in a text (half of a surrogate pair, `1e400`) harms only the caller that
/// [parses](Self::parse) it. `Json::from(json!(…))` makes one; two are equal if their texts are.
#[derive(Clone)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = Value))]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// What it says, as a type of yours; `serde_json::Value` takes nearly everything.
    ///
    /// # Errors
    ///
    /// JSON of another shape, or a text or number that the type can't hold.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.get())
    }

    /// The part at a JSON pointer (RFC 6901), if it is there; the empty pointer is the whole.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<Self> {
        let mut at: Box<RawValue> = self.0.as_ref().to_owned();
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let part = match at.get().as_bytes().first()? {
                b'{' => serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(at.get())
                    .ok()?
                    .get(token.as_str())
                    .copied()?
                    .to_owned(),
                b'[' => serde_json::from_str::<Vec<&RawValue>>(at.get())
                    .ok()?
                    .get(token.parse::<usize>().ok()?)
                    .copied()?
                    .to_owned(),
                _ => return None,
            };
            at = part;
        }
        Some(at.into())
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

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        let raw = RawValue::from_string(value.to_string())
            .expect("a parsed value is written as valid JSON");
        Self(raw.into())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
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
    fn a_pointer_finds_a_part_as_it_came() {
        let text = r#"{"a":{"b/c":[1,{"d~":0.12345678901234567890}]},"\u0065":"\ud800"}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        for (pointer, expected) in [
            ("", Some(text)),
            ("/a/b~1c/1/d~0", Some("0.12345678901234567890")),
            ("/a/b~1c/0", Some("1")),
            ("/e", Some(r#""\ud800""#)),
            ("/a/b~1c/2", None),
            ("/a/x", None),
            ("/e/0", None),
        ] {
            let found = json.pointer(pointer);
            assert_eq!(found.as_ref().map(Json::get), expected, "{pointer}");
        }
        assert!(json.pointer("/e").unwrap().parse::<String>().is_err());
    }

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
