//! G1 to G13, one function each.

use crate::Effort;
use crate::laws::{Named, held_out, named, nine};
use crate::measure::{PRICE, RTT, after, average, bound, learn, learner, map, max, mean, world};
use abide::schedule::{Ended, History, Learned, Schedule, Start};
use abide::simulate::{Estimates, Job, Observe, Point, World, known_clients};
use std::time::Duration;

type Goal = fn(Effort, &mut Report);

/// Name, whether a quick run checks it, and how.
pub(crate) const ALL: &[(&str, bool, Goal)] = &[
    ("G1", true, g1_to_g4),
    ("G5", false, g5),
    ("G6", false, g6),
    ("G7", true, g7),
    ("G8", true, g8),
    ("G9", false, g9),
    ("G10", true, g10),
    ("G11", true, g11),
    ("G12", true, g12),
    ("G13", true, g13),
];

/// Prints goal and figure side by side, and counts what was missed.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) missed: u32,
}

impl Report {
    fn title(&self, text: &str) {
        println!("\n{text}");
    }

    fn line(&mut self, what: &str, figure: f64, relation: &str, goal: f64) {
        let met = if relation == "<=" {
            figure <= goal
        } else {
            figure >= goal
        };
        self.missed += u32::from(!met);
        let verdict = if met { "met" } else { "MISSED" };
        println!("  {what:<64} {figure:>9.3} {relation} {goal:<8} {verdict}");
    }

    fn at_most(&mut self, what: &str, figure: f64, goal: f64) {
        self.line(what, figure, "<=", goal);
    }

    fn at_least(&mut self, what: &str, figure: f64, goal: f64) {
        self.line(what, figure, ">=", goal);
    }
}

/// What was measured of one law at 0, 5, 20 and 50 jobs.
struct Learning {
    law: Named,
    ratios: Vec<f64>,
    points: Vec<Point>,
    jittered: f64,
    extra_s: f64,
    delay_ratio: f64,
    request_ratio: f64,
    delay_over_s: f64,
}

fn learning(observe: Observe, effort: Effort) -> Vec<Learning> {
    let measured = map(&nine(), |law| {
        let bound = bound(law);
        let best = bound.at_price(PRICE).cost_s(PRICE);
        let points = after(law, observe, PRICE, &[0, 5, 20, 50], effort.histories);
        let mut jittered = Vec::new();
        for seed in 0..effort.histories / 4 {
            learn(law, observe, PRICE, &[50], seed, |schedule| {
                let point = world(observe).expected(schedule, &law.population);
                jittered.push(point.cost_s(PRICE) / best);
            });
        }
        let last = points[3];
        Learning {
            law: named(&law.name),
            ratios: points
                .iter()
                .map(|point| point.cost_s(PRICE) / best)
                .collect(),
            jittered: mean(jittered),
            extra_s: last.cost_s(PRICE) - best,
            delay_ratio: last.delay_s / bound.delay_at(last.requests),
            request_ratio: last.requests / bound.requests_at(last.delay_s),
            delay_over_s: last.delay_s - bound.delay_at(last.requests),
            points,
        }
    });
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
        one.ratios.iter().for_each(|ratio| print!(" {ratio:>7.3}"));
        let (early, late) = (one.points[2], one.points[3]);
        println!(
            " {:>7.3}   {:>5.2}/{:<5.2} {:>5.2}/{:<5.2}",
            one.jittered, early.requests, early.delay_s, late.requests, late.delay_s
        );
    }
    measured
}

