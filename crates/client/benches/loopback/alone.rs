//! Jobs that are waited for by a client each, as if every one were a process of its own.

use abide::Client;
use abide_testkit::lasting;
use futures_util::future::try_join_all;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::counted::Counted;
use crate::peer::Peer;
use crate::table::{Table, median};

/// How many jobs, of lengths spread evenly up to the longest one.
const JOBS: u32 = 60;

pub(crate) async fn one_by_one(
    peer: &Peer,
    longest: f64,
    table: &mut Table,
) -> Result<(), Failure> {
    table.title(&format!(
        "{JOBS} jobs of up to {longest} s, each waited for by a client of its own, strategy auto"
    ));
    let waits = (1..=JOBS).map(|n| {
        // Not together, as nobody's jobs are.
        let length = longest * (f64::from(n) - 0.37) / f64::from(JOBS);
        one(&peer.url, Duration::from_secs_f64(length))
    });
    let seen = try_join_all(waits).await?;
    let most = seen.iter().map(|(requests, _)| *requests).max();
    let late: Vec<f64> = seen.iter().map(|(_, late)| *late).collect();
    let requests: usize = seen.iter().map(|(requests, _)| requests).sum();
    let most = most.unwrap_or_default() as f64;
    table.at_most("requests for a job, its create included, worst", most, 2.0);
    table.note("the same, mean", requests as f64 / f64::from(JOBS));
    table.at_most("end to knowing of it, median, ms", median(&late), 10.0);
    table.note(
        "the same, worst, ms",
        late.iter().copied().fold(0.0, f64::max),
    );
    Ok(())
}

/// The requests that a job took, and how many milliseconds after its end that was known.
async fn one(url: &str, length: Duration) -> Result<(usize, f64), Failure> {
    let transport = Counted::new();
    let client = Client::builder(url).transport(transport.clone()).build()?;
    let job = client.create(lasting(length)).await?;
    let done = job.wait().await?;
    let known = wall_ms();
    let finished = done.job().finished_at.ok_or("a job without an end")?;
    let late = known - finished.as_millis() as f64;
    Ok((transport.sent().len(), late))
}

/// Both processes are on one machine: its clock is the truth.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn wall_ms() -> f64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs_f64() * 1_000.0
}
