//! The exact planner: for a given law, the best schedule that any polling client could follow.
//!
//! Let `c_j` be the candidates (for a learned law, its bins' upper edges), `F_j` the probability that the job has ended
//! by `c_j` and `M_j` the part of its mean duration that lies below. Having asked in vain at `c_i`, the cost still to
//! come, weighted by the probability of getting there, is
//!
//! ```text
//! V_i = price·(1 − F_i) + M_i + min over j with c_j ≥ c_i + gap of { V_j + c_j·F_j − M_j − c_j·F_i }
//! ```
//!
//! The braces are straight lines in `F_i` of slope `−c_j`. Going down in `i`, both slopes and abscissae are monotone,
//! so one pass over a lower hull finds every minimum in constant amortized time. The result holds one best successor
//! for *every* candidate, so planning anew in the middle of a job is a look-up.
//!
//! Where a push is expected and lost with probability `p`, an end whose push was lost has weight `p`, and a poll is
//! spent only on those still waiting: `F` and `M` are weighted by `p`, and line `j` is raised by `price·(1 − p)·(1 −
//! F_j)`.

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The price of a request, in seconds of delay.
    pub price: f64,
    /// The least distance between two polls, in seconds.
    pub gap: f64,
    /// The probability that the push of an end is lost; 1 where no push is expected.
    pub loss: f64,
}

/// A law as the planner sees it: where polls may be placed, and what has happened by then.
///
/// State 0 is the beginning; the last state is an instant by which every job has ended. All three have the same length.
#[derive(Debug, Clone, Copy)]
pub struct Ladder<'a> {
    /// The states' instants in seconds, ascending strictly; the first is 0.
    pub instants: &'a [f64],
    /// The probability that the job has ended by then; the first is 0.
    pub ended: &'a [f64],
    /// The part of the mean duration that lies below; the first is 0.
    pub mean: &'a [f64],
}

/// The best next poll from every state.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The successor of each state; the last state is its own.
    pub next: Box<[u16]>,
    /// The expected cost from the beginning, in seconds of delay: price × requests + delay, without half a round trip.
    pub cost: f64,
}

/// A candidate of the lower hull: the line `height − slope·F`.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) height: f64,
    pub(super) state: u16,
}

impl Line {
    pub(super) fn at(self, abscissa: f64) -> f64 {
        self.height - self.slope * abscissa
    }

    /// Whether `middle` is nowhere below both its neighbors on the hull.
    fn hides(self, middle: Self, newer: Self) -> bool {
        // Slopes fall strictly from `self` to `newer`, so the products below are of positive factors.
        (newer.height - self.height) * (self.slope - middle.slope)
            <= (middle.height - self.height) * (self.slope - newer.slope)
    }
}

/// Puts a line of lesser slope than all before onto the hull, of which those before `front` have been passed.
pub(super) fn push_line(hull: &mut Vec<Line>, front: usize, line: Line) {
    while let [.., older, newer] = &hull[front..]
        && older.hides(*newer, line)
    {
        hull.pop();
    }
    hull.push(line);
}

/// The line that is lowest at an abscissa not greater than at the last call; none of an empty hull.
pub(super) fn best_line(hull: &[Line], front: &mut usize, abscissa: f64) -> Option<Line> {
    while *front + 1 < hull.len() && hull[*front + 1].at(abscissa) <= hull[*front].at(abscissa) {
        *front += 1;
    }
    hull.get(*front).copied()
}

