//! A request whose head came before on its connection is answered as it would be on a new one.

use abide_server::config::Layers;
use abide_server::http::Gate;
use abide_server::http::answer::Body;
use http::Request;

use crate::common::{Answer, House};

const KEY: &str = "alpha-alpha-alpha-alpha";

async fn ask(gate: &Gate, method: &str, path: &str, lines: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let body = match method {
        "GET" | "HEAD" => Body::Empty,
        _ => Body::from(r#"{"worker":"external"}"#),
    };
    let answer = gate.answer(request.body(body).unwrap()).answer().await;
    Answer::read(answer).await
}

/// What doesn't depend on how many were answered before.
fn shown(mut answer: Answer) -> (u16, Vec<(String, String)>, String) {
    for name in [
        "x-request-id",
        "ratelimit",
        "location",
        "operation-location",
        "x-ratelimit-remaining",
    ] {
        answer.headers.remove(name);
    }
    let headers = answer.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    // Each create makes another job.
    let text = if answer.status == 202 {
        String::new()
    } else {
        answer.text.clone()
    };
    (answer.status, headers.collect(), text)
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_again_is_answered_as_a_new_one_is() {
    let house = House::with(&[("api-key", KEY), ("cors-origin", "https://page.example")]).await;
    let keyed = house.with_header("authorization", &format!("Bearer {KEY}"));
    let id = keyed
        .post("/v1/jobs", serde_json::json!({"worker": "external"}))
        .await;
    let id = id.json()["id"].as_str().unwrap().to_owned();
    let job = format!("/v1/jobs/{id}");
    type Lines<'l> = &'l [(&'l str, &'l str)];
    let table: &[(&str, &str, Lines<'_>)] = &[
        ("GET", &job, &[]),
        ("HEAD", &job, &[]),
        ("GET", &job, &[("if-none-match", "\"1\"")]),
        ("GET", &job, &[("origin", "https://page.example")]),
        ("GET", &format!("{job}?until=done"), &[]),
        ("GET", "/v1/jobs?limit=1", &[]),
        ("GET", &format!("/status/{id}"), &[]),
        ("GET", "/healthz", &[]),
        ("POST", "/v1/jobs", &[]),
        ("POST", &format!("{job}/cancel"), &[]),
        ("GET", "/v1/jobs/job_nothing", &[("x-request-id", "mine")]),
    ];
    let gate = house.gate();
    for (method, path, lines) in table {
        let alone = shown(ask(&house.gate(), method, path, lines).await);
        for time in 0..3 {
            let again = shown(ask(&gate, method, path, lines).await);
            assert_eq!(again, alone, "{method} {path} {lines:?}, time {time}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_again_counts_against_limits_and_needs_a_key_that_is_good_now() {
    let house = House::with(&[("api-key", KEY), ("rate-limit", "3/min")]).await;
    let gate = house.gate();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&gate, "GET", "/v1/jobs", &[]).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    house.pass(60_000).await;
    assert_eq!(ask(&gate, "GET", "/v1/jobs", &[]).await.status, 200);
    let layers = Layers::default().flag("api-key", "other-other-other-other");
    let keys = layers.resolve().unwrap().config.api_keys;
    house.state.access.reload(&keys);
    assert_eq!(ask(&gate, "GET", "/v1/jobs", &[]).await.status, 401);
}
