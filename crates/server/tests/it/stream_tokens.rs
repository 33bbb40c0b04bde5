//! Tokens for event streams, and what a trusted proxy says of the path.

use std::num::NonZeroU32;
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::config::Layers;
use abide_server::journal::MemoryJournal;
use serde_json::json;

use crate::common::{House, START};

const KEYS: &str = "ann:user:a-secret-of-20-chars,bob:read:a-secret-of-21-chars!";

/// A server whose system has the paused time too.
async fn house() -> House {
    let time = Clock::running(START, NonZeroU32::MIN);
    let clock = Clock::of_system(move || time.now(), NonZeroU32::MIN);
    let journal = Box::new(MemoryJournal::new());
    House::open(&[("api-key", KEYS)], clock, journal).await
}

/// Gives a server those keys for the ones that it has.
fn reload(house: &House, keys: &str) {
    let layers = Layers::default().flag("api-key", keys);
    let config = layers.resolve().unwrap().config;
    house.state.access.reload(&config.api_keys);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_the_key_that_made_it() {
    let house = house().await;
    let reload = |keys: &str| reload(&house, keys);
    let ann = house.with_header("authorization", "Bearer a-secret-of-20-chars");
    let made = ann.post("/v1/stream-tokens", json!({"ttl": "10m"})).await;
    let path = format!(
        "/v1/events?token={}",
        made.json()["token"].as_str().unwrap()
    );
    reload(&format!("ann:user:another-secret-of-ann,{KEYS}"));
    house.events(&path).await;
    reload("ann:user:another-secret-of-ann");
    assert_eq!(house.get(&path).await.status, 401);
    reload("eve:user:a-secret-of-20-chars");
    assert_eq!(house.get(&path).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_keys_have_changed_and_goes_on_for_those_that_are_left() {
    let house = house().await;
    let reload = |keys: &str| reload(&house, keys);
    let ann = house.with_header("authorization", "Bearer a-secret-of-20-chars");
    let id = ann.job(3_600_000).await;
    let path = format!("/v1/jobs/{id}/events");
    let (mut job, mut feed) = (ann.events(&path).await, ann.events("/v1/events").await);
    let first = job.event().await.unwrap().id;
    // The same keys, such as with a certificate that is new: nothing has changed.
    reload(KEYS);
    reload("bob:read:a-secret-of-21-chars!,ann:user:a-secret-of-20-chars");
    let lives = async {
        tokio::join!(job.rest(), feed.rest());
    };
    let lives = tokio::time::timeout(Duration::from_secs(60), lives).await;
    assert!(lives.is_err(), "a stream has ended");

    reload("bob:read:a-secret-of-21-chars!");
    let end = async { tokio::join!(job.rest(), feed.rest()) };
    let end = tokio::time::timeout(Duration::from_secs(20), end).await;
    assert!(end.is_ok(), "a stream of a key that is gone goes on");
    assert_eq!(ann.get(&path).await.status, 401);

    // One whose key is still good ends too, and goes on where it was.
    reload(KEYS);
    let behind = ann.with_header("last-event-id", &first);
    let mut job = behind.events(&path).await;
    reload(&format!("eve:user:a-secret-of-22-chars!!,{KEYS}"));
    let end = tokio::time::timeout(Duration::from_secs(20), job.rest()).await;
    assert!(end.is_ok(), "a stream knows of keys that were there before");
    let mut job = behind.events(&path).await;
    assert_ne!(job.event().await.unwrap().id, first);
}

#[tokio::test(start_paused = true)]
async fn of_a_token_no_request_log_has_more_than_that_it_was_there() {
    let house = House::with(&[]).await;
    let made = house.post("/v1/stream-tokens", json!({})).await.json();
    let token = made["token"].as_str().unwrap();
    house.events(&format!("/v1/events?%74oken={token}")).await;
    house.get(&format!("/v1/jobs?t%6Fken={token}")).await;
    let seen = house.get("/v1/requests").await;
    assert!(seen.text.contains("/v1/jobs"), "{}", seen.text);
    assert!(!seen.text.contains(token), "{}", seen.text);
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_the_streams_of_its_owner_and_nothing_else() {
    let house = house().await;
    let ann = house.with_header("authorization", "Bearer a-secret-of-20-chars");
    let id = ann.job(60_000).await;
    let other = ann.job(60_000).await;
    let made = ann
        .post("/v1/stream-tokens", json!({ "job": id, "ttl": "30s" }))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let mut events = house
        .events(&format!("/v1/jobs/{id}/events?token={token}"))
        .await;
    assert_eq!(events.event().await.unwrap().name, "job.created");
    for path in [
        format!("/v1/jobs/{other}/events?token={token}"),
        format!("/v1/events?token={token}"),
        format!("/v1/jobs/{id}/events?token={token}x"),
        format!("/v1/jobs/{id}/events?token="),
        format!("/v1/jobs/{id}/events"),
    ] {
        assert_eq!(house.get(&path).await.status, 401, "{path}");
    }
    // Elsewhere it is no parameter.
    assert_eq!(
        house
            .get(&format!("/v1/jobs/{id}?token={token}"))
            .await
            .status,
        401
    );
    assert_eq!(
        ann.get(&format!("/v1/jobs/{id}?token={token}"))
            .await
            .status,
        422
    );
    house.pass(30_001).await;
    assert_eq!(
        house
            .get(&format!("/v1/jobs/{id}/events?token={token}"))
            .await
            .status,
        401
    );

    let all = ann.post("/v1/stream-tokens", json!({})).await.json();
    let all = all["token"].as_str().unwrap();
    house.events(&format!("/v1/events?token={all}")).await;
    house
        .events(&format!("/v1/jobs/{other}/events?token={all}"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_made_within_bounds_by_keys_that_may_change_things() {
    let house = House::with(&[("api-key", KEYS)]).await;
    let ann = house.with_header("authorization", "Bearer a-secret-of-20-chars");
    let bob = house.with_header("authorization", "Bearer a-secret-of-21-chars!");
    for (body, status) in [
        (json!({"ttl": "10m"}), 201),
        (json!({"ttl": "1h"}), 201),
        (json!({"ttl": 0}), 201),
        (json!({"job": "job_0000000000000000000000000000000a"}), 404),
        (json!({"odd": 1}), 422),
    ] {
        let made = ann.post("/v1/stream-tokens", body.clone()).await;
        assert_eq!(made.status, status, "{body}: {}", made.text);
    }
    assert_eq!(bob.post("/v1/stream-tokens", json!({})).await.status, 403);
    assert_eq!(house.post("/v1/stream-tokens", json!({})).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_trusted_proxys_host_and_prefix_are_in_locations() {
    let house = House::with(&[("trusted-proxy", "127.0.0.1")]).await;
    let proxied = house
        .with_header("host", "localhost")
        .with_header("x-forwarded-proto", "https")
        .with_header("x-forwarded-host", "jobs.example.com")
        .with_header("x-forwarded-prefix", "/abide/");
    let made = proxied.post("/v1/jobs", json!({})).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/abide/v1/jobs/{id}"));
    let whole = format!("https://jobs.example.com/abide/v1/jobs/{id}");
    assert_eq!(made.header("operation-location"), whole);
    assert_eq!(
        proxied.get("/docs").await.header("location"),
        "/abide/docs/"
    );
    for odd in ["//evil.example.com", "abide", "/a b", "/a\"b", ""] {
        let made = house
            .with_header("x-forwarded-prefix", odd)
            .post("/v1/jobs", json!({}))
            .await;
        assert!(
            made.header("location").starts_with("/v1/jobs/"),
            "{odd}: {}",
            made.header("location")
        );
    }
    // Proxies in a row add at the end, and the last of them is the one that is trusted.
    for (lines, whole) in [
        (
            &["evil.example, jobs.example.com"][..],
            "https://jobs.example.com/",
        ),
        (
            &["evil.example", "jobs.example.com:8443"],
            "https://jobs.example.com:8443/",
        ),
        (
            &["evil.example", "jobs.example.com, [2001:db8::1] "],
            "https://[2001:db8::1]/",
        ),
        // What is no host isn't taken for one.
        (&["jobs.example.com/path"], "https://localhost/"),
        (&["user@jobs.example.com"], "https://localhost/"),
        (&["jobs.example.com,"], "https://localhost/"),
        (&["a b"], "https://localhost/"),
    ] {
        let mut proxied = house
            .with_header("host", "localhost")
            .with_header("x-forwarded-proto", "http, HTTPS");
        for line in lines {
            proxied = proxied.with_header("x-forwarded-host", line);
        }
        let made = proxied.post("/v1/jobs", json!({})).await;
        let found = made.header("operation-location");
        assert!(found.starts_with(whole), "{lines:?}: {found}");
    }
    // Of others it isn't believed.
    let made = proxied.from("10.0.0.9").post("/v1/jobs", json!({})).await;
    assert!(made.header("location").starts_with("/v1/jobs/"));
    assert!(
        made.header("operation-location")
            .starts_with("http://localhost/v1/jobs/")
    );
}
