//! L3, L4, L8 and L10: waits that begin late, clocks gone wrong, directories that are shared, and a promise.

use crate::Effort;
use crate::laws::named;
use crate::measure::{RTT, learner, map, mean};
use crate::report::{Figure, Report};
use abide::schedule::{Dial, Ended, History, Learned, Schedule, Seen, Start};
use abide_simulate::{Job, Observe, Population, World};
use std::time::{Duration, SystemTime};

const HALF: Duration = Duration::from_millis(50);

/// How late an end is seen in seconds, of a wait that begins at that age of its job, by the server's account of the
/// duration in seconds, which may be anything.
fn late(schedule: &Learned, length: f64, age: f64, account: Option<f64>, seed: u64) -> f64 {
    let length = Duration::from_secs_f64(length);
    let mut cursor = schedule.begin(&Start::new(seed));
    let mut seen = Seen::at(Duration::from_secs_f64(age) + HALF).rtt(RTT);
    let mut after = Duration::ZERO;
    loop {
        let sent = cursor.next(&seen).unwrap_or(seen.elapsed).max(seen.elapsed);
        let sampled = sent + HALF;
        seen.polls += 1;
        if sampled >= length {
            let account = account.map(|account| Duration::from_secs_f64(account.max(0.0)));
            cursor.finish(&Ended::between(after, sampled).duration(account));
            return (sampled + HALF - length).as_secs_f64();
        }
        after = sampled;
        seen.elapsed = sampled + HALF;
    }
}

pub(crate) fn l3(effort: Effort, report: &mut Report) {
    report.title("L3: constant jobs of 5 s whose waits begin 0 to 2 s later");
    let lates = (0..effort.histories).map(|seed| {
        let schedule = learner(0.5);
        let all = (0..60).map(|i| {
            let age = 2.0 * (f64::from(i) * 0.618_034).fract();
            late(&schedule, 5.0, age, Some(5.0), seed * 100 + i as u64)
        });
        mean(all.skip(20))
    });
    let figure = Figure::of(&lates.collect::<Vec<_>>());
    report.at_most("L3 jobs 21 to 60: mean delay, s", figure, 0.2);
}

pub(crate) fn l8(effort: Effort, report: &mut Report) {
    report.title("L8: a server's account of durations that is wrong by any amount, jobs of 4 s");
    let over = |skew: f64| {
        let delay = |account: Option<f64>| {
            let lates = (0..effort.histories).map(|seed| {
                let schedule = learner(0.5);
                let all = (0..40).map(|i| late(&schedule, 4.0, 0.0, account, seed * 100 + i));
                mean(all.skip(10))
            });
            mean(lates)
        };
        delay(Some(4.0 + skew)) - delay(None)
    };
    for (skew, name) in [
        (3_600.0, "an hour"),
        (86_400.0, "a day"),
        (-86_400.0, "a day early"),
        (0.3, "0.3 s"),
        (-30.0, "30 s early"),
    ] {
        let name = format!("L8 {name}: delay over that without an account, s");
        report.at_most(&name, over(skew), 0.5);
    }
}

pub(crate) fn l4(_: Effort, report: &mut Report) {
    report.title("L4: 24 processes, ten rounds, one directory; 5,000 kinds");
    let directory = std::env::temp_dir().join(format!("abide-goals-{}-l4", std::process::id()));
    let now = SystemTime::UNIX_EPOCH;
    let note = |history: &History, kind: &str, seed: u64| {
        let learned = Learned::new(kind).history(history);
        let took = Duration::from_secs(20 + seed % 7);
        let start = Start::new(seed).job(&format!("job {seed}"));
        learned.begin(&start).finish(&Ended::between(took, took));
    };
    for round in 0..10 {
        std::thread::scope(|scope| {
            for process in 0..24 {
                let (directory, note) = (&directory, &note);
                scope.spawn(move || {
                    let history = History::open(directory, now);
                    note(&history, "shared", round * 24 + process);
                    // What isn't written is missed by the figure.
                    let _ = history.save(now);
                });
            }
        });
    }
    let kept = History::open(&directory, now).jobs("shared") as f64;
    report.at_least("L4 share of the 128 latest of 240 kept", kept / 128.0, 0.9);
    let history = History::open(&directory, now);
    for kind in 0..5_000 {
        note(&history, &format!("kind {kind}"), kind);
        if kind % 500 == 499 {
            let _ = history.save(now);
        }
    }
    let again = History::open(&directory, now);
    let lost = (0..5_000).filter(|kind| again.jobs(&format!("kind {kind}")) != 1);
    report.at_most("L4 kinds lost of 5,000", lost.count() as f64, 0.0);
    // A leftover in the temporary directory does no harm.
    let _ = std::fs::remove_dir_all(&directory);
}