fn g1_to_g4(effort: Effort, report: &mut Report) {
    report.title("G1, G2, G4: the server returns durations");
    let known = learning(Observe::Known, effort);
    let at =
        |all: &[Learning], i: usize| -> Vec<f64> { all.iter().map(|one| one.ratios[i]).collect() };
    report.at_most(
        "G1 cost / optimum after 50 jobs, worst of nine",
        max(at(&known, 3)),
        1.10,
    );
    report.at_most("G1 the same, mean of nine", mean(at(&known, 3)), 1.05);
    report.at_most("G2 after 20 jobs, worst of nine", max(at(&known, 2)), 1.15);
    report.at_most("G2 after 5 jobs, worst of nine", max(at(&known, 1)), 1.40);
    let spread = || known.iter().filter(|one| !one.law.is_point_mass());
    report.at_most(
        "G4 delay / best at the same requests, worst",
        max(spread().map(|one| one.delay_ratio)),
        1.15,
    );
    report.at_most(
        "G4 requests / least at the same delay, worst",
        max(spread().map(|one| one.request_ratio)),
        1.12,
    );
    let point_mass = known.iter().filter(|one| one.law.is_point_mass());
    report.at_most(
        "G4 point mass: delay over the best, s",
        max(point_mass.map(|one| one.delay_over_s)),
        0.1,
    );

    report.title("G3: only the client's own polls");
    let polls = learning(Observe::Polls, effort);
    let spread = || polls.iter().filter(|one| !one.law.is_point_mass());
    report.at_most(
        "G3 cost / optimum after 50 jobs, worst of eight",
        max(spread().map(|one| one.ratios[3])),
        1.12,
    );
    report.at_most(
        "G3 the same, mean of eight",
        mean(spread().map(|one| one.ratios[3])),
        1.07,
    );
    let point_mass = polls.iter().filter(|one| one.law.is_point_mass());
    report.at_most(
        "G3 point mass: extra cost, s",
        max(point_mass.map(|one| one.extra_s)),
        0.4,
    );
}

fn g5(effort: Effort, report: &mut Report) {
    report.title("G5: 60 laws that nothing was tuned on");
    let laws = held_out(60);
    let histories = effort.histories / 2;
    for (observe, name, worst, average) in [
        (Observe::Known, "known", 1.20, 1.08),
        (Observe::Polls, "own polls", 1.50, 1.13),
    ] {
        let ratios = map(&laws, |law| {
            let best = bound(law).at_price(PRICE).cost_s(PRICE);
            let points = after(law, observe, PRICE, &[0, 5, 20, 50], histories);
            let ratios: Vec<f64> = points
                .iter()
                .map(|point| point.cost_s(PRICE) / best)
                .collect();
            ratios
        });
        for (i, jobs) in [0, 5, 20].into_iter().enumerate() {
            let (mean, max) = (
                mean(ratios.iter().map(|r| r[i])),
                max(ratios.iter().map(|r| r[i])),
            );
            println!("  {name}: after {jobs} jobs {mean:.3} on average, {max:.3} at worst");
        }
        let last = || ratios.iter().map(|ratios| ratios[3]);
        report.at_most(
            &format!("G5 {name}, after 50 jobs, worst of 60"),
            max(last()),
            worst,
        );
        report.at_most(
            &format!("G5 {name}, after 50 jobs, mean of 60"),
            mean(last()),
            average,
        );
        let (hardest, _) = laws
            .iter()
            .zip(last())
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .expect("there are sixty");
        println!("  {name}: the hardest is {}", hardest.name);
    }
}

/// What each known client spends on each law.
fn clients(laws: &[Named], jobs: usize) -> Vec<Vec<Point>> {
    map(laws, |law| {
        let jobs = law.population.draw(1_000, jobs);
        let world = world(Observe::Known);
        known_clients()
            .iter()
            .map(|client| world.run(client, &jobs, 1).mean())
            .collect()
    })
}

fn beats(one: Point, other: Point) -> bool {
    one.requests <= other.requests && one.delay_s <= other.delay_s
}

/// Whether some mixture of two prices is better on both axes. Neighboring prices are a ninth of a decade apart, so what
/// lies between them is as good as a price of its own.
fn beats_between(one: Point, two: Point, other: Point) -> bool {
    (0..=10).any(|tenth| {
        let share = f64::from(tenth) / 10.0;
        let between = |one: f64, two: f64| one + share * (two - one);
        between(one.requests, two.requests) <= other.requests
            && between(one.delay_s, two.delay_s) <= other.delay_s
    })
}

