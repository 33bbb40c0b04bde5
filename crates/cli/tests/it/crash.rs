//! Killed under load, started again on the same directory: nothing that was acknowledged is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use abide::{Client, NewJob, RetryPolicy};
use abide_wire::Simulate;

use crate::bench::Bench;

/// How many clients create jobs at the same time.
const CLIENTS: usize = 16;
/// How many jobs must have been acknowledged before the server is killed.
const ENOUGH: usize = 300;

/// A job by its idempotency key. Every third one would still be running when the server comes up again.
fn job(number: usize) -> NewJob {
    let millis = if number.is_multiple_of(3) { 3_000 } else { 20 };
    NewJob::default().simulate(Simulate::fixed(Duration::from_millis(millis)))
}

fn key(client: usize, number: usize) -> String {
    format!("client-{client}-job-{number}")
}

/// Creates jobs until the server is gone, and returns what was acknowledged: key, number and id.
async fn load(
    client: Client,
    name: usize,
    created: Arc<std::sync::atomic::AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Vec<(String, usize, String)> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = key(name, number);
        match client.create(job(number)).idempotency_key(&key).await {
            Ok(job) => acknowledged.push((key, number, job.id().to_string())),
            Err(_) => break,
        }
        created.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kill_9_and_every_job_ends() {
    let bench = Bench::new();
    let flags = ["--data", "jobs", "--rate-limit", "off", "--seed", "7"];
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        let server = bench.serve(&flags);
        let client = Client::builder(&server.url)
            .retry(RetryPolicy::never())
            .build()
            .unwrap();
        let created = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let loads: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let name = round * CLIENTS + name;
                tokio::spawn(load(client.clone(), name, created.clone(), stop.clone()))
            })
            .collect();
        while created.load(Ordering::Relaxed) < ENOUGH {
            tokio::task::yield_now().await;
        }
        // In the middle of whatever is being written.
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            acknowledged.extend(load.await.unwrap());
        }
    }
    assert!(acknowledged.len() >= 2 * ENOUGH);

    let server = bench.serve(&flags);
    let client = Client::new(&server.url).unwrap();
    // The same key gives the same job, before and after.
    for (key, number, id) in acknowledged.iter().step_by(7) {
        let again = client
            .create(job(*number))
            .idempotency_key(key)
            .await
            .unwrap();
        assert_eq!(again.id().as_str(), id, "{key}");
        assert!(again.is_replayed(), "{key}");
    }
    let jobs = acknowledged
        .iter()
        .map(|(_, _, id)| client.job(id.as_str()));
    for ((_, outcome), (key, ..)) in client.set(jobs).await.into_iter().zip(&acknowledged) {
        let done = outcome.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(done.is_completed(), "{key}: {:?}", done.job());
    }
    let (code, said) = server.terminate();
    assert_eq!(code, 0, "{said}");
}
