//! A plan on the grid: the planner's solution for a learned law, as a look-up from the time of the last poll.

use super::grid::{BINS, EDGES, Law, position};
use super::planner::{Ladder, Terms, solve};
use std::sync::LazyLock;

/// How many states a plan knows: acceptance, and each bin's upper edge.
const STATES: usize = BINS + 1;

/// The greatest pause beyond the grid, in seconds.
const GREATEST_PAUSE_BEYOND: f64 = 60.0;

/// The instants of the states, in seconds since acceptance.
static INSTANTS: LazyLock<[f64; STATES]> =
    LazyLock::new(|| std::array::from_fn(|state| if state == 0 { 0.0 } else { EDGES[state] }));

/// The best next poll from every state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    next: Box<[u16]>,
}

impl Plan {
    /// Plans for a law.
    pub(crate) fn new(law: &Law, terms: Terms) -> Self {
        let (mut ended, mut mean) = ([0.0; STATES], [0.0; STATES]);
        for i in 0..BINS {
            ended[i + 1] = ended[i] + law[i];
            mean[i + 1] = mean[i] + law[i] * 0.5 * (EDGES[i] + EDGES[i + 1]);
        }
        let ladder = Ladder {
            instants: &*INSTANTS,
            ended: &ended,
            mean: &mean,
        };
        Self {
            next: solve(ladder, terms).next,
        }
    }

    /// When to look again after having looked in vain at `now`; both in seconds since acceptance.
    pub(crate) fn after(&self, now: f64) -> f64 {
        let state = state_at(now);
        if state >= BINS {
            return now + (INSTANTS[BINS] - INSTANTS[BINS - 1]).min(GREATEST_PAUSE_BEYOND);
        }
        INSTANTS[usize::from(self.next[state])]
    }
}

/// The state nearest to an instant, on the logarithmic axis.
fn state_at(seconds: f64) -> usize {
    if seconds <= 0.0 {
        return 0;
    }
    (position(seconds.ln()).round() as usize).min(BINS)
}

#[cfg(test)]
mod tests {
    use super::super::grid::student;
    use super::*;

    const PURE: Terms = Terms {
        price: 0.5,
        gap: 0.25,
        loss: 1.0,
    };

    #[test]
    fn a_duration_known_exactly_is_one_poll_at_its_end() {
        let mut law = [0.0; BINS];
        law[530] = 1.0;
        let plan = Plan::new(&law, PURE);
        assert_eq!(plan.after(0.0), EDGES[531]);
    }

    #[test]
    fn beyond_the_grid_the_plan_goes_on_every_minute() {
        let plan = Plan::new(&student(3.0, 15f64.ln(), 1.0), PURE);
        assert_eq!(plan.after(EDGES[BINS]), EDGES[BINS] + 60.0);
        assert_eq!(plan.after(1e9), 1e9 + 60.0);
    }

    #[test]
    fn trusted_pushes_stretch_the_pauses_by_the_root_of_the_loss() {
        let law = student(3.0, 30f64.ln(), 1.0);
        let pure = Plan::new(&law, PURE);
        let pushed = Plan::new(&law, Terms { loss: 0.04, ..PURE });
        let pause = |plan: &Plan| plan.after(20.0) - 20.0;
        let stretch = pause(&pushed) / pause(&pure);
        assert!((3.0..8.0).contains(&stretch), "{stretch}");
    }
}
