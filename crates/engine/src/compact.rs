//! What every one of a million jobs has, in as little room as it takes.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A word that many jobs have in common, as one pointer: half of what a shared text takes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(Arc<String>);

/// A share of the whole in percent; `Option` of it takes no more room. Only a NaN can't be told from another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Percent(NonZeroU32);

impl Word {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(Arc::new(text.to_owned()))
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Word {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Arc::new(text)))
    }
}

impl Percent {
    /// The number.
    #[must_use]
    pub const fn get(self) -> f32 {
        f32::from_bits(!self.0.get())
    }
}

impl From<f32> for Percent {
    fn from(percent: f32) -> Self {
        // The one number whose bits are all set is a NaN, and stands for none.
        Self(NonZeroU32::new(!percent.to_bits()).unwrap_or(NonZeroU32::MAX))
    }
}

impl fmt::Debug for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f32(self.get())
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f32::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Job};

    #[test]
    fn a_percentage_comes_back_as_it_was() {
        for percent in [0.0, -0.0, 0.1, 33.3, 100.0, f32::MIN, f32::INFINITY] {
            let compact = Percent::from(percent);
            assert_eq!(compact.get().to_bits(), percent.to_bits());
            let json = serde_json::to_string(&compact).unwrap();
            assert_eq!(json, serde_json::to_string(&percent).unwrap());
        }
        assert!(Percent::from(f32::NAN).get().is_nan());
        assert_eq!(Percent::from(f32::from_bits(u32::MAX)).get(), 0.0);
    }

    /// There may be a million of them: whoever adds to them pays for a million.
    #[test]
    fn jobs_are_small() {
        assert_eq!(size_of::<Option<Percent>>(), 4);
        assert_eq!(size_of::<Option<Word>>(), 8);
        assert_eq!(size_of::<Change>(), 24);
        assert!(size_of::<Job>() <= 136, "{}", size_of::<Job>());
        let extra = size_of::<crate::job::Extra>();
        assert!(extra <= 72, "{extra}");
    }
}
