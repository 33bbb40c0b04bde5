//! Webhooks through the real router and the real loop, with receivers that are scripts.

mod isolation;
mod life;
mod lists;
pub mod receivers;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::journal::{MemoryJournal, SqliteJournal};
use serde_json::{Value, json};

use self::receivers::{Receivers, Reply};
use crate::common::{House, START};

const URL: &str = "http://127.0.0.1:9/hook";

fn clock() -> Clock {
    Clock::running(START, NonZeroU32::MIN)
}

async fn house(clock: &Clock, receivers: &Arc<Receivers>, flags: &[(&str, &str)]) -> House {
    let journal = Box::new(MemoryJournal::new());
    House::open_with(flags, clock.clone(), journal, Some(receivers.clone())).await
}

async fn endpoint(house: &House, body: Value) -> (String, String) {
    let answer = house.post("/v1/webhooks", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let endpoint = answer.json();
    let text = |name: &str| endpoint[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_signed_and_once() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let (endpoint, secret) = endpoint(&house, json!({ "url": URL })).await;
    let job = house.job(2_000).await;
    let got = receivers.wait_for(1).await.remove(0);
    assert_eq!(got.at.since(START), Duration::from_secs(2));
    assert_eq!(got.post.url, URL);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.verify(&secret, clock.system()), Ok(()));
    let body = got.json();
    assert_eq!(body["type"], "job.completed");
    assert_eq!(body["timestamp"], "2027-01-15T08:00:02.000Z");
    let read = house.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(body["data"], read, "the data is the job");

    house.pass(60_000).await;
    assert_eq!(receivers.got().len(), 1);
    let told = house
        .get(&format!("/v1/jobs/{job}/deliveries"))
        .await
        .json();
    let delivery = &told["deliveries"][0];
    assert_eq!(delivery["id"], got.header("webhook-id"));
    assert_eq!(delivery["endpoint_id"], endpoint);
    assert_eq!(delivery["status"], "delivered");
    assert_eq!(delivery["revision"], read["revision"]);
    assert_eq!(delivery["attempts"][0]["status"], 204);
    assert_eq!(delivery["attempts"][0]["answer"], "answer 1");
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_made_listed_changed_rotated_and_deleted() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let made = house
        .post(
            "/v1/webhooks",
            json!({"url": URL, "events": ["job.failed"], "description": "a note"}),
        )
        .await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("cache-control"), "no-store");
    let endpoint = made.json();
    let id = endpoint["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/webhooks/{id}");
    assert_eq!(made.header("location"), path);
    assert!(id.starts_with("wh_"));
    let secret = endpoint["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));

    let read = house.get(&path).await.json();
    assert_eq!(read["secret"], Value::Null, "shown once");
    assert_eq!(read["events"], json!(["job.failed"]));
    assert_eq!(
        (&read["enabled"], &read["description"]),
        (&json!(true), &json!("a note"))
    );
    assert_eq!(read["breaker"]["state"], "closed");

    let own = json!({"url": URL, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let second = house.post("/v1/webhooks", own).await.json();
    assert_eq!(second["secret"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    assert_eq!(
        second["events"],
        json!(["job.completed", "job.failed", "job.canceled"])
    );
    let page = house.get("/v1/webhooks?limit=1").await.json();
    assert_eq!(page["webhooks"].as_array().unwrap().len(), 1);
    assert_eq!(page["webhooks"][0]["id"], id);
    let token = page["next_page_token"].as_str().unwrap();
    let rest = house
        .get(&format!("/v1/webhooks?limit=1&page_token={token}"))
        .await
        .json();
    assert_eq!(rest["webhooks"][0]["id"], second["id"]);
    assert_eq!(rest["next_page_token"], Value::Null);

    let change = json!({"url": "http://127.0.0.1:9/other", "events": ["job.*"], "enabled": false});
    let changed = house.ask("PATCH", &path, Some(change)).await.json();
    assert_eq!(changed["url"], "http://127.0.0.1:9/other");
    assert_eq!(changed["events"].as_array().unwrap().len(), 6);
    assert_eq!(changed["disabled"]["reason"], "owner");
    assert_eq!(changed["description"], "a note", "what isn't said stays");

    let rotated = house.ask("POST", &format!("{path}/rotate"), None).await;
    assert_eq!(
        (rotated.status, rotated.header("cache-control")),
        (200, "no-store")
    );
    let rotated = rotated.json();
    assert_ne!(rotated["secret"], secret);
    assert_eq!(rotated["old_secret_until"], "2027-01-16T08:00:00.000Z");

    assert_eq!(house.ask("DELETE", &path, None).await.status, 204);
    let gone = house.get(&path).await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "not_found"));
    assert_eq!(house.ask("DELETE", &path, None).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_registered_is_refused_and_says_why() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let table = [
        (json!({}), "url"),
        (json!({"url": ""}), "url"),
        (json!({"url": "receiver.example"}), "url"),
        (json!({"url": "ftp://receiver.example/"}), "http"),
        (
            json!({"url": "http://user:secret@receiver.example/"}),
            "user name",
        ),
        (json!({"url": "http://10.0.0.1/"}), "private"),
        (json!({"url": "http://169.254.169.254/"}), "link-local"),
        (json!({"url": "http://[::ffff:127.0.0.1]/"}), "IPv4-mapped"),
        (json!({"url": "http://0xA9FEA9FE/"}), "169.254.169.254"),
        (
            json!({"url": URL, "events": ["job.exploded"]}),
            "job.exploded",
        ),
        (json!({"url": URL, "events": []}), "at least one"),
        (json!({"url": URL, "secret": "whsec_c2hvcnQ="}), "24 to 64"),
        (json!({"url": URL, "unknown": 1}), "unknown"),
    ];
    for (body, part) in table {
        let answer = house.post("/v1/webhooks", body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        assert_eq!(answer.code(), "invalid_member");
        assert!(answer.text.contains(part), "{body}: {}", answer.text);
    }
    let bound = json!({"webhook": {"url": "http://10.0.0.1/"}});
    let answer = house.post("/v1/jobs", bound).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("webhook.url"), "{}", answer.text);
    let closed = House::with(&[("webhook-allow", "none")]).await;
    let answer = closed.post("/v1/webhooks", json!({ "url": URL })).await;
    assert_eq!(answer.status, 422, "not even loopback");
    let open = House::with(&[("webhook-allow", "10.0.0.0/8")]).await;
    let inner = json!({"url": "http://10.0.0.1/"});
    assert_eq!(open.post("/v1/webhooks", inner).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_job_brings_its_webhook_along_and_its_secret_is_shown_once() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let create = json!({
        "worker": "external",
        "webhook": {"url": URL, "events": ["job.created", "job.canceled"]},
    });
    let answer = house.post("/v1/jobs", create.clone()).await;
    let secret = answer.header("webhook-secret").to_owned();
    assert!(secret.starts_with("whsec_"));
    let job = answer.json()["id"].as_str().unwrap().to_owned();
    house
        .ask("POST", &format!("/v1/jobs/{job}/cancel"), None)
        .await;
    let got = receivers.wait_for(2).await;
    for (got, kind) in got.iter().zip(["job.created", "job.canceled"]) {
        assert_eq!(got.json()["type"], kind);
        assert_eq!(got.verify(&secret, clock.system()), Ok(()));
    }
    let list = house.get("/v1/webhooks").await.json();
    assert_eq!(list["webhooks"], json!([]), "it belongs to the job");

    let own = json!({"webhook": {"url": URL, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}});
    let answer = house.post("/v1/jobs", own).await;
    assert_eq!(answer.header("webhook-secret"), "");
    let other = house.post("/v1/jobs", create).await;
    assert_ne!(other.header("webhook-secret"), secret);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_retried_by_schedule_by_hand_and_by_replay() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, before| match before {
        0 => Reply::Unreachable,
        1 => Reply::Busy(Duration::from_secs(60)),
        4 | 5 => Reply::Status(404),
        _ => Reply::Status(200),
    });
    let flags = [("webhook-retry", "0s,5s,10s")];
    let house = house(&clock, &receivers, &flags).await;
    let (endpoint, secret) = endpoint(&house, json!({ "url": URL })).await;
    let job = house.job(0).await;
    let got = receivers.wait_for(3).await;
    let after = |n: usize| got[n].at.since(got[0].at).as_secs_f64();
    assert!((4.0..=6.1).contains(&after(1)), "{}", after(1));
    assert!((after(2) - after(1)) >= 60.0, "{}", after(2));
    let id = got[0].header("webhook-id");
    for got in &got {
        assert_eq!(got.header("webhook-id"), id);
        assert_eq!(got.post.body, receivers.got()[0].post.body);
        assert_eq!(got.verify(&secret, clock.system()), Ok(()));
    }
    house.pass(1).await;
    let path = format!("/v1/deliveries/{id}");
    let delivery = house.get(&path).await.json();
    assert_eq!(
        (&delivery["status"], &delivery["job_id"]),
        (&json!("delivered"), &json!(job))
    );
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(
        attempts[0]["error"]
            .as_str()
            .unwrap()
            .contains("nobody is there")
    );
    assert_eq!(
        (&attempts[1]["status"], &attempts[1]["answer"]),
        (&json!(503), &json!("answer 2"))
    );
    assert_ne!(attempts[0]["next_attempt_at"], Value::Null);

    let retried = house.ask("POST", &format!("{path}/retry"), None).await;
    assert_eq!(retried.status, 202);
    receivers.wait_for(4).await;

    // Two jobs that are never taken within the schedule are replayed.
    let since = clock.now();
    house.pass(10).await;
    house.job(0).await;
    receivers.wait_for(7).await;
    house.pass(1).await;
    let replay = format!("/v1/webhooks/{endpoint}/replay?since={since}");
    let again = house.ask("POST", &replay, None).await;
    assert_eq!((again.status, again.json()), (202, json!({"replayed": 0})));
    let again = house
        .ask("POST", &format!("{replay}&delivered=true"), None)
        .await;
    assert_eq!(again.json(), json!({"replayed": 1}));
    receivers.wait_for(8).await;
    let list = format!("/v1/webhooks/{endpoint}/deliveries?status=delivered");
    house.pass(1).await;
    assert_eq!(
        house.get(&list).await.json()["deliveries"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// A receiver's clock isn't simulated: its seconds are real ones.
#[tokio::test(start_paused = true)]
async fn a_receiver_is_called_again_after_as_many_real_seconds_as_it_asks_for() {
    let clock = Clock::running(START, NonZeroU32::new(60).unwrap());
    let receivers = Receivers::new(&clock, |_, before| match before {
        0 => Reply::Busy(Duration::from_secs(30)),
        _ => Reply::Status(204),
    });
    let house = house(&clock, &receivers, &[]).await;
    endpoint(&house, json!({ "url": URL })).await;
    house.job(1_000).await;
    let got = receivers.wait_for(2).await;
    let real = got[1].at.since(got[0].at) / 60;
    assert!((30.0..30.2).contains(&real.as_secs_f64()), "{real:?}");
}

#[tokio::test(start_paused = true)]
async fn a_test_is_sent_and_a_receiver_that_is_gone_is_disabled_in_plain_sight() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |_, before| {
        Reply::Status(if before == 1 { 410 } else { 200 })
    });
    let house = house(&clock, &receivers, &[]).await;
    let (endpoint, secret) = endpoint(&house, json!({ "url": URL })).await;
    let path = format!("/v1/webhooks/{endpoint}");
    let test = house.ask("POST", &format!("{path}/test"), None).await;
    assert_eq!(
        (test.status, &test.json()["type"]),
        (202, &json!("webhook.test"))
    );
    let got = receivers.wait_for(1).await.remove(0);
    assert_eq!(got.json()["data"]["endpoint"], endpoint);
    assert_eq!(got.verify(&secret, clock.system()), Ok(()));

    house.ask("POST", &format!("{path}/test"), None).await;
    receivers.wait_for(2).await;
    house.pass(1).await;
    let read = house.get(&path).await.json();
    assert_eq!(
        (&read["enabled"], &read["disabled"]["reason"]),
        (&json!(false), &json!("gone"))
    );
    let refused = house.ask("POST", &format!("{path}/test"), None).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"));

    house.job(0).await;
    house.pass(100).await;
    let held = house
        .get(&format!("{path}/deliveries?status=held"))
        .await
        .json();
    assert_eq!(held["deliveries"].as_array().unwrap().len(), 1);
    house
        .ask("PATCH", &path, Some(json!({"enabled": true})))
        .await;
    house.ask("POST", &format!("{path}/replay"), None).await;
    let got = receivers.wait_for(4).await;
    assert_eq!(
        got.iter()
            .filter(|got| got.json()["type"] == "job.completed")
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_and_deliveries_belong_to_the_key_that_made_them() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let flags = [
        ("api-key", "key-of-ann-0123456789"),
        ("api-key", "key-of-bob-0123456789"),
        ("webhook-allow", "127.0.0.0/8"),
    ];
    let house = house(&clock, &receivers, &flags).await;
    let ann = house.with_header("authorization", "Bearer key-of-ann-0123456789");
    let bob = house.with_header("authorization", "Bearer key-of-bob-0123456789");
    let (endpoint, _) = endpoint(&ann, json!({ "url": URL })).await;
    bob.job(0).await;
    let job = ann.job(0).await;
    let got = receivers.wait_for(1).await;
    house.pass(1_000).await;
    assert_eq!(
        receivers.got().len(),
        1,
        "bob's job is nothing to ann's endpoint"
    );
    let delivery = got[0].header("webhook-id");
    for path in [
        format!("/v1/webhooks/{endpoint}"),
        format!("/v1/webhooks/{endpoint}/deliveries"),
        format!("/v1/deliveries/{delivery}"),
        format!("/v1/jobs/{job}/deliveries"),
    ] {
        assert_eq!(ann.get(&path).await.status, 200, "{path}");
        assert_eq!(bob.get(&path).await.status, 404, "{path}");
        assert_eq!(house.get(&path).await.status, 401, "{path}");
    }
    let retry = format!("/v1/deliveries/{delivery}/retry");
    assert_eq!(bob.ask("POST", &retry, None).await.status, 404);
    assert_eq!(bob.get("/v1/webhooks").await.json()["webhooks"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn classic_registrations_speak_their_own_dialect() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    let registered = house
        .post("/webhooks/register", json!({ "url": URL }))
        .await;
    assert_eq!(registered.status, 200);
    assert!(registered.json()["message"].is_string());
    let status = json!({"url": "http://localhost:9/webhook"});
    let other = house.post("/register-webhook", status).await;
    assert_eq!((other.status, other.text.as_str()), (200, ""));
    for (path, body) in [
        ("/webhooks/register", json!({})),
        ("/webhooks/register", json!({"url": 7})),
        ("/webhooks/register", json!({"url": "not a url"})),
        ("/webhooks/register", json!({"url": "http://10.0.0.1/"})),
        ("/register-webhook", json!({})),
        ("/register-webhook", json!({"url": "not a url"})),
    ] {
        let answer = house.post(path, body.clone()).await;
        assert_eq!(answer.status, 400, "{path} {body}");
        if path.starts_with("/webhooks") {
            assert!(answer.json()["error"].is_string());
        }
    }

    let default_job = abide_engine::PlayNamed {
        name: abide_server::config::DEFAULT_JOB.into(),
        simulate: abide_wire::Simulate::fixed(Duration::from_secs(3)),
        reset_after: None,
        is_new: false,
    };
    house.state.commands.ask(default_job).await.unwrap();
    let got = receivers.wait_for(2).await;
    for got in &got {
        assert_eq!(got.at.since(START), Duration::from_secs(3));
        assert_eq!(got.header("webhook-signature"), "");
        if got.post.url == URL {
            let expected = json!({"result": "completed", "timestamp": got.at.as_millis()});
            assert_eq!(got.json(), expected);
        } else {
            assert_eq!(got.json(), json!({"status": "completed"}));
        }
    }

    let late = json!({"url": "http://127.0.0.1:9/late"});
    house.post("/register-webhook", late.clone()).await;
    let got = receivers.wait_for(3).await.remove(2);
    assert_eq!(
        got.json(),
        json!({"status": "completed"}),
        "told although it came too late"
    );
    house.post("/register-webhook", late).await;
    for path in [URL, "http://127.0.0.1:9/unknown", "not a url"] {
        let body = Some(json!({ "url": path }));
        let answer = house.ask("DELETE", "/webhooks/unregister", body).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.json()["message"].is_string());
    }
    house.pass(1_000).await;
    assert_eq!(receivers.got().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_one_key_registered_for_the_default_job_no_other_takes_away_or_leaves_no_room_for() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let flags = [
        (
            "api-key",
            "ann:user:a-secret-of-20-chars,bob:user:a-secret-of-21-chars!",
        ),
        ("webhook-allow", "127.0.0.1/32"),
        ("rate-limit", "off"),
    ];
    let house = house(&clock, &receivers, &flags).await;
    let ann = house.with_header("authorization", "Bearer a-secret-of-20-chars");
    let bob = house.with_header("authorization", "Bearer a-secret-of-21-chars!");
    let register = async |by: &House, url: &str| {
        let answer = by.post("/webhooks/register", json!({ "url": url })).await;
        answer.status
    };
    assert_eq!(register(&ann, URL).await, 200);
    let gone = json!({ "url": URL });
    let answer = bob.ask("DELETE", "/webhooks/unregister", Some(gone)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut taken = 0;
    while register(&bob, &format!("http://127.0.0.1:9/bob/{taken}")).await == 200 {
        taken += 1;
    }
    assert!((900..1_000).contains(&taken), "{taken}");
    assert_eq!(register(&ann, "http://127.0.0.1:9/more").await, 200);

    let default_job = abide_engine::PlayNamed {
        name: abide_server::config::DEFAULT_JOB.into(),
        simulate: abide_wire::Simulate::fixed(Duration::from_secs(3)),
        reset_after: None,
        is_new: false,
    };
    house.state.commands.ask(default_job).await.unwrap();
    house.pass(600_000).await;
    let got = receivers.got();
    for url in [URL, "http://127.0.0.1:9/more"] {
        let told = got.iter().filter(|got| got.post.url == url);
        assert_eq!(told.count(), 1, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_webhook_goes_before_the_creates_answer() {
    let clock = clock();
    let receivers = Receivers::ok(&clock);
    let house = house(&clock, &receivers, &[]).await;
    endpoint(&house, json!({ "url": URL })).await;
    let early = json!({"simulate": {"faults": [{"fault": "webhook_early"}]}});
    let answer = house.post("/v1/jobs", early).await;
    assert_eq!(answer.status, 202);
    let got = receivers.got();
    assert_eq!(got.len(), 1, "it has arrived before the answer");
    assert_eq!(got[0].json()["type"], "job.created");
    assert_eq!(got[0].json()["data"]["id"], answer.json()["id"]);
    assert_eq!(got[0].header("sim-decision"), "webhook_early");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let clock = clock();
    let receivers = Receivers::new(&clock, |got, _| {
        if got.post.url.ends_with("/hangs") {
            Reply::Hang
        } else {
            Reply::Status(200)
        }
    });
    let house = house(&clock, &receivers, &[]).await;
    endpoint(&house, json!({"url": "http://127.0.0.1:9/hangs"})).await;
    endpoint(&house, json!({ "url": URL })).await;
    for _ in 0..50 {
        house.job(1_000).await;
    }
    house.pass(1_100).await;
    let got = receivers.got();
    let quick = got.iter().filter(|got| got.post.url == URL);
    assert_eq!(quick.count(), 50);
    assert_eq!(got.len() - 50, 4, "the other holds its first few places");
}

/// The whole default schedule on the manual clock: more than three days, attempt by attempt.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
async fn seventy_five_hours_pass_in_under_a_second() {
    let clock = Clock::manual(START);
    let receivers = Receivers::new(&clock, |_, _| Reply::Status(500));
    let house = house(&clock, &receivers, &[]).await;
    let (endpoint, _) = endpoint(&house, json!({ "url": URL })).await;
    let create = json!({"simulate": {"duration": {"fixed": "0s"}, "outcome": {"error_chance": 0}}});
    house.post("/v1/jobs", create).await;
    let begun = std::time::Instant::now();
    let advance = Duration::from_secs(100 * 3_600);
    let seconds = json!({"seconds": advance.as_secs()});
    let advanced = house.post("/v1/clock/advance", seconds).await;
    assert_eq!(advanced.status, 200, "{}", advanced.text);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let got = receivers.got();
    let pauses = [
        0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ];
    assert_eq!(got.len(), pauses.len());
    let mut last = START;
    for (got, pause) in got.iter().zip(pauses) {
        let seen = got.at.since(last).as_secs_f64();
        let pause = f64::from(pause);
        assert!(
            (pause * 0.8..=pause * 1.2 + 0.001).contains(&seen),
            "{seen} against {pause}"
        );
        last = got.at;
    }
    assert_eq!(clock.now().since(START), advance);
    let path = format!("/v1/webhooks/{endpoint}/deliveries");
    let delivery = &house.get(&path).await.json()["deliveries"][0];
    assert_eq!(delivery["status"], "failed");
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn what_was_under_way_at_a_kill_is_sent_again_under_the_same_id() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::real();
    let hanging = Receivers::new(&clock, |_, _| Reply::Hang);
    let journal = Box::new(SqliteJournal::open(directory.path(), &[], 1).unwrap());
    let house = House::open_with(&[], clock.clone(), journal, Some(hanging.clone())).await;
    let (endpoint, secret) = endpoint(&house, json!({ "url": URL })).await;
    let create = json!({"simulate": {"duration": {"fixed": "0s"}, "outcome": {"error_chance": 0}}});
    house.post("/v1/jobs", create).await;
    let first = hanging.wait_for(1).await.remove(0);
    // The process is gone: its files are all that is left.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }

    let receivers = Receivers::ok(&clock);
    let journal = Box::new(SqliteJournal::open(copy.path(), &[], 1).unwrap());
    let again = House::open_with(&[], clock.clone(), journal, Some(receivers.clone())).await;
    let second = receivers.wait_for(1).await.remove(0);
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
    assert_eq!(second.post.body, first.post.body);
    assert_eq!(second.verify(&secret, clock.system()), Ok(()));
    assert_eq!(
        again.get(&format!("/v1/webhooks/{endpoint}")).await.status,
        200
    );
}
