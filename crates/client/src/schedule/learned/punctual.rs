//! The exact planner of a promise: that a share of the ends is seen within a time, by the fewest requests.
//!
//! An end is late by what is left of its pause beyond the promised time `x`. A late one costs that much and a fine `μ`;
//! the others cost nothing. Having asked in vain at `c_i`, the next poll is one of two:
//!
//! - at `c_i + x`, which makes nothing late. Earlier ones do neither, and leave more to be asked;
//! - at a `c_j` beyond that, at a cost of `(μ + y_j)·(F(y_j) − F_i) − (M(y_j) − M_i)` with `y_j = c_j − x`. As in the
//!   [planner](super::planner) these are straight lines in `F_i`, whose slopes `−(μ + y_j)` are monotone.
//!
//! So one pass over a lower hull is exact for a fine. The least fine by which the promise is kept is found by halving.

use super::planner::{Ladder, Line, Terms, best_line, push_line};

/// The steps in which the fine is found, and the powers of e between which it is, in terms of the price.
const HALVINGS: u32 = 12;
const FINES: (f64, f64) = (-3.0, 9.0);

/// How many earlier ends count as much as what is expected.
const DOUBT: f64 = 50.0;

/// Polls beyond which earlier ends aren't looked at.
const POLLS_MAX: u32 = 4096;

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Promise {
    /// The longest pause in seconds by which no end is late.
    pub(crate) within: f64,
    /// The share of the ends that may be late.
    pub(crate) slack: f64,
}

/// The successor of a state after which the next poll is as late as makes no end late.
pub(crate) const IN_TIME: u16 = u16::MAX;

/// Finds the best next poll from every state: another state, or [`IN_TIME`]. `ends` are those of earlier jobs, in
/// seconds and in order.
pub(crate) fn keep(ladder: Ladder<'_>, terms: Terms, promise: Promise, ends: &[f64]) -> Box<[u16]> {
    let problem = Problem::new(ladder, terms, promise.within);
    let kept = |way: &Way| problem.share_late(way, ends) <= promise.slack * problem.total();
    let free = problem.way(0.0);
    if kept(&free) {
        return free.next;
    }
    let (mut low, mut high) = FINES;
    let mut best = problem.way(terms.price * high.exp());
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        let way = problem.way(terms.price * middle.exp());
        if kept(&way) {
            (high, best) = (middle, way);
        } else {
            low = middle;
        }
    }
    best.next
}

/// What a fine leads to.
struct Way {
    next: Box<[u16]>,
    /// The share of the ends that are late.
    late: f64,
}

/// An instant between two states: the one before it, and how far it is on the way to the next.
#[derive(Clone, Copy)]
struct Between {
    before: usize,
    share: f64,
}

impl Between {
    fn of(self, numbers: &[f64]) -> f64 {
        let (one, next) = (numbers[self.before], numbers[self.before + 1]);
        one + self.share * (next - one)
    }
}

/// A ladder, and what a promise makes of it.
struct Problem<'a> {
    ladder: Ladder<'a>,
    terms: Terms,
    within: f64,
    /// For each state the latest instant of which a poll there sees the end in time.
    in_time: Vec<Between>,
    /// For each state where the longest pause in time leads to.
    reach: Vec<Between>,
}

impl<'a> Problem<'a> {
    fn new(ladder: Ladder<'a>, terms: Terms, within: f64) -> Self {
        let instants = ladder.instants;
        let at_all = |off: f64| {
            let mut before = 0;
            let at = |instant: &f64| {
                let seconds = (instant + off).max(0.0);
                while before + 2 < instants.len() && instants[before + 1] <= seconds {
                    before += 1;
                }
                let share =
                    (seconds - instants[before]) / (instants[before + 1] - instants[before]);
                let share = share.clamp(0.0, 1.0);
                Between { before, share }
            };
            instants.iter().map(at).collect()
        };
        Self {
            in_time: at_all(-within),
            reach: at_all(within),
            ladder,
            terms,
            within,
        }
    }

