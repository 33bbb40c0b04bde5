//! G13: what the learner costs the client.

use crate::Effort;
use crate::laws::named;
use crate::measure::{PRICE, RTT, learner, world};
use crate::report::Report;
use abide::schedule::{Ended, History, Learned, Schedule, Start};
use abide_simulate::Observe;
use std::time::{Duration, SystemTime};

/// How often a time is measured; the least counts, because a busy machine only ever adds.
const BATCHES: usize = 12;

/// The goals of processor time, in milliseconds.
const LEARN_MS: f64 = 0.2;
const PLAN_MS: f64 = 0.04;

pub(crate) fn g13(_: Effort, report: &mut Report) {
    report.title("G13: what it costs the client");
    for (observe, name) in [(Observe::Known, "known"), (Observe::Polls, "own polls")] {
        let schedule = experienced(observe);
        let mut seconds = (15..27).cycle();
        let learned = least_ms(50, || {
            let after = Duration::from_secs(seconds.next().unwrap_or(20));
            let ended = match observe {
                Observe::Known => Ended::between(after, after),
                _ => Ended::between(after, after + Duration::from_secs(3)),
            };
            schedule.begin(&Start::new(1)).finish(&ended);
        });
        let name = format!("G13 {name}: ms of processor time to learn of a job");
        report.at_most(&name, learned, LEARN_MS);
    }

    let schedule = experienced(Observe::Known);
    let mut nanos = 500_000_000;
    let planned = least_ms(200, || {
        // A price of its own for every plan, so that none is shared.
        nanos += 1;
        let schedule = schedule.clone().price(Duration::from_nanos(nanos));
        let _ = schedule.preview(&Start::new(1), RTT).next();
    });
    report.at_most("G13 ms of processor time to plan", planned, PLAN_MS);

    let directory = std::env::temp_dir().join(format!("abide-goals-{}", std::process::id()));
    let history = History::open(&directory, SystemTime::UNIX_EPOCH);
    let law = named("lognormal 0.5");
    let schedule = learner(PRICE).history(&history);
    let _ = world(Observe::Polls).run(&schedule, &law.population.draw(1, 200), 1);
    let written = history
        .save(SystemTime::UNIX_EPOCH)
        .and_then(|_| std::fs::metadata(directory.join("goals.jsonl")));
    let kept = written.map_or(f64::INFINITY, |file| file.len() as f64);
    // A leftover in the temporary directory does no harm.
    let _ = std::fs::remove_dir_all(&directory);
    report.at_most("G13 kept file of a full kind, KiB", kept / 1024.0, 8.0);
    let state = history.state_bytes("goals") as f64;
    report.at_most(
        "G13 state of a full kind in memory, KiB",
        state / 1024.0,
        4.0,
    );
}

fn experienced(observe: Observe) -> Learned {
    let schedule = learner(PRICE);
    let jobs = named("lognormal 0.5").population.draw(1, 200);
    let _ = world(observe).run(&schedule, &jobs, 1);
    schedule
}

/// Milliseconds of processor time per round, in the quickest batch.
fn least_ms(rounds: u32, mut work: impl FnMut()) -> f64 {
    let batches = (0..BATCHES).map(|_| {
        let start = processor_time();
        (0..rounds).for_each(|_| work());
        1e3 * (processor_time() - start).as_secs_f64() / f64::from(rounds)
    });
    batches.fold(f64::INFINITY, f64::min)
}

/// For how long this thread has run.
#[cfg(unix)]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// How late it is, where the system doesn't tell for how long a thread has run.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn processor_time() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}
