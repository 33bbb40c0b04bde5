//! A virtual clock, a server and a network; schedules wait in it.

use crate::bound::{Point, expected};
use crate::population::{Job, Population};
use abide::schedule::{Ended, Learned, Pacer, Push, Remaining, Schedule, Seen, Start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// The most polls that are spent on one job; beyond it, the job counts as given up.
pub const JOB_POLLS_MOST: u32 = 100_000;

/// Over how many jitters an exact cost is averaged.
const PHASES: u32 = 16;

/// What a client gets to know of a duration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observe {
    /// The server says how long the job took.
    #[default]
    Known,
    /// Only the client's own polls enclose it.
    Polls,
}

/// What a server says about the time that remains.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Estimates {
    /// Nothing.
    #[default]
    None,
    /// One estimate when the job is accepted, wrong by this spread (of the logarithm).
    Once(f64),
    /// A fresh estimate with every answer, each wrong by this spread.
    Fresh(f64),
}

/// The circumstances under which schedules are tried.
///
/// A poll is sampled by the server half a round trip after it was sent, and known half a round trip later. Delay is
/// counted from the job's end to the arrival of the answer that says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct World {
    pub(crate) rtt: Duration,
    pub(crate) observe: Observe,
    floor: Option<Duration>,
    estimates: Estimates,
    push_loss: Option<f64>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A round trip of 100 ms, durations known from the server, no hints and no pushes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rtt: Duration::from_millis(100),
            observe: Observe::Known,
            floor: None,
            estimates: Estimates::None,
            push_loss: None,
        }
    }

    /// The time from a request to its answer. Default: 100 ms.
    #[must_use]
    pub fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// What is known of durations afterwards. Default: [`Observe::Known`].
    #[must_use]
    pub fn observe(mut self, observe: Observe) -> Self {
        self.observe = observe;
        self
    }

    /// A `Retry-After` on every answer. Default: none.
    #[must_use]
    pub fn retry_after(mut self, floor: Duration) -> Self {
        self.floor = Some(floor);
        self
    }

    /// What the server says about the time that remains. Default: nothing.
    #[must_use]
    pub fn estimates(mut self, estimates: Estimates) -> Self {
        self.estimates = estimates;
        self
    }

    /// Pushes the end of every job, but loses this share of pushes. Default: no pushes. A push that came counts as one
    /// request.
    #[must_use]
    pub fn push_loss(mut self, share: f64) -> Self {
        self.push_loss = Some(share);
        self
    }

    /// The round trip.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.rtt
    }

    /// Waits for the jobs one after the other. The same seed gives each job the same draws in every world, so that two
    /// worlds can be compared job by job.
    #[must_use]
    pub fn run(&self, schedule: &dyn Schedule, jobs: &[Job], seed: u64) -> Run {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spent = jobs
            .iter()
            .map(|job| {
                let mut pacer = Pacer::new(schedule, &self.start(job, rng.random()));
                self.wait(
                    &mut pacer,
                    job,
                    &mut ChaCha8Rng::seed_from_u64(rng.random()),
                )
            })
            .collect();
        Run { spent }
    }

    /// What a learned schedule would spend on the next job of the population, by its present plan: exactly, not by
    /// drawing; jitter is averaged over evenly. Nothing is learned.
    #[must_use]
    pub fn expected(&self, schedule: &Learned, population: &Population) -> Point {
        let rtt = self.rtt.as_secs_f64();
        let groups = population.groups();
        let mut mean = Point {
            requests: 0.0,
            delay_s: 0.0,
        };
        let phases = if schedule.jitter_share() > 0.0 {
            PHASES
        } else {
            1
        };
        for (group, k) in groups
            .iter()
            .flat_map(|group| (0..phases).map(move |k| (group, k)))
        {
            let mut start = Start::new(0);
            start.size = group.size;
            let phase = (2.0 * f64::from(k) + 1.0) / f64::from(phases) - 1.0;
            let polls = schedule
                .preview_at(phase, &start, self.rtt)
                .take(JOB_POLLS_MOST as usize)
                .map(|sent| sent.as_secs_f64() + 0.5 * rtt);
            let point = expected(group, polls, rtt);
            let share = 1.0 / (groups.len() as f64 * f64::from(phases));
            mean.requests += point.requests * share;
            mean.delay_s += point.delay_s * share;
        }
        mean
    }

    pub(crate) fn start(&self, job: &Job, seed: u64) -> Start {
        let mut start = Start::new(seed).features(job.features.iter().copied());
        start.size = job.size;
        if self.push_loss.is_some() {
            start.push = Push::Expected;
        }
        start
    }

    /// Waits for one job; the instants are the server's, and the client's count from acceptance is the same.
    fn wait(&self, pacer: &mut Pacer, job: &Job, rng: &mut ChaCha8Rng) -> Spent {
        let end = job.duration;
        let half = self.rtt / 2;
        let push_at = self
            .push_loss
            .filter(|share| rng.random::<f64>() >= *share)
            .map(|_| end.saturating_add(half));
        let mut seen = Seen::at(half).rtt(self.rtt);
        if let Estimates::Once(sigma) | Estimates::Fresh(sigma) = self.estimates {
            seen = seen.remaining(Some(estimate(end.as_secs_f64(), sigma, rng)));
        }
        let mut after = Duration::ZERO;
        while seen.polls < JOB_POLLS_MOST {
            let at = pacer.next(&seen);
            if let Some(push_at) = push_at
                && at.is_none_or(|at| at > push_at)
            {
                let polls = seen.polls;
                pacer.finish(
                    &self
                        .ended(after, push_at, end)
                        .polls(polls)
                        .pushed(Some(true)),
                );
                return Spent::new(polls + 1, push_at, end);
            }
            let Some(at) = at else { break };
            let sampled = at.saturating_add(half);
            let known = sampled.saturating_add(half);
            seen.polls += 1;
            if sampled >= end {
                let pushed = self.push_loss.map(|_| push_at.is_some());
                pacer.finish(
                    &self
                        .ended(after, sampled, end)
                        .polls(seen.polls)
                        .pushed(pushed),
                );
                return Spent::new(seen.polls, known, end);
            }
            after = sampled;
            seen.elapsed = known;
            seen.not_before = self.floor.map(|floor| known.saturating_add(floor));
            seen.remaining = match self.estimates {
                Estimates::Fresh(sigma) => {
                    Some(estimate((end - sampled).as_secs_f64(), sigma, rng))
                }
                _ => None,
            };
        }
        pacer.finish(&Ended::given_up(after).polls(seen.polls));
        Spent {
            requests: seen.polls,
            delay_s: None,
        }
    }

    fn ended(&self, after: Duration, at_most: Duration, end: Duration) -> Ended {
        Ended::between(after, at_most).duration((self.observe == Observe::Known).then_some(end))
    }
}