pub(crate) fn l10(effort: Effort, report: &mut Report) {
    report.title("L10: 95 % of the ends within a time, jobs 51 to 250, durations known");
    let near = Population::of(&"lognormal:30s:0.05".parse().expect("written by hand"));
    for (name, population, within) in [
        ("lognormal 0.5", named("lognormal 0.5").population, 3.0),
        ("bimodal", named("bimodal").population, 3.0),
        ("uniform 10-30", named("uniform 10-30").population, 3.0),
        ("30 s within 5 %", near, 1.0),
    ] {
        let best = fewest(&population, within - HALF.as_secs_f64(), 0.95);
        let seeds: Vec<u64> = (0..effort.histories / 2).collect();
        let runs = map(&seeds, |seed| {
            let dial = Dial::Late {
                within: Duration::from_secs_f64(within),
                share: 0.95,
            };
            let schedule = learner(0.5).dial(dial);
            let jobs: Vec<Job> = population.draw(*seed, 250);
            let run = World::new()
                .observe(Observe::Known)
                .run(&schedule, &jobs, *seed);
            let run = run.from(50);
            let kept = |delay: Option<f64>| delay.is_some_and(|delay| delay <= within);
            let kept = run.jobs().iter().filter(|job| kept(job.delay_s)).count();
            (kept as f64 / run.jobs().len() as f64, run.mean().requests)
        });
        let kept: Vec<f64> = runs.iter().map(|run| run.0).collect();
        let requests: Vec<f64> = runs.iter().map(|run| run.1 / best).collect();
        report.at_least(
            &format!("L10 {name}: share in time"),
            Figure::of(&kept),
            0.95,
        );
        let what = format!("L10 {name}: requests / fewest possible ({best:.2})");
        report.at_most(&what, Figure::of(&requests), 1.10);
    }
}

/// The fewest requests per job by which that share of the ends is seen in time, to a client that knows the law.
///
/// Each late end is given a price, for which the best polls are found exactly among a thousand candidates; prices are
/// halved until the share is met, and the two plans around it are mixed.
fn fewest(population: &Population, within: f64, share: f64) -> f64 {
    let mut times: Vec<f64> = population
        .even(600)
        .iter()
        .map(|job| job.duration.as_secs_f64())
        .collect();
    // Where an end would be just in time is a candidate as well.
    let lasts: Vec<f64> = times.iter().map(|time| time + within).collect();
    times.sort_by(f64::total_cmp);
    let ends = times.clone();
    times.extend(lasts);
    times.sort_by(f64::total_cmp);
    let ended = |at: f64| ends.partition_point(|end| *end <= at) as f64 / ends.len() as f64;
    let early = |at: f64| ends.partition_point(|end| *end < at - within) as f64 / ends.len() as f64;
    let (by, missed): (Vec<f64>, Vec<f64>) =
        times.iter().map(|at| (ended(*at), early(*at))).unzip();
    let plan = |price: f64| {
        let n = times.len();
        // From each state: the cost to come, the requests and the late ends in it.
        let mut values = vec![(0.0, 0.0, 0.0); n + 1];
        for i in (0..n).rev() {
            let from = if i == 0 { 0.0 } else { by[i - 1] };
            let options = (i..n).map(|j| {
                let late = (missed[j] - from).max(0.0);
                let (cost, requests, lates) = if j + 1 == n {
                    (0.0, 0.0, 0.0)
                } else {
                    values[j + 1]
                };
                let asked = 1.0 - from;
                (asked + price * late + cost, asked + requests, late + lates)
            });
            values[i] = options
                .min_by(|one, other| one.0.total_cmp(&other.0))
                .unwrap_or_default();
        }
        values[0]
    };
    let (mut low, mut high) = (0.0_f64, 1e4_f64);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        match plan(middle).2 <= 1.0 - share {
            true => high = middle,
            false => low = middle,
        }
    }
    let (few, many) = (plan(low), plan(high));
    let part = if few.2 > many.2 {
        (few.2 - (1.0 - share)) / (few.2 - many.2)
    } else {
        1.0
    };
    few.1 + part.clamp(0.0, 1.0) * (many.1 - few.1)
}
