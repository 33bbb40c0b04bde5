//! Every bound of what a request may say, met from both sides, and told by name and number.

use serde_json::{Value, json};

use crate::common::{Answer, House};

/// That number of members, each with its own name.
fn members(count: usize) -> Value {
    (0..count)
        .map(|n| (format!("m{n}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn list(count: usize, item: &Value) -> Value {
    vec![item.clone(); count].into()
}

/// What goes wrong, on a job.
fn simulate(member: &str, value: impl Into<Value>) -> Value {
    json!({"simulate": {member: value.into()}})
}

fn faulty(member: &str, value: impl Into<Value>) -> Value {
    simulate("faults", json!([{"fault": "error", member: value.into()}]))
}

fn said(answer: &Answer) -> String {
    answer.json()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn every_bound_of_a_body_is_told_by_its_member_and_its_number() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let x = |count| json!("x".repeat(count));
    // Characters are counted, as descriptions of interfaces do, not bytes.
    let wide = |count| json!("ø".repeat(count));
    let stage = json!({"name": "a", "share": 1});
    let fault = json!({"fault": "latency"});
    let item = json!({"id": "job_nobody"});
    let url = |length: usize| format!("http://127.0.0.1/{}", "x".repeat(length - 17));
    // Where, what is just taken, what is just not, and what must be in the refusal.
    let table = [
        (
            "/v1/jobs",
            json!({"kind": wide(100)}),
            json!({"kind": wide(101)}),
            ["`kind`", "100"],
        ),
        // Neither a key of PostgreSQL nor a variable of a worker's command can hold one.
        (
            "/v1/jobs",
            json!({"kind": "a\u{1}b"}),
            json!({"kind": "a\0b"}),
            ["`kind`", "NUL"],
        ),
        (
            "/v1/jobs",
            json!({"metadata": members(50)}),
            json!({"metadata": members(51)}),
            ["`metadata`", "50"],
        ),
        (
            "/v1/jobs",
            simulate("stages", list(50, &stage)),
            simulate("stages", list(51, &stage)),
            ["`stages`", "50"],
        ),
        (
            "/v1/jobs",
            simulate("faults", list(50, &fault)),
            simulate("faults", list(51, &fault)),
            ["`faults`", "50"],
        ),
        (
            "/v1/jobs",
            simulate("key", wide(100)),
            simulate("key", wide(101)),
            ["`key`", "100"],
        ),
        (
            "/v1/jobs",
            simulate("stages", json!([{"name": wide(100), "share": 1}])),
            simulate("stages", json!([{"name": wide(101), "share": 1}])),
            ["`name`", "100"],
        ),
        (
            "/v1/jobs",
            simulate("stages", json!([{"name": "a", "share": 1e6}])),
            simulate("stages", json!([{"name": "a", "share": 1e7}])),
            ["`share`", "1000000"],
        ),
        (
            "/v1/jobs",
            simulate("duration", json!({"empirical": list(10_000, &json!(1))})),
            simulate("duration", json!({"empirical": list(10_001, &json!(1))})),
            ["`empirical`", "10000"],
        ),
        (
            "/v1/jobs",
            simulate("duration", json!({"fixed": "366d"})),
            simulate("duration", json!({"fixed": "367d"})),
            ["duration.fixed", "366"],
        ),
        (
            "/v1/jobs",
            simulate("duration", json!({"lognormal": {"median": 1, "sigma": 5}})),
            simulate("duration", json!({"lognormal": {"median": 1, "sigma": 6}})),
            ["`sigma`", "5"],
        ),
        (
            "/v1/jobs",
            simulate("duration", json!({"uniform": {"min": 2, "max": 2}})),
            simulate("duration", json!({"uniform": {"min": 3, "max": 2}})),
            ["`min`", "2s"],
        ),
        (
            "/v1/jobs",
            simulate("outcome", json!({"error_chance": 1})),
            simulate("outcome", json!({"error_chance": 1.1})),
            ["`error_chance`", "1"],
        ),
        (
            "/v1/jobs",
            faulty("chance", json!(1)),
            faulty("chance", json!(2)),
            ["`chance`", "1"],
        ),
        (
            "/v1/jobs",
            faulty("status", json!(599)),
            faulty("status", json!(600)),
            ["`status`", "599"],
        ),
        (
            "/v1/jobs",
            faulty("every", json!(1)),
            faulty("every", json!(0)),
            ["`every`", "1"],
        ),
        (
            "/v1/jobs",
            faulty("nth", list(100, &json!(1))),
            faulty("nth", list(101, &json!(1))),
            ["`nth`", "100"],
        ),
        (
            "/v1/jobs",
            faulty("word", x(100)),
            faulty("word", x(101)),
            ["`word`", "100"],
        ),
        (
            "/v1/jobs",
            json!({"deadline_s": "366d"}),
            json!({"deadline_s": "400d"}),
            ["`deadline_s`", "366"],
        ),
        (
            "/v1/jobs",
            json!({"webhook": {"url": url(2_048)}}),
            json!({"webhook": {"url": url(2_049)}}),
            ["`webhook.url`", "2048"],
        ),
        (
            "/v1/jobs/wait",
            json!({"jobs": list(1_000, &item)}),
            json!({"jobs": list(1_001, &item)}),
            ["`jobs`", "1000"],
        ),
        (
            "/v1/webhooks",
            json!({"url": url(2_048)}),
            json!({"url": url(2_049)}),
            ["`url`", "2048"],
        ),
        (
            "/v1/webhooks",
            json!({"url": url(99), "description": wide(500)}),
            json!({"url": url(99), "description": wide(501)}),
            ["`description`", "500"],
        ),
        (
            "/v1/webhooks",
            json!({"url": url(99), "events": ["job.*"]}),
            json!({"url": url(99), "events": ["job.odd"]}),
            ["`events`", "job.odd"],
        ),
        (
            "/v1/webhooks",
            json!({"url": url(99), "secret": format!("whsec_{}", "A".repeat(32))}),
            json!({"url": url(99), "secret": "whsec_AAAA"}),
            ["`secret`", "24"],
        ),
    ];
    let mut wrong = Vec::new();
    for (path, taken, refused, names) in table {
        let answer = house.post(path, taken).await;
        if answer.status >= 300 {
            wrong.push(format!(
                "{path} {names:?} refuses its bound: {}",
                answer.text
            ));
        }
        let answer = house.post(path, refused).await;
        let said = said(&answer);
        if answer.status != 422 || !names.iter().all(|name| said.contains(name)) {
            wrong.push(format!("{path} {names:?}: {} {said}", answer.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn every_bound_of_a_query_or_header_is_told_by_its_name_and_its_number() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let ids = |count: usize| vec!["job_nobody"; count].join(",");
    let filters = |count: usize| {
        let filters: Vec<String> = (0..count).map(|n| format!("metadata.m{n}=1")).collect();
        filters.join("&")
    };
    let table = [
        (
            "limit=1000".to_owned(),
            "limit=1001".to_owned(),
            ["`limit`", "1000"],
        ),
        ("limit=1".to_owned(), "limit=0".to_owned(), ["`limit`", "1"]),
        (
            format!("ids={}", ids(1_000)),
            format!("ids={}", ids(1_001)),
            ["`ids`", "1000"],
        ),
        (filters(10), filters(11), ["metadata", "10"]),
        (
            "status=failed".to_owned(),
            "status=faled".to_owned(),
            ["`status`", "faled"],
        ),
        (
            "status=failed,pending".to_owned(),
            "status=".to_owned(),
            ["`status`", "pending"],
        ),
        (
            "created_after=2026-01-01T00:00:00Z".to_owned(),
            "created_after=noon".to_owned(),
            ["`created_after`", "noon"],
        ),
        ("kind=a".to_owned(), "knd=a".to_owned(), ["`knd`", "`kind`"]),
        (
            "kind=a".to_owned(),
            "page_token=AAAA".to_owned(),
            ["`page_token`", "ours"],
        ),
    ];
    for (taken, refused, names) in table {
        let answer = house.get(&format!("/v1/jobs?{taken}")).await;
        assert_eq!(answer.status, 200, "{taken}: {}", answer.text);
        let answer = house.get(&format!("/v1/jobs?{refused}")).await;
        assert_eq!(answer.code(), "invalid_member");
        let said = said(&answer);
        assert!(
            names.iter().all(|name| said.contains(name)),
            "{names:?}: {said}"
        );
    }
    for (length, status) in [(255, 202), (256, 422)] {
        let house = house.with_header("idempotency-key", &"k".repeat(length));
        let answer = house.post("/v1/jobs", json!({})).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(
            status == 202 || said(&answer).contains("255"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_have_so_many_bytes_and_brackets() {
    let house = House::with(&[]).await;
    let body = |bytes: usize| json!({"input": "x".repeat(bytes - 12)});
    assert_eq!(body(100).to_string().len(), 100);
    assert_eq!(house.post("/v1/jobs", body(256 * 1024)).await.status, 202);
    let answer = house.post("/v1/jobs", body(256 * 1024 + 1)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    assert!(said(&answer).contains("262144"), "{}", answer.text);
    let deep = |depth: usize| {
        let mut value = json!(1);
        for _ in 1..depth {
            value = json!([value]);
        }
        json!({ "input": value })
    };
    assert_eq!(house.post("/v1/jobs", deep(120)).await.status, 202);
    let answer = house.post("/v1/jobs", deep(121)).await;
    assert_eq!(answer.code(), "invalid_json");
    assert!(said(&answer).contains("120"), "{}", answer.text);
}
