//! A million live jobs: memory, reads among them, and a restart.

use std::time::Duration;

use crate::child::Server;
use crate::clock::now;
use crate::contestant::{Contestant, Setup, create_jobs, get};
use crate::figures::{Aim, Figure, say};
use crate::load::call;
use crate::machine::Core;

use super::reads::{of_many, some_jobs};

/// How many of the jobs are read.
const READ: usize = 10_000;
/// A job that was given nothing and outlives the measurement.
const BARE: &str = r#"{"simulate":{"duration":{"fixed":"1h"},"outcome":{"error_chance":0}}}"#;

/// How long input and metadata of each are, in bytes.
const GIVEN: usize = 177;

/// P9.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let count = setup.sized(1_000_000, 100_000);
    let directory = tempfile::tempdir_in(&setup.directory)?;
    let arguments = Contestant::arguments_at(directory.path());
    let start = |core| Server::start(&setup.ours, &arguments, core);

    let running = Contestant::Ours.attach(start(Core::Server)?);
    let few = some_jobs(&running, 1)?;
    let before = running.server.settle()?;
    say(&format!("making {count} jobs"));
    let begun = now();
    let ids = some_jobs(&running, count)?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let after = running.server.settle()?;
    let each = after.memory.saturating_sub(before.memory) as f64 / count as f64;
    say("reading among them");
    let step = (count / READ).max(1);
    let read: Vec<String> = ids.iter().step_by(step).cloned().collect();
    let mut costs = Vec::new();
    let fresh = Contestant::Ours.start(setup, 0, true)?;
    let fresh_ids = some_jobs(&fresh, 1)?;
    for _ in 0..setup.rounds {
        costs.push([
            of_many(&running, &read, setup.length)?,
            of_many(&running, &few, setup.length)?,
            of_many(&fresh, &fresh_ids, setup.length)?,
        ]);
    }
    let middle = |n: usize| {
        let mut column: Vec<f64> = costs.iter().map(|row| row[n]).collect();
        crate::figures::median(&mut column)
    };
    let bare = count / 4;
    say(&format!("making {bare} jobs that are given nothing"));
    let bare_before = fresh.server.settle()?.memory;
    create_jobs(&fresh.server, bare, BARE)?;
    let bare_memory = fresh.server.settle()?.memory.saturating_sub(bare_before);
    drop(fresh);

    say("restarting after a crash and after an orderly end");
    running.server.kill()?;
    let crashed = start(Core::Both)?;
    let ready_after_crash = crashed.ready_after;
    let (status, _) = call(
        crashed.address,
        &get(&format!("/v1/jobs/{}", ids[count / 2])),
    )?;
    anyhow::ensure!(status == 200, "a job is missing after a crash");
    let stopped = crashed.stop()?;
    let orderly = start(Core::Both)?;
    Ok(figures(&Seen {
        count,
        bare,
        memory: each,
        bare_memory: bare_memory as f64 / bare as f64,
        memory_restarted: orderly.settle()?.memory as f64 / count as f64,
        after_crash: ready_after_crash,
        after_end: orderly.ready_after,
        end: stopped,
        reads: [0, 1, 2].map(middle),
        rate,
    }))
}

/// What was seen of them. Memory is that of one job, in bytes.
struct Seen {
    count: usize,
    bare: usize,
    memory: f64,
    bare_memory: f64,
    memory_restarted: f64,
    after_crash: Duration,
    after_end: Duration,
    end: Duration,
    /// What a read of many, of one, and of one beside nothing else took, in microseconds of the processor.
    reads: [f64; 3],
    rate: f64,
}

fn figures(seen: &Seen) -> Vec<Figure> {
    let of = |what: &str| format!("{} live jobs: {what}", seen.count);
    let bounded = |what: String, unit, value, most| {
        Figure::new(what, unit, value).aims("P9", Aim::AtMost(most))
    };
    let seconds =
        |what: &str, took: Duration, most| bounded(of(what), "s", took.as_secs_f64(), most);
    let [many, one, single] = seen.reads;
    let single = ("with a single job", single);
    vec![
        bounded(
            of(&format!(
                "memory each, of which {GIVEN} what it was given as text"
            )),
            "B",
            seen.memory,
            700.0,
        ),
        bounded(
            format!(
                "{} live jobs that were given nothing: memory each",
                seen.bare
            ),
            "B",
            seen.bare_memory,
            600.0,
        ),
        Figure::new(
            of("memory each after a restart"),
            "B",
            seen.memory_restarted,
        ),
        seconds("restart to ready after a crash", seen.after_crash, 2.0),
        seconds("restart to ready after an orderly end", seen.after_end, 2.0),
        seconds("orderly end", seen.end, 3.0),
        Figure::new(of("read of one"), "CPU µs", one)
            .beside(single)
            .aims("P9", Aim::TimesAtMost(1.1)),
        Figure::new(of(&format!("reads over {READ} of them")), "CPU µs", many).beside(single),
        Figure::new(of("made at"), "creates/s", seen.rate),
    ]
}
