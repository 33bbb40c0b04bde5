//! What a million jobs have in common, stored once and in little room.
//!
//! The `Interner` gives equal texts and lists of stages one allocation. It is lent to whatever is read from a
//! checkpoint (`Interner::reading`), so that a job's texts are looked up where they lie and never made anew.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use abide_wire::Stage;

/// The most kinds that are shared, and the most of one owner whose durations are learned.
pub const KINDS_MAX: usize = 1_000;
/// The most names of stages that are shared: the first ones.
const WORDS_MAX: usize = 1_000;
/// The most lists of stages that are shared: the last ones.
const STAGES_MAX: usize = 8;

/// Texts and lists that jobs have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    kinds: BTreeSet<Arc<str>>,
    words: BTreeSet<Word>,
    stages: VecDeque<Arc<[Stage]>>,
    /// The list that was read last, and its text: most jobs have the one that the job before them has.
    read: Option<(String, Arc<[Stage]>)>,
}

thread_local! {
    /// The interner of the value that is being read on this thread.
    static LENT: RefCell<Interner> = RefCell::default();
}

impl Interner {
    /// A kind of jobs.
    pub(crate) fn kind(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.kinds.get(text) {
            return known.clone();
        }
        let kind: Arc<str> = text.into();
        if self.kinds.len() < KINDS_MAX {
            self.kinds.insert(kind.clone());
        }
        kind
    }

    /// The name of a stage.
    pub(crate) fn word(&mut self, text: &str) -> Word {
        if let Some(known) = self.words.get(text) {
            return known.clone();
        }
        let word = Word::from(text);
        if self.words.len() < WORDS_MAX {
            self.words.insert(word.clone());
        }
        word
    }

    /// A list of stages.
    pub(crate) fn stages(&mut self, stages: Arc<[Stage]>) -> Arc<[Stage]> {
        let is_known = |known: &&Arc<[Stage]>| Arc::ptr_eq(known, &stages) || ***known == *stages;
        if let Some(known) = self.stages.iter().find(is_known) {
            return known.clone();
        }
        if self.stages.len() == STAGES_MAX {
            self.stages.pop_front();
        }
        self.stages.push_back(stages.clone());
        stages
    }

    /// Reads a value that shares what it has in common with those that were read before.
    pub(crate) fn reading<T>(&mut self, read: impl FnOnce() -> T) -> T {
        LENT.set(std::mem::take(self));
        let value = read();
        *self = LENT.take();
        value
    }

    fn stages_of(&mut self, text: &str) -> serde_json::Result<Arc<[Stage]>> {
        if let Some((_, stages)) = self.read.as_ref().filter(|(last, _)| last == text) {
            return Ok(stages.clone());
        }
        let stages = self.stages(serde_json::from_str(text)?);
        self.read = Some((text.to_owned(), stages.clone()));
        Ok(stages)
    }
}

/// Reads a kind of jobs with the interner that is lent.
pub(crate) fn read_kind<'de, D: Deserializer<'de>>(json: D) -> Result<Arc<str>, D::Error> {
    read_text(json, |text| {
        Ok::<_, fmt::Error>(LENT.with_borrow_mut(|lent| lent.kind(text)))
    })
}

/// Reads a list of stages with the interner that is lent.
pub(crate) fn read_stages<'de, D>(json: D) -> Result<Option<Arc<[Stage]>>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<&RawValue>::deserialize(json)?;
    text.map(|text| LENT.with_borrow_mut(|lent| lent.stages_of(text.get())))
        .transpose()
        .map_err(de::Error::custom)
}

/// Reads what a text stands for, without a copy of the text.
pub(crate) fn read_text<'de, D, T, E>(
    json: D,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: fmt::Display,
{
    struct Text<F, T, E>(F, PhantomData<(T, E)>);

    impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Text<F, T, E> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<X: de::Error>(self, text: &str) -> Result<T, X> {
            (self.0)(text).map_err(X::custom)
        }
    }
    json.deserialize_str(Text(read, PhantomData))
}

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
        read_text(deserializer, |text| {
            Ok::<_, fmt::Error>(LENT.with_borrow_mut(|lent| lent.word(text)))
        })
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
    use crate::jobs::Extra;
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

    /// A server may have a million of them.
    #[test]
    fn jobs_are_small() {
        assert_eq!(size_of::<Option<Percent>>(), 4);
        assert_eq!(size_of::<Option<Word>>(), 8);
        assert_eq!(size_of::<Change>(), 24);
        assert!(size_of::<Job>() <= 152, "{}", size_of::<Job>());
        let extra = size_of::<Extra>();
        assert!(extra <= 80, "{extra}");
    }

    #[test]
    fn what_is_read_one_after_the_other_is_stored_once() {
        let mut interner = Interner::default();
        let mut read = |text: &str| -> (Word, Arc<str>) {
            interner.reading(|| {
                let mut json = serde_json::Deserializer::from_str(text);
                let word = Word::deserialize(&mut json).unwrap();
                (word, read_kind(&mut json).unwrap())
            })
        };
        let (one, other) = (read(r#""a\u0062" "k""#), read(r#""ab" "k""#));
        assert!(Arc::ptr_eq(&one.0.0, &other.0.0) && Arc::ptr_eq(&one.1, &other.1));
        assert!(read("\"b\" \"k\"").0 != one.0);
        assert_eq!(interner.words.len(), 2);
    }
}
