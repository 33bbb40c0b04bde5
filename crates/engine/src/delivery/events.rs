//! Which events an endpoint is told of: a set, written as words.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use abide_wire::EventKind;

/// A set of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// Those that end a job.
    pub const ENDS: Self = Self(0b11_1000);
    /// All that there are.
    pub const ALL: Self = Self(0b11_1111);

    /// The set that these words name: events such as `job.completed`, or `job.*` and `*` for all of them.
    ///
    /// # Errors
    ///
    /// The word that names none, or that there is none.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, String> {
        let mut set = 0;
        for word in words {
            let word = word.as_ref();
            if matches!(word, "*" | "job.*") {
                set = Self::ALL.0;
            } else {
                let place = EventKind::ALL.iter().position(|kind| kind.as_str() == word);
                let place = place.ok_or_else(|| {
                    let known: Vec<&str> = EventKind::ALL.iter().map(EventKind::as_str).collect();
                    format!(
                        "`events` has {word:?}, which is none of {} and `job.*`",
                        known.join(", ")
                    )
                })?;
                set |= 1 << place;
            }
        }
        if set == 0 {
            return Err("`events` must name at least one event".to_owned());
        }
        Ok(Self(set))
    }

    /// Whether it has that event.
    #[must_use]
    pub fn has(self, kind: &EventKind) -> bool {
        EventKind::ALL
            .iter()
            .position(|known| known == kind)
            .is_some_and(|place| self.0 & (1 << place) != 0)
    }

    /// The words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        const WORDS: [&str; 6] = [
            "job.created",
            "job.started",
            "job.progress",
            "job.completed",
            "job.failed",
            "job.canceled",
        ];
        WORDS
            .into_iter()
            .enumerate()
            .filter(move |(place, _)| self.0 & (1 << place) != 0)
            .map(|(_, word)| word)
    }
}

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Self::parse(&words).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_words_and_written_as_words() {
        let words = |set: Events| set.words().collect::<Vec<_>>().join(" ");
        assert_eq!(words(Events::ENDS), "job.completed job.failed job.canceled");
        assert_eq!(Events::parse(&["job.*"]), Ok(Events::ALL));
        let two = Events::parse(&["job.failed", "job.started"]).unwrap();
        assert_eq!(words(two), "job.started job.failed");
        assert!(two.has(&EventKind::Failed) && !two.has(&EventKind::Completed));
        assert!(Events::parse(&["job.exploded"]).is_err());
        assert!(Events::parse::<&str>(&[]).is_err());
        let known: Vec<&str> = EventKind::ALL.iter().map(EventKind::as_str).collect();
        assert_eq!(Events::ALL.words().collect::<Vec<_>>(), known);
    }
}