/// What one job took.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Spent {
    /// How many requests.
    pub requests: u32,
    /// Seconds from the end of the job until it was known; none if the schedule gave up before.
    pub delay_s: Option<f64>,
}

impl Spent {
    fn new(requests: u32, known: Duration, end: Duration) -> Self {
        Self {
            requests,
            delay_s: Some(known.as_secs_f64() - end.as_secs_f64()),
        }
    }
}

/// What a schedule spent on a series of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub(crate) spent: Vec<Spent>,
}

impl Run {
    /// What each job took, in order.
    #[must_use]
    pub fn jobs(&self) -> &[Spent] {
        &self.spent
    }

    /// The run from one job on, to leave out a beginning.
    #[must_use]
    pub fn from(&self, first: usize) -> Self {
        Self {
            spent: self.spent.get(first..).unwrap_or_default().to_vec(),
        }
    }

    /// What a job took on average; nothing at all if there were no jobs. The delay is that of the ends that were seen.
    #[must_use]
    pub fn mean(&self) -> Point {
        let requests = self.spent.iter().map(|job| f64::from(job.requests));
        let delays = self.delays();
        Point {
            requests: requests.sum::<f64>() / self.spent.len().max(1) as f64,
            delay_s: delays.iter().sum::<f64>() / delays.len().max(1) as f64,
        }
    }

    /// How many jobs the schedule gave up before their end.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.spent
            .iter()
            .filter(|job| job.delay_s.is_none())
            .count()
    }

    /// The delay in seconds that a share `u` of the ends stays within, such as 0.95; 0 if none was seen.
    #[must_use]
    pub fn delay_quantile_s(&self, u: f64) -> f64 {
        let mut delays = self.delays();
        delays.sort_by(f64::total_cmp);
        let rank = (u.clamp(0.0, 1.0) * delays.len() as f64).ceil() as usize;
        delays.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    fn delays(&self) -> Vec<f64> {
        self.spent.iter().filter_map(|job| job.delay_s).collect()
    }
}

/// What a server of this error says of what remains.
fn estimate(seconds: f64, sigma: f64, rng: &mut ChaCha8Rng) -> Remaining {
    let said = seconds * (sigma * normal(rng)).exp();
    Remaining::about(Duration::try_from_secs_f64(said).unwrap_or(Duration::MAX))
}

