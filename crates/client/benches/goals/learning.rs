//! G1 to G5: how near the optimum, and how soon.

use crate::Effort;
use crate::laws::{Named, held_out, named, nine};
use crate::measure::{PRICE, Sample, after, bound, learn, map, mean, world};
use crate::report::{Figure, Report, average, worst};
use abide_simulate::Observe;

/// After how many jobs is measured.
const CHECKPOINTS: [usize; 4] = [0, 5, 20, 50];

/// What was measured of one law.
struct Learning {
    law: Named,
    /// Cost ÷ optimal cost at each checkpoint, and at the last one with the default jitter.
    ratios: Vec<Figure>,
    jittered: f64,
    samples: Vec<Sample>,
    /// What is spent beyond the optimum after the last checkpoint.
    extra_s: Figure,
    delay_ratio: f64,
    request_ratio: f64,
    delay_over_s: f64,
}

pub(crate) fn g1_to_g4(effort: Effort, report: &mut Report) {
    report.title("G1, G2, G4: the server returns durations");
    let known = measure(Observe::Known, effort.histories * 5);
    let at = |i: usize| known.iter().map(move |one| one.ratios[i]);
    report.at_most(
        "G1 cost / optimum after 50 jobs, worst of nine",
        worst(at(3)),
        1.10,
    );
    report.at_most("G1 the same, mean of nine", average(at(3)), 1.05);
    report.at_most("G2 after 20 jobs, worst of nine", worst(at(2)), 1.15);
    report.at_most("G2 after 5 jobs, worst of nine", worst(at(1)), 1.40);
    let spread = || known.iter().filter(|one| !one.law.is_point_mass());
    let exact = |numbers: Vec<f64>| worst(numbers.into_iter().map(Figure::from));
    let delays = spread().map(|one| one.delay_ratio).collect();
    report.at_most(
        "G4 delay / best at the same requests, worst",
        exact(delays),
        1.15,
    );
    let requests = spread().map(|one| one.request_ratio).collect();
    report.at_most(
        "G4 requests / least at the same delay, worst",
        exact(requests),
        1.12,
    );
    for one in known.iter().filter(|one| one.law.is_point_mass()) {
        report.at_most(
            "G4 point mass: delay over the best, s",
            one.delay_over_s,
            0.1,
        );
    }

    report.title("G3: only the client's own polls");
    let polls = measure(Observe::Polls, effort.histories);
    let spread = || {
        polls
            .iter()
            .filter(|one| !one.law.is_point_mass())
            .map(|one| one.ratios[3])
    };
    report.at_most(
        "G3 cost / optimum after 50 jobs, worst of eight",
        worst(spread()),
        1.12,
    );
    report.at_most("G3 the same, mean of eight", average(spread()), 1.07);
    for one in polls.iter().filter(|one| one.law.is_point_mass()) {
        report.at_most("G3 point mass: extra cost, s", one.extra_s, 0.4);
    }
}

pub(crate) fn g5(effort: Effort, report: &mut Report) {
    report.title("G5: 60 laws that nothing was tuned on");
    let laws = held_out(60);
    for (observe, name, worst_goal, mean_goal) in [
        (Observe::Known, "known", 1.20, 1.08),
        (Observe::Polls, "own polls", 1.50, 1.13),
    ] {
        let ratios = map(&laws, |law| {
            let best = bound(law).at_price(PRICE).cost_s(PRICE);
            let samples = after(law, observe, PRICE, &CHECKPOINTS, effort.histories / 2);
            let ratios: Vec<Figure> = samples
                .iter()
                .map(|sample| sample.cost(PRICE).scaled(1.0 / best))
                .collect();
            ratios
        });
        let at = |i: usize| ratios.iter().map(move |ratios| ratios[i]);
        for (i, jobs) in CHECKPOINTS.iter().enumerate().take(3) {
            let (mean, worst) = (average(at(i)).value, worst(at(i)).value);
            println!("  {name}: after {jobs} jobs {mean:.3} on average, {worst:.3} at worst");
        }
        report.at_most(
            &format!("G5 {name}, after 50 jobs, worst of 60"),
            worst(at(3)),
            worst_goal,
        );
        report.at_most(
            &format!("G5 {name}, after 50 jobs, mean of 60"),
            average(at(3)),
            mean_goal,
        );
        let hardest = laws
            .iter()
            .zip(at(3))
            .max_by(|one, other| one.1.value.total_cmp(&other.1.value));
        if let Some((law, _)) = hardest {
            println!("  {name}: the hardest is {}", law.name);
        }
    }
}

fn measure(observe: Observe, histories: u64) -> Vec<Learning> {
    let measured = map(&nine(), |law| measure_one(law, observe, histories));
    println!(
        "  {:<16} {:>39}   {:>23}",
        "", "cost / optimum after", "requests / delay after"
    );
    println!(
        "  {:<16} {:>7} {:>7} {:>7} {:>7} {:>7}   {:>11} {:>11}",
        "law", 0, 5, 20, 50, "jitter", 20, 50
    );
    for one in &measured {
        print!("  {:<16}", one.law.name);
        one.ratios
            .iter()
            .for_each(|ratio| print!(" {:>7.3}", ratio.value));
        let (early, late) = (one.samples[2].mean(), one.samples[3].mean());
        println!(
            " {:>7.3}   {:>5.2}/{:<5.2} {:>5.2}/{:<5.2}",
            one.jittered, early.requests, early.delay_s, late.requests, late.delay_s
        );
    }
    measured
}

fn measure_one(law: &Named, observe: Observe, histories: u64) -> Learning {
    let bound = bound(law);
    let best = bound.at_price(PRICE).cost_s(PRICE);
    let samples = after(law, observe, PRICE, &CHECKPOINTS, histories);
    let mut jittered = Vec::new();
    for seed in 0..histories.min(40) / 2 {
        learn(law, observe, PRICE, &[50], seed, |schedule| {
            let point = world(observe).expected(schedule, &law.population);
            jittered.push(point.cost_s(PRICE) / best);
        });
    }
    let last = samples[3].mean();
    let cost = samples[3].cost(PRICE);
    Learning {
        law: named(&law.name),
        ratios: samples
            .iter()
            .map(|sample| sample.cost(PRICE).scaled(1.0 / best))
            .collect(),
        jittered: mean(jittered),
        extra_s: Figure {
            value: cost.value - best,
            ..cost
        },
        delay_ratio: last.delay_s / bound.delay_at(last.requests),
        request_ratio: last.requests / bound.requests_at(last.delay_s),
        delay_over_s: last.delay_s - bound.delay_at(last.requests),
        samples,
    }
}
