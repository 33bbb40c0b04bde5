//! Learning from what the server says about the time that remains.
//!
//! An estimate is a measurement with an error to be learned, never an appointment: a server's `remaining` may be
//! biased, and progress is rarely linear. Each sort of hint has a learner of its own, in which an estimate is the job's
//! size: it learns the law of *actual ÷ estimated*. Every job that carried a hint is scored under the plain learner and
//! under the hint's, and whichever has predicted better lately is believed.

use super::effects::Traits;
use super::history::History;
use super::kind::{Kind, log_score};
use super::past::Whose;
use crate::schedule::Seen;
use std::sync::Arc;

/// Stands between a kind's name and the sort of hint in the name of the hint's learner.
pub(crate) const MARK: char = '\u{1f}';

/// The estimate that counts as size 1, in seconds; it is where the grid has room on both sides.
const REFERENCE: f64 = 15.0;

/// The spread that is believed of estimates before any was checked, in ln of actual ÷ estimated.
const PRIOR_SCALE: f64 = 0.35;

/// The least and greatest spread that a server's own quantiles may claim.
const SCALE_SPAN: (f64, f64) = (0.05, 1.5);

/// The distance of the 90 % quantile of Student's t₃ from its median, in scales.
const T3_UPPER_DECILE: f64 = 1.638;

/// The least estimate, in seconds: the first edge of the grid.
const LEAST: f64 = 0.1;

/// How wide an exactly known end is taken when two learners are compared, in ln of the duration.
const EXACT_WIDTH: f64 = 0.02;

/// The sorts of hint, in the order in which they are believed when they have done equally well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The server said how much time remains.
    Remaining,
    /// The server said which share of the work is done.
    Progress,
}

/// An estimate of the remaining time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// When it was made, in seconds since acceptance.
    pub(crate) at: f64,
    /// What it said remained, in seconds.
    pub(crate) seconds: f64,
    /// The spread that the server claims for it.
    scale: Option<f64>,
}

impl Sort {
    pub(crate) const ALL: [Self; 2] = [Self::Remaining, Self::Progress];

    /// The names under which a history keeps a kind and the estimates about it.
    pub(crate) fn names(kind: &str) -> impl Iterator<Item = String> {
        let estimates = Self::ALL.map(|sort| sort.name(kind));
        std::iter::once(kind.to_owned()).chain(estimates)
    }

    fn name(self, kind: &str) -> String {
        format!("{kind}{MARK}{}", self.label())
    }

    fn label(self) -> &'static str {
        match self {
            Self::Remaining => "remaining",
            Self::Progress => "progress",
        }
    }

    /// The estimate of this sort in the latest answer, which described the job as of `now`.
    pub(crate) fn read(self, seen: &Seen, now: f64) -> Option<Estimate> {
        match self {
            Self::Remaining => seen.remaining.map(|remaining| Estimate {
                at: now,
                seconds: remaining.p50.as_secs_f64().max(LEAST),
                scale: remaining.spread.and_then(|(p10, p90)| {
                    let width = (p90.as_secs_f64().max(LEAST) / p10.as_secs_f64().max(LEAST)).ln();
                    (width > 0.0).then(|| {
                        (width / (2.0 * T3_UPPER_DECILE)).clamp(SCALE_SPAN.0, SCALE_SPAN.1)
                    })
                }),
            }),
            Self::Progress => seen
                .progress
                .filter(|share| *share > 0.0 && *share <= 1.0)
                .map(|share| Estimate {
                    at: now,
                    seconds: (now * (1.0 - share) / share).max(LEAST),
                    scale: None,
                }),
        }
    }

    /// The learner of this sort of hint for a kind.
    pub(crate) fn learner(self, history: &History, kind: &str, first: Estimate) -> Arc<Kind> {
        history.estimates(&self.name(kind), || {
            Kind::of_estimates(REFERENCE, first.scale.unwrap_or(PRIOR_SCALE))
        })
    }
}

/// One sort of hint, as heard of one job.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) learner: Arc<Kind>,
    /// The latest estimate: the one to plan by.
    pub(crate) latest: Estimate,
    /// The estimate to learn from: one of all that were heard, each equally likely, so that a job's many estimates
    /// count as one job and early ones aren't learned from more than late ones.
    kept: Estimate,
    count: u64,
}

impl Heard {
    pub(crate) fn new(learner: Arc<Kind>, first: Estimate) -> Self {
        Self {
            learner,
            latest: first,
            kept: first,
            count: 1,
        }
    }

    /// Hears another estimate; `share` is uniform in 0 to 1.
    pub(crate) fn hear(&mut self, estimate: Estimate, share: f64) {
        self.latest = estimate;
        self.count += 1;
        if share * (self.count as f64) < 1.0 {
            self.kept = estimate;
        }
    }

    /// Learns how the estimate turned out for a job that ended within `(after, at_most]`, and compares the learner with
    /// the plain one of durations.
    pub(crate) fn learn(
        &self,
        after: f64,
        at_most: f64,
        plain: &Kind,
        traits: &Traits,
        whose: Whose,
    ) {
        let Estimate { at, seconds, .. } = self.kept;
        let estimate = Traits::of_size(seconds);
        let (low, high) = if after == at_most {
            (after * (1.0 - EXACT_WIDTH), after * (1.0 + EXACT_WIDTH))
        } else {
            (after, at_most)
        };
        if high > at {
            let ours = log_score(&self.learner.law(&estimate), 0.0, low - at, high - at);
            let theirs = log_score(&plain.law(traits), at, low, high);
            self.learner.compared(ours - theirs);
        }
        let at_most = (at_most - at).max(LEAST);
        let after = (after - at).clamp(0.0, at_most);
        self.learner.observe(whose, after, at_most, &estimate);
    }
}
