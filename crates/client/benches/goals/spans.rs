//! L5 and L7: long jobs, and jobs that end on time.

use crate::Effort;
use crate::laws::Named;
use crate::measure::{PRICE, after, bound, map, world};
use crate::report::{Figure, Report, worst};
use abide_simulate::{Observe, Population};
use std::time::Duration;

/// After how many jobs is measured.
const JOBS: usize = 100;

pub(crate) fn l5(effort: Effort, report: &mut Report) {
    report.title("L5: jobs of three hours to a day, after 100 of them, durations known");
    let laws = [
        "lognormal:4h:0.3",
        "lognormal:8h:0.5",
        "lognormal:2h:0.6",
        "uniform:3h:24h",
        "lognormal:6h:0.05",
    ];
    for price in [0.5, 2.0, 10.0] {
        let laws: Vec<Named> = laws.iter().map(|law| Named::long(law)).collect();
        let figures = map(&laws, |law| {
            ratio(law, Observe::Known, price, effort.histories / 4)
        });
        for (law, figure) in laws.iter().zip(&figures) {
            println!("  price {price}, {}: {:.3}", law.name, figure.value);
        }
        let name = format!("L5 price {price}: cost / optimum, worst of five");
        report.at_most(&name, worst(figures), 1.20);
    }
}

pub(crate) fn l7(effort: Effort, report: &mut Report) {
    report.title("L7: durations that are nearly constant, and ends at ticks");
    for (observe, mode) in [(Observe::Known, "known"), (Observe::Polls, "own polls")] {
        let laws: Vec<Named> = ["2s", "30s", "600s", "5400s"]
            .iter()
            .map(|median| Named::long(&format!("lognormal:{median}:0.01")))
            .chain(ticks())
            .collect();
        let spent = map(&laws, |law| {
            let samples = after(law, observe, PRICE, &[JOBS], effort.histories / 4);
            let best = bound(law).at_price(PRICE).cost_s(PRICE);
            (samples[0].cost(PRICE), best)
        });
        for (law, (cost, best)) in laws.iter().zip(spent) {
            let is_tick = law.name.starts_with("ticks");
            let room = if is_tick { 0.0 } else { 0.2 };
            let over = Figure {
                value: (cost.value - room) / best,
                error: cost.error / best,
            };
            let less = if is_tick { "" } else { " less 0.2 s" };
            let name = format!("L7 {mode}, {}: cost{less} / optimum", law.name);
            report.at_most(&name, over, 1.2);
        }
    }
}

/// Servers that look at their work now and then only.
fn ticks() -> Vec<Named> {
    let spread = Population::of(&"lognormal:100s:0.4".parse().expect("written by hand"));
    let ticks = [5_u32, 10, 60].map(|tick| {
        let seconds = spread.even(4_000).into_iter().map(|job| {
            let ticks = (job.duration.as_secs_f64() / f64::from(tick)).ceil();
            Duration::from_secs_f64(ticks * f64::from(tick))
        });
        Named {
            name: format!("ticks of {tick} s"),
            population: Population::like(&seconds.collect::<Vec<_>>()),
        }
    });
    ticks.into()
}

fn ratio(law: &Named, observe: Observe, price: f64, histories: u64) -> Figure {
    let best = bound(law).at_price(price).cost_s(price);
    let samples = after(law, observe, price, &[JOBS], histories.max(3));
    samples[0].cost(price).scaled(1.0 / best)
}

pub(crate) fn l9(_: Effort, report: &mut Report) {
    report.title("L9: the bound of jobs of which a third take no time");
    let seconds = [0, 60, 61].map(Duration::from_secs).repeat(30);
    let law = Named {
        name: "zeros".to_owned(),
        population: Population::like(&seconds),
    };
    // Looks at once, at 60 s and at 61 s, each half a round trip late.
    let cost = bound(&law).at_price(PRICE).cost_s(PRICE);
    let truth = 2.0 * PRICE + 0.5 * world(Observe::Known).round_trip().as_secs_f64();
    report.at_most("L9 bound less what it is, s", (cost - truth).abs(), 1e-6);
}
