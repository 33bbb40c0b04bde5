//! One job's walk along a learned plan.

use super::effects::Traits;
use super::forecast;
use super::hint::{Heard, Sort};
use super::history::History;
use super::kind::{Kind, Planned};
use super::past::Whose;
use super::plan::{Demand, Poll};
use super::planner::Terms;
use super::punctual::Promise;
use super::ring::Place;
use super::schedule::{Dial, Learned};
use crate::schedule::{Cursor, Ended, PAUSE_MIN, Push, Seen, Start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far a poll may be from where it was planned, as a share of the pause, before the plan is taken up from where the
/// poll really was.
const ON_TRACK: f64 = 0.1;

/// Floors and round trips above the least interval are rounded up to powers of this, so that plans can be shared.
const GAP_STEP: f64 = 1.05;

/// The steps to which the rest of a promised time after a round trip is rounded.
const PROMISE_STEPS: f64 = 256.0;

/// How far a server's account of a duration may be from what was seen and still count, in seconds.
const CLOCK_DOUBT: f64 = 0.05;

/// The greatest time that is planned with, in seconds; beyond it, arithmetic stays finite.
const GREATEST: f64 = 1e9;

#[derive(Debug)]
pub(crate) struct Walk {
    schedule: Learned,
    history: History,
    kind: Arc<Kind>,
    traits: Traits,
    push: Push,
    /// The one random number of the job, from -1 (as early as jitter may) to 1 (as late).
    phase: f64,
    /// What `phase` was drawn from, to go on with where hints need more; few jobs have any.
    seed: u64,
    rng: Option<Box<ChaCha8Rng>>,
    hints: [Option<Heard>; 2],
    track: Option<Box<Track>>,
    whose: Whose,
    /// Where the job stands among those that the kind follows; none where it isn't followed.
    place: Option<Place>,
    /// When the job was last known to run, in seconds since acceptance; none before the first answer.
    running: Option<f64>,
    finished: bool,
}

/// The plan that is being followed.
#[derive(Debug, Clone, Copy)]
struct Track {
    planned: Planned,
    demand: Demand,
    /// Whose plan it is; its polls count from there.
    basis: Basis,
    /// Which of the planned polls is the latest.
    index: usize,
    /// Where jitter moved it, in seconds since acceptance.
    aim: f64,
}

impl Track {
    fn poll(&self) -> Poll {
        self.planned.path[self.index]
    }

    /// Whether the poll took place about where it was planned.
    fn was_kept(&self, now: f64) -> bool {
        (now - self.aim).abs() <= ON_TRACK * self.poll().pause
    }
}

/// What a plan is counted from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Basis {
    /// The job's acceptance.
    Acceptance,
    /// An estimate of this sort, made at this instant.
    Estimate { sort: usize, at: f64 },
}

impl Basis {
    fn origin(self) -> f64 {
        match self {
            Self::Acceptance => 0.0,
            Self::Estimate { at, .. } => at,
        }
    }
}

impl Walk {
    pub(crate) fn new(schedule: Learned, history: History, start: &Start) -> Self {
        let kind = schedule.learner(&history);
        let (phase, _) = draw(start.seed);
        Self {
            traits: schedule.traits(start),
            push: start.push,
            schedule,
            history,
            kind,
            phase,
            seed: start.seed,
            rng: None,
            hints: [None, None],
            track: None,
            whose: whose(start),
            place: None,
            running: None,
            finished: false,
        }
    }

    /// The walk of a job that is waited for: its kind follows it if it has room.
    pub(crate) fn begin(schedule: Learned, history: History, start: &Start) -> Self {
        let mut walk = Self::new(schedule, history, start);
        walk.place = walk.kind.accept(walk.whose, &walk.traits);
        walk
    }

    /// A walk that only looks ahead: whatever becomes of it, nothing is learned.
    pub(crate) fn preview(schedule: Learned, history: History, start: &Start) -> Self {
        let mut walk = Self::new(schedule, history, start);
        walk.finished = true;
        walk
    }

