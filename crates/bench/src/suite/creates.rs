//! Durable creates: under load, and one alone.

use std::path::Path;
use std::time::Duration;

use crate::child::Server;
use crate::contestant::{Contestant, Running, Setup};
use crate::figures::{Aim, Figure, in_turns, say};
use crate::limit::{Sort, Store};
use crate::load::{Answer, Latencies, Source, drive};

/// What is created: a job that outlives the measurement, about as long as the records that the stores were compared
/// with.
pub(crate) const BODY: &str = r#"{"kind":"video_translation","input":{"video_url":"https://videos.example/7f3a9c1e/original.mp4","language":"es","voice":"natural","captions":true,"lip_sync":true},"metadata":{"customer":"c_000184","project":"spring-campaign"},"simulate":{"duration":{"fixed":"1h"},"outcome":{"error_chance":0}}}"#;

struct Creates {
    request: Vec<u8>,
    took: Latencies,
    refused: Option<u16>,
}

impl Source for Creates {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&self.request);
        true
    }

    fn answered(&mut self, _: usize, answer: &Answer<'_>, took: Duration) {
        if answer.status >= 300 {
            self.refused = Some(answer.status);
        }
        self.took.push(took);
    }
}

/// P7 and P8.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for connections in [64, 256] {
        figures.extend(loaded(setup, connections)?);
    }
    figures.extend(alone(setup)?);
    Ok(figures)
}

fn loaded(setup: &Setup, connections: usize) -> anyhow::Result<Vec<Figure>> {
    let contestants = [
        Contestant::Ours,
        Contestant::Limit(Sort::Hyper, Some(Store::Sqlite)),
        Contestant::Limit(Sort::Hyper, Some(Store::Log)),
    ];
    let medians = in_turns(setup.rounds, &contestants, |contestant| {
        say(&format!(
            "creates, {connections} connections: {contestant:?}"
        ));
        let running = contestant.start(setup, 900, true)?;
        create_for(&running, &running.server, connections, setup.length)
    })?;
    let (ours, sqlite, log) = (medians[0], medians[1], medians[2]);
    let what = format!("durable creates, {connections} connections");
    let on_sqlite = "bare hyper, group commit on SQLite";
    let on_log = "bare hyper, group commit on a log";
    Ok(vec![
        Figure::new(&what, "creates/s", ours[0])
            .beside((on_sqlite, sqlite[0]))
            .aims("P7", Aim::TimesAtLeast(0.8)),
        Figure::new(&what, "creates/s", ours[0]).beside((on_log, log[0])),
        Figure::new(&what, "CPU µs", ours[1])
            .beside((on_sqlite, sqlite[1]))
            .aims("P7", Aim::TimesAtMost(1.5)),
        Figure::new(&what, "p99 ms", ours[2]).beside((on_sqlite, sqlite[2])),
    ])
}

fn alone(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let contestants = [
        Contestant::Ours,
        Contestant::Limit(Sort::Hyper, Some(Store::Sqlite)),
    ];
    let medians = in_turns(setup.rounds, &contestants, |contestant| {
        say(&format!("a lone create: {contestant:?}"));
        let running = contestant.start(setup, 900, true)?;
        let sync = super::parked::lone_commits(setup)?[0];
        let fsync = lone_fsync(&setup.directory)?;
        let mut creates = creates(&running);
        drive(running.server.address, 1, &mut creates, setup.length / 2)?;
        Ok([
            creates.took.quantile_ms(0.5),
            creates.took.quantile_ms(0.99),
            sync,
            fsync,
        ])
    })?;
    let (ours, hyper) = (medians[0], medians[1]);
    Ok(vec![
        Figure::new("a lone create, p50", "ms", ours[0]).beside(("bare hyper, SQLite", hyper[0])),
        Figure::new("a lone create, p99", "ms", ours[1]).beside(("bare hyper, SQLite", hyper[1])),
        Figure::new("a lone create, p50", "ms", ours[0]).beside(("one SQLite commit", ours[2])),
        Figure::new(
            format!("a lone create, p50 beyond one fsync ({:.2} ms)", ours[3]),
            "ms",
            ours[0] - ours[3],
        )
        .aims("P8", Aim::AtMost(0.15)),
    ])
}

fn creates(running: &Running) -> Creates {
    Creates {
        request: running.create(BODY),
        took: Latencies::default(),
        refused: None,
    }
}

/// Creates for a while: creates per second, processor time of `payer` for each in microseconds, the 99th of 100 in
/// milliseconds.
pub(crate) fn create_for(
    running: &Running,
    payer: &Server,
    connections: usize,
    length: Duration,
) -> anyhow::Result<[f64; 3]> {
    drive(
        running.server.address,
        connections,
        &mut creates(running),
        length / 4,
    )?;
    let mut creates = creates(running);
    let before = payer.usage()?;
    let took = drive(running.server.address, connections, &mut creates, length)?;
    let after = payer.usage()?;
    if let Some(status) = creates.refused {
        anyhow::bail!("a create was answered with {status}");
    }
    let done = creates.took.len() as f64;
    Ok([
        done / took.as_secs_f64(),
        (after.cpu - before.cpu).as_secs_f64() * 1e6 / done,
        creates.took.quantile_ms(0.99),
    ])
}

/// What the disk alone takes for a few hundred bytes, in milliseconds.
fn lone_fsync(directory: &Path) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir_in(directory)?;
    let mut log = crate::limit::commit::Writer::open(Store::Log, directory.path())?;
    let mut took = Latencies::default();
    for _ in 0..500 {
        let begun = crate::clock::now();
        log.commit(std::iter::once([b'x'; 300].as_slice()))?;
        took.push(begun.elapsed());
    }
    Ok(took.quantile_ms(0.5))
}