    /// The share of ends that are late, as expected; or less, as far as fewer earlier ones would have been.
    ///
    /// The expectation is wider than the durations themselves while little is known, most of all in the tails, which a
    /// promise is about.
    fn share_late(&self, way: &Way, ends: &[f64]) -> f64 {
        let (mut at, mut polls, mut late) = (0.0, 0, 0.0);
        for end in ends {
            while at < *end {
                at = self.after(way, at);
                polls += 1;
                if polls > POLLS_MAX {
                    return way.late;
                }
            }
            if at - end > self.within {
                late += self.terms.loss;
            }
        }
        let seen = (DOUBT * way.late + late) / (DOUBT + ends.len() as f64);
        way.late.min(seen)
    }

    /// The poll after one in vain at an instant.
    fn after(&self, way: &Way, now: f64) -> f64 {
        let instants = self.ladder.instants;
        let state = instants.partition_point(|instant| *instant < now);
        match way.next.get(state) {
            Some(&next) if next != IN_TIME => instants[usize::from(next)],
            _ => now + self.within,
        }
    }

    fn total(&self) -> f64 {
        self.ladder.ended.last().copied().unwrap_or_default()
    }

    /// The cheapest way if a late end costs `fine` beside its delay beyond the promise.
    fn way(&self, fine: f64) -> Way {
        let Ladder {
            instants,
            ended,
            mean,
        } = self.ladder;
        let Terms { price, loss, .. } = self.terms;
        let (last, total) = (instants.len() - 1, self.total());
        let mut next = vec![IN_TIME; instants.len()].into_boxed_slice();
        let (mut value, mut late) = (vec![0.0; instants.len()], vec![0.0; instants.len()]);
        let mut hull: Vec<Line> = Vec::with_capacity(instants.len());
        let (mut front, mut candidate) = (0, last);
        for i in (0..last).rev() {
            while candidate > i && instants[candidate] > instants[i] + self.within {
                let in_time = self.in_time[candidate];
                let slope = fine + instants[candidate] - self.within;
                let line = Line {
                    slope,
                    height: value[candidate]
                        + loss * (slope * in_time.of(ended) - in_time.of(mean))
                        + price * (1.0 - loss) * (total - ended[candidate]),
                    state: candidate as u16,
                };
                push_line(&mut hull, front, line);
                candidate -= 1;
            }
            let asked = price * loss * (total - ended[i]);
            let reach = self.reach[i];
            let pushed = price * (1.0 - loss) * (total - reach.of(ended));
            (value[i], late[i]) = if reach.before == i {
                // Several such pauses lead to the next state.
                let pauses = 1.0 / reach.share;
                (value[i + 1] + pauses * (asked + pushed), late[i + 1])
            } else {
                (reach.of(&value) + asked + pushed, reach.of(&late))
            };
            let abscissa = loss * ended[i];
            let Some(best) = best_line(&hull, &mut front, abscissa) else {
                continue;
            };
            let cost = asked + loss * mean[i] + best.at(abscissa);
            if cost < value[i] {
                let state = usize::from(best.state);
                next[i] = best.state;
                value[i] = cost;
                late[i] = late[state] + loss * (self.in_time[state].of(ended) - ended[i]);
            }
        }
        Way {
            next,
            late: late[0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Jobs on an even ladder of steps of a second, so that every pause in time leads to a state.
    struct Jobs {
        instants: Vec<f64>,
        ended: Vec<f64>,
        mean: Vec<f64>,
    }

    impl Jobs {
        fn new(masses: &[f64]) -> Self {
            let total: f64 = masses.iter().sum();
            let (mut instants, mut ended, mut mean) = (vec![0.0], vec![0.0], vec![0.0]);
            for (i, mass) in masses.iter().enumerate() {
                instants.push(i as f64 + 1.0);
                ended.push(ended[i] + mass / total);
                mean.push(mean[i] + mass / total * (i as f64 + 0.5));
            }
            Self {
                instants,
                ended,
                mean,
            }
        }

        fn ladder(&self) -> Ladder<'_> {
            Ladder {
                instants: &self.instants,
                ended: &self.ended,
                mean: &self.mean,
            }
        }

        /// The cost of asking at `j` after having asked in vain at `i`, and the share of ends that it sees late.
        fn leg(&self, terms: Terms, steps: usize, fine: f64, i: usize, j: usize) -> (f64, f64) {
            let Terms { price, loss, .. } = terms;
            let early = j.saturating_sub(steps).max(i);
            let late = loss * (self.ended[early] - self.ended[i]);
            let delay = (self.instants[j] - steps as f64) * late;
            let delay = delay - loss * (self.mean[early] - self.mean[i]);
            let missed = loss * (self.ended[j] - self.ended[i]);
            let asked = 1.0 - self.ended[j] + missed;
            (price * asked + delay + fine * late, late)
        }

        /// The cost of a way, and the share of ends that are late.
        fn follow(&self, terms: Terms, steps: usize, fine: f64, next: &[u16]) -> (f64, f64) {
            let last = self.instants.len() - 1;
            let (mut state, mut cost, mut late) = (0, 0.0, 0.0);
            while state < last {
                let to = match next[state] {
                    IN_TIME => (state + steps).min(last),
                    to => usize::from(to),
                };
                let leg = self.leg(terms, steps, fine, state, to);
                (cost, late, state) = (cost + leg.0, late + leg.1, to);
            }
            (cost, late)
        }

        fn least(&self, terms: Terms, steps: usize, fine: f64) -> f64 {
            let last = self.instants.len() - 1;
            let mut value = vec![0.0; last + 1];
            for i in (0..last).rev() {
                let costs = (i + 1..=last).map(|j| self.leg(terms, steps, fine, i, j).0 + value[j]);
                value[i] = costs.fold(f64::INFINITY, f64::min);
            }
            value[0]
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_way_costs_less_by_a_fine_and_no_more_ends_are_late_than_may_be(
            masses in prop::collection::vec(0.0..1.0f64, 20..120),
            quiet in 0..20usize,
            steps in 1..9usize,
            price in 0.1..20.0f64,
            fine in 0.0..200.0f64,
            loss in prop::sample::select(vec![1.0, 0.3, 0.05]),
            slack in 0.0..0.5f64,
        ) {
            let mut masses = masses;
            masses[..quiet].fill(0.0);
            let jobs = Jobs::new(&masses);
            let terms = Terms { price, gap: 0.1, loss };
            let within = steps as f64;
            let way = Problem::new(jobs.ladder(), terms, within).way(fine);
            let (cost, late) = jobs.follow(terms, steps, fine, &way.next);
            let least = jobs.least(terms, steps, fine);
            prop_assert!((cost - least).abs() <= 1e-9 * least.max(1.0), "{cost} is not {least}");
            prop_assert!((late - way.late).abs() < 1e-9);

            let next = keep(jobs.ladder(), terms, Promise { within, slack }, &[]);
            let (_, late) = jobs.follow(terms, steps, 0.0, &next);
            prop_assert!(late <= slack + 1e-9, "{late} of {slack}");
        }
    }

    #[test]
    fn polls_are_spared_before_the_first_end_and_where_few_end() {
        // A tenth ends evenly within the first 60 s, and the rest within ten seconds after that.
        let masses: Vec<f64> = (0..70)
            .map(|i| if i < 60 { 0.1 / 60.0 } else { 0.09 })
            .collect();
        let jobs = Jobs::new(&masses);
        let terms = Terms {
            price: 3.0,
            gap: 0.1,
            loss: 1.0,
        };
        let polls = |slack: f64| {
            let next = keep(jobs.ladder(), terms, Promise { within: 3.0, slack }, &[]);
            let (mut state, mut polls) = (0, 0);
            while state < 70 {
                state = match next[state] {
                    IN_TIME => (state + 3).min(70),
                    to => usize::from(to),
                };
                polls += 1;
            }
            polls
        };
        assert_eq!(polls(0.0), 24);
        assert!(polls(0.1) < 8, "{}", polls(0.1));
    }
}
