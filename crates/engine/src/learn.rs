//! How long jobs of a kind take, as the server has seen it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::Remaining;

/// The most durations that are remembered per kind.
pub const DURATIONS_MAX: usize = 512;
/// With fewer than this many there is nothing to say.
pub const DURATIONS_MIN: usize = 5;

/// The durations of the last jobs of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "VecDeque<u64>", into = "VecDeque<u64>")]
pub struct Durations {
    newest_last: VecDeque<u64>,
    sorted: Vec<u64>,
}

impl Durations {
    /// Adds one, and forgets the oldest where there are too many.
    pub fn push(&mut self, millis: u64) {
        if self.newest_last.len() == DURATIONS_MAX
            && let Some(oldest) = self.newest_last.pop_front()
            && let Ok(at) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(at);
        }
        self.newest_last.push_back(millis);
        let at = self.sorted.partition_point(|known| *known < millis);
        self.sorted.insert(at, millis);
    }

    /// How long a job that has run for `elapsed_ms` will still take.
    ///
    /// The quantiles are those of the past durations that were longer than that. `None` where fewer than
    /// [`DURATIONS_MIN`] of them are known.
    #[must_use]
    pub fn remaining(&self, elapsed_ms: u64) -> Option<Remaining> {
        let longer = &self.sorted[self.sorted.partition_point(|known| *known <= elapsed_ms)..];
        if longer.len() < DURATIONS_MIN {
            return None;
        }
        // The quantile of rank p (n + 1): of the n + 1 gaps that the next duration may fall into, each is as likely.
        let quantile = |p: f64| {
            let rank = p * (longer.len() + 1) as f64 - 1.0;
            let rank = rank.clamp(0.0, (longer.len() - 1) as f64);
            let (low, part) = (rank.floor() as usize, rank.fract());
            let high = (low + 1).min(longer.len() - 1);
            let value = longer[low] as f64 * (1.0 - part) + longer[high] as f64 * part;
            (value as u64).saturating_sub(elapsed_ms)
        };
        Some(Remaining {
            p10: quantile(0.1),
            p50: quantile(0.5),
            p90: quantile(0.9),
        })
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl From<VecDeque<u64>> for Durations {
    fn from(newest_last: VecDeque<u64>) -> Self {
        let mut sorted: Vec<u64> = newest_last.iter().copied().collect();
        sorted.sort_unstable();
        Self {
            newest_last,
            sorted,
        }
    }
}

impl From<Durations> for VecDeque<u64> {
    fn from(durations: Durations) -> Self {
        durations.newest_last
    }
}

/// A kind and what is known of it, as readers see it.
pub type Learned = (Arc<str>, Arc<Durations>);
