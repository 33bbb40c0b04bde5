//! A plan on the grid: the planner's solution for a learned law, and the way along it.

use super::grid::{BINS, EDGES, Law};
use super::planner::{Ladder, Terms, solve};
use super::punctual::{IN_TIME, Promise, keep};

/// The least pause beyond the grid, in seconds.
const PAUSE_MIN_BEYOND: f64 = 60.0;

/// How far apart the candidates for a poll are at most, in terms of the best pause where ends are as likely as there.
const FINENESS: f64 = 0.125;

/// A bin is not made finer if less than this is to be gained, in terms of the price.
const GAIN_MIN: f64 = 0.01;

/// The most parts that a bin is cut into.
const PARTS_MAX: f64 = 16.0;

/// Of a promise no less than this share counts when bins are made finer.
const SLACK_MIN: f64 = 0.01;

/// Candidates are not nearer to each other than this, in terms of the least pause.
const NEAREST: f64 = 0.1;

/// How many polls are looked ahead at once. A wait keeps these and not the plan.
const AHEAD: usize = 8;

/// How much moving a poll may raise the cost of the pause before it, as a share.
const GIVE: f64 = 0.08;

/// The steps, each by this factor, in which the room for jitter shrinks to nothing.
const TRIES: u32 = 20;
const SHRINK: f64 = 0.85;

/// A state is as near as another if it isn't further away by more than rounding: polls of one plan are often in the
/// very middle between two states of the next.
const AS_NEAR: f64 = 1.0 + 1e-9;

/// What a law knows of the inside of a bin: that ends fall together there, as those of a server that works in ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tick {
    pub(crate) bin: usize,
    /// The share of the bin's probability that it has.
    pub(crate) share: f64,
    /// Where it lies, in seconds.
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Demand {
    pub(crate) terms: Terms,
    /// Under it a request is what is spared, and its price what a late end costs beside.
    pub(crate) promise: Option<Promise>,
}

impl From<Terms> for Demand {
    fn from(terms: Terms) -> Self {
        Self {
            terms,
            promise: None,
        }
    }
}

/// The best next poll from every state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    demand: Demand,
    next: Box<[u16]>,
    states: States,
}

/// Where polls may be placed, in seconds since acceptance, and what has happened by then.
#[derive(Debug, Clone, PartialEq)]
struct States {
    instants: Vec<f64>,
    /// The probability of the end, and the part of the mean duration that lies below.
    ended: Vec<f64>,
    mean: Vec<f64>,
}

impl States {
    /// The bins' upper edges, more of them where polls are worth placing exactly, and fewer where they are nearer to
    /// each other than polls may be.
    fn new(law: &Law, ticks: &[Tick], demand: Demand) -> Self {
        let terms = demand.terms;
        let mut states = Self {
            instants: Vec::with_capacity(2 * BINS),
            ended: Vec::with_capacity(2 * BINS),
            mean: Vec::with_capacity(2 * BINS),
        };
        states.push(0.0, 0.0, 0.0);
        let (mut ended, mut mean) = (0.0_f64, 0.0);
        let mut ticks = ticks.iter().peekable();
        for (i, mass) in law.iter().enumerate() {
            let (from, to) = (EDGES[i], EDGES[i + 1]);
            let width = to - from;
            let tick = ticks.next_if(|tick| tick.bin == i);
            let sharp = tick.map_or(0.0, |tick| tick.share * mass);
            let even = mass - sharp;
            // What has happened by an instant within the bin.
            let by = |at: f64| {
                let part = (at - from) / width;
                let (mut by, mut below) = (even * part, even * part * 0.5 * (from + at));
                if let Some(tick) = tick {
                    let part = ((at - tick.from) / (tick.to - tick.from)).clamp(0.0, 1.0);
                    let middle = tick.from + 0.5 * part * (tick.to - tick.from);
                    by += sharp * part;
                    below += sharp * part * middle;
                }
                (by, below)
            };
            let worth = GAIN_MIN * terms.price;
            let mut cuts = [f64::INFINITY; 2];
            if let Some(tick) = tick.filter(|tick| sharp * (to - tick.to) > worth) {
                cuts = [tick.from, tick.to];
            }
            let mut parts = 1.0;
            if even * width > worth {
                let rate = even / width / (1.0 - ended).max(1e-12);
                let pause = FINENESS * (2.0 * terms.price / rate.max(1e-12)).sqrt();
                let most = (width / pause).min(even * width / worth).min(PARTS_MAX);
                parts = most.ceil().max(1.0);
            }
            if let Some(promise) = demand.promise.filter(|_| even > GAIN_MIN * SLACK_MIN) {
                let most = (width / (FINENESS * promise.within)).min(PARTS_MAX);
                parts = most.ceil().max(parts);
            }
            for part in 1..=parts as u32 {
                let at = from + width * f64::from(part) / parts;
                for cut in &mut cuts {
                    if *cut < at {
                        let (by, below) = by(*cut);
                        states.push(*cut, ended + by, mean + below);
                        *cut = f64::INFINITY;
                    }
                }
                let far = at - states.last() >= NEAREST * terms.gap;
                if far || i + 1 == BINS && f64::from(part) >= parts {
                    let (by, below) = by(at.min(to));
                    states.push(at.min(to), ended + by, mean + below);
                }
            }
            (ended, mean) = {
                let (by, below) = by(to);
                (ended + by, mean + below)
            };
        }
        states
    }

