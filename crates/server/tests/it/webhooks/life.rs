//! The life of endpoints and deliveries, as it is seen through the interface and the metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::config::Layers;
use abide_server::courier::Carrier;
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_server::{Fresh, Server};
use abide_wire::webhook::{Secret, VerifyError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::receivers::{Receivers, Reply};
use super::{URL, clock, endpoint, house};
use crate::common::{House, START};

const DAY: Duration = Duration::from_secs(86_400);

async fn advance(house: &House, by: Duration) {
    house.state.commands.advance(by).await.unwrap();
}

async fn only_delivery(house: &House, endpoint: &str) -> Value {
    let path = format!("/v1/webhooks/{endpoint}/deliveries");
    let list = house.get(&path).await.json();
    let all = list["deliveries"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{list}");
    all[0].clone()
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one_for_a_day_and_then_alone() {
    let clock = Clock::manual(START);
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let (id, old) = endpoint(&house, json!({ "url": URL })).await;
    let rotate = format!("/v1/webhooks/{id}/rotate");
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let rotated = house.post(&rotate, json!({ "secret": own })).await.json();
    assert_eq!(rotated["secret"], own);
    house.job(0).await;
    let got = receivers.wait_for(1).await.remove(0);
    assert_eq!(got.header("webhook-signature").split(' ').count(), 2);
    assert_eq!(got.verify(&old, clock.system()), Ok(()));
    assert_eq!(got.verify(own, clock.system()), Ok(()));

    advance(&house, DAY).await;
    house.job(0).await;
    let got = receivers.wait_for(2).await.remove(1);
    assert_eq!(got.verify(own, clock.system()), Ok(()));
    assert_eq!(
        got.verify(&old, clock.system()),
        Err(VerifyError::Signature)
    );
    let read = house.get(&format!("/v1/webhooks/{id}")).await.json();
    assert_eq!(read["old_secret_until"], Value::Null);
}

#[tokio::test]
async fn days_of_failure_disable_an_endpoint_in_plain_sight_and_lose_nothing() {
    let clock = Clock::manual(START);
    let receivers = Receivers::new(&clock, |got, _| {
        let is_mended = got.at.since(START) > 10 * DAY;
        Reply::Status(if is_mended { 200 } else { 500 })
    });
    let house = house(&clock, &receivers, &[("retention", "1440h")]).await;
    let (id, _) = endpoint(&house, json!({ "url": URL })).await;
    let path = format!("/v1/webhooks/{id}");
    for _ in 0..14 {
        house.job(0).await;
        advance(&house, DAY / 2).await;
    }
    let read = house.get(&path).await.json();
    assert_eq!(read["enabled"], false);
    assert_eq!(read["disabled"]["reason"], "failing");
    let at: abide_wire::Timestamp = read["disabled"]["at"].as_str().unwrap().parse().unwrap();
    let after = at.since(START);
    assert!((5 * DAY..6 * DAY).contains(&after), "{after:?}");
    assert_eq!(read["failing_since"], START.to_string());

    let before = receivers.got().len();
    advance(&house, 4 * DAY).await;
    assert_eq!(receivers.got().len(), before, "it isn't called");
    let held = format!("{path}/deliveries?status=held");
    let held = house.get(&held).await.json();
    assert!(held["deliveries"].as_array().unwrap().len() > 1, "{held}");
    let replay = format!("{path}/replay?since={START}");
    let refused = house.ask("POST", &replay, None).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"));

    house
        .ask("PATCH", &path, Some(json!({"enabled": true})))
        .await;
    let replayed = house.ask("POST", &replay, None).await;
    assert_eq!(replayed.json(), json!({"replayed": 14}));
    advance(&house, DAY).await;
    let arrived: BTreeSet<String> = receivers.got()[before..]
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    assert_eq!(arrived.len(), 14);
    let read = house.get(&path).await.json();
    assert_eq!(
        (&read["enabled"], &read["disabled"], &read["failing_since"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn the_breaker_of_an_endpoint_is_shown_open_and_closed() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |got, _| {
        let is_mended = got.at.since(START) > Duration::from_secs(8);
        Reply::Status(if is_mended { 200 } else { 500 })
    });
    let house = house(&clock, &receivers, &[]).await;
    let (id, _) = endpoint(&house, json!({ "url": URL })).await;
    let path = format!("/v1/webhooks/{id}");
    for _ in 0..20 {
        house.job(0).await;
    }
    house.pass(1_000).await;
    let breaker = house.get(&path).await.json()["breaker"].clone();
    assert_eq!(breaker["state"], "open");
    assert!(breaker["failures"].as_u64().unwrap() >= 5, "{breaker}");
    assert_ne!(breaker["until"], Value::Null);
    assert!(receivers.got().len() < 10, "the others wait meanwhile");
    house.pass(600_000).await;
    let breaker = house.get(&path).await.json()["breaker"].clone();
    assert_eq!(
        (&breaker["state"], &breaker["failures"]),
        (&json!("closed"), &json!(0))
    );
    let delivered = format!("{path}/deliveries?status=delivered");
    let delivered = house.get(&delivered).await.json();
    assert_eq!(delivered["deliveries"].as_array().unwrap().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_endpoint_hears_of_a_job_in_order_however_its_answers_go() {
    let clock = clock();
    // The first two attempts at each job's first event fail.
    let receivers = Receivers::new(&clock, |got, _| {
        let is_first = got.json()["type"] == "job.created";
        Reply::Status(
            if is_first && got.at.since(START) < Duration::from_secs(60) {
                503
            } else {
                200
            },
        )
    });
    let house = house(&clock, &receivers, &[]).await;
    let ordered = json!({"url": URL, "events": ["job.*"], "ordered": true});
    let (id, _) = endpoint(&house, ordered).await;
    house.job(1_000).await;
    house.pass(2_000).await;
    let queued = format!("/v1/webhooks/{id}/deliveries?status=queued");
    let queued = house.get(&queued).await.json();
    assert_eq!(queued["deliveries"].as_array().unwrap().len(), 2);
    house.pass(900_000).await;
    let taken: Vec<String> = receivers
        .got()
        .iter()
        .map(|got| got.json()["type"].as_str().unwrap().to_owned())
        .collect();
    let later = taken.iter().skip_while(|kind| *kind == "job.created");
    assert_eq!(later.collect::<Vec<_>>(), ["job.started", "job.completed"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_to_its_bound_and_lists_show_its_beginning() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, _| Reply::Body(20_000));
    let house = house(&clock, &receivers, &[("webhook-retry", "0s")]).await;
    let (id, _) = endpoint(&house, json!({ "url": URL })).await;
    house.job(0).await;
    receivers.wait_for(1).await;
    house.pass(10).await;
    let listed = only_delivery(&house, &id).await;
    let path = format!("/v1/deliveries/{}", listed["id"].as_str().unwrap());
    let read = house.get(&path).await.json();
    for (shown, length) in [(listed, 1_024), (read, 16 * 1_024)] {
        assert_eq!(shown["status"], "failed", "the schedule has one step");
        let attempt = &shown["attempts"][0];
        assert_eq!(attempt["answer"].as_str().unwrap().len(), length);
        assert_eq!(attempt["answer_truncated"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_the_journal_within_the_drain_time_although_a_receiver_hangs() {
    let clock = clock();
    let hanging: Arc<dyn Carrier> = Receivers::new(&clock, |_, _| Reply::TimesOut);
    let mut journal = MemoryJournal::new();
    let layers = Layers::default().flag("drain", "2s");
    let assembly = Server::assemble(
        layers.resolve().unwrap().config,
        clock.clone(),
        Box::new(journal.clone()),
        |_| Some(hanging),
        Fresh {
            seed: 7,
            secret: Secret::generate([7; 32]),
        },
    );
    let assembly = assembly.await.unwrap();
    let house = House::of(assembly.state.clone(), clock.clone());
    endpoint(&house, json!({ "url": URL })).await;
    house.job(0).await;
    house.pass(100).await;
    assert_eq!(house.state.board.webhooks().counts().pending, 1);
    drop(house);
    let stop = CancellationToken::new();
    stop.cancel();
    let begun = clock.elapsed();
    assembly
        .run(stop.clone().cancelled_owned(), stop)
        .await
        .unwrap();
    assert!(clock.elapsed() - begun < Duration::from_secs(2));
    // What it closes with is a checkpoint.
    assert!(journal.load(&mut |_, _| Ok(())).unwrap() > 0);
}

#[tokio::test(start_paused = true)]
async fn what_goes_out_is_counted() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, before| match before {
        0 => Reply::Slow(Duration::from_millis(3), 200),
        1 => Reply::Status(404),
        2 => Reply::Unreachable,
        3 => Reply::Status(410),
        _ => Reply::Hang,
    });
    let house = house(&clock, &receivers, &[("webhook-retry", "0s")]).await;
    let (id, _) = endpoint(&house, json!({ "url": URL })).await;
    for count in 1..=4 {
        house.job(0).await;
        receivers.wait_for(count).await;
        house.pass(100).await;
    }
    // Held, because the last answer was that it is gone.
    house.job(0).await;
    endpoint(&house, json!({"url": "http://127.0.0.1:9/other"})).await;
    house.job(0).await;
    receivers.wait_for(5).await;
    let text = house.get("/metrics").await.text;
    for line in [
        r#"abide_webhook_attempts_total{outcome="delivered"} 1"#,
        r#"abide_webhook_attempts_total{outcome="refused"} 2"#,
        r#"abide_webhook_attempts_total{outcome="unanswered"} 1"#,
        "abide_webhook_exchange_seconds_count 4",
        "abide_end_to_push_seconds_count 1",
        "abide_end_to_push_seconds_sum 0.003",
        "abide_webhook_exchanges 1",
        r#"abide_webhook_deliveries{status="delivered"} 1"#,
        r#"abide_webhook_deliveries{status="failed"} 3"#,
        r#"abide_webhook_deliveries{status="held"} 2"#,
        r#"abide_webhook_deliveries{status="pending"} 1"#,
        "abide_webhook_endpoints 2",
        "abide_webhook_endpoints_disabled 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    house
        .ask("DELETE", &format!("/v1/webhooks/{id}"), None)
        .await;
    let text = house.get("/metrics").await.text;
    for line in [
        r#"abide_webhook_deliveries{status="delivered"} 0"#,
        r#"abide_webhook_deliveries{status="held"} 0"#,
        "abide_webhook_endpoints 1",
        "abide_webhook_endpoints_disabled 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_paged_newest_first_and_wrong_questions_are_refused() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let (id, _) = endpoint(&house, json!({ "url": URL })).await;
    for _ in 0..5 {
        house.job(0).await;
        house.pass(10).await;
    }
    let path = format!("/v1/webhooks/{id}/deliveries");
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = house.get(&format!("{path}{query}")).await.json();
        let found = page["deliveries"].as_array().unwrap();
        assert!((1..=2).contains(&found.len()), "{page}");
        seen.extend(found.iter().map(|delivery| delivery["id"].clone()));
        match page["next_page_token"].as_str() {
            Some(token) => query = format!("?limit=2&page_token={token}"),
            None => break,
        }
    }
    let sent = receivers.got().into_iter().rev();
    let sent: Vec<Value> = sent.map(|got| json!(got.header("webhook-id"))).collect();
    assert_eq!(seen, sent);
    for query in [
        "?limit=0",
        "?limit=1001",
        "?page_token=nonsense",
        "?status=lost",
        "?colour=red",
    ] {
        let answer = house.get(&format!("{path}{query}")).await;
        assert!((400..=422).contains(&answer.status), "{query}: {answer:?}");
    }
    let replay = format!("/v1/webhooks/{id}/replay?since=yesterday");
    let answer = house.ask("POST", &replay, None).await;
    assert!((400..=422).contains(&answer.status), "{answer:?}");
    for path in [
        "/v1/webhooks/wh_1",
        "/v1/deliveries/msg_1",
        "/v1/deliveries/wh_1",
    ] {
        assert_eq!(house.get(path).await.status, 404, "{path}");
    }
    assert_eq!(receivers.got().len(), 5);
}
