//! The goals of the learned schedule that can be checked in seconds: a benchmark, `goals`, checks all of them and more
//! thoroughly. Everything here is drawn from settled seeds, so that a figure changes only where the library does.

use std::time::Duration;

use abide::schedule::{Backoff, Dial, Fixed, Learned, Schedule};
use abide_simulate::{
    Arrivals, Bound, Estimates, Job, Observe, Point, Population, World, known_clients,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// What a request is worth, in seconds of delay.
const PRICE: f64 = 0.5;

/// Laws of one mode and of two, with an edge, with a tail, and without a memory.
const LAWS: [&str; 5] = [
    "uniform:10s:30s",
    "exponential:20s",
    "lognormal:20s:0.5",
    "mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2",
    "pareto:10s:1.5",
];

fn population(law: &str) -> Population {
    Population::of_at_most(&law.parse().unwrap(), HOUR)
}

/// The best that there is for the law.
fn best(population: &Population) -> f64 {
    let bound = Bound::new(population, World::new().round_trip());
    bound.at_price(PRICE).cost_s(PRICE)
}

/// The cost of the job after the first `jobs`, on average over a few histories.
fn cost_after(jobs: usize, law: &Population, observe: Observe, histories: u64) -> f64 {
    let world = World::new().observe(observe);
    let costs = (0..histories).map(|seed| {
        let schedule = Learned::new("goals").jitter(0.0);
        let _ = world.run(&schedule, &law.draw(seed, jobs), seed);
        world.expected(&schedule, law).cost_s(PRICE)
    });
    costs.sum::<f64>() / histories as f64
}

/// What jobs 21 to 40 cost on average in each of a few histories.
fn later(world: World, law: &Population, histories: u64) -> Point {
    let mut mean = Point::default();
    for seed in 0..histories {
        let run = world.run(&Learned::new("goals"), &law.draw(seed, 40), seed);
        let point = run.from(20).mean();
        mean.requests += point.requests / histories as f64;
        mean.delay_s += point.delay_s / histories as f64;
    }
    mean
}

#[test]
fn twenty_jobs_bring_it_near_the_optimum() {
    let mut sum = 0.0;
    for law in LAWS {
        let population = population(law);
        let ratio = cost_after(20, &population, Observe::Known, 3) / best(&population);
        assert!(ratio <= 1.15, "{law}: {ratio}");
        sum += ratio;
    }
    assert!(sum / LAWS.len() as f64 <= 1.08, "{sum}");
}

#[test]
fn own_polls_alone_bring_it_near_the_optimum_too() {
    let population = population("lognormal:20s:0.5");
    let ratio = cost_after(20, &population, Observe::Polls, 2) / best(&population);
    assert!(ratio <= 1.15, "{ratio}");
}

#[test]
fn ticks_that_are_nearer_than_polls_are_found_by_polls_alone() {
    let seconds = population("lognormal:100s:0.4").even(2_000).into_iter();
    let rounded = seconds.map(|job| Duration::from_secs(5 * job.duration.as_secs().div_ceil(5)));
    let ticks = Population::like(&rounded.collect::<Vec<_>>());
    let ratio = cost_after(100, &ticks, Observe::Polls, 3) / best(&ticks);
    assert!(ratio <= 1.25, "{ratio}");
}

#[test]
fn no_fixed_interval_nor_backoff_is_cheaper_on_laws_that_nothing_was_tuned_on() {
    let draw = |law: &str| Population::of(&law.parse().unwrap()).draw(3, 160);
    let rounded = draw("lognormal:150s:0.5")
        .into_iter()
        .zip(draw("uniform:0s:3s"));
    let quantized = rounded.map(|(job, off)| {
        let halves = job.duration.as_secs().div_ceil(30);
        Job::new(Duration::from_secs(30 * halves) + off.duration)
    });
    let mut zeros = draw("lognormal:30s:0.4");
    zeros
        .iter_mut()
        .step_by(3)
        .for_each(|job| job.duration = Duration::ZERO);
    let mut changing = draw("lognormal:60s:0.3");
    changing.splice(..60, draw("lognormal:20s:0.3").into_iter().take(60));
    let in_turn = Arrivals::InTurn;
    for (name, jobs, arrivals) in [
        (
            "rare hours",
            draw("mixture:0.97:lognormal:20s:0.3+0.03:uniform:1h:5h"),
            in_turn,
        ),
        (
            "minutes or hours",
            draw("mixture:0.5:lognormal:2h:0.4+0.5:lognormal:60s:0.3"),
            in_turn,
        ),
        (
            "two kinds",
            draw("mixture:0.5:lognormal:5s:0.1+0.5:lognormal:50s:0.1"),
            in_turn,
        ),
        ("multiples of 30 s, seen late", quantized.collect(), in_turn),
        ("a third at once", zeros, in_turn),
        ("a change within a crowd", changing, Arrivals::AtOnce(40)),
    ] {
        let cost = |schedule: &dyn Schedule| {
            let run = World::new().run_as(schedule, &jobs, arrivals, 3);
            run.from(50).mean().cost_s(PRICE)
        };
        let learned = cost(&Learned::new("goals"));
        for seconds in [1, 2, 4, 8, 16, 32].map(Duration::from_secs) {
            let fixed = cost(&Fixed::new(seconds));
            assert!(
                learned < fixed,
                "{name}: {learned}, and {fixed} each {seconds:?}"
            );
        }
        for factor in [1.2, 1.5, 2.0] {
            let backoff = cost(&Backoff::new(Duration::from_secs(1)).factor(factor));
            assert!(
                learned < backoff,
                "{name}: {learned}, and {backoff} by backoff {factor}"
            );
        }
    }
}

#[test]
fn the_first_job_of_all_costs_less_than_by_backoff() {
    let backoff = known_clients()
        .iter()
        .find(|client| client.name() == "backoff-1.5")
        .unwrap();
    for law in LAWS {
        let population = population(law);
        let cold = World::new()
            .expected(&Learned::new("goals"), &population)
            .cost_s(PRICE);
        let rival = World::new().run(backoff, &population.even(400), 1).mean();
        assert!(cold <= 0.7 * rival.cost_s(PRICE), "{law}: {cold} {rival:?}");
        let ratio = cold / best(&population);
        assert!(ratio <= 1.75, "{law}: {ratio}");
    }
}

#[test]
fn estimates_and_pushes_are_used_for_what_they_are_worth() {
    let law = population("lognormal:20s:0.5");
    let without = later(World::new(), &law, 6).cost_s(PRICE);
    let once = later(World::new().estimates(Estimates::Once(0.2)), &law, 6).cost_s(PRICE);
    assert!(once <= 0.75 * without, "{once} {without}");
    let fresh = later(World::new().estimates(Estimates::Fresh(0.2)), &law, 6).cost_s(PRICE);
    assert!(fresh <= 0.5 * without, "{fresh} {without}");
    // Of few jobs, and so with a little more room than the benchmark gives.
    let pushed = later(World::new().push_loss(0.05), &law, 12);
    assert!(
        pushed.requests <= 1.6 && pushed.delay_s <= 0.7,
        "{pushed:?}"
    );
}

#[test]
fn jobs_begun_together_teach_as_jobs_in_a_row_do() {
    for (law, modes) in [
        (LAWS[0], &[Observe::Known, Observe::Polls][..]),
        (LAWS[2], &[Observe::Known, Observe::Polls]),
        (LAWS[3], &[Observe::Known]),
    ] {
        let population = population(law);
        for observe in modes {
            let world = World::new().observe(*observe);
            let schedule = Learned::new("goals");
            let mut cost = 0.0;
            for batch in 0..3 {
                let jobs = population.draw(batch, 200);
                let begun = |job| (Duration::ZERO, job);
                let jobs: Vec<(Duration, Job)> = jobs.into_iter().map(begun).collect();
                let run = world.run_at(&schedule, &jobs, batch);
                assert_eq!(run.given_up(), 0);
                cost = run.mean().cost_s(PRICE);
            }
            // In the order of their ends the third batch costs up to three times the best.
            let ratio = cost / best(&population);
            assert!(ratio <= 1.2, "{law}, {observe:?}: {ratio}");
        }
    }
}

#[test]
fn a_promise_is_kept_by_little_more_than_the_fewest_requests() {
    // To a client that knows the law it takes 4.36 requests, by the benchmark's exact plan.
    let (law, fewest) = (population(LAWS[3]), 4.36);
    let within = Duration::from_secs(3);
    let (mut kept, mut requests) = (0.0, 0.0);
    for seed in 0..3 {
        let share = 0.95;
        let schedule = Learned::new("goals").dial(Dial::Late { within, share });
        let run = World::new().run(&schedule, &law.draw(seed, 120), seed);
        let run = run.from(50);
        let in_time = |delay: Option<f64>| delay.is_some_and(|delay| delay <= 3.0);
        let count = run.jobs().iter().filter(|job| in_time(job.delay_s)).count();
        kept += count as f64 / run.jobs().len() as f64 / 3.0;
        requests += run.mean().requests / 3.0;
    }
    // Of few jobs, and so with a little more room than the benchmark gives.
    assert!(kept >= 0.93, "{kept}");
    assert!(requests <= 1.15 * fewest, "{requests}");
}
