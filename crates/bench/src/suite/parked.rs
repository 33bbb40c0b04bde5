//! Held requests and streams: what one costs while nothing happens, and what it costs to wake it.

use std::time::{Duration, Instant};

use crate::child::Server;
use crate::clock::now;
use crate::contestant::{Contestant, Running, Setup};
use crate::figures::{Aim, Figure, in_turns, quantile, say};
use crate::limit::commit::Writer;
use crate::limit::{Sort, Store};
use crate::load::{Parked, call};

/// How many ends a second come, one by one.
const ENDS_PER_SECOND: f64 = 1_000.0;
/// Over how many connections they come.
pub(super) const DOORS: usize = 32;

/// How waits are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    LongPoll,
    Stream,
}

/// P3 and P5.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in sizes(setup) {
        figures.extend(broadcast(setup, Held::LongPoll, count)?);
    }
    figures.extend(one_by_one(setup)?);
    Ok(figures)
}

/// P4.
pub(crate) fn run_streams(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in sizes(setup) {
        figures.extend(broadcast(setup, Held::Stream, count)?);
    }
    Ok(figures)
}

fn sizes(setup: &Setup) -> Vec<usize> {
    if setup.quick {
        return vec![setup.connections(2_000)];
    }
    let mut sizes = vec![setup.connections(10_000), setup.connections(50_000)];
    sizes.dedup();
    sizes
}

fn broadcast(setup: &Setup, held: Held, count: usize) -> anyhow::Result<Vec<Figure>> {
    let mut contestants = vec![
        Contestant::Ours,
        Contestant::Limit(Sort::Task, None),
        Contestant::Limit(Sort::Hyper, None),
    ];
    if held == Held::LongPoll {
        contestants.push(Contestant::Limit(Sort::Epoll, None));
    }
    let medians = in_turns(setup.rounds, &contestants, |contestant| {
        say(&format!("{held:?} x {count}: {contestant:?}"));
        let mut running = contestant.start(setup, 900, false)?;
        running.make_topics(1)?;
        park_and_wake(&running, held, count)
    })?;
    let (ours, task, hyper) = (medians[0], medians[1], medians[2]);
    let (name, goals, memory) = match held {
        Held::LongPoll => ("parked long poll", ["P3", "P5"], 1.75),
        Held::Stream => ("parked stream", ["P4", ""], 2.0),
    };
    let wake = if held == Held::LongPoll {
        Aim::TimesAtMost(1.2)
    } else {
        Aim::Shown
    };
    let of = |what: &str| format!("{name}, {count}: {what}");
    let mut figures = vec![
        Figure::new(of("memory each"), "KiB", ours[0])
            .beside(("bare task", task[0]))
            .aims(goals[0], Aim::AtMost(memory)),
        Figure::new(of("memory each"), "KiB", ours[0]).beside(("bare hyper handler", hyper[0])),
        Figure::new(of("broadcast wake"), "CPU µs", ours[1])
            .beside(("bare task", task[1]))
            .aims(goals[1], wake),
        Figure::new(of("broadcast wake"), "CPU µs", ours[1])
            .beside(("bare hyper handler", hyper[1])),
        Figure::new(of("last one answered"), "ms", ours[2]).beside(("bare task", task[2])),
    ];
    if let Some(epoll) = medians.get(3) {
        let limit = |n: usize| ("raw epoll", epoll[n]);
        figures.push(Figure::new(of("memory each"), "KiB", ours[0]).beside(limit(0)));
        figures.push(Figure::new(of("broadcast wake"), "CPU µs", ours[1]).beside(limit(1)));
    }
    Ok(figures)
}

/// Memory for each in KiB, processor time for each wake in microseconds, and when the last one had its answer in
/// milliseconds.
fn park_and_wake(running: &Running, held: Held, count: usize) -> anyhow::Result<[f64; 3]> {
    let (marker, request): (Option<&'static [u8]>, _) = match held {
        Held::LongPoll => (None, running.wait(0)),
        Held::Stream => (Some(b"event: job.c".as_slice()), running.stream(0)),
    };
    // The first event of a stream says how the job is; only the end counts, and ours is canceled.
    let marker = marker.map(|_| b"event: job.cance".as_slice());
    let marker = if running.is_ours() {
        marker
    } else {
        marker.map(|_| b"event: job.comple".as_slice())
    };
    let before = running.server.settle()?;
    let mut parked = Parked::open(running.server.address, count, marker, |_| request.clone())?;
    let held = running.server.settle()?;
    let begun = now();
    call(running.server.address, &running.end(0))?;
    let last = parked.all(begun)?;
    let after = running.server.settle()?;
    let each = |bytes: u64| bytes as f64 / count as f64;
    Ok([
        each(held.memory.saturating_sub(before.memory)) / 1024.0,
        (after.cpu - held.cpu).as_secs_f64() * 1e6 / count as f64,
        last.as_secs_f64() * 1e3,
    ])
}