/// What is spent after 20 jobs at each price.
fn at_prices(law: &Named, observe: Observe, prices: &[f64], histories: u64) -> Vec<Point> {
    if observe == Observe::Polls {
        // What is seen of durations depends on the polls, and so on the price.
        return prices
            .iter()
            .map(|price| after(law, observe, *price, &[20], histories)[0])
            .collect();
    }
    let mut points: Vec<Vec<Point>> = vec![Vec::new(); prices.len()];
    for seed in 0..histories {
        learn(law, observe, PRICE, &[20], seed, |schedule| {
            for (points, price) in points.iter_mut().zip(prices) {
                let schedule = schedule
                    .clone()
                    .jitter(0.0)
                    .price(Duration::from_secs_f64(*price));
                points.push(world(observe).expected(&schedule, &law.population));
            }
        });
    }
    points
        .iter()
        .map(|points| average(points.iter().copied()))
        .collect()
}

fn g6(effort: Effort, report: &mut Report) {
    report
        .title("G6: better than twelve defaults on both axes after 20 jobs, each at its own price");
    let laws = nine();
    let defaults = clients(&laws, 10_000);
    let prices: Vec<f64> = (0..=36)
        .map(|k| 0.002 * 10f64.powf(f64::from(k) / 9.0))
        .collect();
    for (observe, name, histories) in [
        (Observe::Known, "known", effort.histories),
        (Observe::Polls, "own polls", effort.histories / 4),
    ] {
        let points = map(&laws, |law| at_prices(law, observe, &prices, histories));
        let mut won = 0;
        for (l, law) in laws.iter().enumerate() {
            let ours = &points[l];
            for (client, theirs) in known_clients().iter().zip(&defaults[l]) {
                if ours
                    .windows(2)
                    .any(|pair| beats_between(pair[0], pair[1], *theirs))
                {
                    won += 1;
                } else {
                    println!(
                        "  {name}: not better than {} on {}",
                        client.name(),
                        law.name
                    );
                }
            }
        }
        report.at_least(&format!("G6 {name}: pairs of 108"), f64::from(won), 100.0);
    }
}

fn g7(effort: Effort, report: &mut Report) {
    report.title("G7: one setting against the backoff clients on both axes, after 20 jobs");
    let laws = nine();
    let defaults = clients(&laws, 10_000);
    for (price, rivals) in [
        (0.5, &["backoff-1.5", "google-go", "google-python"][..]),
        (
            1.0,
            &[
                "backoff-1.5",
                "backoff-2",
                "aws-waiter",
                "google-go",
                "google-python",
                "google-java",
            ][..],
        ),
    ] {
        let ours = map(&laws, |law| {
            after(law, Observe::Known, price, &[20], effort.histories)[0]
        });
        for rival in rivals {
            let i = known_clients()
                .iter()
                .position(|client| client.name() == *rival)
                .expect("the rivals are known clients");
            let won = ours
                .iter()
                .zip(&defaults)
                .filter(|(ours, theirs)| beats(**ours, theirs[i]))
                .count();
            report.at_least(
                &format!("G7 price {price}: laws won against {rival}"),
                won as f64,
                9.0,
            );
        }
    }
}

fn g8(_: Effort, report: &mut Report) {
    report.title("G8: cold start");
    let laws = nine();
    let backoff = clients(&laws, 10_000);
    let spread = || {
        laws.iter()
            .zip(&backoff)
            .filter(|(law, _)| !law.is_point_mass())
    };
    let cold = |law: &Named| after(law, Observe::Known, PRICE, &[0], 1)[0].cost_s(PRICE);
    let against_backoff = max(spread().map(|(law, clients)| cold(law) / clients[4].cost_s(PRICE)));
    let against_optimum =
        max(spread().map(|(law, _)| cold(law) / bound(law).at_price(PRICE).cost_s(PRICE)));
    report.at_most(
        "G8 cost / cost of backoff 1.5, worst of eight",
        against_backoff,
        0.70,
    );
    report.at_most("G8 cost / optimum, worst of eight", against_optimum, 1.75);
}

