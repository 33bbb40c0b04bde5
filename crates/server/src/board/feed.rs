//! The last changes of all jobs, in the order in which they became durable.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use abide_engine::{Job, JobKey, Owner};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The most changes that are remembered.
pub const FEED_CHANGES_MAX: usize = 65_536;

/// A place in the feed: the number of an entry, and the life of the log that has it. `7f3-12` as text, which means
/// nothing to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    life: u64,
    seq: u64,
}

/// The text is no place in a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be a place in the feed, as an event's `id` has it")]
pub struct NoPlace;

/// One change of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// The number of the entry that made it.
    pub seq: u64,
    /// Whose job it is.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
    /// The revision that the change made.
    pub revision: u64,
}

/// The feed of one log.
#[derive(Debug)]
pub struct Feed {
    life: u64,
    changes: Mutex<Changes>,
    /// The number of the newest change.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Changes {
    last: VecDeque<FeedChange>,
    /// Changes up to this number may be missing.
    forgotten: u64,
}

impl Feed {
    /// A feed without changes, of the log of that life; those up to that number are forgotten.
    #[must_use]
    pub fn new(life: u64, forgotten: u64) -> Self {
        Self {
            life,
            changes: Mutex::new(Changes {
                last: VecDeque::new(),
                forgotten,
            }),
            newest: watch::Sender::new(forgotten),
        }
    }

    /// Adds changes, each with the number of its entry, and rings those who follow.
    pub(crate) fn add<'a>(&self, added: impl Iterator<Item = (&'a Arc<Job>, u64)>) {
        let mut changes = self.changes.lock();
        let before = changes.last.len();
        changes.last.extend(added.map(|(job, seq)| FeedChange {
            seq,
            owner: job.owner,
            job: job.key,
            revision: job.revision,
        }));
        let newest = changes.last.back().map(|change| change.seq);
        let Some(newest) = newest.filter(|_| changes.last.len() > before) else {
            return;
        };
        let surplus = changes.last.len().saturating_sub(FEED_CHANGES_MAX);
        let newest_forgotten = changes.last.drain(..surplus).next_back();
        if let Some(change) = newest_forgotten {
            changes.forgotten = change.seq;
        }
        drop(changes);
        self.newest.send_replace(newest);
    }

    pub(super) fn after(&self, seq: u64, limit: usize) -> (Option<Vec<FeedChange>>, u64) {
        let changes = self.changes.lock();
        let newest = *self.newest.borrow();
        if seq < changes.forgotten {
            return (None, newest);
        }
        let from = changes.last.partition_point(|it| it.seq <= seq);
        let after = changes.last.range(from..).take(limit).copied();
        (Some(after.collect()), newest)
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    pub(super) const fn place(&self, seq: u64) -> Place {
        Place {
            life: self.life,
            seq,
        }
    }

    pub(super) fn is_ahead(&self, place: Place) -> bool {
        place.life == self.life && place.seq > *self.newest.borrow()
    }

    pub(super) fn seq_of(&self, place: Place) -> Option<u64> {
        let is_ours = place.life == self.life && place.seq <= *self.newest.borrow();
        is_ours.then_some(place.seq)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.life, self.seq)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    /// A number alone is a place as earlier versions had them: it is in no log.
    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (life, seq) = text.split_once('-').unwrap_or(("0", text));
        // Numbers with a sign are none of ours.
        if text.contains('+') {
            return Err(NoPlace);
        }
        Ok(Self {
            life: u64::from_str_radix(life, 16).map_err(|_| NoPlace)?,
            seq: seq.parse().map_err(|_| NoPlace)?,
        })
    }
}

impl TryFrom<String> for Place {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}
