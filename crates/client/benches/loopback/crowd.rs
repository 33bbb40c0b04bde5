//! A thousand jobs in one process.

use std::time::{Duration, Instant};

use abide::{Client, Finished, JobHandle};
use abide_testkit::lasting;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};

use crate::Failure;
use crate::counted::Counted;
use crate::peer::Peer;
use crate::table::{Table, median};

const JOBS: u32 = 1_000;

pub(crate) async fn a_thousand(peer: &Peer, quick: bool, table: &mut Table) -> Result<(), Failure> {
    // Ends spread over a stretch of time, most of a job's length after its create.
    let (first, last) = if quick { (3.0, 13.0) } else { (10.0, 30.0) };
    for separately in [false, true] {
        let how = if separately {
            "waited for separately"
        } else {
            "as a set"
        };
        table.title(&format!(
            "{JOBS} jobs in one process, {how}, ending within {} s",
            last - first
        ));
        let creator = peer.creator()?;
        let created: Vec<JobHandle> = stream::iter(0..JOBS)
            .map(|n| {
                let length = first + (last - first) * f64::from(n) / f64::from(JOBS);
                let job = creator.create(lasting(Duration::from_secs_f64(length)));
                async move { job.await }
            })
            .buffer_unordered(64)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        let transport = Counted::new();
        let client = Client::builder(&peer.url)
            .transport(transport.clone())
            .build()?;
        let jobs = created.iter().map(|job| client.job(job.id().clone()));
        let began = now();
        let ended: Vec<Finished> = if separately {
            try_join_all(jobs.map(|job| async move { job.wait().await })).await?
        } else {
            let set = client.set(jobs);
            let all: Vec<_> = set.collect().await;
            all.into_iter()
                .map(|(_, outcome)| outcome)
                .collect::<Result<_, _>>()?
        };
        let took = now().saturating_duration_since(began).as_secs_f64();
        let sent = transport.sent();
        table.at_most("requests per second", sent.len() as f64 / took, 3.0);
        // What the first second needs to put them together is a burst; it is in the mean above.
        let later: Vec<Instant> = sent
            .into_iter()
            .filter(|at| *at > began + Duration::from_secs(1))
            .collect();
        table.note(
            "requests in the busiest second after the first",
            busiest(&later),
        );
        let late: Vec<f64> = ended
            .iter()
            .filter_map(|done| Some(done.report().detection?.as_secs_f64() * 1_000.0))
            .collect();
        table.note("end to knowing of it, median, ms", median(&late));
    }
    Ok(())
}

fn busiest(sent: &[Instant]) -> f64 {
    let within = |from: &Instant| {
        let second = *from..*from + Duration::from_secs(1);
        sent.iter().filter(|at| second.contains(at)).count()
    };
    sent.iter().map(within).max().unwrap_or_default() as f64
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}
