//! Status reads over kept connections, alone and beside other work.

use std::time::Duration;

use anyhow::bail;

use crate::contestant::{Contestant, Running, Setup, body_bytes_of_a_read, create_jobs};
use crate::figures::{Aim, Figure, in_turns, say};
use crate::limit::Sort;
use crate::load::{Answer, Latencies, Parked, Source, drive};

/// How many connections read.
const READERS: usize = 64;
/// How many connections create, where some do.
const CREATORS: usize = 16;
/// How many waits are parked beside the reads.
const PARKED: usize = 10_000;
/// How many creates a second come beside the reads.
const CREATES: f64 = 1_000.0;

/// Requests of one kind on some connections, and paced creates on others.
pub(crate) struct Reads {
    requests: Vec<Vec<u8>>,
    next: usize,
    create: Vec<u8>,
    creates_per_second: f64,
    creates_sent: u64,
    begun: std::time::Instant,
    pub(crate) took: Latencies,
    refused: Option<u16>,
}

impl Reads {
    /// Reads of those, in turn.
    pub(crate) fn of(requests: Vec<Vec<u8>>) -> Self {
        Self {
            requests,
            next: 0,
            create: Vec::new(),
            creates_per_second: 0.0,
            creates_sent: 0,
            begun: crate::clock::now(),
            took: Latencies::default(),
            refused: None,
        }
    }
}

impl Source for Reads {
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) -> bool {
        if connection < READERS {
            out.extend_from_slice(&self.requests[self.next]);
            self.next = (self.next + 1) % self.requests.len();
            return true;
        }
        let due = self.begun.elapsed().as_secs_f64() * self.creates_per_second;
        let is_due = due > self.creates_sent as f64;
        if is_due {
            self.creates_sent += 1;
            out.extend_from_slice(&self.create);
        }
        is_due
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>, took: Duration) {
        if answer.status >= 300 {
            self.refused = Some(answer.status);
        }
        if connection < READERS {
            self.took.push(took);
        }
    }
}

/// Reads for a while: processor time per read in microseconds, reads per second, and the 99th of 100 in milliseconds.
pub(crate) fn read_for(
    running: &Running,
    mut reads: Reads,
    length: Duration,
) -> anyhow::Result<[f64; 3]> {
    let count = if reads.creates_per_second > 0.0 {
        READERS + CREATORS
    } else {
        READERS
    };
    let before = running.server.usage()?;
    reads.begun = crate::clock::now();
    let took = drive(running.server.address, count, &mut reads, length)?;
    let after = running.server.usage()?;
    if let Some(status) = reads.refused {
        bail!("a request was answered with {status}");
    }
    let done = reads.took.len() as f64;
    Ok([
        (after.cpu - before.cpu).as_secs_f64() * 1e6 / done,
        done / took.as_secs_f64(),
        reads.took.quantile_ms(0.99),
    ])
}

/// P1 and P2.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let (native, classic) = body_bytes_of_a_read(setup)?;
    let mut figures = alone(setup, "native", native, Running::read)?;
    if let Some(classic) = classic {
        let request = Running::read_classic;
        figures.extend(alone(setup, "classic", classic, request)?);
    }
    figures.extend(beside_other_work(setup, native)?);
    Ok(figures)
}

fn alone(
    setup: &Setup,
    which: &str,
    body_bytes: usize,
    request: impl Fn(&Running) -> Vec<u8>,
) -> anyhow::Result<Vec<Figure>> {
    let contestants = [
        Contestant::Ours,
        Contestant::Limit(Sort::Hyper, None),
        Contestant::Limit(Sort::Task, None),
        Contestant::Limit(Sort::Epoll, None),
    ];
    let medians = in_turns(setup.rounds, &contestants, |contestant| {
        say(&format!("reads, {which}: {contestant:?}"));
        let mut running = contestant.start(setup, body_bytes, false)?;
        running.make_topics(1)?;
        let request = request(&running);
        let warm_up = setup.length / 4;
        read_for(&running, Reads::of(vec![request.clone()]), warm_up)?;
        read_for(&running, Reads::of(vec![request]), setup.length)
    })?;
    let [ours, hyper, task, epoll] = [medians[0], medians[1], medians[2], medians[3]];
    let what = format!("status read, {which}, {READERS} connections, {body_bytes} B body");
    let aim = Aim::TimesAtMost(1.2);
    Ok(vec![
        Figure::new(&what, "CPU µs", ours[0])
            .beside(("bare hyper handler", hyper[0]))
            .aims("P1", aim),
        Figure::new(&what, "CPU µs", ours[0]).beside(("bare task", task[0])),
        Figure::new(&what, "CPU µs", ours[0]).beside(("raw epoll", epoll[0])),
        Figure::new(&what, "requests/s", ours[1]).beside(("bare hyper handler", hyper[1])),
        Figure::new(&what, "p99 ms", ours[2]).beside(("bare hyper handler", hyper[2])),
    ])
}

fn beside_other_work(setup: &Setup, body_bytes: usize) -> anyhow::Result<Vec<Figure>> {
    let parked = setup.connections(setup.sized(PARKED, 1_000));
    let contestants = [Contestant::Ours, Contestant::Limit(Sort::Hyper, None)];
    let medians = in_turns(setup.rounds, &contestants, |contestant| {
        say(&format!("reads beside other work: {contestant:?}"));
        let mut running = contestant.start(setup, body_bytes, true)?;
        running.make_topics(2)?;
        let mut reads = Reads::of(vec![running.read()]);
        let mut held = None;
        if *contestant == Contestant::Ours {
            held = Some(Parked::open(running.server.address, parked, None, |_| {
                running.wait(1)
            })?);
            running.server.settle()?;
            reads.create = running.create(super::creates::BODY);
            reads.creates_per_second = CREATES;
        }
        let figures = read_for(&running, reads, setup.length)?;
        drop(held);
        Ok(figures)
    })?;
    let what = format!("status read beside {parked} parked waits and {CREATES} creates/s");
    let (ours, hyper) = (medians[0], medians[1]);
    Ok(vec![
        Figure::new(&what, "CPU µs", ours[0])
            .beside(("bare hyper handler without them", hyper[0]))
            .aims("P2", Aim::TimesAtMost(1.3)),
        Figure::new(&what, "p99 ms", ours[2]).beside(("bare hyper handler without them", hyper[2])),
    ])
}

/// What a read costs beside that many jobs: for [`super::jobs`].
pub(crate) fn of_many(running: &Running, ids: &[String], length: Duration) -> anyhow::Result<f64> {
    let requests = ids
        .iter()
        .map(|id| crate::contestant::get(&format!("/v1/jobs/{id}")))
        .collect();
    Ok(read_for(running, Reads::of(requests), length)?[0])
}

/// Some jobs to read.
pub(crate) fn some_jobs(running: &Running, count: usize) -> anyhow::Result<Vec<String>> {
    create_jobs(&running.server, count, super::creates::BODY)
}
