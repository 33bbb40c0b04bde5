//! Twice as many creates as the server can take, beside reads, held requests and streams: late or refused with a date,
//! nothing acknowledged lost, memory bounded, and well again within a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::child::Server;
use crate::clock::now;
use crate::contestant::{Contestant, Setup, create_jobs, get, post};
use crate::figures::{Aim, Figure, quantile, say};
use crate::load::{Answer, Latencies, Parked, Source, ask, drive};
use crate::machine::{Core, memory};

/// How many connections bring the creates: more than the loop's queue has places.
const CREATORS: usize = 10_000;
/// How many connections read, and how often they do together in a second.
const READERS: usize = 64;
const READS_PER_SECOND: f64 = 1_000.0;
/// How many requests and how many streams are held while the load is on.
const HELD: usize = 1_000;
/// How often the server's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many lone creates are timed on a quiet day.
const CALM: usize = 50;
/// No create on a quiet day is called slow that takes less, in milliseconds.
const SLOW_MS: f64 = 20.0;

/// Requests at an even pace, whatever becomes of them.
struct Offered {
    create: Vec<u8>,
    read: Vec<u8>,
    creates_per_second: f64,
    begun: Instant,
    creates: u64,
    reads: u64,
    /// How long creates took that made a job, that were refused, and reads.
    made: Latencies,
    refused: Latencies,
    read_took: Latencies,
    statuses: BTreeMap<u16, u64>,
    without_retry_after: u64,
    acknowledged: Vec<String>,
    pid: u32,
    looked: Instant,
    peak: u64,
}

impl Offered {
    fn new(
        [create, read]: [Vec<u8>; 2],
        creates_per_second: f64,
        begun: Instant,
        pid: u32,
    ) -> Self {
        Self {
            create,
            read,
            creates_per_second,
            begun,
            creates: 0,
            reads: 0,
            made: Latencies::default(),
            refused: Latencies::default(),
            read_took: Latencies::default(),
            statuses: BTreeMap::new(),
            without_retry_after: 0,
            acknowledged: Vec::new(),
            pid,
            looked: begun,
            peak: 0,
        }
    }

    /// How many answers of each status there were, and how many of an unforeseen one.
    fn sorts(&self) -> (String, u64) {
        let mut kinds = String::new();
        let mut unforeseen = 0;
        for (status, count) in &self.statuses {
            // Writing to a string doesn't fail.
            let _ = write!(kinds, " {status}: {count}");
            if !matches!(status, 200 | 202 | 429 | 503) {
                unforeseen += count;
            }
        }
        (kinds, unforeseen)
    }
}

impl Source for Offered {
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) -> bool {
        let at = now();
        if at - self.looked >= LOOK_EVERY {
            self.looked = at;
            // A server that is gone is noticed by its connections.
            self.peak = self.peak.max(memory(self.pid).unwrap_or(0));
        }
        let elapsed = (at - self.begun).as_secs_f64();
        let (sent, per_second, request) = if connection < READERS {
            (&mut self.reads, READS_PER_SECOND, &self.read)
        } else {
            (&mut self.creates, self.creates_per_second, &self.create)
        };
        let is_due = elapsed * per_second > *sent as f64;
        if is_due {
            *sent += 1;
            out.extend_from_slice(request);
        }
        is_due
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>, took: Duration) {
        *self.statuses.entry(answer.status).or_default() += 1;
        if answer.status >= 300 {
            self.without_retry_after += u64::from(!answer.has_retry_after);
        }
        if connection < READERS {
            self.read_took.push(took);
        } else if answer.status < 300 {
            self.made.push(took);
            let text = String::from_utf8_lossy(answer.body);
            if let Some(id) = text.split('"').find(|word| word.starts_with("job_")) {
                self.acknowledged.push(id.to_owned());
            }
        } else {
            self.refused.push(took);
        }
    }

    fn is_paced(&self) -> bool {
        true
    }
}

/// Creates as fast as they are answered, to see what the server can take.
struct Flat(Vec<u8>, u64);

impl Source for Flat {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&self.0);
        true
    }

    fn answered(&mut self, _: usize, _: &Answer<'_>, _: Duration) {
        self.1 += 1;
    }
}

