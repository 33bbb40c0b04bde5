//! Twice as many creates as the server can take: late or refused with a date, nothing acknowledged lost, memory bounded, and
//! well again within a second.

use std::collections::HashMap;
use std::time::Duration;

use crate::child::Server;
use crate::clock::now;
use crate::contestant::{Contestant, Setup, get, post};
use crate::figures::{Aim, Figure, say};
use crate::load::{Answer, Latencies, Source, call, drive};
use crate::machine::Core;

/// How many connections bring the load: more than the loop's queue has places.
const CONNECTIONS: usize = 10_000;

/// Creates at an even pace, whatever becomes of them.
struct Offered {
    request: Vec<u8>,
    per_second: f64,
    begun: std::time::Instant,
    sent: u64,
    took: Latencies,
    statuses: HashMap<u16, u64>,
    without_retry_after: u64,
    acknowledged: Vec<String>,
}

impl Source for Offered {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        let is_due = self.begun.elapsed().as_secs_f64() * self.per_second > self.sent as f64;
        if is_due {
            self.sent += 1;
            out.extend_from_slice(&self.request);
        }
        is_due
    }

    fn answered(&mut self, _: usize, answer: &Answer<'_>, took: Duration) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.took.push(took);
        if answer.status < 300 {
            let text = String::from_utf8_lossy(answer.body);
            if let Some(id) = text.split('"').find(|word| word.starts_with("job_")) {
                self.acknowledged.push(id.to_owned());
            }
        } else if !answer.has_retry_after {
            self.without_retry_after += 1;
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
    let mut arguments = Contestant::our_arguments();
    arguments.push("--data".to_owned());
    arguments.push(directory.path().display().to_string());
    let server = Server::start(&setup.ours, &arguments, Core::Server)?;
    let request = post(
        "/v1/jobs",
        r#"{"worker":"external","input":{"video_url":"https://videos.example/a.mp4"}}"#,
    );

    let mut flat = Flat(request.clone(), 0);
    let took = drive(server.address, 256, &mut flat, setup.length)?;
    let capacity = flat.1 as f64 / took.as_secs_f64();
    let calm = server.settle()?;
    say(&format!(
        "it takes {capacity:.0} creates/s; offering twice as many"
    ));

    let mut offered = Offered {
        request: request.clone(),
        per_second: 2.0 * capacity,
        begun: now(),
        sent: 0,
        took: Latencies::default(),
        statuses: HashMap::new(),
        without_retry_after: 0,
        acknowledged: Vec::new(),
    };
    let connections = setup.connections(setup.sized(CONNECTIONS, 9_000));
    drive(server.address, connections, &mut offered, length)?;
    let over = now();
    // Well again is: a create is answered as fast as on a quiet day.
    let well_after = loop {
        let begun = now();
        let (status, _) = call(server.address, &request)?;
        if status == 202 && begun.elapsed() < Duration::from_millis(20) {
            break over.elapsed();
        }
        anyhow::ensure!(
            over.elapsed() < Duration::from_secs(60),
            "it doesn't recover"
        );
    };
    let after = server.settle()?;
    let acknowledged = std::mem::take(&mut offered.acknowledged);
    let each = after.memory.saturating_sub(calm.memory) as f64 / acknowledged.len().max(1) as f64;
    say(&format!("statuses: {:?}", offered.statuses));

    server.kill()?;
    let again = Server::start(&setup.ours, &arguments, Core::Server)?;
    let mut lost = 0;
    let step = (acknowledged.len() / 2_000).max(1);
    for id in acknowledged.iter().step_by(step) {
        let (status, _) = call(again.address, &get(&format!("/v1/jobs/{id}")))?;
        lost += u32::from(status != 200);
    }
    let refused: u64 = offered
        .statuses
        .iter()
        .filter(|(status, _)| **status >= 300)
        .map(|(_, count)| count)
        .sum();
    let what = |what: &str| format!("twice its load for {} s: {what}", length.as_secs());
    Ok(vec![
        Figure::alone("", what("offered"), "creates/s", 2.0 * capacity, Aim::Shown),
        Figure::alone(
            "",
            what("acknowledged"),
            "creates",
            acknowledged.len() as f64,
            Aim::Shown,
        ),
        Figure::alone("", what("refused"), "creates", refused as f64, Aim::Shown),
        Figure::alone(
            "",
            what("refused without Retry-After"),
            "creates",
            offered.without_retry_after as f64,
            Aim::AtMost(0.0),
        ),
        Figure::alone(
            "",
            what("answered, p99"),
            "ms",
            offered.took.quantile_ms(0.99),
            Aim::Shown,
        ),
        Figure::alone(
            "",
            what("memory for each acknowledged job"),
            "B",
            each,
            Aim::AtMost(1_500.0),
        ),
        Figure::alone(
            "",
            what("well again after"),
            "ms",
            well_after.as_secs_f64() * 1e3,
            Aim::AtMost(1_000.0),
        ),
        Figure::alone(
            "",
            what("acknowledged and missing after a crash, of a sample"),
            "creates",
            f64::from(lost),
            Aim::AtMost(0.0),
        ),
    ])
}
