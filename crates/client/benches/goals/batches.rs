//! L1 and L2: jobs that run at once and share what is learned.

use crate::Effort;
use crate::laws::{Named, nine};
use crate::measure::{PRICE, RTT, bound, learner, map, world};
use crate::report::{Figure, Report, worst};
use abide_simulate::{Job, Observe, Point};
use std::time::Duration;

/// Batches that follow each other. The first is a cold start.
const BATCHES: u64 = 3;

pub(crate) fn l1(effort: Effort, report: &mut Report) {
    report.title("L1: batches begun together, with the default jitter; batches 2 and 3");
    for size in [10, 50, 200, 1_000] {
        together(
            &format!("L1 {size} at once"),
            size,
            Duration::ZERO,
            effort,
            report,
        );
    }
}

pub(crate) fn l2(effort: Effort, report: &mut Report) {
    report.title("L2: 50 jobs begun within 20 s; batches 2 and 3");
    together(
        "L2 50 within 20 s",
        50,
        Duration::from_secs(20),
        effort,
        report,
    );
}

fn together(name: &str, size: u32, within: Duration, effort: Effort, report: &mut Report) {
    for (observe, mode, goal) in [
        (Observe::Known, "known", 1.15),
        (Observe::Polls, "own polls", 1.25),
    ] {
        let laws = nine();
        let histories = (effort.histories * 20 / u64::from(size)).clamp(3, effort.histories);
        let figures = map(&laws, |law| later(law, observe, size, within, histories));
        for (law, figure) in laws.iter().zip(&figures) {
            println!("  {mode}, {}: {:.3}", law.name, figure.value);
        }
        // The cost of a point mass is half a second; what is beyond it is G3's.
        let spread = laws
            .iter()
            .zip(figures)
            .filter(|(law, _)| !law.is_point_mass());
        let figure = worst(spread.map(|(_, figure)| figure));
        report.at_most(
            &format!("{name}, {mode}: cost / optimum, worst of eight"),
            figure,
            goal,
        );
    }
}

/// The cost of all batches but the first ÷ the optimum.
fn later(law: &Named, observe: Observe, size: u32, within: Duration, histories: u64) -> Figure {
    let best = bound(law).at_price(PRICE).cost_s(PRICE);
    let ratios: Vec<f64> = (0..histories)
        .map(|history| {
            let schedule = learner(PRICE);
            let batches = (0..BATCHES).map(|batch| {
                let seed = history * BATCHES + batch;
                let jobs = law.population.draw(seed, size as usize);
                let begun = |(k, job): (u32, Job)| (within * k / size, job);
                let jobs: Vec<(Duration, Job)> = (0..).zip(jobs).map(begun).collect();
                world(observe)
                    .rtt(RTT)
                    .run_at(&schedule, &jobs, seed)
                    .mean()
            });
            let points: Vec<Point> = batches.collect();
            let costs = points[1..].iter().map(|point| point.cost_s(PRICE));
            costs.sum::<f64>() / (best * (BATCHES - 1) as f64)
        })
        .collect();
    Figure::of(&ratios)
}