fn g9(effort: Effort, report: &mut Report) {
    report.title("G9: durations double at job 100; false alarms without a change");
    for name in ["lognormal 0.5", "uniform 10-30"] {
        let law = named(name);
        let doubled = Named {
            name: format!("{name} doubled"),
            population: law.population.scaled(2.0),
        };
        let best = bound(&doubled).at_price(PRICE).cost_s(PRICE);
        let seeds: Vec<u64> = (0..effort.histories).collect();
        let costs = map(&seeds, |seed| {
            let (world, schedule) = (world(Observe::Known), learner(PRICE));
            let _ = world.run(&schedule, &law.population.draw(*seed, 100), *seed);
            let costs: Vec<f64> = doubled
                .population
                .draw(seed + 1_000_000, 50)
                .into_iter()
                .map(|job| {
                    let cost = world.expected(&schedule, &doubled.population).cost_s(PRICE);
                    let _ = world.run(&schedule, &[job], *seed);
                    cost / best
                })
                .collect();
            costs
        });
        let over = |from: usize, to: usize| {
            mean(
                costs
                    .iter()
                    .flat_map(|costs| costs[from..to].iter().copied()),
            )
        };
        println!(
            "  {name}: jobs 1 to 5 after it {:.3}, 6 to 10 {:.3}",
            over(0, 5),
            over(5, 10)
        );
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
        mean((0..effort.histories).map(|seed| f64::from(false_alarms(law, seed))))
    });
    for (law, alarms) in laws
        .iter()
        .zip(&alarms)
        .filter(|(_, alarms)| **alarms > 0.0)
    {
        println!("  {}: {alarms:.3} false alarms per 400 jobs", law.name);
    }
    report.at_most(
        "G9 false alarms per 400 stationary jobs, worst of nine",
        max(alarms),
        0.1,
    );
}

/// A history that shrinks was taken for outdated.
fn false_alarms(law: &Named, seed: u64) -> u32 {
    let history = History::new();
    let schedule = learner(PRICE).history(&history);
    let world = world(Observe::Known);
    let mut known = 0;
    let mut alarms = 0;
    for job in law.population.draw(seed + 2_000_000, 400) {
        let _ = world.run(&schedule, &[job], seed);
        let jobs = history.jobs("goals");
        alarms += u32::from(jobs < known);
        known = jobs;
    }
    alarms
}

fn g10(effort: Effort, report: &mut Report) {
    report.title("G10: 1000 jobs at the same instant, with the default jitter");
    for name in ["uniform 10-30", "lognormal 0.5", "bimodal"] {
        let law = named(name);
        let peaks = mean((0..effort.histories / 4).map(|seed| {
            let schedule = learner(PRICE);
            let _ = world(Observe::Known).run(&schedule, &law.population.draw(seed, 20), seed);
            f64::from(peak(
                &schedule,
                &law.population.draw(seed + 3_000_000, 1_000),
            ))
        }));
        report.at_most(
            &format!("G10 {name}: requests in the busiest 0.1 s"),
            peaks,
            120.0,
        );
    }
    let laws = nine();
    let extra = map(&laws, |law| {
        mean((0..effort.histories / 4).map(|seed| {
            let (world, schedule) = (world(Observe::Known), learner(PRICE));
            let _ = world.run(&schedule, &law.population.draw(seed, 20), seed);
            let cost = |jitter: f64| {
                world
                    .expected(&schedule.clone().jitter(jitter), &law.population)
                    .cost_s(PRICE)
            };
            cost(0.25) / cost(0.0) - 1.0
        }))
    });
    for (law, extra) in laws.iter().zip(&extra) {
        println!("  {}: jitter costs {:.2} %", law.name, 100.0 * extra);
    }
    let spread = laws
        .iter()
        .zip(extra)
        .filter(|(law, _)| !law.is_point_mass());
    report.at_most(
        "G10 cost of jitter in percent, worst of eight",
        100.0 * max(spread.map(|(_, extra)| extra)),
        1.0,
    );
}

