//! Workers: claims, leases, and what becomes of a job whose worker is lost.

use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::journal::{JournalError, MemoryJournal};
use serde_json::{Value, json};

use crate::common::journal::Disk;
use crate::common::{Answer, House, START};

async fn external(house: &House, more: Value) -> String {
    let mut body = json!({"worker": "external"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = house.post("/v1/jobs", body).await;
    assert_eq!(made.status, 202, "{}", made.text);
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn claim(house: &House, body: Value) -> Answer {
    house.post("/v1/jobs/claim", body).await
}

/// Claims a job at once, and gives its id and the token of its lease.
async fn claimed(house: &House, body: Value) -> (String, String) {
    let job = claim(house, body).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&job["id"]), text(&job["lease"]["token"]))
}

async fn report(house: &House, id: &str, token: &str, body: Value) -> Answer {
    let house = house.with_header("lease-token", token);
    house
        .ask("PATCH", &format!("/v1/jobs/{id}"), Some(body))
        .await
}

async fn read(house: &House, id: &str) -> Value {
    house.get(&format!("/v1/jobs/{id}")).await.json()
}

#[tokio::test(start_paused = true)]
async fn a_claimed_job_is_its_workers_until_it_ends() {
    let house = House::with(&[]).await;
    let id = external(&house, json!({"kind": "dub"})).await;
    let none = claim(&house, json!({"kinds": ["other"]})).await;
    assert_eq!((none.status, none.text.as_str()), (204, ""));
    let answer = claim(&house, json!({"kinds": ["other", "dub"]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("etag"), "\"2\"");
    let job = answer.json();
    let token = job["lease"]["token"].as_str().unwrap();
    assert_eq!(
        job["lease"]["expires_at"],
        json!(START + Duration::from_secs(30))
    );
    for (member, expected) in [
        ("id", json!(id)),
        ("status", json!("running")),
        ("revision", json!(2)),
        ("attempts", json!(1)),
        ("started_at", json!(START)),
    ] {
        assert_eq!(job[member], expected, "{member}");
    }
    assert_eq!(claim(&house, json!({})).await.status, 204, "it is claimed");
    // Nobody else sees the lease, and nobody else may report.
    let seen = read(&house, &id).await;
    assert_eq!(seen.get("lease"), None);
    let path = format!("/v1/jobs/{id}");
    let without = house.ask("PATCH", &path, Some(json!({"result": 1}))).await;
    assert_eq!((without.status, without.code().as_str()), (409, "conflict"));
    let other = report(&house, &id, "lease_0000000000000000", json!({"result": 1})).await;
    assert_eq!((other.status, other.code().as_str()), (409, "lease_lost"));
    let odd = report(&house, &id, "mine", json!({})).await;
    assert_eq!((odd.status, odd.code().as_str()), (422, "invalid_member"));
    // A heartbeat renews and is no change, a report of progress both.
    house.pass(20_000).await;
    let alive = report(&house, &id, token, json!({})).await;
    assert_eq!(alive.status, 200, "{}", alive.text);
    assert_eq!(alive.json()["revision"], 2);
    assert_eq!(
        alive.json()["lease"]["expires_at"],
        json!(START + Duration::from_secs(50))
    );
    house.pass(20_000).await;
    let progress = json!({"progress": {"percent": 40, "stage": "voices"}});
    let further = report(&house, &id, token, progress).await.json();
    assert_eq!(
        (&further["revision"], &further["attempts"]),
        (&json!(3), &json!(1))
    );
    house.pass(29_000).await;
    let ended = report(&house, &id, token, json!({"result": {"ok": true}})).await;
    assert_eq!(ended.json()["outcome"], "completed");
    assert_eq!(ended.json().get("lease"), None);
    let late = report(&house, &id, token, json!({})).await;
    assert_eq!((late.status, late.code().as_str()), (409, "job_done"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_worker_loses_its_job_as_the_creator_chose() {
    let house = House::with(&[]).await;
    let fails = external(&house, json!({"kind": "a"})).await;
    let retried = json!({"kind": "b", "on_worker_lost": "retry", "attempts_max": 2});
    let retried = external(&house, retried).await;
    let (_, first) = claimed(&house, json!({"kinds": ["b"], "lease_s": 10})).await;
    claimed(&house, json!({"kinds": ["a"], "lease_s": 10})).await;
    house.pass(10_000).await;
    let failed = house.get(&format!("/v1/jobs/{fails}?wait=1")).await.json();
    assert_eq!(failed["error"]["code"], "worker_lost");
    assert_eq!(
        failed["error"]["detail"],
        "the worker of attempt 1 of 1 was silent for 10s"
    );
    assert_eq!(
        failed["finished_at"],
        json!(START + Duration::from_secs(10))
    );
    let pending = read(&house, &retried).await;
    assert_eq!(pending["status"], "pending");
    assert_eq!(
        (&pending["attempts"], &pending["started_at"]),
        (&json!(1), &json!(null))
    );
    let told = report(&house, &retried, &first, json!({"result": 1})).await;
    assert_eq!(told.code(), "lease_lost");
    let (_, second) = claimed(&house, json!({"lease_s": 10})).await;
    assert_ne!(first, second);
    let told = report(&house, &retried, &first, json!({"result": 1})).await;
    let detail = "the lease is lost and another worker has the job; stop working on it";
    assert_eq!(
        (told.code().as_str(), &told.json()["detail"]),
        ("lease_lost", &json!(detail))
    );
    house.pass(10_000).await;
    let failed = house
        .get(&format!("/v1/jobs/{retried}?wait=1"))
        .await
        .json();
    assert_eq!(failed["error"]["code"], "worker_lost");
    let names = ["created", "started", "progress", "started", "failed"];
    let mut events = house
        .events(&format!("/v1/jobs/{retried}/events?after=0"))
        .await;
    let told: Vec<String> = events.rest().await.into_iter().map(|it| it.name).collect();
    assert_eq!(told, names.map(|name| format!("job.{name}")));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_frees_the_worker_and_tells_it_at_its_next_report() {
    let house = House::with(&[]).await;
    let id = external(&house, json!({})).await;
    let (_, token) = claimed(&house, json!({})).await;
    let canceled = house
        .ask("POST", &format!("/v1/jobs/{id}/cancel"), None)
        .await;
    assert_eq!(canceled.json()["outcome"], "canceled");
    let told = report(&house, &id, &token, json!({})).await;
    assert_eq!(told.code(), "job_done");
    assert_eq!(
        told.json()["detail"],
        "the job was canceled; stop working on it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_sent_again_while_the_first_is_carried_out_stays_the_workers() {
    let house = House::with(&[]).await;
    let id = external(&house, json!({})).await;
    let worker = house.with_header("idempotency-key", "claim 1");
    let again = {
        let mut gone = std::pin::pin!(claim(&worker, json!({"wait": 20})));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
        let mut again = Box::pin(claim(&worker, json!({"wait": 20})));
        assert!(futures_util::poll!(again.as_mut()).is_pending());
        again
    };
    let job = again.await.json();
    assert_eq!(job["id"], json!(id));
    house.pass(1).await;
    assert_eq!(claim(&house, json!({})).await.status, 204);
    let token = job["lease"]["token"].as_str().unwrap();
    let done = report(&house, &id, token, json!({"result": 1})).await;
    assert_eq!(done.status, 200, "{}", done.text);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_sent_again_while_the_first_waits_gets_the_same_job() {
    let house = House::with(&[]).await;
    let ask = |key: &str| {
        let worker = house.with_header("idempotency-key", key);
        tokio::spawn(async move { claim(&worker, json!({"wait": 20})).await })
    };
    // Nobody may hear its answer any more.
    let first = ask("claim 1");
    house.pass(1).await;
    let _another = ask("claim 2");
    house.pass(1).await;
    let again = ask("claim 1");
    house.pass(1).await;
    let id = external(&house, json!({})).await;
    house.pass(10).await;
    assert!(again.is_finished(), "it isn't held any longer");
    for answer in [first, again] {
        assert_eq!(answer.await.unwrap().json()["id"], json!(id));
    }
    assert_eq!(read(&house, &id).await["attempts"], 1);
    assert_eq!(house.state.board.claims(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_sent_again_under_its_key_takes_no_second_job() {
    let house = House::with(&[]).await;
    let first = external(&house, json!({"on_worker_lost": "retry"})).await;
    let second = external(&house, json!({})).await;
    let worker = house.with_header("idempotency-key", "claim 1");
    let (id, token) = claimed(&worker, json!({"lease_s": 10})).await;
    assert_eq!(id, first);
    house.pass(8_000).await;
    let again = claim(&worker, json!({"lease_s": 10})).await.json();
    assert_eq!(
        (&again["id"], &again["lease"]["token"]),
        (&json!(first), &json!(token))
    );
    assert_eq!(
        (&again["attempts"], &again["revision"]),
        (&json!(1), &json!(2))
    );
    let until = json!(START + Duration::from_secs(18));
    assert_eq!(again["lease"]["expires_at"], until, "it is renewed");
    assert_eq!(
        report(&house, &id, &token, json!({"result": 1}))
            .await
            .status,
        200
    );
    let (next, _) = claimed(&worker, json!({"lease_s": 10})).await;
    assert_eq!(next, second, "its lease is over");
    let odd = house.with_header("idempotency-key", "");
    assert_eq!(claim(&odd, json!({})).await.code(), "invalid_member");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_its_worker_gives_back_was_never_claimed() {
    let house = House::with(&[]).await;
    let id = external(&house, json!({})).await;
    let (_, token) = claimed(&house, json!({})).await;
    for odd in [
        json!({"release": false}),
        json!({"release": true, "result": 1}),
        json!({"release": null}),
    ] {
        assert_eq!(report(&house, &id, &token, odd).await.status, 422);
    }
    let path = format!("/v1/jobs/{id}");
    let without = house
        .ask("PATCH", &path, Some(json!({"release": true})))
        .await;
    assert_eq!(without.code(), "invalid_member");
    let back = report(&house, &id, &token, json!({"release": true}))
        .await
        .json();
    assert_eq!(
        (&back["status"], &back["revision"]),
        (&json!("pending"), &json!(3))
    );
    for member in ["attempts", "lease"] {
        assert_eq!(back.get(member), None, "{member}");
    }
    assert_eq!(
        report(&house, &id, &token, json!({})).await.code(),
        "lease_lost"
    );
    let (again, _) = claimed(&house, json!({})).await;
    assert_eq!(again, id);
    assert_eq!(read(&house, &id).await["attempts"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_goes_away_while_its_claim_is_carried_out_uses_no_attempt() {
    let house = House::with(&[]).await;
    let id = external(&house, json!({})).await;
    {
        let mut gone = std::pin::pin!(claim(&house, json!({"wait": 20})));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
    }
    house.pass(1).await;
    let job = read(&house, &id).await;
    assert_eq!(
        (&job["status"], &job["revision"]),
        (&json!("pending"), &json!(3)),
        "{job}"
    );
    assert_eq!(job.get("attempts"), None);
    assert_eq!(claim(&house, json!({})).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn workers_that_wait_get_jobs_in_the_order_in_which_they_came() {
    let house = House::with(&[]).await;
    let worker = |kinds: Value| {
        let house = house.with_header("x-test", "1");
        tokio::spawn(async move { claim(&house, json!({"kinds": kinds, "wait": 20})).await })
    };
    let mut workers = Vec::new();
    for kinds in [json!(["a"]), json!([]), json!(["b", "a"]), json!(["b"])] {
        workers.push(worker(kinds));
        house.pass(1).await;
    }
    assert_eq!(house.state.board.claims(), 4);
    let mut ids = Vec::new();
    for kind in ["b", "a", "b"] {
        ids.push(external(&house, json!({ "kind": kind })).await);
    }
    let mut got = Vec::new();
    for worker in workers {
        let answer = worker.await.unwrap();
        assert!(answer.header("preference-applied").starts_with("wait=20"));
        got.push((answer.status == 200).then(|| answer.json()["id"].clone()));
    }
    let [second, first, third] = [&ids[0], &ids[1], &ids[2]].map(|id| Some(json!(id)));
    assert_eq!(got, [first, second, third, None]);
    assert_eq!(house.state.board.claims(), 0);
    assert_eq!(house.state.waits.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn owners_claim_jobs_of_their_own_alone() {
    let house = House::with(&[
        ("api-key", "ann:user:ann-ann-ann-ann-ann-ann"),
        ("api-key", "bob:user:bob-bob-bob-bob-bob-bob"),
        ("api-key", "ann:read:red-red-red-red-red-red"),
    ])
    .await;
    let as_key = |key: &str| house.with_header("authorization", &format!("Bearer {key}"));
    let ann = as_key("ann-ann-ann-ann-ann-ann");
    external(&ann, json!({})).await;
    let bob = as_key("bob-bob-bob-bob-bob-bob");
    assert_eq!(claim(&bob, json!({})).await.status, 204);
    let reader = as_key("red-red-red-red-red-red");
    assert_eq!(claim(&reader, json!({})).await.status, 403);
    assert_eq!(claim(&ann, json!({})).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_a_create_or_a_claim_cant_mean_is_refused_with_the_member() {
    let house = House::with(&[]).await;
    for (path, body, member) in [
        (
            "/v1/jobs",
            json!({"on_worker_lost": "retry"}),
            "on_worker_lost",
        ),
        (
            "/v1/jobs",
            json!({"worker": "external", "attempts_max": 2}),
            "attempts_max",
        ),
        (
            "/v1/jobs",
            json!({"worker": "external", "on_worker_lost": "retry", "attempts_max": 0}),
            "attempts_max",
        ),
        (
            "/v1/jobs",
            json!({"worker": "external", "on_worker_lost": "wait"}),
            "on_worker_lost",
        ),
        ("/v1/jobs/claim", json!({"lease_s": 0.5}), "lease_s"),
        ("/v1/jobs/claim", json!({"lease_s": 86_401}), "lease_s"),
        ("/v1/jobs/claim", json!({"kinds": vec!["a"; 51]}), "kinds"),
        ("/v1/jobs/claim", json!({"kinds": [""]}), "kinds"),
        ("/v1/jobs/claim", json!({"kind": "a"}), "kind"),
    ] {
        let answer = house.post(path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_member"),
            "{body}"
        );
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(member), "{detail}");
    }
}

/// A worker can't report while the server is down or can't write, so that time doesn't count.
#[tokio::test(start_paused = true)]
async fn a_lease_outlives_a_time_in_which_the_server_could_not_write() {
    let clock = Clock::running(START, std::num::NonZeroU32::MIN);
    let disk = Disk {
        inner: MemoryJournal::new(),
        is_blocking: false,
        latency: Duration::ZERO,
        before_append: {
            let clock = clock.clone();
            move || {
                let is_full = (5..60).contains(&clock.elapsed().as_secs());
                match is_full {
                    true => Err(JournalError::Full {
                        path: "tight".into(),
                    }),
                    false => Ok(()),
                }
            }
        },
    };
    let house = House::open(&[], clock, Box::new(disk)).await;
    let id = external(&house, json!({})).await;
    let (_, token) = claimed(&house, json!({"lease_s": 10})).await;
    house.pass(6_000).await;
    let refused = report(&house, &id, &token, json!({})).await;
    assert_eq!(refused.code(), "storage_unavailable");
    house.pass(56_000).await;
    assert_eq!(read(&house, &id).await["status"], "running");
    assert_eq!(report(&house, &id, &token, json!({})).await.status, 200);
    house.pass(10_001).await;
    assert_eq!(read(&house, &id).await["error"]["code"], "worker_lost");
}
