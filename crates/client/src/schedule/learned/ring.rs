//! What a kind of job remembers: observed durations in the order in which their jobs were accepted.
//!
//! The order of *ends* would be no fair sample. Jobs begun together end sorted by length, so the latest ends are the
//! longest jobs, and what has ended so far are the shortest.

use super::grid::bin;

/// How many jobs a kind remembers.
pub(crate) const RING: usize = 128;

/// How near to an edge of a bin counts as on it, in ln u. Polls are placed on edges, and a bin that ends where the job
/// was last seen running is not one it may have ended in, whatever rounding says.
const EDGE: f64 = 1e-5;

/// One job's duration: somewhere in `(after, at_most]`, in seconds since acceptance. Kept in single precision, which is
/// a hundred-thousandth of a bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Observation {
    /// When its wait began: seconds since 1970 where a clock was given, else a count.
    pub(crate) second: u32,
    /// Tells the job from others, so that several short waits for it count as one. Within a second it settles the
    /// order.
    pub(crate) key: u32,
    /// When the job was last known to run.
    pub(crate) after: f32,
    /// When it was first known to have ended; infinite if that was never seen.
    pub(crate) at_most: f32,
    /// The logarithm of the job's relative size; 0 if unknown.
    pub(crate) ln_size: f32,
}

/// The bins that an observation covers, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// A place in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) second: u32,
    pub(crate) key: u32,
}

impl Observation {
    /// Where the job stands in the order of acceptance.
    pub(crate) fn place(self) -> Place {
        Place {
            second: self.second,
            key: self.key,
        }
    }

    /// The bins covered on the axis of u = T / size^`slope`.
    pub(crate) fn span(self, slope: f64) -> Span {
        let shift = slope * f64::from(self.ln_size);
        let after = f64::from(self.after).ln() - shift;
        if self.is_exact() {
            let only = bin(after);
            return Span {
                first: only,
                last: only,
            };
        }
        let last = bin(f64::from(self.at_most).ln() - shift - EDGE);
        Span {
            first: bin(after + EDGE).min(last),
            last,
        }
    }

    /// Whether the duration is known and not merely enclosed.
    pub(crate) fn is_exact(self) -> bool {
        self.after == self.at_most
    }

    /// Whether only a lower bound is known: the job still ran when it was last seen.
    pub(crate) fn is_censored(self) -> bool {
        self.at_most.is_infinite()
    }

    /// The middle of the enclosure; none if the job was given up, or never seen running nor late.
    pub(crate) fn middle(self) -> Option<f64> {
        let middle = 0.5 * (f64::from(self.after) + f64::from(self.at_most));
        (middle.is_finite() && middle > 0.0).then_some(middle)
    }
}
#[cfg(test)]
mod tests {
    use super::super::grid::EDGES;
    use super::*;

    fn seen(after: f64, at_most: f64, ln_size: f64) -> Observation {
        Observation {
            second: 0,
            key: 0,
            after: after as f32,
            at_most: at_most as f32,
            ln_size: ln_size as f32,
        }
    }

    #[test]
    fn an_enclosure_by_polls_on_edges_covers_the_bins_between() {
        for (i, j) in [(1, 2), (500, 501), (500, 520), (1000, 1118)] {
            for nudge in [-1e-9, 0.0, 1e-9] {
                let seen = seen(EDGES[i] + nudge, EDGES[j] + nudge, 0.0);
                let span = seen.span(1.0);
                assert_eq!((span.first, span.last), (i, j - 1));
            }
        }
    }

    #[test]
    fn spans_stay_on_the_grid_and_in_order() {
        let times = [0.0, 1e-9, 0.1, 7.0, 7300.0, 1e9, f64::INFINITY];
        for (i, after) in times.into_iter().enumerate() {
            for at_most in &times[i..] {
                for ln_size in [-50.0, 0.0, 50.0] {
                    let seen = seen(after, *at_most, ln_size);
                    let span = seen.span(1.5);
                    assert!(span.first <= span.last, "{seen:?}: {span:?}");
                }
            }
        }
    }
}