/// The overload test.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let length = Duration::from_secs(if setup.quick { 5 } else { 60 });
    let directory = tempfile::tempdir_in(&setup.directory)?;
    let arguments = Contestant::arguments_at(directory.path());
    let server = Server::start(&setup.ours, &arguments, Core::Server)?;
    let address = server.address;
    let body = r#"{"worker":"external","input":{"video_url":"https://videos.example/a.mp4"}}"#;
    let request = post("/v1/jobs", body);

    let mut flat = Flat(request.clone(), 0);
    let took = drive(address, 256, &mut flat, setup.length)?;
    let capacity = flat.1 as f64 / took.as_secs_f64();
    server.settle()?;
    let create = || {
        let begun = now();
        let status = ask(address, &request)?.0;
        anyhow::Ok((status, begun.elapsed().as_secs_f64() * 1e3))
    };
    let calm: anyhow::Result<Vec<f64>> = (0..CALM).map(|_| Ok(create()?.1)).collect();
    let calm_ms = quantile(&mut calm?, 0.95);

    let watched = create_jobs(&server, 1, body)?.remove(0);
    let path = format!("/v1/jobs/{watched}");
    let mut polls = Parked::open(address, HELD, None, |_| get(&format!("{path}?wait=600")))?;
    let end = Some(b"event: job.cance".as_slice());
    let mut streams = Parked::open(address, HELD, end, |_| get(&format!("{path}/events")))?;
    let before = server.settle()?;
    say(&format!(
        "it takes {capacity:.0} creates/s; offering twice as many"
    ));

    let begun = now();
    let create_and_read = [request.clone(), get(&path)];
    let mut offered = Offered::new(create_and_read, 2.0 * capacity, begun, server.pid());
    offered.peak = before.memory;
    let room = setup.connections(CREATORS + READERS + 2 * HELD) - 2 * HELD;
    drive(address, room, &mut offered, length)?;
    let over = now();
    // Well again is: a create is answered as on a quiet day.
    let well_after = loop {
        let (status, took_ms) = create()?;
        if status == 202 && took_ms <= calm_ms.max(SLOW_MS) {
            break over.elapsed();
        }
        anyhow::ensure!(over.elapsed().as_secs() < 60, "it doesn't recover");
    };
    let ended = now();
    let (status, _) = ask(address, &post(&format!("{path}/cancel"), ""))?;
    anyhow::ensure!(status < 300, "a cancel was answered with {status}");
    let woken = polls.all(ended)?.max(streams.all(ended)?);
    drop((polls, streams));
    let after = server.settle()?;

    server.kill()?;
    let again = Server::start(&setup.ours, &arguments, Core::Server)?;
    let acknowledged = std::mem::take(&mut offered.acknowledged);
    let mut lost = 0;
    let step = (acknowledged.len() / 2_000).max(1);
    for id in acknowledged.iter().step_by(step) {
        let (status, _) = ask(again.address, &get(&format!("/v1/jobs/{id}")))?;
        lost += u32::from(status != 200);
    }
    Ok(figures(
        &mut offered,
        &Seen {
            length,
            acknowledged: acknowledged.len(),
            well_after,
            woken,
            lost,
            before: before.memory,
            after: after.memory,
        },
    ))
}

/// What was seen of it.
struct Seen {
    length: Duration,
    acknowledged: usize,
    well_after: Duration,
    woken: Duration,
    lost: u32,
    before: u64,
    after: u64,
}

fn figures(offered: &mut Offered, seen: &Seen) -> Vec<Figure> {
    let (kinds, unforeseen) = offered.sorts();
    let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let each = seen.after.saturating_sub(seen.before) as f64 / seen.acknowledged.max(1) as f64;
    let wished = offered.creates_per_second * seen.length.as_secs_f64();
    let what = |what: &str| format!("twice its load for {} s: {what}", seen.length.as_secs());
    let shown = |name: &str, unit, value| Figure::new(what(name), unit, value);
    let bounded = |name: &str, unit, value, most| {
        Figure::new(what(name), unit, value).aims("", Aim::AtMost(most))
    };
    vec![
        shown("wished", "creates/s", offered.creates_per_second),
        shown(
            "kept back, all connections being busy",
            "%",
            100.0 * (1.0 - offered.creates as f64 / wished).max(0.0),
        ),
        shown("acknowledged", "creates", seen.acknowledged as f64),
        shown("refused", "creates", offered.refused.len() as f64),
        bounded(
            &format!("answers of other sorts, of{kinds}"),
            "answers",
            unforeseen as f64,
            0.0,
        ),
        bounded(
            "refused without Retry-After",
            "answers",
            offered.without_retry_after as f64,
            0.0,
        ),
        shown(
            "acknowledged after, p99",
            "ms",
            offered.made.quantile_ms(0.99),
        ),
        shown(
            "refused after, p99",
            "ms",
            offered.refused.quantile_ms(0.99),
        ),
        shown(
            "reads beside it, p99",
            "ms",
            offered.read_took.quantile_ms(0.99),
        ),
        bounded(
            "most memory, beyond what is left after it",
            "MiB",
            mebibytes(offered.peak.saturating_sub(seen.after)),
            256.0,
        ),
        shown("memory for each acknowledged job", "B", each),
        bounded(
            "well again after",
            "ms",
            seen.well_after.as_secs_f64() * 1e3,
            1_000.0,
        ),
        shown(
            "the held ones woken within",
            "ms",
            seen.woken.as_secs_f64() * 1e3,
        ),
        bounded(
            "acknowledged and missing after a crash, of a sample",
            "creates",
            f64::from(seen.lost),
            0.0,
        ),
    ]
}
