//! That the description and the server are about the same routes.

use std::collections::BTreeSet;

use abide_server::http::answer::Body;
use http::Request;
use serde_json::Value;

use crate::common::{Answer, House};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

async fn description(house: &House) -> Value {
    let answer = house.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

fn described(description: &Value) -> BTreeSet<String> {
    let paths = description["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_is_described_is_there_and_no_other_method_of_its_paths() {
    let house = House::with(&[]).await;
    let described = described(&description(&house).await);
    assert!(described.len() >= 40, "{described:?}");
    let paths: BTreeSet<&str> = described
        .iter()
        .map(|route| route.split_once(' ').unwrap().1)
        .collect();
    for path in paths {
        let place = path.replace("{id}", "job_nobody");
        for method in METHODS {
            let request = Request::builder().method(method).uri(&place);
            let response = house.send(request.body(Body::Empty).unwrap()).await;
            if response
                .headers()
                .get("content-type")
                .is_some_and(|kind| kind == "text/event-stream")
            {
                // It has no end to read to.
                assert!(described.contains(&format!("{method} {path}")));
                continue;
            }
            let answer = Answer::read(response).await;
            if described.contains(&format!("{method} {path}")) {
                assert_ne!(answer.status, 405, "{method} {path}");
                assert!(
                    !answer.text.contains("nothing at this path"),
                    "{method} {path}"
                );
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.code(), "method_not_allowed");
            let allowed: BTreeSet<&str> =
                answer.header("allow").split(',').map(str::trim).collect();
            let mut expected: BTreeSet<&str> = METHODS
                .into_iter()
                .filter(|method| described.contains(&format!("{method} {path}")))
                .collect();
            if expected.contains("GET") {
                expected.insert("HEAD");
            }
            assert_eq!(allowed, expected, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_where_there_are_some() {
    let security =
        |description: &Value, path: &str| description["paths"][path]["get"]["security"].clone();
    let open = description(&House::with(&[]).await).await;
    assert_eq!(security(&open, "/v1/jobs"), Value::Null);
    // A client without a key must be able to read how keys are sent.
    let keyed = description(&House::with(&[("api-key", "alpha-alpha-alpha-alpha")]).await).await;
    assert_eq!(
        security(&keyed, "/v1/jobs"),
        serde_json::json!([{"key": []}])
    );
    assert_eq!(
        security(&keyed, "/metrics"),
        serde_json::json!([{"key": []}])
    );
    assert_eq!(security(&keyed, "/healthz"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let description = description(&House::with(&[]).await).await;
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(place).is_some(), "{reference}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_pages_are_there_and_come_from_nowhere_else() {
    let house = House::with(&[("api-key", "alpha-alpha-alpha-alpha")]).await;
    let answer = house.get("/docs").await;
    assert_eq!((answer.status, answer.header("location")), (308, "/docs/"));
    let page = Request::get("/docs/").body(Body::Empty).unwrap();
    let page = house.send(page).await;
    let headers = page.headers();
    assert_eq!(headers["content-type"], "text/html");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self'; "), "{policy}");
    assert!(
        !policy.contains("http") && !policy.contains("unsafe"),
        "{policy}"
    );
    let answer = house.get("/docs/swagger-initializer.js").await;
    assert!(answer.text.contains("/openapi.json"), "{}", answer.text);
    assert!(!answer.text.contains("http"), "{}", answer.text);
    assert_eq!(house.get("/docs/no.js").await.code(), "not_found");
}