    fn push(&mut self, instant: f64, ended: f64, mean: f64) {
        if self.instants.last().is_none_or(|last| *last < instant) {
            self.instants.push(instant);
            self.ended.push(ended);
            self.mean.push(mean);
        }
    }

    /// The last instant.
    fn last(&self) -> f64 {
        self.instants.last().copied().unwrap_or_default()
    }

    /// The state nearest to an instant; of two that are as near the later one.
    fn at(&self, seconds: f64) -> usize {
        let after = self.instants.partition_point(|instant| *instant < seconds);
        let before = after.saturating_sub(1);
        match self.instants.get(after) {
            Some(instant) if instant - seconds <= AS_NEAR * (seconds - self.instants[before]) => {
                after
            }
            _ => before,
        }
    }
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
    /// Plans for a law and the ticks in it, which are in the order of their bins; `ends` are those of earlier jobs that
    /// are known, in order.
    pub(crate) fn new(law: &Law, ticks: &[Tick], ends: &[f64], demand: impl Into<Demand>) -> Self {
        let demand = demand.into();
        let states = States::new(law, ticks, demand);
        let ladder = Ladder {
            instants: &states.instants,
            ended: &states.ended,
            mean: &states.mean,
        };
        let next = match demand.promise {
            Some(promise) => keep(ladder, demand.terms, promise, ends),
            None => solve(ladder, demand.terms).next,
        };
        Self {
            next,
            demand,
            states,
        }
    }

    /// What it was made for.
    pub(crate) fn demand(&self) -> Demand {
        self.demand
    }

    /// The polls after a look in vain at `from`, at most `greatest` apart; all in seconds since acceptance. With
    /// `probe` each is preceded by one as shortly before as may be.
    pub(crate) fn path(&self, from: f64, greatest: f64, probe: bool) -> Path {
        let mut path = [Poll::default(); AHEAD];
        let mut before = from;
        let mut at = self.after(before).min(before + greatest);
        for poll in &mut path {
            let probed = at - self.demand.terms.gap;
            if probe && probed > before + self.demand.terms.gap {
                *poll = Poll {
                    at: probed,
                    pause: probed - before,
                    ..Poll::default()
                };
                before = probed;
                continue;
            }
            let after = self.after(at).min(at + greatest);
            let room = (at - before).min(after - at);
            let (earlier, later) = match self.demand.promise {
                // What follows a longer pause than was promised is as far from it wherever it is, so that moving it to
                // both sides alike makes no more ends late.
                Some(promise) => {
                    let room = (at - before - promise.within).clamp(0.0, 0.5 * promise.within);
                    (room, room)
                }
                None => (
                    self.give(before, at, after, -room),
                    self.give(before, at, after, room),
                ),
            };
            *poll = Poll {
                at,
                pause: at - before,
                earlier,
                later,
            };
            (before, at) = (at, after);
        }
        path
    }

