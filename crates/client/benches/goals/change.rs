//! G9: when durations change, and when they don't.

use crate::Effort;
use crate::laws::{Named, named, nine};
use crate::measure::{PRICE, bound, learner, map, mean, world};
use crate::report::{Figure, Report, worst};
use abide::schedule::History;
use abide_simulate::Observe;

pub(crate) fn g9(effort: Effort, report: &mut Report) {
    report.title("G9: durations double at job 100; false alarms without a change");
    for name in ["lognormal 0.5", "uniform 10-30"] {
        let costs = doubling(&named(name), effort.histories);
        let over = |from: usize, to: usize| {
            let means: Vec<f64> = costs
                .iter()
                .map(|costs| mean(costs[from..to].iter().copied()))
                .collect();
            Figure::of(&means)
        };
        let (first, second) = (over(0, 5).value, over(5, 10).value);
        println!("  {name}: jobs 1 to 5 after it {first:.3}, 6 to 10 {second:.3}");
        report.at_most(
            &format!("G9 {name}: jobs 11 to 20 after it"),
            over(10, 20),
            1.25,
        );
        report.at_most(
            &format!("G9 {name}: jobs 21 to 50 after it"),
            over(20, 50),
            1.10,
        );
    }
    let laws = nine();
    let alarms = map(&laws, |law| {
        let alarms: Vec<f64> = (0..effort.histories)
            .map(|seed| f64::from(false_alarms(law, seed)))
            .collect();
        Figure::of(&alarms)
    });
    for (law, alarms) in laws
        .iter()
        .zip(&alarms)
        .filter(|(_, alarms)| alarms.value > 0.0)
    {
        println!(
            "  {}: {:.3} false alarms per 400 jobs",
            law.name, alarms.value
        );
    }
    report.at_most(
        "G9 false alarms per 400 stationary jobs, worst of nine",
        worst(alarms),
        0.1,
    );
}

/// Cost ÷ optimum of each of the 50 jobs after the jump, in each history.
fn doubling(law: &Named, histories: u64) -> Vec<Vec<f64>> {
    let doubled = Named {
        name: format!("{} doubled", law.name),
        population: law.population.scaled(2.0),
    };
    let best = bound(&doubled).at_price(PRICE).cost_s(PRICE);
    let seeds: Vec<u64> = (0..histories).collect();
    map(&seeds, |seed| {
        let (world, schedule) = (world(Observe::Known), learner(PRICE));
        let _ = world.run(&schedule, &law.population.draw(*seed, 100), *seed);
        let jobs = doubled.population.draw(seed + 1_000_000, 50);
        let costs = jobs.into_iter().map(|job| {
            let cost = world.expected(&schedule, &doubled.population).cost_s(PRICE);
            let _ = world.run(&schedule, &[job], *seed);
            cost / best
        });
        costs.collect()
    })
}

/// A history that shrinks was taken for outdated.
fn false_alarms(law: &Named, seed: u64) -> u32 {
    let history = History::new();
    let schedule = learner(PRICE).history(&history);
    let world = world(Observe::Known);
    let (mut known, mut alarms) = (0, 0);
    for job in law.population.draw(seed + 2_000_000, 400) {
        let _ = world.run(&schedule, &[job], seed);
        let jobs = history.jobs("goals");
        alarms += u32::from(jobs < known);
        known = jobs;
    }
    alarms
}
