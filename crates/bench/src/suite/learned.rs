//! What the client's learned schedule costs: to learn from a job, to plan for the next, and to keep.

use std::time::Duration;

use abide::schedule::{Ended, History, Learned, Schedule as _, Seen, Start};

use crate::clock::{wall, worked};
use crate::contestant::Setup;
use crate::figures::{Aim, Figure, quantile, say};
use crate::machine::usage;

/// How many kinds are kept to see what one of them takes.
const KINDS: usize = 200;

/// P12.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    say("the learned schedule");
    let jobs = setup.sized(2_000, 300);
    let history = History::new();
    let schedule = Learned::new("translate").history(&history);
    let (mut learn, mut plan) = (Vec::new(), Vec::new());
    for n in 0..jobs {
        let seen = Seen::at(Duration::ZERO);
        let begun = worked();
        let mut cursor = schedule.begin(&Start::new(n as u64));
        let first = cursor.next(&seen).unwrap_or_default();
        plan.push((worked() - begun).as_secs_f64() * 1e3);
        let took = length_of(n);
        let ended = Ended::between(first.min(took), took.max(first)).polls(2);
        let begun = worked();
        cursor.finish(&ended);
        learn.push((worked() - begun).as_secs_f64() * 1e3);
    }

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
        Figure::alone(
            "P12",
            "learn from a finished job, p50",
            "CPU ms",
            quantile(&mut learn, 0.5),
            Aim::AtMost(1.0),
        ),
        Figure::alone(
            "",
            "learn from a finished job, p99",
            "CPU ms",
            quantile(&mut learn, 0.99),
            Aim::Shown,
        ),
        Figure::alone(
            "P12",
            "plan the next job, right after learning, p50",
            "CPU ms",
            quantile(&mut plan, 0.5),
            Aim::AtMost(0.1),
        ),
        Figure::alone(
            "",
            "plan the next job, right after learning, p99",
            "CPU ms",
            quantile(&mut plan, 0.99),
            Aim::Shown,
        ),
        Figure::alone(
            "P12",
            "stored for each kind",
            "B",
            stored,
            Aim::AtMost(4_096.0),
        ),
        Figure::alone("", "memory for each kind", "B", memory, Aim::Shown),
    ])
}

/// Durations that look drawn: 10 s to 40 s, in no order.
fn length_of(n: usize) -> Duration {
    Duration::from_millis(10_000 + (n as u64 * 7_919) % 30_000)
}