    /// The walk with this jitter instead of the one drawn.
    pub(crate) fn at_phase(mut self, phase: f64) -> Self {
        self.phase = phase;
        self
    }

    /// Takes in the hints of the latest answer; returns whether there were any.
    fn hear(&mut self, seen: &Seen, now: f64) -> bool {
        let mut fresh = false;
        for (slot, sort) in self.hints.iter_mut().zip(Sort::ALL) {
            let Some(estimate) = sort.read(seen, now) else {
                continue;
            };
            fresh = true;
            match slot {
                Some(heard) => {
                    let rng = self.rng.get_or_insert_with(|| Box::new(draw(self.seed).1));
                    heard.hear(estimate, rng.random());
                }
                None => {
                    let learner = sort.learner(&self.history, self.schedule.kind(), estimate);
                    *slot = Some(Heard::new(learner, estimate));
                }
            }
        }
        fresh
    }

    /// The learner to believe: the best of those that have something to say.
    fn basis(&self) -> Basis {
        let mut best = (Basis::Acceptance, 0.0);
        let mut open = true;
        for (i, heard) in self.hints.iter().enumerate() {
            let Some(heard) = heard else { continue };
            let advantage = heard.learner.advantage();
            // A hint that was never checked is preferred to none, and the better of two hints to the other.
            if advantage > best.1 || (open && advantage >= best.1) {
                let at = heard.latest.at;
                best = (Basis::Estimate { sort: i, at }, advantage);
                open = false;
            }
        }
        best.0
    }

    /// The learner of a basis, and the size of this job in its eyes.
    fn learner(&self, basis: Basis) -> (&Arc<Kind>, Cow<'_, Traits>) {
        match basis {
            Basis::Acceptance => (&self.kind, Cow::Borrowed(&self.traits)),
            Basis::Estimate { sort, .. } => match &self.hints[sort] {
                Some(heard) => {
                    let estimate = Traits::of_size(heard.latest.seconds);
                    (&heard.learner, Cow::Owned(estimate))
                }
                // A basis is only ever made from a hint that was heard.
                None => (&self.kind, Cow::Borrowed(&self.traits)),
            },
        }
    }

    fn demand(&self, seen: &Seen) -> Demand {
        let price = match self.schedule.dial_set() {
            Dial::Budget(_) => self.kind.price(),
            dial => dial.price(),
        };
        let floor = seen.not_before.map_or(0.0, |floor| {
            floor.saturating_sub(seen.elapsed).as_secs_f64()
        });
        let least = self.schedule.least_interval();
        let wanted = floor.max(seen.rtt.as_secs_f64()).min(GREATEST);
        let gap = if wanted > least {
            least * GAP_STEP.powf(((wanted / least).ln() / GAP_STEP.ln()).ceil())
        } else {
            least
        };
        let loss = match self.push {
            Push::None => 1.0,
            Push::Expected => self.kind.loss(),
            Push::Loss(share) => share,
        };
        // Below a thousandth a plan would trust the push for hours.
        let loss = if loss.is_nan() {
            1.0
        } else {
            loss.clamp(1e-3, 1.0)
        };
        let promise = match self.schedule.dial_set() {
            Dial::Late { within, share } => Some(promise(within, share, seen.rtt, gap)),
            _ => None,
        };
        Demand {
            terms: Terms { price, gap, loss },
            promise,
        }
    }

    /// The next planned poll: of the plan at hand if it still holds and was kept, else of a new one.
    fn advance(&self, demand: Demand, fresh: bool) -> Track {
        // Before the first answer nothing is known to run, however late the wait began.
        let now = self.running.unwrap_or(0.0);
        let mut from = now;
        if let Some(track) = self.track.as_deref().copied()
            && !fresh
            && track.demand == demand
            // Under a promise each poll counts from where the one before was.
            && demand.promise.is_none()
            && track.planned.version == self.learner(track.basis).0.version()
            && track.was_kept(now)
        {
            if track.index + 1 < track.planned.path.len() {
                let index = track.index + 1;
                return Track { index, ..track };
            }
            from = track.basis.origin() + track.poll().at;
        }
        let basis = self.basis();
        let (learner, traits) = self.learner(basis);
        let from = (from - basis.origin()).max(0.0);
        Track {
            planned: learner.plan(
                demand,
                &traits,
                from,
                self.schedule.greatest_interval(),
                0.5 * (1.0 - self.phase),
            ),
            demand,
            basis,
            index: 0,
            aim: 0.0,
        }
    }