/// P6.
fn one_by_one(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let count = setup.connections(setup.sized(10_000, 1_000));
    let contestants = [Contestant::Ours, Contestant::Limit(Sort::Task, None)];
    let medians = in_turns(setup.rounds, &contestants, |contestant| {
        say(&format!("one by one x {count}: {contestant:?}"));
        let mut running = contestant.start(setup, 900, true)?;
        running.make_topics(count)?;
        let [commit_p50, commit_p99] = lone_commits(setup)?;
        let [p50, p99, _] = ends(&Ends {
            held_at: &running.server,
            ended_at: &running.server,
            count,
            per_second: ENDS_PER_SECOND,
            doors: DOORS,
            wait: &|n| running.wait(n),
            end: &|n| running.end(n),
        })?;
        Ok([p50, p99, commit_p50, commit_p99])
    })?;
    let (ours, task) = (medians[0], medians[1]);
    let what = format!("one of {count} parked ends, 1,000/s: end to answer");
    Ok(vec![
        Figure::new(format!("{what}, p50"), "ms", ours[0]).beside(("bare task, no disk", task[0])),
        Figure::new(format!("{what}, p99"), "ms", ours[1]).beside(("bare task, no disk", task[1])),
        Figure::new(
            format!("{what}, p50 beyond one commit (p50 {:.2} ms)", ours[2]),
            "ms",
            ours[0] - ours[2],
        )
        .aims("P6", Aim::AtMost(0.2)),
        Figure::new(
            format!("{what}, p99 beyond one commit (p50 {:.2} ms)", ours[2]),
            "ms",
            ours[1] - ours[2],
        )
        .aims("P6", Aim::AtMost(2.0)),
    ])
}

/// Topics that are waited for, each by a held request, and ended one by one.
pub(crate) struct Ends<'a> {
    /// Where the waits are held.
    pub(crate) held_at: &'a Server,
    /// Where the topics are ended.
    pub(crate) ended_at: &'a Server,
    /// How many topics.
    pub(crate) count: usize,
    /// How many end in a second.
    pub(crate) per_second: f64,
    /// Over how many connections they are ended in turn.
    pub(crate) doors: usize,
    /// The wait for that topic.
    pub(crate) wait: &'a dyn Fn(usize) -> Vec<u8>,
    /// The end of that topic.
    pub(crate) end: &'a dyn Fn(usize) -> Vec<u8>,
}

/// Ends the topics at an even pace, and says how long after each its wait was answered: the 50th and 99th of 100, in
/// milliseconds. The third is the 50th of how long after the answer to the end that was, of the first end of each door:
/// below zero where the wait was answered first.
pub(crate) fn ends(topics: &Ends<'_>) -> anyhow::Result<[f64; 3]> {
    let (count, ended_at) = (topics.count, topics.ended_at.address);
    let mut parked = Parked::open(topics.held_at.address, count, None, topics.wait)?;
    topics.held_at.settle()?;
    let mut ender = Parked::open(ended_at, 0, None, |_| Vec::new())?;
    let doors = topics.doors;
    for n in 0..doors {
        ender.add(ended_at, n)?;
    }
    let mut ended: Vec<Instant> = Vec::with_capacity(count);
    let begun = now();
    while parked.count() < count {
        let due = begun.elapsed().as_secs_f64() * topics.per_second;
        while ended.len() < count && (ended.len() as f64) < due {
            ended.push(now());
            let n = ended.len() - 1;
            ender.send(n % doors, &(topics.end)(n))?;
        }
        parked.turn(Duration::ZERO)?;
        ender.turn(Duration::ZERO)?;
        anyhow::ensure!(
            begun.elapsed() < Duration::from_secs(120),
            "waits are not answered"
        );
    }
    let mut took: Vec<f64> = ended
        .iter()
        .enumerate()
        .filter_map(|(n, ended)| Some((parked.answered_at(n)? - *ended).as_secs_f64() * 1e3))
        .collect();
    let mut beyond: Vec<f64> = (0..doors.min(count))
        .filter_map(|n| {
            let (woken, told) = (
                parked.answered_at(n)? - begun,
                ender.answered_at(n)? - begun,
            );
            Some((woken.as_secs_f64() - told.as_secs_f64()) * 1e3)
        })
        .collect();
    Ok([
        quantile(&mut took, 0.5),
        quantile(&mut took, 0.99),
        quantile(&mut beyond, 0.5),
    ])
}

/// What one record alone takes to become durable in SQLite, the 50th and the 99th of 100, in milliseconds.
pub(crate) fn lone_commits(setup: &Setup) -> anyhow::Result<[f64; 2]> {
    let directory = tempfile::tempdir_in(&setup.directory)?;
    let mut writer = Writer::open(Store::Sqlite, directory.path())?;
    let record = [b'x'; 300];
    let mut took = Vec::new();
    for _ in 0..500 {
        let begun = now();
        writer.commit(std::iter::once(record.as_slice()))?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok([quantile(&mut took, 0.5), quantile(&mut took, 0.99)])
}