/// The most requests in a tenth of a second, when all jobs are accepted together.
fn peak(schedule: &Learned, jobs: &[Job]) -> u32 {
    let mut counts = std::collections::HashMap::<u128, u32>::new();
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

/// What a job costs in a world after 20 jobs there, over the next 20.
fn in_world(world: World, law: &Named, histories: u64) -> Point {
    let seeds: Vec<u64> = (0..histories).collect();
    let points = map(&seeds, |seed| {
        let run = world.run(
            &learner(PRICE).jitter(0.0),
            &law.population.draw(*seed, 40),
            *seed,
        );
        run.from(20).mean()
    });
    average(points.into_iter())
}

fn g11(effort: Effort, report: &mut Report) {
    report.title("G11: estimates that are 20 % wrong, lognormal 0.5, jobs 21 to 40");
    let law = named("lognormal 0.5");
    let histories = effort.histories * 10;
    let in_world = |estimates| {
        let point = in_world(world(Observe::Known).estimates(estimates), &law, histories);
        println!(
            "  {estimates:?}: {:.2} requests, {:.2} s",
            point.requests, point.delay_s
        );
        point.cost_s(PRICE)
    };
    let none = in_world(Estimates::None);
    report.at_most(
        "G11 one estimate: cost / cost without",
        in_world(Estimates::Once(0.2)) / none,
        0.72,
    );
    report.at_most(
        "G11 a fresh one each time: cost / cost without",
        in_world(Estimates::Fresh(0.2)) / none,
        0.5,
    );
}

fn g12(effort: Effort, report: &mut Report) {
    report.title("G12: pushes of which 5 % are lost, lognormal 0.5, jobs 21 to 40");
    let law = named("lognormal 0.5");
    let point = in_world(
        world(Observe::Known).push_loss(0.05),
        &law,
        effort.histories * 50,
    );
    report.at_most(
        "G12 requests per job, the push among them",
        point.requests,
        1.5,
    );
    report.at_most("G12 mean delay, s", point.delay_s, 0.6);
}

fn g13(_: Effort, report: &mut Report) {
    report.title("G13: what it costs the client");
    let law = named("lognormal 0.5");
    let start = Start::new(1);
    for (observe, name) in [(Observe::Known, "known"), (Observe::Polls, "own polls")] {
        let schedule = learner(PRICE);
        let _ = world(observe).run(&schedule, &law.population.draw(1, 200), 1);
        let rounds = 200;
        let ended = |seconds: u64| {
            let t = Duration::from_secs(seconds);
            match observe {
                Observe::Known => Ended::between(t, t),
                _ => Ended::between(t, t + Duration::from_secs(3)),
            }
        };
        let finished = time(|| {
            for i in 0..rounds {
                schedule.begin(&start).finish(&ended(15 + i % 12));
                // The next plan is what makes the learner take in the observation.
                let _ = schedule.preview(&start, RTT).next();
            }
        });
        report.at_most(
            &format!("G13 {name}: ms per finished job, the next plan included"),
            ms(finished, rounds),
            1.0,
        );
    }
    let schedule = learner(PRICE);
    let _ = world(Observe::Known).run(&schedule, &law.population.draw(1, 200), 1);
    let rounds = 2_000;
    let planned = time(|| {
        for i in 0..rounds {
            // A price of its own for every plan, so that none is shared.
            let price = Duration::from_nanos(500_000_000 + i);
            let _ = schedule.clone().price(price).preview(&start, RTT).next();
        }
    });
    report.at_most("G13 ms per plan", ms(planned, rounds), 0.1);

    let directory = std::env::temp_dir().join(format!("abide-goals-{}", std::process::id()));
    let history = History::open(&directory, std::time::SystemTime::UNIX_EPOCH);
    let schedule = learner(PRICE).history(&history);
    let _ = world(Observe::Polls).run(&schedule, &law.population.draw(1, 200), 1);
    let saved = history.save(std::time::SystemTime::UNIX_EPOCH);
    let bytes = std::fs::metadata(directory.join("goals.json"))
        .map_or(f64::INFINITY, |file| file.len() as f64);
    // Leftovers in the temporary directory do no harm.
    let _ = std::fs::remove_dir_all(&directory);
    report.at_most(
        "G13 kept file of a full kind, KiB",
        if saved.is_ok() {
            bytes / 1024.0
        } else {
            f64::INFINITY
        },
        5.0,
    );
    report.at_most(
        "G13 state of a full kind in memory, KiB",
        history.state_bytes("goals") as f64 / 1024.0,
        4.0,
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn time(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

fn ms(time: Duration, rounds: u64) -> f64 {
    1e3 * time.as_secs_f64() / rounds as f64
}