/// A standard normal number, by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use abide::schedule::{Countdown, Fixed};

    const SECOND: Duration = Duration::from_secs(1);

    fn spent(world: World, schedule: &dyn Schedule, seconds: u32) -> (u32, f64) {
        let run = world.run(schedule, &[Job::new(seconds * SECOND)], 1);
        assert_eq!(run.given_up(), 0);
        (run.jobs()[0].requests, run.mean().delay_s)
    }

    #[test]
    fn a_round_trip_is_in_every_pause_and_half_of_one_in_every_delay() {
        let (requests, delay) = spent(World::new(), &Fixed::new(2 * SECOND), 20);
        assert_eq!(requests, 10);
        assert!((delay - 1.05).abs() < 1e-9);
        let none = World::new().rtt(Duration::ZERO);
        assert_eq!(spent(none, &Fixed::new(2 * SECOND), 20), (10, 0.0));
    }

    #[test]
    fn a_floor_stretches_the_pauses() {
        let world = World::new().rtt(Duration::ZERO).retry_after(5 * SECOND);
        assert_eq!(spent(world, &Fixed::new(SECOND), 20), (5, 1.0));
    }

    #[test]
    fn used_up_attempts_give_up() {
        let world = World::new().rtt(Duration::ZERO);
        let run = world.run(&Countdown::default(), &[Job::new(60 * SECOND)], 1);
        assert_eq!((run.jobs()[0].requests, run.jobs()[0].delay_s), (10, None));
        assert_eq!((run.given_up(), run.mean().delay_s), (1, 0.0));
    }

    #[test]
    fn a_push_that_comes_is_the_only_request() {
        let world = World::new().push_loss(0.0);
        let (requests, delay) = spent(world, &Fixed::new(30 * SECOND), 20);
        assert_eq!(requests, 1);
        assert!((delay - 0.05).abs() < 1e-9);
        let lost = World::new().push_loss(1.0);
        assert_eq!(spent(lost, &Fixed::new(30 * SECOND), 20).0, 1);
    }

    /// Laws with and without an edge, a tail and a second mode.
    const LAWS: [&str; 7] = [
        "fixed:20s",
        "uniform:10s:30s",
        "exponential:20s",
        "lognormal:20s:0.5",
        "lognormal:2s:1",
        "mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2",
        "pareto:10s:1.5",
    ];

    #[test]
    fn where_every_push_is_lost_no_job_is_seen_later_than_by_polling() {
        for (n, law) in LAWS.into_iter().enumerate() {
            for observe in [Observe::Known, Observe::Polls] {
                let jobs = Population::of(&law.parse().unwrap()).draw(n as u64, 12);
                let run = |world: World| {
                    let schedule = Learned::new("k");
                    world.observe(observe).run(&schedule, &jobs, n as u64)
                };
                let polling = run(World::new());
                let lost = run(World::new().push_loss(1.0));
                // From the first job on, and poll for poll: not on average, and not only after having learned.
                assert_eq!(lost, polling, "{law}, {observe:?}");
            }
        }
    }

    #[test]
    fn where_few_pushes_are_lost_they_save_requests_and_delay() {
        for law in ["lognormal:20s:0.5", "uniform:10s:30s"] {
            let jobs = Population::of(&law.parse().unwrap()).draw(9, 60);
            let run = |world: World| world.run(&Learned::new("k"), &jobs, 9).from(20).mean();
            let (polling, pushed) = (run(World::new()), run(World::new().push_loss(0.05)));
            assert!(pushed.requests < 2.0, "{law}: {pushed:?}");
            let saved = pushed.cost_s(0.5) < 0.75 * polling.cost_s(0.5);
            assert!(saved, "{law}: {pushed:?} {polling:?}");
        }
    }

    #[test]
    fn quantiles_are_by_rank() {
        let jobs: Vec<Job> = (1..=100).map(|i| Job::new(i * SECOND / 100)).collect();
        let run = World::new()
            .rtt(Duration::ZERO)
            .run(&Fixed::new(SECOND), &jobs, 1);
        assert!((run.delay_quantile_s(0.95) - 0.94).abs() < 1e-9);
        assert!((run.mean().delay_s - 0.495).abs() < 1e-9);
        assert_eq!(run.from(1000).mean().requests, 0.0);
    }

    #[test]
    fn the_exact_cost_is_that_of_many_draws() {
        let population = Population::of(&"lognormal:20s:0.5".parse().unwrap());
        let world = World::new();
        let schedule = Learned::new("k").jitter(0.0);
        let exact = world.expected(&schedule, &population);
        let mut drawn = Point {
            requests: 0.0,
            delay_s: 0.0,
        };
        let jobs = population.draw(3, 2_000);
        for job in &jobs {
            // A fresh learner for every job: nothing is learned.
            let mean = world
                .run(&Learned::new("k").jitter(0.0), std::slice::from_ref(job), 1)
                .mean();
            drawn.requests += mean.requests / jobs.len() as f64;
            drawn.delay_s += mean.delay_s / jobs.len() as f64;
        }
        assert!(
            (exact.requests - drawn.requests).abs() < 0.15,
            "{exact:?} {drawn:?}"
        );
        assert!(
            (exact.delay_s - drawn.delay_s).abs() < 0.1,
            "{exact:?} {drawn:?}"
        );
    }
}
