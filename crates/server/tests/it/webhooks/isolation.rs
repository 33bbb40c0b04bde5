//! Receivers that misbehave, and everybody else: whose deliveries are as quick as before.

use std::time::Duration;

use abide_server::courier::UNPROVEN_PAUSE;
use abide_wire::Timestamp;
use serde_json::json;

use super::receivers::{Receivers, Reply};
use super::{URL, clock, endpoint, house};

/// How many receivers answer as they should.
const QUICK: usize = 10;
/// How many don't: those that keep their sender waiting are more than the places that all share.
const BAD: usize = 900;
/// How many jobs end, one after the other.
const JOBS: usize = 30;

/// How a receiver misbehaves that is registered under that number.
fn manner(number: usize) -> Reply {
    match number % 6 {
        0..=2 => Reply::TimesOut,
        3 => Reply::Slow(Duration::from_secs(9), 200),
        4 => Reply::Status(307),
        _ => Reply::Unreachable,
    }
}

/// How late the quick receivers learn of each end, in milliseconds, while that many others misbehave.
async fn late_beside(bad: usize) -> Vec<i64> {
    let clock = clock();
    let receivers = Receivers::new(&clock, |got, _| {
        let path = got.post.url.rsplit('/').next().unwrap();
        match path.strip_prefix("bad-") {
            Some(number) => manner(number.parse().unwrap()),
            None => Reply::Slow(Duration::from_millis(20), 204),
        }
    });
    let house = house(&clock, &receivers, &[("rate-limit", "off")]).await;
    for n in 0..QUICK {
        let url = format!("http://127.0.0.1:9/quick-{n}");
        endpoint(&house, json!({ "url": url })).await;
    }
    // They have answered before, so they are known to be quick.
    house.job(0).await;
    receivers.wait_for(QUICK).await;
    for n in 0..bad {
        let url = format!("http://127.0.0.1:9/bad-{n}");
        endpoint(&house, json!({ "url": url })).await;
    }
    for n in 0..JOBS as u64 {
        house.job(1_000 + 100 * n).await;
    }
    house.pass(1_000 + 100 * JOBS as u64 + 5_000).await;
    let quick = receivers.got().into_iter();
    let quick = quick.filter(|got| got.post.url.contains("quick"));
    let late: Vec<i64> = quick
        .map(|got| {
            let body = got.json();
            let ended: Timestamp = body["data"]["finished_at"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            got.at.as_millis() - ended.as_millis()
        })
        .collect();
    assert_eq!(
        late.len(),
        QUICK * (JOBS + 1),
        "each learned of each, and once"
    );
    late
}

#[tokio::test(start_paused = true)]
async fn whoever_misbehaves_everybody_elses_p99_is_as_it_was() {
    let p99 = |mut late: Vec<i64>| {
        late.sort_unstable();
        late[late.len() * 99 / 100]
    };
    let alone = p99(late_beside(0).await);
    let beside = p99(late_beside(BAD).await);
    assert!(alone <= 1, "{alone} ms");
    assert!(beside <= alone + 1, "{beside} ms instead of {alone} ms");
}

/// An event with very many endpoints, handed to the courier in one go, and another owner's beside it.
#[tokio::test(start_paused = true)]
async fn owners_take_turns_however_many_deliveries_one_has() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let (many, few) = (
        "many:user:0123456789-0123456789-many",
        "few:user:0123456789-0123456789-few",
    );
    let flags = [
        ("rate-limit", "off"),
        ("api-key", many),
        ("api-key", few),
        ("webhook-allow", "127.0.0.0/8"),
    ];
    let house = house(&clock, &receivers, &flags).await;
    let of = |key: &str| {
        let secret = key.rsplit(':').next().unwrap();
        house.with_header("authorization", &format!("Bearer {secret}"))
    };
    let (many, few) = (of(many), of(few));
    const ENDPOINTS: usize = 250;
    for n in 0..ENDPOINTS {
        let url = format!("http://127.0.0.1:9/many-{n}");
        endpoint(&many, json!({ "url": url })).await;
    }
    endpoint(&few, json!({"url": "http://127.0.0.1:9/few"})).await;
    // Both end at one instant, and what tells of that is handed out in one go.
    many.job(1_000).await;
    few.job(1_000).await;
    house.pass(1_500).await;
    let got = receivers.wait_for(ENDPOINTS + 1).await;
    let place = got.iter().position(|got| got.post.url.ends_with("few"));
    assert!(place.is_some_and(|place| place < 5), "{place:?}");
}

