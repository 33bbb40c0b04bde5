//! L6: durations that follow those before, and what features tell.

use crate::Effort;
use crate::measure::{PRICE, RTT, learner, map, mean, world};
use crate::report::{Figure, Report};
use abide::schedule::Feature;
use abide_simulate::{Bound, Job, Observe, Population};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How many jobs a series has, and from which on its cost counts.
const JOBS: usize = 200;
const FROM: usize = 50;

/// The level of each job in ln T as a client may know it, ln T itself, and the spread between the two.
type Series = (Vec<f64>, Vec<f64>, f64);

/// A name, a goal, and what makes such a series.
type Kind = (&'static str, f64, fn(&mut ChaCha8Rng) -> Series);

pub(crate) fn l6(effort: Effort, report: &mut Report) {
    report.title("L6: durations that change, jobs 51 to 200, cost / that to a client that knows each job's law");
    let kinds: [Kind; 5] = [
        ("AR(1), rho 0.8", 1.12, |rng| autoregressive(rng, 0.8)),
        ("AR(1), rho 0.93", 1.12, |rng| autoregressive(rng, 0.93)),
        ("drift by 40 % over 100 jobs", 1.12, |rng| drift(rng, 0.4)),
        ("regimes of 30, x 3", 1.30, |rng| regimes(rng, 3.0)),
        ("regimes of 30, x 12", 1.30, |rng| regimes(rng, 12.0)),
    ];
    for (observe, mode) in [(Observe::Known, "known"), (Observe::Polls, "own polls")] {
        for (name, goal, series) in kinds {
            let seeds: Vec<u64> = (0..effort.histories).collect();
            let ratios = map(&seeds, |seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed);
                let (levels, lengths, sigma) = series(&mut rng);
                let jobs: Vec<Job> = lengths.iter().map(|length| job(length.exp())).collect();
                let spent = world(observe).run(&learner(PRICE), &jobs, *seed);
                spent.from(FROM).mean().cost_s(PRICE) / informed(&levels[FROM..], sigma)
            });
            let figure = Figure::of(&ratios);
            report.at_most(&format!("L6 {mode}, {name}"), figure, goal);
        }
    }
}

pub(crate) fn l12(effort: Effort, report: &mut Report) {
    report.title("L12: a feature of each job is told, jobs 21 to 300, cost / that without");
    for (observe, mode) in [(Observe::Known, "known"), (Observe::Polls, "own polls")] {
        for (name, goal, levels, sigma) in [
            ("five models", 0.65, 5, 0.2),
            ("five models, each constant", 0.75, 5, 0.0),
            ("ten values that say nothing", 1.03, 1, 0.5),
            ("the same, constant durations", 1.10, 1, 0.0),
        ] {
            let seeds: Vec<u64> = (0..effort.histories / 4).collect();
            let costs = map(&seeds, |seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed);
                let (mut plain, mut told) = (Vec::new(), Vec::new());
                for _ in 0..300 {
                    let value = rng.random_range(0..if levels > 1 { levels } else { 10 });
                    let level = if levels > 1 {
                        1.1 + 0.88 * f64::from(value)
                    } else {
                        3.0
                    };
                    plain.push(job((level + sigma * normal(&mut rng)).exp()));
                    let mut job = plain[plain.len() - 1].clone();
                    job.features.push(Feature::new("model", value.to_string()));
                    told.push(job);
                }
                let cost = |jobs: &[Job]| {
                    let run = world(observe).run(&learner(PRICE), jobs, *seed);
                    run.from(20).mean().cost_s(PRICE)
                };
                (cost(&told), cost(&plain))
            });
            let plain = mean(costs.iter().map(|costs| costs.1));
            let told: Vec<f64> = costs.iter().map(|costs| costs.0 / plain).collect();
            report.at_most(&format!("L12 {mode}, {name}"), Figure::of(&told), goal);
        }
    }
}

fn job(seconds: f64) -> Job {
    Job::new(Duration::from_secs_f64(seconds))
}

/// The mean cost to a client that knows the level of each job.
fn informed(levels: &[f64], sigma: f64) -> f64 {
    let law = format!("lognormal:1s:{sigma}");
    let unit = Population::of(&law.parse().expect("written by hand"));
    // Costs are those of a table of levels, as fine as it matters.
    let best = |level: f64| {
        let scaled = unit.scaled(level.exp());
        Bound::new(&scaled, RTT).at_price(PRICE).cost_s(PRICE)
    };
    let mut known: Vec<(i64, f64)> = Vec::new();
    mean(levels.iter().map(|level| {
        let step = (level / 0.1).round() as i64;
        if let Some((_, cost)) = known.iter().find(|(other, _)| *other == step) {
            return *cost;
        }
        let cost = best(0.1 * step as f64);
        known.push((step, cost));
        cost
    }))
}

fn autoregressive(rng: &mut ChaCha8Rng, rho: f64) -> Series {
    // The spread of all jobs together is 0.5.
    let sigma = 0.5 * f64::sqrt(1.0 - rho * rho);
    let mut off = 0.5 * normal(rng);
    let jobs = (0..JOBS).map(|_| {
        let level = rho * off;
        off = level + sigma * normal(rng);
        (3.0 + level, 3.0 + off)
    });
    let (levels, lengths) = jobs.unzip();
    (levels, lengths, sigma)
}

fn drift(rng: &mut ChaCha8Rng, share: f64) -> Series {
    let levels = (0..JOBS).map(|i| {
        let turn = std::f64::consts::TAU * i as f64 / 100.0;
        3.0 + (1.0 + share * turn.sin()).ln()
    });
    around(rng, levels.collect(), 0.2)
}

fn regimes(rng: &mut ChaCha8Rng, factor: f64) -> Series {
    let levels = (0..JOBS).map(|i| {
        if i / 30 % 2 == 0 {
            3.0
        } else {
            3.0 + factor.ln()
        }
    });
    around(rng, levels.collect(), 0.3)
}

fn around(rng: &mut ChaCha8Rng, levels: Vec<f64>, sigma: f64) -> Series {
    let lengths = levels.iter().map(|level| level + sigma * normal(rng));
    let lengths = lengths.collect();
    (levels, lengths, sigma)
}

/// A standard normal number, by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
