//! The report card, by what clients do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::House;

impl House {
    /// The same server, asked by a program of that name.
    fn by(&self, agent: &str) -> Self {
        self.with_header("user-agent", agent)
    }

    /// The card of the program of that name.
    async fn card(&self, agent: &str) -> Value {
        self.judged(agent, "").await
    }

    /// The same, by those limits.
    async fn judged(&self, agent: &str, limits: &str) -> Value {
        let report = self.get(&format!("/v1/report?{limits}")).await.json();
        let clients = report["clients"].as_array().unwrap();
        let card = clients
            .iter()
            .find(|card| card["client"].as_str().unwrap().starts_with(agent));
        card.unwrap_or_else(|| panic!("{agent} is not in {report}"))
            .clone()
    }

    /// Looks at that path until the job is done, after pauses of that many milliseconds.
    async fn poll(&self, path: &str, pause_ms: u64) {
        while self.get(path).await.json()["done"] == false {
            self.pass(pause_ms).await;
        }
    }
}

fn verdicts(card: &Value) -> Vec<&str> {
    let verdicts = card["verdicts"].as_array().unwrap();
    let bad = verdicts.iter().filter(|verdict| verdict["pass"] == false);
    bad.map(|verdict| verdict["rule"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_apart_by_how_they_wait() {
    let house = House::with(&[("rate-limit", "off")]).await;
    for _ in 0..3 {
        let path = format!("/v1/jobs/{}", house.by("maker").job(10_000).await);
        let (hasty, polite, late, held) = (
            house.by("hasty/1.0 (of many words)"),
            house.by("polite"),
            house.by("late"),
            house.by("held"),
        );
        let hold = format!("{path}?wait=60");
        tokio::join!(
            hasty.poll(&path, 100),
            polite.poll(&path, 1_000),
            late.poll(&path, 7_000),
            held.get(&hold),
        );
    }
    let hasty = house.card("hasty/1.0 · 127.0.0.1").await;
    assert_eq!(
        (&hasty["jobs"], &hasty["ended"], &hasty["channel"]),
        (&json!(3), &json!(3), &json!("poll"))
    );
    let per_job = hasty["requests_per_job"].as_f64().unwrap();
    assert!((100.0..=102.0).contains(&per_job), "{per_job}");
    assert_eq!(hasty["optimum_per_job"], 1.0);
    // Requests and lateness are graded, and judged only if a limit is asked for.
    assert_eq!(
        (&hasty["grade"], &hasty["pass"]),
        (&json!("poor"), &json!(true))
    );
    let limits = "requests_per_job=10&wasted_per_job=5&detection_p95_ms=2000&cost_ratio=3";
    assert_eq!(
        verdicts(&house.judged("hasty", limits).await),
        ["cost_ratio", "requests_per_job", "wasted_per_job"]
    );

    let polite = house.card("polite").await;
    assert_eq!(
        polite["retry_after"]["given"],
        polite["retry_after"]["obeyed"]
    );
    assert!(polite["retry_after"]["given"].as_u64().unwrap() >= 27);
    assert_eq!(polite["grade"], "good");
    assert_eq!(
        verdicts(&house.judged("polite", limits).await),
        ["requests_per_job", "wasted_per_job"]
    );

    let late = house.card("late").await;
    assert_eq!(
        (&late["detection_ms"]["mean"], &late["detection_ms"]["p95"]),
        (&json!(4_000), &json!(4_000))
    );
    assert_eq!(late["grade"], "good");
    let bound = late["bound_s"].as_f64().unwrap();
    assert!((bound - 4.74).abs() < 0.01, "{bound}");
    assert_eq!(late["cost_s"], 5.5);
    assert_eq!(
        verdicts(&house.judged("late", limits).await),
        ["detection_p95_ms"]
    );

    let held = house.card("held").await;
    assert_eq!(
        (&held["channel"], &held["grade"]),
        (&json!("long_poll"), &json!("good"))
    );
    assert_eq!(
        (&held["requests_per_job"], &held["detection_ms"]["max"]),
        (&json!(1.0), &json!(0))
    );

    let maker = house.card("maker").await;
    assert_eq!(
        (
            &maker["creates"],
            &maker["requests"],
            &maker["identical_creates"]
        ),
        (&json!(3), &json!(3), &json!(2))
    );
    assert_eq!(
        (&maker["pass"], &maker["grade"]),
        (&json!(true), &Value::Null)
    );

    let report = house.get("/v1/report").await.json();
    assert_eq!(
        (&report["jobs"], &report["pass"]),
        (&json!(3), &json!(true))
    );
    let strict = house.get(&format!("/v1/report?{limits}")).await.json();
    assert_eq!(strict["pass"], false);
    let lenient = "/v1/report?requests_per_job=200&wasted_per_job=200&detection_p95_ms=9000&retry_after_ignored=1000";
    assert_eq!(house.get(lenient).await.json()["pass"], true);
    assert_eq!(house.get("/v1/report?requests=1").await.status, 422);

    assert_eq!(house.ask("DELETE", "/v1/report", None).await.status, 204);
    let report = house.get("/v1/report").await.json();
    assert_eq!(
        (&report["clients"], &report["pass"]),
        (&json!([]), &json!(true))
    );
}

#[tokio::test(start_paused = true)]
async fn streams_sets_and_held_creates_are_one_request_each() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let id = house.by("maker").job(5_000).await;
    house
        .by("stream")
        .events(&format!("/v1/jobs/{id}/events"))
        .await
        .rest()
        .await;
    let stream = house.card("stream").await;
    assert_eq!(
        (&stream["requests"], &stream["ended"], &stream["channel"]),
        (&json!(1), &json!(1), &json!("stream"))
    );

    let ids: Vec<_> = [
        house.by("maker").job(5_000).await,
        house.by("maker").job(5_000).await,
    ]
    .into();
    let wait = json!({"jobs": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>(), "wait": 30, "until": "done"});
    house.by("set").post("/v1/jobs/wait", wait).await;
    let set = house.card("set").await;
    assert_eq!(
        (&set["requests"], &set["ended"], &set["requests_per_job"]),
        (&json!(1), &json!(2), &json!(0.5))
    );

    let house = house.by("creator").with_header("prefer", "wait=30");
    house.job_held(5_000).await;
    let creator = house.card("creator").await;
    assert_eq!(
        (
            &creator["requests"],
            &creator["ended"],
            &creator["optimum_per_job"]
        ),
        (&json!(1), &json!(1), &json!(1.0))
    );
    assert_eq!(creator["pass"], true);
}

impl House {
    async fn job_held(&self, millis: u64) {
        let simulate = json!({"duration": {"fixed": format!("{millis}ms")}, "outcome": {"error_chance": 0}, "stages": []});
        let answer = self.post("/v1/jobs", json!({ "simulate": simulate })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_tried_again_without_a_key_is_a_duplicate() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let faults = json!({"faults": [{"fault": "error", "on": "create", "first": 1}]});
    house.ask("PATCH", "/v1/simulator", Some(faults)).await;
    let body = json!({"kind": "film"});
    for (agent, key) in [("careless", None), ("careful", Some("k1"))] {
        let mut client = house.by(agent);
        if let Some(key) = key {
            client = client.with_header("idempotency-key", key);
        }
        assert_eq!(client.post("/v1/jobs", body.clone()).await.status, 503);
        // A job of its own meets its own first fault; under a key it is the same job again.
        client.post("/v1/jobs", body.clone()).await;
    }
    let careless = house.card("careless").await;
    assert_eq!(
        (&careless["duplicate_creates"], &careless["creates"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(verdicts(&careless), ["duplicate_creates"]);
    let careful = house.card("careful").await;
    assert_eq!(
        (&careful["duplicate_creates"], &careful["replayed_creates"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(careful["pass"], true);
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_client_went_away_counts_as_lost() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let faults = json!({"faults": [{"fault": "latency", "on": "create", "delay": "1h"}]});
    house.ask("PATCH", "/v1/simulator", Some(faults)).await;
    let client = house.by("impatient");
    let create = client.post("/v1/jobs", json!({}));
    let gone = tokio::time::timeout(Duration::from_secs(10), create).await;
    assert!(gone.is_err());
    house
        .ask("PATCH", "/v1/simulator", Some(json!({"faults": []})))
        .await;
    assert_eq!(client.post("/v1/jobs", json!({})).await.status, 202);
    let card = house.card("impatient").await;
    assert_eq!(
        (&card["duplicate_creates"], &card["failed"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn failed_reads_and_refusals_count_and_whoever_ignores_them_fails() {
    let house = House::with(&[("rate-limit", "3/min")]).await;
    let client = house.by("stubborn");
    let path = format!("/v1/jobs/{}", client.job(60_000).await);
    assert_eq!(client.get(&path).await.status, 200);
    house.pass(1_000).await;
    assert_eq!(client.get(&path).await.status, 200);
    for _ in 0..4 {
        house.pass(1_000).await;
        assert_eq!(client.get(&path).await.status, 429);
    }
    house.pass(600_000).await;
    let card = client.card("stubborn").await;
    assert_eq!((&card["failed"], &card["requests"]), (&json!(4), &json!(7)));
    // The first refusal came when it was told; the three after it did not.
    assert_eq!(card["retry_after"], json!({"given": 5, "obeyed": 2}));
    assert_eq!(verdicts(&card), ["retry_after_ignored"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_sees_the_clients_of_its_own_jobs() {
    let house = House::with(&[
        ("api-key", "alpha-alpha-alpha-alpha"),
        ("api-key", "beta-beta-beta-beta-beta"),
    ])
    .await;
    let alpha = house
        .with_header("authorization", "Bearer alpha-alpha-alpha-alpha")
        .by("a");
    let beta = house
        .with_header("authorization", "Bearer beta-beta-beta-beta-beta")
        .by("b");
    let id = alpha.job(1_000).await;
    alpha.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(beta.get(&format!("/v1/jobs/{id}")).await.status, 404);
    let card = alpha.card("a").await;
    let name = card["client"].as_str().unwrap();
    assert!(name.contains("key ") && !name.contains("alpha"), "{name}");
    let of_beta = beta.get("/v1/report").await.json();
    let clients = of_beta["clients"].as_array().unwrap();
    assert_eq!(clients.len(), 1);
    assert!(clients[0]["client"].as_str().unwrap().starts_with("b "));
    beta.ask("DELETE", "/v1/report", None).await;
    assert_eq!(alpha.card("a").await["requests"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_looks_at_a_job_say_who_learned_what() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let id = house.job(2_000).await;
    let path = format!("/v1/jobs/{id}");
    house.by("a").poll(&path, 1_500).await;
    house.by("b").get(&format!("/status/{id}")).await;
    let looks = house.get(&format!("{path}/looks")).await.json();
    let seen: Vec<_> = looks["looks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|look| {
            let client = look["client"].as_str().unwrap().split(' ').next().unwrap();
            (
                client.to_owned(),
                look["revision"].as_u64().unwrap(),
                look["news"].as_bool().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("a", 2, true),
        ("a", 2, false),
        ("a", 3, true),
        ("b", 3, true),
    ];
    assert_eq!(
        seen,
        expected.map(|(client, revision, news)| (client.to_owned(), revision, news))
    );
}