/// An owner whose receivers all hang, and another whose receiver takes what it gets, at one instant.
#[tokio::test(start_paused = true)]
async fn of_unproven_receivers_few_are_called_at_once_and_others_need_not_wait() {
    const HANGING: usize = 200;
    let clock = clock();
    let receivers = Receivers::new(&clock, |got, _| match got.post.url.ends_with("good") {
        true => Reply::Status(204),
        false => Reply::TimesOut,
    });
    let flags = [
        ("rate-limit", "off"),
        ("api-key", "bad:user:0123456789-0123456789-bad"),
        ("api-key", "good:user:0123456789-0123456789-good"),
        ("api-key", "new:user:0123456789-0123456789-new"),
        ("webhook-allow", "127.0.0.0/8"),
    ];
    let house = house(&clock, &receivers, &flags).await;
    let of = |name| {
        let bearer = format!("Bearer 0123456789-0123456789-{name}");
        house.with_header("authorization", &bearer)
    };
    let (bad, good, new) = (of("bad"), of("good"), of("new"));
    for n in 0..HANGING {
        let url = format!("http://127.0.0.1:9/{n}");
        endpoint(&bad, json!({ "url": url })).await;
    }
    endpoint(&good, json!({"url": "http://127.0.0.1:9/good"})).await;
    endpoint(&new, json!({"url": "http://127.0.0.1:9/new"})).await;
    good.job(0).await;
    receivers.wait_for(1).await;
    house.pass(1_000).await;
    for owner in [&bad, &new, &good] {
        owner.job(1_000).await;
    }
    let end = clock.now() + Duration::from_secs(1);
    house.pass(3_000).await;

    let (mut late, mut hanging) = (Vec::new(), Vec::new());
    for got in receivers.got().into_iter().skip(1) {
        let after = got.at.since(end);
        match got.post.url.rsplit('/').next() {
            Some("good" | "new") => late.push(after),
            _ => hanging.push(after),
        }
    }
    assert_eq!((late.len(), hanging.len()), (2, HANGING));
    // Owners have turns, so one whose receiver isn't known yet waits for no more than one of another's.
    assert!(
        late.iter().all(|late| *late <= 2 * UNPROVEN_PAUSE),
        "{late:?}"
    );
    let early = hanging.iter().filter(|after| **after < 10 * UNPROVEN_PAUSE);
    // 16 begin at once, and one more a pause.
    assert!(early.count() <= 16 + 10, "{hanging:?}");
    let longest = UNPROVEN_PAUSE * 2 * HANGING as u32;
    assert!(hanging[HANGING - 1] <= longest, "{hanging:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_lacks_counts_against_no_receiver() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, before| match before {
        0..10 => Reply::Lacking,
        _ => Reply::Status(204),
    });
    let house = house(&clock, &receivers, &[]).await;
    let (endpoint, _) = endpoint(&house, json!({ "url": URL })).await;
    let id = house.job(1_000).await;
    receivers.wait_for(11).await;
    house.pass(100).await;
    let told = house.get(&format!("/v1/jobs/{id}/deliveries")).await.json();
    let delivery = &told["deliveries"][0];
    assert_eq!(delivery["status"], "delivered");
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 1);
    let shown = house.get(&format!("/v1/webhooks/{endpoint}")).await.json();
    assert_eq!(shown["breaker"]["state"], "closed");
    assert_eq!(shown["failing_since"], json!(null));
    let metrics = house.get("/metrics").await.text;
    let line = r#"abide_webhook_attempts_total{outcome="not_sent"} 10"#;
    assert!(metrics.contains(line), "{metrics}");
}
