//! What the client's learned schedule costs: to learn from a job, to plan for the next, and to keep.

use std::time::Duration;

use abide::schedule::{Ended, History, Learned, Schedule as _, Seen, Start};

use crate::clock::{wall, worked};
use crate::contestant::Setup;
use crate::figures::{Aim, Figure, quantile, say};
use crate::machine::usage;

/// How many kinds are kept to see what one of them takes.
const KINDS: usize = 200;

/// Has a schedule plan for the n-th job and learn from its end, between whose polls it is enclosed. Returns what each
/// took by that clock, in milliseconds.
fn one(schedule: &Learned, n: usize, clock: fn() -> Duration) -> (f64, f64) {
    let begun = clock();
    let mut cursor = schedule.begin(&Start::new(n as u64));
    let first = cursor.next(&Seen::at(Duration::ZERO)).unwrap_or_default();
    let planned = clock();
    let took = length_of(n);
    let ended = Ended::between(first.min(took), took.max(first)).polls(2);
    cursor.finish(&ended);
    let millis = |span: Duration| span.as_secs_f64() * 1e3;
    (millis(planned - begun), millis(clock() - planned))
}

/// Learns from that many jobs, each before the next is planned.
pub(crate) fn learn(jobs: usize, clock: fn() -> Duration) -> Vec<(f64, f64)> {
    let schedule = Learned::new("translate").history(&History::new());
    (0..jobs).map(|n| one(&schedule, n, clock)).collect()
}

/// P12.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    say("the learned schedule");
    let (mut plan, mut learn): (Vec<f64>, Vec<f64>) =
        learn(setup.sized(2_000, 300), worked).into_iter().unzip();

    let directory = tempfile::tempdir_in(&setup.directory)?;
    let own = std::process::id();
    let before = usage(own)?.memory;
    let many = History::open(directory.path(), wall());
    for kind in 0..KINDS {
        let schedule = Learned::new(format!("kind {kind}")).history(&many);
        for n in 0..300 {
            let mut cursor = schedule.begin(&Start::new(n as u64));
            let took = length_of(n + kind);
            cursor.finish(&Ended::between(took.mul_f64(0.9), took).polls(1));
        }
    }
    let memory = usage(own)?.memory.saturating_sub(before) as f64 / KINDS as f64;
    many.save(wall())?;
    let mut bytes = 0;
    for file in std::fs::read_dir(directory.path())? {
        bytes += file?.metadata()?.len();
    }
    let stored = bytes as f64 / KINDS as f64;
    Ok(vec![
        Figure::new(
            "learn from a finished job, p50",
            "CPU ms",
            quantile(&mut learn, 0.5),
        )
        .aims("P12", Aim::AtMost(0.2)),
        Figure::new(
            "learn from a finished job, p99",
            "CPU ms",
            quantile(&mut learn, 0.99),
        ),
        Figure::new(
            "plan the next job, right after learning, p50",
            "CPU ms",
            quantile(&mut plan, 0.5),
        )
        .aims("P12", Aim::AtMost(0.04)),
        Figure::new(
            "plan the next job, right after learning, p99",
            "CPU ms",
            quantile(&mut plan, 0.99),
        ),
        Figure::new("stored for each kind", "B", stored).aims("P12", Aim::AtMost(4_096.0)),
        Figure::new("memory for each kind", "B", memory),
    ])
}

/// Durations that look drawn: 10 s to 40 s, in no order.
fn length_of(n: usize) -> Duration {
    Duration::from_millis(10_000 + (n as u64 * 7_919) % 30_000)
}
