//! A disk that is full, seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abide_server::clock::Clock;
use abide_server::journal::{JournalError, MemoryJournal};
use serde_json::json;

use crate::common::journal::Disk;
use crate::common::{House, START};

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_writes_serves_reads_and_says_so() {
    let full = Arc::new(AtomicBool::new(false));
    let journal = Disk {
        inner: MemoryJournal::new(),
        is_blocking: false,
        latency: std::time::Duration::ZERO,
        before_append: {
            let full = full.clone();
            move || match full.load(Ordering::Relaxed) {
                true => Err(JournalError::Full {
                    path: "tight".into(),
                }),
                false => Ok(()),
            }
        },
    };
    let clock = Clock::running(START, 1.try_into().unwrap());
    let house = House::open(&[], clock, Box::new(journal)).await;
    let id = house.job(600_000).await;
    house.pass(100).await;
    assert_eq!(house.get("/readyz").await.status, 200);

    full.store(true, Ordering::Relaxed);
    let keyed = house.with_header("idempotency-key", "k");
    for _ in 0..2 {
        let answer = keyed.post("/v1/jobs", json!({"kind": "a"})).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "storage_unavailable")
        );
        assert_eq!(
            (answer.header("retry-after"), &answer.json()["retryable"]),
            ("1", &json!(true))
        );
    }
    let probe = house.get("/readyz").await;
    assert_eq!(
        (probe.status, probe.code().as_str()),
        (503, "storage_unavailable")
    );
    assert_eq!(house.get("/healthz").await.status, 200);
    let read = house.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!((read.status, &read.json()["done"]), (200, &json!(false)));
    assert_eq!(
        house.get("/v1/jobs").await.json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    full.store(false, Ordering::Relaxed);
    house.pass(1_000).await;
    assert_eq!(house.get("/readyz").await.status, 200);
    // The one that was asked for under the key is there once.
    let answer = keyed.post("/v1/jobs", json!({"kind": "a"})).await;
    assert!(
        answer.status == 202 || answer.status == 200,
        "{}",
        answer.text
    );
    assert_eq!(
        house.get("/v1/jobs?kind=a").await.json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