    fn learn(&mut self, ended: &Ended) {
        self.finished = true;
        let seconds = |time: Duration| time.as_secs_f64().min(GREATEST);
        let after = seconds(ended.after);
        let (after, at_most) = match (ended.duration, ended.at_most) {
            // The server's own account counts within what was seen. One that contradicts it is by a clock gone wrong:
            // taken for exact it would put the next poll where the last one was, and lock the fault in.
            (Some(duration), Some(at_most)) => {
                let (exact, at_most) = (seconds(duration), seconds(at_most).max(after));
                if (after - CLOCK_DOUBT..=at_most + CLOCK_DOUBT).contains(&exact) {
                    let exact = exact.clamp(after, at_most);
                    (exact, exact)
                } else {
                    (after, at_most)
                }
            }
            (_, Some(at_most)) => (after, seconds(at_most).max(after)),
            (_, None) => (after, f64::INFINITY),
        };
        let Some(place) = self.place.take() else {
            return;
        };
        if after == 0.0 && at_most.is_infinite() {
            // Given up before anything was known: that says nothing.
            self.kind.forget(place);
            return;
        }
        for heard in self.hints.iter().flatten() {
            heard.learn(after, at_most, &self.kind, &self.traits, self.whose);
        }
        self.kind.close(place, after, at_most, &self.traits);
        // Of a job that hasn't ended no push was due.
        if let (Some(came), Some(_)) = (ended.pushed, ended.at_most) {
            self.kind.pushed(came);
        }
        if let Dial::Budget(budget) = self.schedule.dial_set()
            && ended.at_most.is_some()
        {
            self.kind.spent(ended.polls, budget);
        }
    }
}

/// What a promise leaves between two polls, of which the second takes half a round trip to be known. A floor above it
/// is the promise that can be kept; and a share that is none is all.
fn promise(within: Duration, share: f64, rtt: Duration, gap: f64) -> Promise {
    let within = within.max(PAUSE_MIN).as_secs_f64();
    let left = (1.0 - 0.5 * rtt.as_secs_f64() / within).max(0.0);
    // Rounded down, so that plans can be shared.
    let left = (PROMISE_STEPS * left).floor() / PROMISE_STEPS * within;
    let slack = 1.0 - share;
    Promise {
        within: left.max(gap),
        slack: if (0.0..=1.0).contains(&slack) {
            slack
        } else {
            0.0
        },
    }
}

/// Which job a wait is for.
fn whose(start: &Start) -> Whose {
    let since = start
        .began
        .and_then(|began| began.duration_since(SystemTime::UNIX_EPOCH).ok());
    Whose {
        second: since.and_then(|since| u32::try_from(since.as_secs()).ok()),
        job: start.job.map(|job| (job ^ (job >> 32)) as u32),
        random: (start.seed ^ (start.seed >> 32)) as u32,
    }
}

/// A job's random number, from -1 to 1, and the rng that remains.
fn draw(seed: u64) -> (f64, ChaCha8Rng) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (2.0 * rng.random::<f64>() - 1.0, rng)
}

impl Cursor for Walk {
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        let half_trip = (0.5 * seen.rtt.as_secs_f64()).min(GREATEST);
        let elapsed = seen.elapsed.as_secs_f64().min(GREATEST);
        // The instant that the latest answer describes.
        let now = if seen.polls == 0 {
            elapsed
        } else {
            (elapsed - half_trip).max(0.0)
        };
        if seen.polls > 0 {
            self.running = Some(now);
            if let Some(place) = self.place {
                self.kind.running(place, now);
            }
        }
        let fresh = self.hear(seen, now);
        let demand = self.demand(seen);