    /// When to look again after having looked in vain at `now`.
    fn after(&self, now: f64) -> f64 {
        let state = self.states.at(now);
        let last = self.next.len() - 1;
        if state >= last {
            // Where all jobs known have ended, the rate of ends is taken to be that of a law without a scale.
            let pause = (2.0 * self.demand.terms.price * now).sqrt();
            return now + pause.clamp(PAUSE_MIN_BEYOND, EDGES[BINS] - EDGES[BINS - 1]);
        }
        match (self.next[state], self.demand.promise) {
            (IN_TIME, Some(promise)) => now + promise.within,
            (next, _) => self.states.instants[usize::from(next)],
        }
    }

    /// How much of `room` (negative: to earlier) is left to jitter so that its cost stays small: all of it where the
    /// law is smooth, next to nothing where it has an edge, as for jobs that all take the same time.
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
        let Terms { price, loss, .. } = self.demand.terms;
        let missed = loss * (to.ended - from.ended);
        let late = to.at * missed - loss * (to.mean - from.mean);
        price * (self.total() - to.ended + missed) + late
    }

    fn total(&self) -> f64 {
        self.states.ended.last().copied().unwrap_or_default()
    }

    /// What has happened by an instant, evenly between two states.
    fn look(&self, at: f64) -> Look {
        let States {
            instants,
            ended,
            mean,
        } = &self.states;
        let after = instants.partition_point(|instant| *instant < at);
        let after = after.clamp(1, instants.len() - 1);
        let before = after - 1;
        let share = (at - instants[before]) / (instants[after] - instants[before]);
        let share = share.clamp(0.0, 1.0);
        let between = |sums: &[f64]| sums[before] + share * (sums[after] - sums[before]);
        Look {
            at,
            ended_before: ended[before],
            mean_before: mean[before],
            ended: between(ended),
            mean: between(mean),
        }
    }
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
        let plan = Plan::new(&law, &[], &[], PURE);
        assert_eq!(plan.after(0.0), EDGES[531]);
    }

    #[test]
    fn beyond_the_grid_pauses_grow_with_the_root_of_the_age() {
        let plan = Plan::new(&student(3.0, 15f64.ln(), 1.0), &[], &[], PURE);
        let pause = |now: f64| plan.after(now) - now;
        let end = EDGES[BINS];
        assert!((pause(end) - end.sqrt()).abs() < 1.0);
        assert!((pause(4.0 * end) - 2.0 * end.sqrt()).abs() < 1.0);
        assert!(pause(1e12) < 5_000.0);
    }

    #[test]
    fn trusted_pushes_stretch_the_pauses_by_the_root_of_the_loss() {
        let law = student(3.0, 30f64.ln(), 1.0);
        let pure = Plan::new(&law, &[], &[], PURE);
        let pushed = Plan::new(&law, &[], &[], Terms { loss: 0.04, ..PURE });
        let pause = |plan: &Plan| plan.after(20.0) - 20.0;
        let stretch = pause(&pushed) / pause(&pure);
        assert!((3.0..8.0).contains(&stretch), "{stretch}");
    }

    #[test]
    fn a_path_is_the_plan_step_by_step() {
        let plan = Plan::new(&student(3.0, 15f64.ln(), 1.0), &[], &[], PURE);
        let mut now = 0.0;
        for poll in plan.path(0.0, f64::INFINITY, false) {
            now = plan.after(now);
            assert_eq!(poll.at, now);
        }
        for poll in plan.path(3.0, 2.0, false) {
            assert!(poll.pause <= 2.0);
        }
    }

    #[test]
    fn jitter_has_room_on_a_smooth_law_and_none_at_an_edge() {
        let smooth = Plan::new(&student(3.0, 15f64.ln(), 1.0), &[], &[], PURE);
        for pair in smooth.path(0.0, f64::INFINITY, false).windows(2) {
            let room = pair[0].pause.min(pair[1].pause);
            assert!(pair[0].earlier > 0.7 * room && pair[0].later > 0.7 * room);
        }
        let mut law = [0.0; BINS];
        law[530] = 1.0;
        let [poll, ..] = Plan::new(&law, &[], &[], PURE).path(0.0, f64::INFINITY, false);
        assert!(poll.earlier < 0.1 && poll.later < 1.0, "{poll:?}");
    }
}
