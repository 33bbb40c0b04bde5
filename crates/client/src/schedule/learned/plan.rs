//! A plan on the grid: the planner's solution for a learned law, and the way along it.

use super::grid::{BINS, EDGES, Law, position};
use super::planner::{Ladder, Terms, solve};
use std::sync::LazyLock;

/// How many states a plan knows: acceptance, and each bin's upper edge.
const STATES: usize = BINS + 1;

/// The greatest pause beyond the grid, in seconds.
const GREATEST_PAUSE_BEYOND: f64 = 60.0;

/// How many polls are looked ahead at once. A wait keeps these and not the plan.
const AHEAD: usize = 8;

/// By how much moving a poll may raise the cost of the pause before it, as a share.
const GIVE: f64 = 0.08;

/// In how many steps, each by this factor, the room for jitter shrinks to nothing.
const TRIES: u32 = 20;
const SHRINK: f64 = 0.85;

/// The instants of the states, in seconds since acceptance.
static INSTANTS: LazyLock<[f64; STATES]> =
    LazyLock::new(|| std::array::from_fn(|state| if state == 0 { 0.0 } else { EDGES[state] }));

/// The best next poll from every state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    terms: Terms,
    next: Box<[u16]>,
    /// What has happened by each state: the probability of the end, and the part of the mean that lies below.
    ended: Box<[f64; STATES]>,
    mean: Box<[f64; STATES]>,
}

/// One planned poll, in seconds since acceptance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Poll {
    pub(crate) at: f64,
    /// The pause before it.
    pub(crate) pause: f64,
    /// How far jitter of the full share of the pauses around it may move it: to earlier, and to later.
    pub(crate) earlier: f64,
    pub(crate) later: f64,
}

/// The next few polls of a plan, in order.
pub(crate) type Path = [Poll; AHEAD];

/// An instant and what has happened by then.
#[derive(Clone, Copy)]
struct Look {
    at: f64,
    ended: f64,
    mean: f64,
    /// The same at the edge before, where the instant lies within a bin.
    ended_before: f64,
    mean_before: f64,
}

impl Plan {
    /// Plans for a law.
    pub(crate) fn new(law: &Law, terms: Terms) -> Self {
        let (mut ended, mut mean) = (Box::new([0.0; STATES]), Box::new([0.0; STATES]));
        for i in 0..BINS {
            ended[i + 1] = ended[i] + law[i];
            mean[i + 1] = mean[i] + law[i] * 0.5 * (EDGES[i] + EDGES[i + 1]);
        }
        let ladder = Ladder {
            instants: &*INSTANTS,
            ended: &*ended,
            mean: &*mean,
        };
        Self {
            next: solve(ladder, terms).next,
            terms,
            ended,
            mean,
        }
    }

    /// What it was made for.
    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }

    /// The polls after a look in vain at `from`, at most `greatest` apart; all in seconds since acceptance.
    pub(crate) fn path(&self, from: f64, greatest: f64) -> Path {
        let mut path = [Poll::default(); AHEAD];
        let mut before = from;
        let mut at = self.after(before).min(before + greatest);
        for poll in &mut path {
            let after = self.after(at).min(at + greatest);
            let room = (at - before).min(after - at);
            *poll = Poll {
                at,
                pause: at - before,
                earlier: self.give(before, at, after, -room),
                later: self.give(before, at, after, room),
            };
            (before, at) = (at, after);
        }
        path
    }

    /// When to look again after having looked in vain at `now`.
    fn after(&self, now: f64) -> f64 {
        let state = state_at(now);
        if state >= BINS {
            return now + (INSTANTS[BINS] - INSTANTS[BINS - 1]).min(GREATEST_PAUSE_BEYOND);
        }
        INSTANTS[usize::from(self.next[state])]
    }

    /// How much of `room` (negative: to earlier) is left to jitter so that its cost stays small: all of it where the law
    /// is smooth, next to nothing where it has an edge, as for jobs that all take the same time.
    fn give(&self, before: f64, at: f64, after: f64, room: f64) -> f64 {
        let (before, here, after) = (self.look(before), self.look(at), self.look(after));
        let own = self.leg(before, here);
        let cost = own + self.leg(here, after);
        let mut room = room;
        for _ in 0..TRIES {
            // The most that the default jitter makes of it. A bin that is cut may hold all its ends after the cut.
            let mut moved = self.look(at + 0.25 * room);
            if room < 0.0 {
                (moved.ended, moved.mean) = (moved.ended_before, moved.mean_before);
            }
            if self.leg(before, moved) + self.leg(moved, after) <= cost + GIVE * own {
                return room.abs();
            }
            room *= SHRINK;
        }
        0.0
    }

    /// The cost of the pause between two looks.
    fn leg(&self, from: Look, to: Look) -> f64 {
        let Terms { price, loss, .. } = self.terms;
        let missed = loss * (to.ended - from.ended);
        let late = to.at * missed - loss * (to.mean - from.mean);
        price * (self.ended[BINS] - to.ended + missed) + late
    }

    /// What has happened by an instant, evenly within a bin.
    fn look(&self, at: f64) -> Look {
        let position = if at > 0.0 {
            position(at.ln()).clamp(0.0, BINS as f64)
        } else {
            0.0
        };
        let whole = (position as usize).min(BINS - 1);
        let share = position - whole as f64;
        let between = |sums: &[f64; STATES]| sums[whole] + share * (sums[whole + 1] - sums[whole]);
        Look {
            at,
            ended_before: self.ended[whole],
            mean_before: self.mean[whole],
            ended: between(&self.ended),
            mean: between(&self.mean),
        }
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

    #[test]
    fn a_path_is_the_plan_step_by_step() {
        let plan = Plan::new(&student(3.0, 15f64.ln(), 1.0), PURE);
        let mut now = 0.0;
        for poll in plan.path(0.0, f64::INFINITY) {
            now = plan.after(now);
            assert_eq!(poll.at, now);
        }
        for poll in plan.path(3.0, 2.0) {
            assert!(poll.pause <= 2.0);
        }
    }

    #[test]
    fn jitter_has_room_on_a_smooth_law_and_none_at_an_edge() {
        let smooth = Plan::new(&student(3.0, 15f64.ln(), 1.0), PURE);
        for pair in smooth.path(0.0, f64::INFINITY).windows(2) {
            let room = pair[0].pause.min(pair[1].pause);
            assert!(pair[0].earlier > 0.7 * room && pair[0].later > 0.7 * room);
        }
        let mut law = [0.0; BINS];
        law[530] = 1.0;
        let [poll, ..] = Plan::new(&law, PURE).path(0.0, f64::INFINITY);
        assert!(poll.earlier < 0.1 && poll.later < 1.0, "{poll:?}");
    }
}