        let mut track = self.advance(demand, fresh);
        let poll = track.poll();
        // Spread evenly over the room there is, which need not be the same on both sides.
        let share = self.schedule.jitter_share();
        let (earliest, latest) = (-share * poll.earlier, share * poll.later);
        let shift = earliest + 0.5 * (1.0 + self.phase) * (latest - earliest);
        let aim = track.basis.origin() + poll.at + shift;
        track.aim = aim;
        self.track = Some(Box::new(track));
        let send = (aim - half_trip).max(elapsed);
        Some(Duration::try_from_secs_f64(send).unwrap_or(Duration::MAX))
    }

    fn finish(&mut self, ended: &Ended) {
        if !self.finished {
            self.learn(ended);
        }
    }

    fn quantile(&self, probability: f64, seen: &Seen) -> Option<Duration> {
        let basis = self.basis();
        let (learner, traits) = self.learner(basis);
        let origin = basis.origin();
        let now = seen.elapsed.as_secs_f64().min(GREATEST) - origin;
        let at = origin + forecast::quantile(&learner.law(&traits), probability, now.max(0.0));
        Duration::try_from_secs_f64(at).ok()
    }

    fn hazard(&self, seen: &Seen) -> Option<f64> {
        let basis = self.basis();
        let (learner, traits) = self.learner(basis);
        let now = seen.elapsed.as_secs_f64().min(GREATEST) - basis.origin();
        Some(forecast::hazard(&learner.law(&traits), now.max(0.0)))
    }
}

