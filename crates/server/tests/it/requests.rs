//! What clients asked, as `GET /v1/requests` tells a test.

use serde_json::{Value, json};

use crate::common::House;

async fn asked(house: &House, query: &str) -> Vec<Value> {
    let answer = house.get(&format!("/v1/requests{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["requests"].as_array().unwrap().clone()
}

fn lines(asked: &[Value]) -> Vec<String> {
    let line = |it: &Value| {
        let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} {} {}",
            text("method"),
            text("target"),
            it["status"],
            text("fault")
        )
    };
    asked.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_job_are_told_with_their_answers_and_faults() {
    let house = House::with(&[])
        .await
        .with_header("user-agent", "poller/1.0 (x)");
    let other = house.job(60_000).await;
    let faults =
        json!({"faults": [{"fault": "error", "first": 1, "status": 503}], "duration": "60s"});
    let made = house
        .post("/v1/jobs", json!({ "simulate": faults }))
        .await
        .json();
    let id = made["id"].as_str().unwrap();
    house.get(&format!("/v1/jobs/{id}")).await;
    house.get(&format!("/v1/jobs/{id}?wait=0")).await;
    house.get("/healthz").await;
    house.get("/v1/clock").await;
    let of_job = asked(&house, &format!("?job={id}")).await;
    assert_eq!(
        lines(&of_job),
        [
            "POST /v1/jobs 202 ".to_owned(),
            format!("GET /v1/jobs/{id} 503 error"),
            format!("GET /v1/jobs/{id}?wait=0 200 "),
        ]
    );
    assert_eq!(of_job[0]["client"], "poller/1.0 · 127.0.0.1");
    let all = asked(&house, "").await;
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(asked(&house, &format!("?job={other}")).await.len(), 1);
    assert_eq!(asked(&house, "?client=poller").await.len(), 4);
    assert_eq!(asked(&house, "?client=curl").await.len(), 0);
    let after = format!("?after={}", all[2]["n"]);
    assert_eq!(lines(&asked(&house, &after).await), lines(&all[3..]));
    assert_eq!(house.get("/v1/requests?limit=0").await.status, 422);
}

#[tokio::test(start_paused = true)]
async fn requests_are_an_operators_to_read_and_can_be_left_unkept() {
    let keys = "ann:admin:a-secret-of-20-chars,bob:user:a-secret-of-21-chars!";
    let house = House::with(&[("api-key", keys)]).await;
    let bob = house.with_header("authorization", "Bearer a-secret-of-21-chars!");
    let ann = house.with_header("authorization", "Bearer a-secret-of-20-chars");
    bob.job(1_000).await;
    assert_eq!(bob.get("/v1/requests").await.status, 403);
    assert_eq!(asked(&ann, "").await.len(), 1);

    let house = House::with(&[("requests-kept", "0")]).await;
    house.job(1_000).await;
    assert_eq!(asked(&house, "").await.len(), 0);
}
