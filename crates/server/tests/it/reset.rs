//! `POST /v1/reset`, which a test suite says between two tests.

use std::num::NonZeroU32;
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::journal::{Journal as _, MemoryJournal};
use serde_json::json;

use crate::common::{House, START};

#[tokio::test(start_paused = true)]
async fn after_a_reset_a_server_is_as_after_its_start() {
    let flags = [
        ("ephemeral", "true"),
        ("seed", "7"),
        ("default-job-start", "first-poll"),
    ];
    let house = House::with(&flags).await;
    let simulator = house.get("/v1/simulator").await.json();
    let drawn = async || {
        let id = house.post("/v1/jobs", json!({"kind": "dub"})).await.json()["id"].clone();
        let path = format!("/v1/jobs/{}?wait=50", id.as_str().unwrap());
        let ended = house.get(&path).await.json();
        let took = |job: &serde_json::Value| {
            let at = |member: &str| {
                job[member]
                    .as_str()
                    .unwrap()
                    .parse::<abide_wire::Timestamp>()
            };
            at("finished_at").unwrap().since(at("created_at").unwrap())
        };
        (took(&ended), ended["outcome"].clone(), id)
    };
    let (took, outcome, id) = drawn().await;
    house.get("/status").await;
    let webhook = json!({"url": "https://receiver.example/hook"});
    assert_eq!(house.post("/v1/webhooks", webhook).await.status, 201);
    let faults = json!({"seed": 8, "faults": [{"fault": "error"}]});
    assert_eq!(
        house
            .ask("PATCH", "/v1/simulator", Some(faults))
            .await
            .status,
        200
    );
    let now = house.get("/v1/clock").await.json();

    let answer = house.ask("POST", "/v1/reset", None).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(house.get("/v1/clock").await.json(), now, "the clock stays");
    assert_eq!(house.get("/v1/report").await.json()["clients"], json!([]));
    assert_eq!(house.get("/v1/jobs").await.json()["jobs"], json!([]));
    let path = format!("/v1/jobs/{}", id.as_str().unwrap());
    assert_eq!(house.get(&path).await.code(), "not_found");
    assert_eq!(
        house.get("/v1/webhooks").await.json()["webhooks"],
        json!([])
    );
    assert_eq!(house.get("/v1/simulator").await.json(), simulator);
    let (again, outcome_again, other) = drawn().await;
    assert_eq!((again, &outcome_again), (took, &outcome));
    assert_ne!(other, id, "no name is given twice");
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_told_at_once_to_those_that_wait_for_several_jobs() {
    let house = House::with(&[("ephemeral", "true")]).await;
    let mut wanted = Vec::new();
    for _ in 0..2 {
        wanted.push(json!({"id": house.job(60_000).await}));
    }
    let wanted = json!({"jobs": wanted, "until": "done", "wait": 30});
    let held = house.post("/v1/jobs/wait", wanted);
    let held = tokio::time::timeout(Duration::from_secs(1), held);
    let (told, answer) = tokio::join!(held, async {
        house.pass(10).await;
        house.ask("POST", "/v1/reset", None).await
    });
    assert_eq!(answer.status, 204);
    let told = told.expect("it isn't held any longer").json();
    assert_eq!(told["errors"].as_array().unwrap().len(), 2, "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_what_waits_and_outlives_a_restart() {
    let journal = MemoryJournal::new();
    let clock = Clock::manual(START);
    let flags = [("clock", "manual"), ("default-job-start", "first-poll")];
    let house = House::open(&flags, clock.clone(), Box::new(journal.clone())).await;
    let id = house.post("/v1/jobs", json!({})).await.json()["id"].clone();
    let path = format!("/v1/jobs/{}?wait=30", id.as_str().unwrap());
    let (held, answer) = tokio::join!(house.get(&path), async {
        house.pass(10).await;
        house.ask("POST", "/v1/reset", None).await
    });
    assert_eq!((held.status, answer.status), (404, 204));
    let mut entries = Vec::new();
    let mut again = journal.clone();
    again
        .replay(0, &mut |_, entry| {
            entries.push(entry.to_vec());
            Ok(())
        })
        .unwrap();
    assert!(entries.iter().any(|entry| entry == b"\"reset\""));
    let house = House::open(&flags, clock, Box::new(journal)).await;
    assert_eq!(house.get("/v1/jobs").await.json()["jobs"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_its_jobs_forgets_nothing() {
    let clock = Clock::running(START, NonZeroU32::MIN);
    let house = House::open(&[], clock, Box::new(MemoryJournal::new())).await;
    house.post("/v1/jobs", json!({})).await;
    assert_eq!(
        house.ask("POST", "/v1/reset", None).await.code(),
        "conflict"
    );
    assert_eq!(
        house.get("/v1/jobs").await.json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
