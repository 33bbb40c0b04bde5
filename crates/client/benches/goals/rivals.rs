//! G6 to G8: against the defaults of well-known clients.

use crate::Effort;
use crate::laws::{Named, nine};
use crate::measure::{PRICE, Sample, after, bound, learn, map, world};
use crate::report::{Figure, Report, worst};
use abide_simulate::{Observe, Point, known_clients};
use std::time::Duration;

/// How many jobs a known client is tried on.
const JOBS: usize = 20_000;

pub(crate) fn g6(effort: Effort, report: &mut Report) {
    report
        .title("G6: better than twelve defaults on both axes after 20 jobs, each at its own price");
    let laws = nine();
    let defaults = map(&laws, spent_by_known);
    let prices: Vec<f64> = (0..=24)
        .map(|k| 0.002 * 10f64.powf(f64::from(k) / 6.0))
        .collect();
    for (observe, name) in [(Observe::Known, "known"), (Observe::Polls, "own polls")] {
        let points = map(&laws, |law| {
            at_prices(law, observe, &prices, effort.histories)
        });
        let mut won = 0;
        for ((law, ours), theirs) in laws.iter().zip(&points).zip(&defaults) {
            for (client, theirs) in known_clients().iter().zip(theirs) {
                let share = share_of_both(ours, *theirs);
                won += u32::from(share <= 1.0);
                if share > 1.0 {
                    let (client, law) = (client.name(), &law.name);
                    println!("  {name}: needs {share:.3} of both to match {client} on {law}");
                }
            }
        }
        report.at_least(&format!("G6 {name}: pairs of 108"), f64::from(won), 100.0);
    }
}

pub(crate) fn g7(effort: Effort, report: &mut Report) {
    report.title("G7: one setting against the backoff clients on both axes, after 20 jobs");
    let laws = nine();
    let defaults = map(&laws, spent_by_known);
    let first = ["backoff-1.5", "google-go", "google-python"];
    let second = ["backoff-2", "aws-waiter", "google-java"];
    for (price, rivals) in [(0.5, first.to_vec()), (1.0, [first, second].concat())] {
        let ours = map(&laws, |law| {
            let samples = after(law, Observe::Known, price, &[20], effort.histories * 5);
            samples[0].mean()
        });
        let best = map(&laws, |law| bound(law).at_price(price));
        for rival in rivals {
            let rival_at = known_clients()
                .iter()
                .position(|client| client.name() == rival);
            let rival_at = rival_at.expect("the rivals are known clients");
            let (mut won, mut winnable) = (0, 0);
            for (l, law) in laws.iter().enumerate() {
                let theirs = defaults[l][rival_at];
                // Where the optimum at this price spends more on one axis itself, no learner can win.
                winnable += u32::from(beats(best[l], theirs));
                won += u32::from(beats(ours[l], theirs));
                if !beats(ours[l], theirs) {
                    let [ours, theirs, best] = [ours[l], theirs, best[l]]
                        .map(|p| format!("{:.2}/{:.2}", p.requests, p.delay_s));
                    println!(
                        "  price {price}, {}: {ours}, {rival} {theirs}, the optimum {best}",
                        law.name
                    );
                }
            }
            let what = format!("G7 price {price}: laws won against {rival}");
            report.at_least(&what, f64::from(won), f64::from(winnable));
        }
    }
}

pub(crate) fn g8(_: Effort, report: &mut Report) {
    report.title("G8: cold start");
    let laws: Vec<Named> = nine()
        .into_iter()
        .filter(|law| !law.is_point_mass())
        .collect();
    let ratios = map(&laws, |law| {
        let cold = after(law, Observe::Known, PRICE, &[0], 1)[0]
            .cost(PRICE)
            .value;
        let backoff = spent_by_known(law)[4].cost_s(PRICE);
        let best = bound(law).at_price(PRICE).cost_s(PRICE);
        (cold / backoff, cold / best)
    });
    let against =
        |ratio: fn(&(f64, f64)) -> f64| worst(ratios.iter().map(|both| Figure::from(ratio(both))));
    report.at_most(
        "G8 cost / cost of backoff 1.5, worst of eight",
        against(|both| both.0),
        0.70,
    );
    report.at_most(
        "G8 cost / optimum, worst of eight",
        against(|both| both.1),
        1.75,
    );
}

/// What each known client spends per job.
fn spent_by_known(law: &Named) -> Vec<Point> {
    let jobs = law.population.even(JOBS);
    let world = world(Observe::Known);
    known_clients()
        .iter()
        .map(|client| world.run(client, &jobs, 1).mean())
        .collect()
}

/// What is spent per job after 20 jobs at each price.
fn at_prices(law: &Named, observe: Observe, prices: &[f64], histories: u64) -> Vec<Point> {
    if observe == Observe::Polls {
        // What is seen of durations depends on the polls, and so on the price.
        let at = |price: &f64| after(law, observe, *price, &[20], histories)[0].mean();
        return prices.iter().map(at).collect();
    }
    let mut samples = vec![Sample::default(); prices.len()];
    for seed in 0..histories {
        learn(law, observe, PRICE, &[20], seed, |schedule| {
            for (sample, price) in samples.iter_mut().zip(prices) {
                let price = Duration::from_secs_f64(*price);
                let schedule = schedule.clone().price(price);
                sample.add(world(observe).expected(&schedule, &law.population));
            }
        });
    }
    samples.iter().map(Sample::mean).collect()
}

fn beats(one: Point, other: Point) -> bool {
    one.requests <= other.requests && one.delay_s <= other.delay_s
}

/// The least share of both the other's requests and its delay that some price needs. Neighboring prices are a sixth of
/// a decade apart, so what lies between them is as good as a price of its own.
fn share_of_both(ours: &[Point], other: Point) -> f64 {
    let pairs = ours
        .windows(2)
        .flat_map(|pair| (0..=20).map(move |k| (pair, f64::from(k) / 20.0)));
    let shares = pairs.map(|(pair, part)| {
        let between = |one: f64, two: f64| one + part * (two - one);
        let requests = between(pair[0].requests, pair[1].requests) / other.requests;
        requests.max(between(pair[0].delay_s, pair[1].delay_s) / other.delay_s)
    });
    shares.fold(f64::INFINITY, f64::min)
}