impl Drop for Walk {
    /// A wait that was dropped is one that was given up; leaving it out would teach that jobs are shorter than they
    /// are.
    fn drop(&mut self) {
        if !self.finished {
            let after = Duration::try_from_secs_f64(self.running.unwrap_or(0.0));
            self.learn(&Ended::given_up(after.unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::testing::walk;
    use crate::schedule::{Remaining, Schedule};

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn begin(schedule: &Learned) -> Box<dyn Cursor> {
        schedule.begin(&Start::new(1))
    }

    fn finish(schedule: &Learned, t: f64) {
        begin(schedule)
            .finish(&Ended::between(seconds(t - 2.0), seconds(t + 1.0)).duration(Some(seconds(t))));
    }

    /// At a round trip of nothing and right after a poll that was answered "not yet".
    fn running(at: f64) -> Seen {
        Seen::at(seconds(at)).rtt(Duration::ZERO).polls(1)
    }

    #[test]
    fn the_whole_way_through_the_schedule_gives_the_golden_vectors() {
        let schedule = Learned::new("k").jitter(0.0);
        let check = |golden: [f64; 8]| {
            let polls = schedule.preview(&Start::new(1), Duration::ZERO);
            for (poll, golden) in polls.map(|poll| poll.as_secs_f64()).zip(golden) {
                assert!((poll - golden).abs() < 6e-4, "{poll} is not {golden}");
            }
        };
        check([5.405, 9.849, 14.117, 18.493, 23.044, 27.866, 33.030, 38.761]);
        for t in [18.0, 22.0, 19.0, 25.0, 21.0] {
            finish(&schedule, t);
        }
        check([
            16.902, 20.034, 22.363, 24.469, 26.507, 28.715, 31.106, 33.697,
        ]);
        begin(&schedule).finish(&Ended::given_up(60 * SECOND));
        check([
            11.558, 18.493, 21.920, 25.214, 28.715, 33.030, 38.761, 45.944,
        ]);
    }

    #[test]
    fn jitter_keeps_the_order_and_three_quarters_of_every_pause() {
        let plain = walk(begin(&Learned::new("k").jitter(0.0)).as_mut(), 20);
        for seed in 0..200 {
            let schedule = Learned::new("k");
            let polls = walk(schedule.begin(&Start::new(seed)).as_mut(), 20);
            for i in 1..19 {
                let pause = polls[i] - polls[i - 1];
                let planned = (plain[i] - plain[i - 1]).min(plain[i + 1] - plain[i]);
                assert!(pause > 0.7 * planned, "{pause} of {planned}");
                assert!((polls[i] - plain[i]).abs() <= 0.25 * planned + 1e-9);
            }
        }
    }

    #[test]
    fn a_poll_is_sent_half_a_round_trip_before_its_moment() {
        let schedule = Learned::new("k").jitter(0.0);
        let seen = Seen::at(Duration::ZERO).rtt(200 * SECOND / 1000);
        let at = begin(&schedule).next(&seen).unwrap().as_secs_f64();
        assert!((at - (5.405 - 0.1)).abs() < 1e-3, "{at}");
    }

    #[test]
    fn a_poll_that_came_late_is_planned_on_from_where_it_was() {
        let schedule = Learned::new("k").jitter(0.0);
        let mut cursor = begin(&schedule);
        cursor.next(&Seen::at(Duration::ZERO).rtt(Duration::ZERO));
        let at = cursor.next(&running(20.0)).unwrap().as_secs_f64();
        assert!((23.0..26.0).contains(&at), "{at}");
    }

    #[test]
    fn a_wait_that_began_late_looks_at_once() {
        let schedule = Learned::new("k");
        let at = begin(&schedule).next(&Seen::at(500 * SECOND)).unwrap();
        assert_eq!(at, 500 * SECOND);
    }

    #[test]
    fn a_floor_is_planned_around_and_forgotten() {
        let schedule = Learned::new("k").jitter(0.0);
        let mut cursor = begin(&schedule);
        cursor.next(&Seen::at(Duration::ZERO).rtt(Duration::ZERO));
        let floored = running(5.405).not_before(Some(seconds(25.405)));
        assert!(cursor.next(&floored).unwrap() >= seconds(25.405));
        let at = cursor.next(&running(26.0)).unwrap().as_secs_f64();
        assert!((29.0..33.0).contains(&at), "{at}");
    }

    #[test]
    fn greatest_and_least_bound_every_pause() {
        let schedule = Learned::new("k")
            .jitter(0.0)
            .min(3 * SECOND)
            .max(4 * SECOND);
        let polls = walk(begin(&schedule).as_mut(), 40);
        assert!(polls[0] <= 4.0);
        for pair in polls.windows(2) {
            let pause = pair[1] - pair[0];
            assert!((2.9..=4.1).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn what_one_wait_learns_changes_the_plan_of_another_on_its_way() {
        let schedule = Learned::new("k").jitter(0.0);
        let mut cursor = begin(&schedule);
        cursor.next(&Seen::at(Duration::ZERO).rtt(Duration::ZERO));
        for _ in 0..10 {
            finish(&schedule, 100.0);
        }
        let next = cursor.next(&running(5.405)).unwrap().as_secs_f64();
        assert!((30.0..101.0).contains(&next), "{next}");
    }

    #[test]
    fn a_dropped_wait_counts_as_given_up_and_a_finished_one_counts_once() {
        let history = History::new();
        let schedule = Learned::new("k").history(&history);
        let mut cursor = begin(&schedule);
        cursor.next(&Seen::at(Duration::ZERO));
        drop(cursor);
        assert_eq!(history.jobs("k"), 0);
        let mut cursor = begin(&schedule);
        cursor.next(&running(9.0));
        drop(cursor);
        assert_eq!(history.jobs("k"), 1);
        let mut cursor = begin(&schedule);
        cursor.next(&running(9.0));
        let ended = Ended::between(9 * SECOND, 12 * SECOND);
        cursor.finish(&ended);
        cursor.finish(&ended);
        drop(cursor);
        assert_eq!(history.jobs("k"), 2);
    }

    #[test]
    fn a_history_is_taken_from_the_schedule_then_the_start_then_itself() {
        let (mine, clients) = (History::new(), History::new());
        let start = Start::new(1).history(&clients);
        let ended = Ended::between(SECOND, SECOND);
        Learned::new("k")
            .history(&mine)
            .begin(&start)
            .finish(&ended);
        assert_eq!((mine.jobs("k"), clients.jobs("k")), (1, 0));
        Learned::new("k").begin(&start).finish(&ended);
        assert_eq!((mine.jobs("k"), clients.jobs("k")), (1, 1));
    }

    #[test]
    fn sizes_scale_the_plan() {
        let schedule = Learned::new("k").jitter(0.0);
        for size in (0..60).map(|i| 10.0 + f64::from(i * 37 % 60)) {
            let t = seconds(2.0 * size);
            let mut cursor = schedule.begin(&Start::new(1).size(size));
            cursor.finish(&Ended::between(t, t));
        }
        let first = |size: f64| {
            let mut cursor = schedule.begin(&Start::new(1).size(size));
            cursor
                .next(&Seen::at(Duration::ZERO))
                .unwrap()
                .as_secs_f64()
        };
        let (small, big) = (first(15.0), first(60.0));
        assert!((20.0..31.0).contains(&small), "{small}");
        assert!((2.0..4.1).contains(&(big / small)), "{big} after {small}");
    }

    #[test]
    fn an_estimate_is_a_law_and_not_an_appointment() {
        let schedule = Learned::new("k").jitter(0.0);
        let mut cursor = begin(&schedule);
        let hinted = Seen::at(Duration::ZERO)
            .rtt(Duration::ZERO)
            .remaining(Some(Remaining::about(100 * SECOND)));
        let first = cursor.next(&hinted).unwrap().as_secs_f64();
        assert!((30.0..95.0).contains(&first), "{first}");
        let second = cursor.next(&running(first)).unwrap().as_secs_f64();
        assert!(second < 100.0, "{second}");
        // A fresh estimate is planned by at once.
        let fresh = running(second).remaining(Some(Remaining::about(1000 * SECOND)));
        let third = cursor.next(&fresh).unwrap().as_secs_f64();
        assert!((200.0..1000.0).contains(&third), "{third}");
    }

    #[test]
    fn estimates_that_mislead_are_soon_ignored() {
        let schedule = Learned::new("k").jitter(0.0);
        let lie = |cursor: &mut dyn Cursor, i: u32| {
            let nonsense = if i.is_multiple_of(2) {
                3000 * SECOND
            } else {
                SECOND
            };
            let seen = Seen::at(Duration::ZERO).remaining(Some(Remaining::about(nonsense)));
            cursor.next(&seen).unwrap().as_secs_f64()
        };
        for i in 0..8 {
            let mut cursor = begin(&schedule);
            lie(cursor.as_mut(), i);
            cursor.finish(&Ended::between(20 * SECOND, 20 * SECOND));
        }
        for i in 0..2 {
            let first = lie(begin(&schedule).as_mut(), i);
            assert!((15.0..21.0).contains(&first), "{first}");
        }
    }

    #[test]
    fn progress_is_an_estimate_too() {
        let schedule = Learned::new("k").jitter(0.0);
        let mut cursor = begin(&schedule);
        cursor.next(&Seen::at(Duration::ZERO).rtt(Duration::ZERO));
        let tenth = running(10.0).progress(Some(0.1));
        let next = cursor.next(&tenth).unwrap().as_secs_f64();
        assert!((40.0..95.0).contains(&next), "{next}");
    }

    #[test]
    fn a_budget_is_kept_by_the_price() {
        let schedule = Learned::new("k").budget(3.0).jitter(0.0);
        let mut spent = Vec::new();
        for i in 0..200u32 {
            // A spread of durations between 10 and 30 s.
            let t = 10.0 + 20.0 * (f64::from(i) * 0.618_034).fract();
            let mut cursor = begin(&schedule);
            let mut seen = Seen::at(Duration::ZERO).rtt(Duration::ZERO);
            let mut after = Duration::ZERO;
            let at = loop {
                let at = cursor.next(&seen).unwrap();
                seen.polls += 1;
                if at.as_secs_f64() >= t {
                    break at;
                }
                after = at;
                seen.elapsed = at;
            };
            cursor.finish(
                &Ended::between(after, at)
                    .duration(Some(seconds(t)))
                    .polls(seen.polls),
            );
            spent.push(f64::from(seen.polls));
        }
        let mean = spent[50..].iter().sum::<f64>() / 150.0;
        assert!((mean - 3.0).abs() < 0.3, "{mean}");
    }

    #[test]
    fn pushes_that_come_make_polls_rare_and_lost_ones_bring_them_back() {
        let schedule = Learned::new("k").jitter(0.0);
        let first = || {
            let mut cursor = schedule.begin(&Start::new(1).push(Push::Expected));
            cursor
                .next(&Seen::at(Duration::ZERO))
                .unwrap()
                .as_secs_f64()
        };
        let jobs = std::cell::Cell::new(0);
        let end = |came: bool| {
            jobs.set(jobs.get() + 1);
            let took = (15 + jobs.get() * 7 % 11) * SECOND;
            let ended = Ended::between(took, took).pushed(Some(came));
            schedule
                .begin(&Start::new(1).push(Push::Expected))
                .finish(&ended);
        };
        let polling = || {
            let cursor = Box::leak(begin(&schedule));
            cursor
                .next(&Seen::at(Duration::ZERO))
                .unwrap()
                .as_secs_f64()
        };
        // Nothing is relaxed for a push that was never seen to come, however many were promised.
        assert_eq!(first(), polling());
        (0..50).for_each(|_| end(false));
        assert_eq!(first(), polling());
        end(true);
        assert!(first() > polling(), "one push is enough to trust the next");
        (0..50).for_each(|_| end(true));
        let trusting = first();
        (0..4).for_each(|_| end(false));
        // This many in a row are no accident: none comes any more.
        assert!((first() - polling()).abs() < 0.05, "{}", first());
        end(true);
        assert!(
            first() > 0.5 * trusting,
            "it came back, and is as good as it was"
        );
    }

    #[test]
    fn a_wait_that_was_given_up_lost_no_push() {
        let schedule = Learned::new("k").jitter(0.0);
        let push = |ended: Ended| {
            let mut cursor = schedule.begin(&Start::new(1).push(Push::Expected));
            cursor.finish(&ended);
        };
        push(Ended::between(20 * SECOND, 20 * SECOND).pushed(Some(true)));
        let kind = schedule.learner(&schedule.history_for(&Start::new(1)));
        let before = kind.loss();
        push(Ended::given_up(10 * SECOND).pushed(Some(false)));
        assert_eq!(kind.loss(), before);
    }

    #[test]
    fn quantiles_and_hazard_come_from_the_law() {
        let schedule = Learned::new("k");
        for i in 0..40 {
            finish(&schedule, 20.0 + f64::from(i % 10));
        }
        let cursor = begin(&schedule);
        let at = |p: f64, now: f64| cursor.quantile(p, &running(now)).unwrap().as_secs_f64();
        assert!((10.0..20.5).contains(&at(0.01, 0.0)), "{}", at(0.01, 0.0));
        assert!((23.0..27.0).contains(&at(0.5, 0.0)), "{}", at(0.5, 0.0));
        assert!(at(0.01, 28.0) >= 28.0);
        assert!(cursor.hazard(&running(25.0)) > cursor.hazard(&running(5.0)));
    }

    #[test]
    fn absurd_times_do_no_harm() {
        let schedule = Learned::new("k")
            .dial(Dial::Price(Duration::MAX))
            .min(Duration::MAX);
        for elapsed in [Duration::ZERO, Duration::MAX] {
            let seen = Seen::at(elapsed)
                .rtt(Duration::MAX)
                .polls(1)
                .not_before(Some(Duration::MAX))
                .remaining(Some(Remaining::quantiles(
                    Duration::MAX,
                    Duration::MAX,
                    Duration::ZERO,
                )));
            let mut cursor = schedule.begin(&Start::new(1).size(f64::MIN_POSITIVE));
            cursor.next(&seen);
            cursor.next(&seen.progress(Some(1.0)));
            cursor.quantile(f64::NAN, &seen);
            cursor.hazard(&seen);
            cursor.finish(&Ended::between(elapsed, Duration::MAX).duration(Some(Duration::MAX)));
        }
    }
}
