//! The jobs that a kind knows of: those that have ended, and some of those under way.
//!
//! # A fair sample of a crowd
//!
//! Of jobs begun together the short ones end first. A memory of *ends* would at first hold the shortest of them, then
//! take the growing durations for a trend, and at last keep the longest. Three rules keep the sample fair:
//!
//! - jobs stand in the order of their **acceptance**, whenever they end;
//! - a job **under way** is evidence too: it took longer than its last "not yet";
//! - only [`UNDER_WAY_MAX`] jobs under way are followed. Whether a job is, is settled when it is accepted, so that its
//!   length has no say in it. The others teach nothing, which also bounds what a crowd costs.
//!
//! A job that hangs is followed like any other and stalls nothing: it fades as newer jobs end, leaves when all that are
//! remembered are newer, and makes room for a new one as soon as nearly all of its kind would have ended.

use super::ring::{Observation, Place, RING};
use std::collections::VecDeque;

/// How many jobs under way are followed.
pub(crate) const UNDER_WAY_MAX: usize = 64;

/// Which job an observation is of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whose {
    /// When its wait began, in seconds since 1970; after all others if unknown.
    pub(crate) second: Option<u32>,
    /// The job, if the caller can tell it from others.
    pub(crate) job: Option<u32>,
    /// A number that settles the order within a second.
    pub(crate) random: u32,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    /// What is over, by order of acceptance.
    ended: VecDeque<Observation>,
    /// What is followed; not in order.
    under_way: Vec<Observation>,
    /// The latest second in the order.
    latest: u32,
}

impl Past {
    pub(crate) fn new(mut ended: Vec<Observation>) -> Self {
        ended.sort_by_key(|seen| seen.place());
        ended.drain(..ended.len().saturating_sub(RING));
        Self {
            latest: ended.last().map_or(0, |seen| seen.second),
            ended: ended.into(),
            under_way: Vec::new(),
        }
    }

    /// What is over, oldest first.
    pub(crate) fn ended(&self) -> &VecDeque<Observation> {
        &self.ended
    }

    /// What is followed, in no order.
    pub(crate) fn under_way(&self) -> &[Observation] {
        &self.under_way
    }

    /// Follows a job from its acceptance; none if there is no room, or the job is followed already.
    ///
    /// A job of which an earlier wait was given up is taken up again.
    pub(crate) fn accept(&mut self, whose: Whose, ln_size: f64) -> Option<Place> {
        let same = |seen: &Observation| whose.job == Some(seen.key);
        if self.under_way.len() >= UNDER_WAY_MAX || self.under_way.iter().any(same) {
            return None;
        }
        let mut ended = self.ended.iter();
        let before = ended.rposition(|seen| seen.is_censored() && same(seen));
        let job = match before.and_then(|at| self.ended.remove(at)) {
            Some(job) => job,
            None => self.observation(whose, 0.0, f64::INFINITY, ln_size),
        };
        self.under_way.push(job);
        Some(job.place())
    }

    /// An observation with a place of its own.
    pub(crate) fn observation(
        &mut self,
        whose: Whose,
        after: f64,
        at_most: f64,
        ln_size: f64,
    ) -> Observation {
        let mut seen = Observation {
            second: whose.second.unwrap_or(self.latest.saturating_add(1)),
            key: whose.job.unwrap_or(whose.random),
            after: after as f32,
            at_most: (at_most as f32).max(after as f32),
            ln_size: ln_size as f32,
        };
        while self
            .ended
            .iter()
            .chain(&self.under_way)
            .any(|other| other.place() == seen.place())
        {
            seen.key = seen.key.wrapping_add(1);
        }
        self.latest = self.latest.max(seen.second);
        seen
    }

    /// The job still ran then. Returns what was known before, if it is followed.
    pub(crate) fn running(&mut self, place: Place, after: f64) -> Option<f64> {
        let job = self.find(place)?;
        let job = &mut self.under_way[job];
        let before = f64::from(job.after);
        job.after = job.after.max(after as f32);
        Some(before)
    }

    /// Stops following a job without having learned anything.
    pub(crate) fn forget(&mut self, place: Place) {
        if let Some(job) = self.find(place) {
            self.under_way.swap_remove(job);
        }
    }

    /// The job is over, or its wait: it ended within `(after, at_most]`. None if it isn't followed any more.
    pub(crate) fn close(&mut self, place: Place, after: f64, at_most: f64) -> Option<Observation> {
        let job = self.find(place)?;
        let mut job = self.under_way.swap_remove(job);
        job.after = after as f32;
        job.at_most = (at_most as f32).max(job.after);
        Some(job)
    }

    /// Remembers an observation in its place.
    pub(crate) fn remember(&mut self, seen: Observation) {
        self.latest = self.latest.max(seen.second);
        let at = self
            .ended
            .partition_point(|other| other.place() <= seen.place());
        self.ended.insert(at, seen);
        if self.ended.len() > RING {
            self.ended.pop_front();
            if let Some(oldest) = self.ended.front().map(|seen| seen.place()) {
                self.under_way.retain(|job| job.place() >= oldest);
            }
        }
    }

    /// The job that is followed longest, if there is no room for another.
    pub(crate) fn in_the_way(&self) -> Option<Observation> {
        if self.under_way.len() < UNDER_WAY_MAX {
            return None;
        }
        let oldest = self.under_way.iter().min_by_key(|job| job.place())?;
        Some(*oldest)
    }

    /// Gives jobs that have ended their new sizes.
    pub(crate) fn resize(&mut self, ln_size: impl Fn(Place) -> Option<f32>) {
        for job in &mut self.ended {
            job.ln_size = ln_size(job.place()).unwrap_or(job.ln_size);
        }
    }

    /// Keeps the latest only.
    pub(crate) fn keep_latest(&mut self, count: usize) {
        self.ended.drain(..self.ended.len().saturating_sub(count));
    }

    fn find(&self, place: Place) -> Option<usize> {
        self.under_way.iter().position(|job| job.place() == place)
    }
}
