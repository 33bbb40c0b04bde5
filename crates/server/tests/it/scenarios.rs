//! Each scenario that is built in does to clients what its description says.

use std::collections::BTreeMap;

use abide_server::clock::Clock;
use abide_server::http::answer::Body;
use abide_server::journal::MemoryJournal;
use http::Request;
use serde_json::{Value, json};

use crate::common::{House, START};

async fn under(scenario: &str) -> House {
    House::with(&[("scenario", scenario), ("rate-limit", "off")]).await
}

/// A job of two seconds, which may have to be created more than once.
async fn job(house: &House) -> String {
    let body = json!({"simulate": {"duration": {"fixed": "2s"}, "outcome": {"error_chance": 0}}});
    loop {
        let answer = house.post("/v1/jobs", body.clone()).await;
        if answer.status == 202 {
            return answer.json()["id"].as_str().unwrap().to_owned();
        }
    }
}

/// What a read was answered with, whether its body came whole, and how long it took.
async fn read(house: &House, path: &str) -> (u16, String, u128) {
    let begun = house.clock.elapsed();
    let request = Request::get(path).body(Body::Empty).unwrap();
    let response = house.send(request).await;
    let status = response.status().as_u16();
    let decision = response.headers().get("sim-decision");
    let decision = decision.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
    // A body that breaks off is part of what is tried.
    let _ = response.into_body().collect(1 << 20).await;
    (
        status,
        decision,
        (house.clock.elapsed() - begun).as_millis(),
    )
}

#[tokio::test(start_paused = true)]
async fn all_that_are_built_in_are_tried_here() {
    let listed = House::with(&[])
        .await
        .get("/v1/simulator/scenarios")
        .await
        .json();
    let names: Vec<&str> = listed["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scenario| scenario["name"].as_str().unwrap())
        .collect();
    let tried = [
        "flaky",
        "lost-webhooks",
        "mute-streams",
        "rate-limited",
        "slow-start",
        "stale-reads",
        "stuck",
    ];
    assert_eq!(names, tried);
}

#[tokio::test(start_paused = true)]
async fn flaky_fails_one_answer_in_ten_and_delays_one_in_five() {
    let house = under("flaky").await;
    let id = job(&house).await;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..1_000 {
        let (_, decision, _) = read(&house, &format!("/v1/jobs/{id}")).await;
        for what in decision.split(", ") {
            *seen.entry(what.to_owned()).or_default() += 1;
        }
    }
    let share = |what: &str| {
        seen.iter()
            .filter(|(name, _)| name.starts_with(what))
            .map(|(_, n)| n)
            .sum::<u32>()
    };
    assert!((40..=110).contains(&share("error")), "{seen:?}");
    assert!((130..=260).contains(&share("latency")), "{seen:?}");
    let mut failed = 0;
    for _ in 0..300 {
        failed += u32::from(house.post("/v1/jobs", json!({})).await.status == 500);
    }
    assert!((12..=50).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn slow_start_fails_three_reads_and_delays_two() {
    let house = under("slow-start").await;
    let id = job(&house).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let (status, _, took) = read(&house, &format!("/v1/jobs/{id}")).await;
        seen.push((status, took / 1_000));
    }
    assert_eq!(
        seen,
        [(503, 0), (503, 0), (503, 0), (200, 3), (200, 3), (200, 0)]
    );
}

#[tokio::test(start_paused = true)]
async fn rate_limited_refuses_every_third_read() {
    let house = under("rate-limited").await;
    let id = job(&house).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let answer = house.get(&format!("/v1/jobs/{id}")).await;
        seen.push((answer.status, answer.header("retry-after").to_owned()));
    }
    assert_eq!((seen[2].0, seen[2].1.as_str()), (429, "3"));
    assert_eq!(seen[5].0, 429);
    assert!(seen.iter().filter(|(status, _)| *status == 200).count() == 4);
}

#[tokio::test(start_paused = true)]
async fn stale_reads_show_ends_and_results_late() {
    let house = under("stale-reads").await;
    let mut stale = 0;
    for _ in 0..50 {
        let id = job(&house).await;
        house.pass(2_100).await;
        let first = house.get(&format!("/v1/jobs/{id}")).await.json();
        stale += u32::from(first["done"] == false);
        assert_eq!(first["result"], Value::Null);
        house.pass(3_100).await;
        let last = house.get(&format!("/v1/jobs/{id}")).await.json();
        assert_eq!(last["done"], true);
        assert_ne!(last["result"], Value::Null);
    }
    assert!((12..=38).contains(&stale), "{stale}");
}

#[tokio::test(start_paused = true)]
async fn stuck_lets_one_job_in_five_never_end() {
    let clock = Clock::manual(START);
    let flags = [
        ("scenario", "stuck"),
        ("rate-limit", "off"),
        ("clock", "manual"),
    ];
    let house = House::open(&flags, clock, Box::new(MemoryJournal::new())).await;
    for _ in 0..200 {
        job(&house).await;
    }
    house
        .post("/v1/clock/advance", json!({"seconds": "10h"}))
        .await;
    let running = house.get("/v1/jobs?status=running&limit=1000").await.json();
    let stuck = running["jobs"].as_array().unwrap().len();
    assert!((22..=60).contains(&stuck), "{stuck}");
}

#[tokio::test(start_paused = true)]
async fn mute_streams_say_nothing() {
    let house = under("mute-streams").await;
    let id = job(&house).await;
    let mut events = house.events(&format!("/v1/jobs/{id}/events")).await;
    let silence = std::time::Duration::from_secs(600);
    let heard = async {
        while events
            .event()
            .await
            .is_some_and(|event| event.data["done"] == false)
        {}
    };
    let heard = tokio::time::timeout(silence, heard).await;
    assert!(heard.is_err(), "the end was heard of");
    // A read knows better.
    assert_eq!(
        house.get(&format!("/v1/jobs/{id}")).await.json()["done"],
        true
    );
}

#[tokio::test(start_paused = true)]
async fn lost_webhooks_are_lost_doubled_and_late() {
    let house = under("lost-webhooks").await;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let body = json!({
        "simulate": {"duration": {"fixed": "1s"}, "outcome": {"error_chance": 0}},
        "webhook": {"url": "http://127.0.0.1:9/", "events": ["job.completed"]},
    });
    let mut ids = Vec::new();
    for _ in 0..300 {
        let made = house.post("/v1/jobs", body.clone()).await.json();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    house.pass(2_000).await;
    for id in ids {
        let deliveries = house.get(&format!("/v1/jobs/{id}/deliveries")).await.json();
        let decision = deliveries["deliveries"][0]["sim_decision"]
            .as_str()
            .unwrap_or("none");
        for what in decision.split(", ") {
            *seen.entry(what.to_owned()).or_default() += 1;
        }
    }
    let share = |what: &str| {
        seen.iter()
            .filter(|(name, _)| name.starts_with(what))
            .map(|(_, n)| n)
            .sum::<u32>()
    };
    assert!((60..=120).contains(&share("webhook_lost")), "{seen:?}");
    assert!((22..=65).contains(&share("webhook_doubled")), "{seen:?}");
    assert!((15..=55).contains(&share("webhook_late")), "{seen:?}");
}