/// Finds the best schedule, in time linear in the number of states, of which there may be 65,536.
pub fn solve(ladder: Ladder<'_>, terms: Terms) -> Solution {
    let Ladder {
        instants,
        ended,
        mean,
    } = ladder;
    let Terms { price, gap, loss } = terms;
    let last = instants.len() - 1;
    let total = ended[last];

    let mut next = vec![last as u16; instants.len()].into_boxed_slice();
    let mut value = vec![0.0; instants.len()];
    let mut hull: Vec<Line> = Vec::with_capacity(instants.len());
    let mut front = 0;
    // The next candidate to go onto the hull. The last one is reachable from everywhere, gap or no gap.
    let mut candidate = last;
    for i in (0..last).rev() {
        let reachable = instants[i] + gap;
        while candidate > i && (candidate == last || instants[candidate] >= reachable) {
            let (slope, rest) = (instants[candidate], total - ended[candidate]);
            let line = Line {
                slope,
                height: value[candidate]
                    + loss * (slope * ended[candidate] - mean[candidate])
                    + price * (1.0 - loss) * rest,
                state: candidate as u16,
            };
            push_line(&mut hull, front, line);
            candidate -= 1;
        }
        let abscissa = loss * ended[i];
        let Some(best) = best_line(&hull, &mut front, abscissa) else {
            // The last candidate is on the hull from the first state on.
            continue;
        };
        next[i] = best.state;
        value[i] = price * loss * (total - ended[i]) + loss * mean[i] + best.at(abscissa);
    }
    Solution {
        next,
        cost: value[0],
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::{BINS, EDGES, Law, normalize, student};
    use super::*;
    use proptest::prelude::*;

    const STATES: usize = BINS + 1;

    /// The cost of going from state `i` straight to `j`, given what follows; weighted like `V`.
    struct Brute {
        terms: Terms,
        instants: Vec<f64>,
        ended: Vec<f64>,
        mean: Vec<f64>,
    }

    impl Brute {
        fn new(law: &Law, terms: Terms) -> Self {
            let (mut ended, mut mean) = (vec![0.0], vec![0.0]);
            for (i, mass) in law.iter().enumerate() {
                ended.push(ended[i] + mass);
                mean.push(mean[i] + mass * 0.5 * (EDGES[i] + EDGES[i + 1]));
            }
            let instants = (0..STATES)
                .map(|i| if i == 0 { 0.0 } else { EDGES[i] })
                .collect();
            Self {
                terms,
                instants,
                ended,
                mean,
            }
        }

        /// A poll costs the price for all who still wait: those that run, and those whose push was lost on the way.
        fn leg(&self, i: usize, j: usize) -> f64 {
            let Terms { price, loss, .. } = self.terms;
            let (ended, mean) = (&self.ended, &self.mean);
            let missed = loss * (ended[j] - ended[i]);
            let late = self.instants[j] * missed - loss * (mean[j] - mean[i]);
            price * ((ended[BINS] - ended[j]) + missed) + late
        }

        fn values(&self) -> Vec<f64> {
            let mut value = vec![0.0; STATES];
            for i in (0..BINS).rev() {
                value[i] = (i + 1..STATES)
                    .filter(|j| {
                        *j == BINS || self.instants[*j] >= self.instants[i] + self.terms.gap
                    })
                    .map(|j| self.leg(i, j) + value[j])
                    .fold(f64::INFINITY, f64::min);
            }
            value
        }
    }

    fn laws() -> impl Strategy<Value = Box<Law>> {
        let peaks = prop::collection::vec((0..BINS, 0.01..1.0f64), 1..12);
        let smooth = (-2.0..8.0f64, 0.05..2.0f64, 0.0..1.0f64);
        (peaks, smooth).prop_map(|(peaks, (center, scale, share))| {
            let mut law = student(3.0, center, scale);
            law.iter_mut().for_each(|mass| *mass *= share);
            for (bin, weight) in peaks {
                law[bin] += weight;
            }
            normalize(&mut law, 1.0);
            law
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_schedule_on_the_grid_is_better_from_any_state(
            law in laws(),
            price in 0.01..20.0f64,
            gap in 0.01..20.0f64,
            loss in prop::sample::select(vec![1.0, 0.3, 0.05, 0.001]),
        ) {
            let terms = Terms { price, gap, loss };
            let brute = Brute::new(&law, terms);
            let (instants, ended, mean) = (&brute.instants, &brute.ended, &brute.mean);
            let plan = solve(Ladder { instants, ended, mean }, terms);
            let values = brute.values();
            prop_assert!((plan.cost - values[0]).abs() <= 1e-9 * values[0].max(1.0));
            for (i, value) in values.iter().enumerate().take(BINS) {
                let next = usize::from(plan.next[i]);
                prop_assert!(next == BINS || instants[next] >= instants[i] + gap);
                let cost = brute.leg(i, next) + values[next];
                prop_assert!(cost <= value + 1e-9 * value.max(1.0), "{i} to {next}: {cost} > {value}");
            }
        }
    }
}
