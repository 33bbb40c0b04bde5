//! G10: many jobs at once.

use crate::Effort;
use crate::laws::{Named, named, nine};
use crate::measure::{PRICE, RTT, learner, map, world};
use crate::report::{Figure, Report, worst};
use abide::schedule::{Learned, Start};
use abide_simulate::{Job, Observe};
use std::collections::HashMap;

pub(crate) fn g10(effort: Effort, report: &mut Report) {
    report.title("G10: 1000 jobs at the same instant, with the default jitter");
    let histories = effort.histories / 2;
    for name in ["uniform 10-30", "lognormal 0.5", "bimodal"] {
        let law = named(name);
        let seeds: Vec<u64> = (0..histories).collect();
        let peaks = map(&seeds, |seed| {
            let schedule = experienced(&law, *seed);
            f64::from(peak(
                &schedule,
                &law.population.draw(seed + 3_000_000, 1_000),
            ))
        });
        report.at_most(
            &format!("G10 {name}: requests in the busiest 0.1 s"),
            Figure::of(&peaks),
            120.0,
        );
    }
    let laws = nine();
    let extra = map(&laws, |law| {
        let percents: Vec<f64> = (0..histories)
            .map(|seed| extra_percent(law, seed))
            .collect();
        Figure::of(&percents)
    });
    for (law, extra) in laws.iter().zip(&extra) {
        println!("  {}: jitter costs {:.2} %", law.name, extra.value);
    }
    let spread = laws
        .iter()
        .zip(extra)
        .filter(|(law, _)| !law.is_point_mass());
    report.at_most(
        "G10 cost of jitter in percent, worst of eight",
        worst(spread.map(|(_, extra)| extra)),
        1.0,
    );
}

fn experienced(law: &Named, seed: u64) -> Learned {
    let schedule = learner(PRICE);
    let _ = world(Observe::Known).run(&schedule, &law.population.draw(seed, 20), seed);
    schedule
}

fn extra_percent(law: &Named, seed: u64) -> f64 {
    let schedule = experienced(law, seed);
    let cost = |schedule: &Learned| {
        world(Observe::Known)
            .expected(schedule, &law.population)
            .cost_s(PRICE)
    };
    100.0 * (cost(&schedule) / cost(&schedule.clone().jitter(0.0)) - 1.0)
}

/// The most requests in a tenth of a second, when all jobs are accepted together.
fn peak(schedule: &Learned, jobs: &[Job]) -> u32 {
    let mut counts = HashMap::<u128, u32>::new();
    for (seed, job) in jobs.iter().enumerate() {
        for sent in schedule.preview(&Start::new(seed as u64), RTT) {
            *counts.entry(sent.as_millis() / 100).or_default() += 1;
            if sent + RTT / 2 >= job.duration {
                break;
            }
        }
    }
    counts.into_values().max().unwrap_or(0)
}
