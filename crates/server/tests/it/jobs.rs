//! The native routes for one job, a set and a list, over the real router on paused time.

use abide_server::http::answer::Body;
use serde_json::{Value, json};

use crate::common::House;

#[tokio::test(start_paused = true)]
async fn a_create_says_where_the_job_is_and_what_it_is() {
    let house = House::with(&[("allow-host", "here")])
        .await
        .with_header("host", "here:1");
    let answer = house
        .post("/v1/jobs", json!({"kind": "dub", "metadata": {"a": 1}}))
        .await;
    assert_eq!(answer.status, 202);
    let job = answer.json();
    let id = job["id"].as_str().unwrap();
    assert!(id.starts_with("job_"));
    assert_eq!(answer.header("location"), format!("/v1/jobs/{id}"));
    assert_eq!(
        answer.header("operation-location"),
        format!("http://here:1/v1/jobs/{id}")
    );
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT");
    assert_eq!(job["status"], "pending");
    assert_eq!(
        (&job["done"], &job["outcome"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!((&job["revision"], &job["kind"]), (&json!(1), &json!("dub")));
    assert_eq!(job["metadata"], json!({"a": 1}));
    assert_eq!(job["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(job["links"]["events"], format!("/v1/jobs/{id}/events"));

    let empty = house.ask("POST", "/v1/jobs", None).await;
    assert_eq!(
        (empty.status, &empty.json()["kind"]),
        (202, &json!("video_translation"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_ended_job_tells_its_age_and_no_pause() {
    let house = House::with(&[]).await;
    let id = house.job(2_000).await;
    house.pass(3_500).await;
    let answer = house.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("server-timing"), "since-end;dur=1500");
    assert_eq!(answer.header("retry-after"), "");
    let job = answer.json();
    assert_eq!(
        (&job["done"], &job["outcome"]),
        (&json!(true), &json!("completed"))
    );
    assert_eq!(job["finished_at"], "2027-01-15T08:00:02.000Z");
    assert_eq!(job["expires_at"], "2027-01-16T08:00:02.000Z");
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_is_an_answer_and_no_error() {
    let house = House::with(&[("error-chance", "1"), ("duration", "1s")]).await;
    let id = house.ask("POST", "/v1/jobs", None).await.json()["id"].clone();
    house.pass(2_000).await;
    let answer = house
        .get(&format!("/v1/jobs/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["outcome"], "failed");
    assert!(answer.json()["error"]["code"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_create_may_hold_until_the_end() {
    let house = House::with(&[]).await;
    let create = json!({"simulate": {"duration": {"fixed": "3s"}, "outcome": {"error_chance": 0}}});
    let table = [
        ("wait=10", 200, "wait=10", 3_000..=3_000),
        ("wait=2", 202, "wait=2", 2_000..=2_126),
        ("wait=0", 202, "wait=0", 0..=0),
        ("wait=600", 200, "wait=50", 3_000..=3_000),
        ("respond-async", 202, "respond-async", 0..=0),
        ("respond-async, wait=10", 202, "respond-async", 0..=0),
        ("handling=lenient", 202, "", 0..=0),
    ];
    for (prefer, status, applied, took) in table {
        let before = house.clock.elapsed();
        let answer = house
            .with_header("prefer", prefer)
            .post("/v1/jobs", create.clone())
            .await;
        let millis = (house.clock.elapsed() - before).as_millis();
        assert_eq!(answer.status, status, "{prefer}");
        assert_eq!(answer.header("preference-applied"), applied, "{prefer}");
        assert_eq!(answer.json()["done"], status == 200, "{prefer}");
        assert!(took.contains(&millis), "{prefer}: {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_key_and_body_give_the_same_job() {
    let house = House::with(&[])
        .await
        .with_header("idempotency-key", "\"k 1\"");
    let first = house.post("/v1/jobs", json!({"kind": "a"})).await;
    assert_eq!(first.header("idempotent-replayed"), "");
    house.pass(60_000).await;
    let again = house.post("/v1/jobs", json!({"kind": "a"})).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json()["id"], first.json()["id"]);
    // It has ended meanwhile, and the answer is the job as it is.
    assert_eq!((again.status, &again.json()["done"]), (200, &json!(true)));
    let other = house.post("/v1/jobs", json!({"kind": "b"})).await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (422, "idempotency_mismatch")
    );
    house.pass(24 * 3_600_000).await;
    let later = house.post("/v1/jobs", json!({"kind": "b"})).await;
    assert_eq!(later.status, 202);

    // The same whichever way it is written, and whatever surrounds it.
    let house = House::with(&[]).await;
    let bare = house.with_header("idempotency-key", "k 1");
    let first = bare.post("/v1/jobs", json!({"kind": "a"})).await;
    let quoted = house.with_header("idempotency-key", " \"k 1\"\t");
    let again = quoted.post("/v1/jobs", json!({"kind": "a"})).await;
    assert_eq!(again.json()["id"], first.json()["id"]);

    let long = "x".repeat(256);
    for key in ["", " ", "\"\"", "\"", "\"k", "k\t1", "k\u{e4}1", &long] {
        let house = House::with(&[]).await.with_header("idempotency-key", key);
        let answer = house.ask("POST", "/v1/jobs", None).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_member"),
            "{key}"
        );
        let detail = answer.json()["detail"].to_string();
        assert!(
            detail.contains("`Idempotency-Key` must be 1 to 255"),
            "{detail}"
        );
        assert_eq!(house.get("/v1/jobs").await.json()["jobs"], json!([]));
    }
}

/// A client that tries again may write its request anew, from a map without an order.
#[tokio::test(start_paused = true)]
async fn a_repeat_that_says_the_same_in_other_bytes_is_the_same() {
    let house = House::with(&[]).await;
    let table = [
        (
            r#"{"kind":"a","metadata":{"x":"1","y":"2"}}"#,
            r#"{"metadata":{"y":"2","x":"1"},"kind":"a"}"#,
            true,
        ),
        (
            r#"{"input":{"a":1,"b":[1,2]}}"#,
            r#"{"input": {"b": [1, 2], "a": 1}}"#,
            true,
        ),
        (
            r#"{"input":{"t":"é"}}"#,
            r#"{"input":{"t":"\u00e9"}}"#,
            true,
        ),
        (
            r#"{"metadata":{"t":"é"}}"#,
            r#"{"metadata":{"t":"\u00e9"}}"#,
            true,
        ),
        (r#"{"input":{"n":1.0}}"#, r#"{"input":{"n":1.00}}"#, true),
        (
            r#"{"simulate":{"duration":{"fixed":"60s"}}}"#,
            r#"{"simulate":{"duration":{"fixed":"1m"}}}"#,
            true,
        ),
        ("{}", r#"{"kind":"video_translation"}"#, true),
        (r#"{"input":{"n":1}}"#, r#"{"input":{"n":2}}"#, false),
        (r#"{"input":null}"#, "{}", true),
        (r#"{"input":1}"#, r#"{"metadata":{"input":1}}"#, false),
    ];
    for (n, (first, again, is_same)) in table.into_iter().enumerate() {
        let house = house.with_header("idempotency-key", &n.to_string());
        let send = async |body: &'static str| {
            let request =
                http::Request::post("/v1/jobs").header("content-type", "application/json");
            let request = request.body(Body::from(body.to_owned())).unwrap();
            crate::common::Answer::read(house.send(request).await).await
        };
        let (made, repeated) = (send(first).await, send(again).await);
        assert_eq!(made.status, 202, "{}", made.text);
        if is_same {
            assert_eq!(repeated.json()["id"], made.json()["id"], "{again}");
        } else {
            assert_eq!(repeated.code(), "idempotency_mismatch", "{again}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_conditional_by_revision() {
    let house = House::with(&[]).await;
    let id = house.job(5_000).await;
    let path = format!("/v1/jobs/{id}");
    // Work has begun by now.
    house.pass(10).await;
    for (tag, status) in [
        ("\"2\"", 304),
        ("W/\"2\"", 304),
        ("\"1\", \"2\"", 304),
        ("*", 304),
        ("\"1\"", 200),
        ("\"9\"", 200),
        ("2", 200),
    ] {
        let answer = house.with_header("if-none-match", tag).get(&path).await;
        assert_eq!(answer.status, status, "{tag}");
        assert_eq!(answer.header("etag"), "\"2\"", "{tag}");
        assert_eq!(answer.text.is_empty(), status == 304, "{tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_answers_at_the_first_newer_revision_or_at_its_end() {
    /// Query, `If-None-Match`, `Prefer`; status, revision, after how many ms.
    type Case = (
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
        u16,
        u64,
        [u128; 2],
    );
    let table: &[Case] = &[
        ("?wait=25", None, None, 200, 3, [5_000, 5_000]),
        ("?wait=25&after=1", None, None, 200, 2, [0, 0]),
        ("?wait=25&after=2", None, None, 200, 3, [5_000, 5_000]),
        (
            "?wait=25&after=2&until=done",
            None,
            None,
            200,
            3,
            [5_000, 5_000],
        ),
        ("?wait=2&after=2", None, None, 200, 2, [2_000, 2_126]),
        ("?wait=2", Some("\"2\""), None, 304, 2, [2_000, 2_126]),
        ("", Some("\"2\""), Some("wait=25"), 200, 3, [5_000, 5_000]),
        ("?wait=500ms&after=2", None, None, 200, 2, [500, 532]),
        ("?wait=0&after=2", None, None, 200, 2, [0, 0]),
        ("?wait=3600&after=2", None, None, 200, 3, [5_000, 5_000]),
        // A revision that is yet to come.
        ("?wait=2&after=9", None, None, 200, 2, [2_000, 2_126]),
    ];
    for (query, tag, prefer, status, revision, took) in table {
        let mut house = House::with(&[]).await;
        let id = house.job(5_000).await;
        while house.get(&format!("/v1/jobs/{id}")).await.json()["revision"] == 1 {
            house.pass(1).await;
        }
        if let Some(tag) = tag {
            house = house.with_header("if-none-match", tag);
        }
        if let Some(prefer) = prefer {
            house = house.with_header("prefer", prefer);
        }
        let begun = house.clock.now().since(crate::common::START).as_millis();
        let answer = house.get(&format!("/v1/jobs/{id}{query}")).await;
        let millis = house.clock.now().since(crate::common::START).as_millis();
        let case = format!("{query} {tag:?} {prefer:?}");
        assert_eq!(answer.status, *status, "{case}");
        assert_eq!(answer.header("etag"), format!("\"{revision}\""), "{case}");
        assert!(
            answer.header("preference-applied").starts_with("wait="),
            "{case}"
        );
        let ended = *revision == 3;
        let (from, to) = if ended {
            (took[0], took[1])
        } else {
            (begun + took[0], begun + took[1])
        };
        assert!((from..=to).contains(&millis), "{case}: {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_job_that_ended_is_no_wait() {
    let house = House::with(&[]).await;
    let id = house.job(1_000).await;
    house.pass(2_000).await;
    let before = house.clock.elapsed();
    let path = format!("/v1/jobs/{id}?wait=25");
    assert_eq!(house.get(&path).await.status, 200);
    assert_eq!(house.get(&format!("{path}&after=3")).await.status, 200);
    let known = house.with_header("if-none-match", "\"3\"").get(&path).await;
    assert_eq!(known.status, 304);
    assert_eq!(known.header("server-timing"), "since-end;dur=1000");
    assert_eq!(house.clock.elapsed(), before);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_nothing_behind() {
    let house = House::with(&[]).await;
    let id = house.job(60_000).await;
    let path = format!("/v1/jobs/{id}?wait=50");
    let watchers = format!("/v1/jobs/{id}/watchers");
    {
        let wait = house.get(&path);
        tokio::select! {
            _ = wait => panic!("nothing has happened"),
            () = house.pass(1_000) => {}
        }
    }
    assert_eq!(house.get(&watchers).await.json(), json!({"watchers": []}));
    assert!(house.state.waits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn watchers_are_seen() {
    let house = House::with(&[]).await;
    let id = house.job(60_000).await;
    let watchers = format!("/v1/jobs/{id}/watchers");
    let wait = format!("/v1/jobs/{id}?wait=50");
    let events = house.events(&format!("/v1/jobs/{id}/events")).await;
    let meanwhile = async {
        house.pass(1_000).await;
        let seen = house.get(&watchers).await.json();
        let channels: Vec<_> = seen["watchers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|watcher| watcher["channel"].clone())
            .collect();
        assert_eq!(channels.len(), 2);
        assert!(channels.contains(&json!("stream")) && channels.contains(&json!("long_poll")));
        assert_eq!(seen["watchers"][0]["address"], "127.0.0.1");
        assert_eq!(seen["watchers"][0]["since"], "2027-01-15T08:00:00.000Z");
    };
    tokio::join!(house.get(&wait), meanwhile);
    drop(events);
    assert_eq!(house.get(&watchers).await.json(), json!({"watchers": []}));
}

#[tokio::test(start_paused = true)]
async fn cancel_and_delete_may_be_said_twice() {
    let house = House::with(&[]).await;
    let id = house.job(60_000).await;
    let path = format!("/v1/jobs/{id}");
    let cancel = format!("{path}/cancel");

    let early = house.ask("DELETE", &path, None).await;
    assert_eq!((early.status, early.code().as_str()), (409, "conflict"));
    for _ in 0..2 {
        let answer = house.ask("POST", &cancel, None).await;
        assert_eq!(
            (answer.status, &answer.json()["outcome"]),
            (200, &json!("canceled"))
        );
    }
    for _ in 0..2 {
        let answer = house.ask("DELETE", &path, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    }
    let gone = house.get(&path).await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "gone"));
    let unknown = house.ask("DELETE", "/v1/jobs/job_nothing", None).await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "not_found")
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_leaves_when_its_time_has_come() {
    let house = House::with(&[("retention", "1h")]).await;
    let id = house.job(1_000).await;
    house.pass(1_000 + 3_600_000 - 1).await;
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).await.status, 200);
    house.pass(2).await;
    assert_eq!(house.get(&format!("/v1/jobs/{id}")).await.status, 410);
    assert_eq!(house.get("/v1/jobs").await.json()["jobs"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_external_worker_reports_under_a_revision() {
    let house = House::with(&[]).await;
    let job = house
        .post("/v1/jobs", json!({"worker": "external"}))
        .await
        .json();
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let patch = async |tag: Option<&str>, body: Value| {
        let house = match tag {
            Some(tag) => house.with_header("if-match", tag),
            None => house.with_header("x-test", "1"),
        };
        house.ask("PATCH", &path, Some(body)).await
    };
    let progress = json!({"progress": {"percent": 40, "stage": "voice"}});
    let first = patch(Some("\"1\""), progress.clone()).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(
        first.json()["progress"],
        json!({"percent": 40.0, "stage": "voice"})
    );
    let tag = first.header("etag").to_owned();

    for stale in ["\"1\"", "W/\"2\"", "\"99\"", "nonsense"] {
        let answer = patch(Some(stale), progress.clone()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (412, "precondition_failed"),
            "{stale}"
        );
        assert_eq!(answer.header("etag"), tag);
    }
    for wrong in [
        json!({}),
        json!({"progress": {"percent": 40}, "result": 1}),
        json!({"progress": {"percent": 101}}),
        json!({"progress": {"percent": "40"}}),
        json!({"status": "completed"}),
    ] {
        let answer = patch(None, wrong.clone()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_member"),
            "{wrong}"
        );
    }
    let ended = patch(Some("*"), json!({"result": null})).await;
    assert_eq!(
        (ended.status, &ended.json()["outcome"]),
        (200, &json!("completed"))
    );
    let late = patch(
        None,
        json!({"error": {"code": "broken", "title": "It broke"}}),
    )
    .await;
    assert_eq!((late.status, late.code().as_str()), (409, "job_done"));

    let simulated = house.job(60_000).await;
    let answer = house
        .ask("PATCH", &format!("/v1/jobs/{simulated}"), Some(progress))
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"));
}

#[tokio::test(start_paused = true)]
async fn a_set_answers_with_all_that_have_news() {
    let house = House::with(&[]).await;
    let fast = house.job(2_000).await;
    let also = house.job(2_000).await;
    let slow = house.job(50_000).await;
    house.pass(10).await;
    let wait = json!({
        "jobs": [{"id": slow, "after": 2}, {"id": fast, "after": 2}, {"id": also, "after": 2}],
        "wait": "30s",
    });
    let answer = house.post("/v1/jobs/wait", wait).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("preference-applied"), "wait=30");
    let ids: Vec<_> = answer.json()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["id"].clone())
        .collect();
    assert_eq!(ids, [json!(fast), json!(also)]);
    assert!(house.clock.now().since(crate::common::START).as_millis() <= 2_001);

    let empty = house
        .post(
            "/v1/jobs/wait",
            json!({"jobs": [{"id": slow, "after": 2}], "wait": 3}),
        )
        .await;
    assert_eq!(empty.json(), json!({"jobs": [], "errors": []}));
    let at_once = house
        .post("/v1/jobs/wait", json!({"jobs": [{"id": slow}]}))
        .await;
    assert_eq!(at_once.json()["jobs"][0]["id"], json!(slow));
}

#[tokio::test(start_paused = true)]
async fn a_set_may_wait_for_ends_alone() {
    let house = House::with(&[("duration", "4s"), ("error-chance", "0")]).await;
    let staged = house.ask("POST", "/v1/jobs", None).await.json()["id"].clone();
    let wait = json!({"jobs": [{"id": staged}], "wait": 30, "until": "done"});
    let answer = house.post("/v1/jobs/wait", wait).await.json();
    assert_eq!(answer["jobs"][0]["done"], true);
    assert_eq!(
        house.clock.now().since(crate::common::START).as_millis(),
        4_000
    );
}

#[tokio::test(start_paused = true)]
async fn one_bad_id_in_a_set_fails_itself_alone() {
    let house = House::with(&[]).await;
    let good = house.job(2_000).await;
    let gone = house.job(1).await;
    house.pass(5).await;
    house.ask("DELETE", &format!("/v1/jobs/{gone}"), None).await;
    let jobs = json!([
        {"id": "nonsense"}, {"id": good, "after": 2}, {"id": "job_00000000000070008000000000000000"}, {"id": gone},
    ]);
    // What is wrong is told at once, so that the client can leave it out and wait for the rest.
    let answer = house
        .post("/v1/jobs/wait", json!({"jobs": jobs, "wait": 30}))
        .await
        .json();
    let mut errors: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["error"]["status"].as_u64().unwrap())
        .collect();
    errors.sort_unstable();
    assert_eq!(errors, [404, 404, 410]);
    assert_eq!(answer["jobs"], json!([]));
    assert_eq!(house.clock.now().since(crate::common::START).as_millis(), 5);
    let rest = json!({"jobs": [{"id": good, "after": 2}], "wait": 30});
    let answer = house.post("/v1/jobs/wait", rest).await.json();
    assert_eq!(answer["jobs"][0]["id"], json!(good));
    assert_eq!(
        house.clock.now().since(crate::common::START).as_millis(),
        2_000
    );

    // Where nothing can come any more, nobody is kept waiting.
    let none = house
        .post(
            "/v1/jobs/wait",
            json!({"jobs": [{"id": "nonsense"}, {"id": good, "after": 3}], "wait": 30}),
        )
        .await;
    assert_eq!(
        house.clock.now().since(crate::common::START).as_millis(),
        2_000
    );
    assert_eq!(none.json()["errors"].as_array().unwrap().len(), 1);

    let many: Vec<_> = (0..1_001).map(|n| json!({"id": n.to_string()})).collect();
    let answer = house.post("/v1/jobs/wait", json!({"jobs": many})).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "invalid_member")
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_is_paged_without_gaps_while_jobs_come() {
    let house = House::with(&[]).await;
    let mut made = Vec::new();
    for _ in 0..25 {
        made.push(house.job(600_000).await);
        house.pass(3).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=10&status=pending,running".to_owned();
    loop {
        let answer = house.get(&path).await;
        let page = answer.json();
        seen.extend(
            page["jobs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        // Others come while the pages are read.
        house.job(600_000).await;
        let Some(token) = page["next_page_token"].as_str() else {
            assert_eq!(answer.header("link"), "");
            break;
        };
        let link = answer.header("link");
        let (target, rel) = link.split_once(">; ").unwrap();
        assert_eq!(rel, "rel=\"next\"");
        assert!(
            target.contains(token) && target.contains("limit=10"),
            "{link}"
        );
        path = target.trim_start_matches('<').to_owned();
    }
    made.reverse();
    assert_eq!(seen, made);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_filtered() {
    let house = House::with(&[]).await;
    let mut ids = Vec::new();
    for (kind, metadata, millis) in [
        ("a", json!({"team": "x", "n": 1}), 1_000),
        ("b", json!({"team": "x", "n": 2}), 100_000),
        ("a", json!({"team": "y"}), 100_000),
    ] {
        let simulate =
            json!({"duration": {"fixed": format!("{millis}ms")}, "outcome": {"error_chance": 0}});
        let answer = house
            .post(
                "/v1/jobs",
                json!({"kind": kind, "metadata": metadata, "simulate": simulate}),
            )
            .await;
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
        house.pass(10_000).await;
    }
    let table = [
        ("", vec![2, 1, 0]),
        ("status=completed", vec![0]),
        ("status=running,completed", vec![2, 1, 0]),
        ("kind=a", vec![2, 0]),
        ("metadata.team=x", vec![1, 0]),
        ("metadata.team=x&metadata.n=2", vec![1]),
        ("metadata.nobody=x", vec![]),
        ("created_after=2027-01-15T08:00:00.000Z", vec![2, 1]),
        ("created_after=2027-01-15T10:00:00+02:00", vec![2, 1]),
        ("created_after=2027-01-15T10:00:00%2B02:00", vec![2, 1]),
        ("created_before=2027-01-15T08:00:10Z", vec![0]),
        (
            "created_after=2027-01-15T08:00:05Z&created_before=2027-01-15T08:00:15Z",
            vec![1],
        ),
        (
            "created_after=2027-01-15T09:00:00Z&created_before=2027-01-15T08:00:00Z",
            vec![],
        ),
        ("ids=ID2,nonsense,ID0", vec![2, 0]),
        ("ids=ID2,ID0&kind=b", vec![]),
        ("limit=1", vec![2]),
    ];
    for (query, expected) in table {
        let query = query.replace("ID2", &ids[2]).replace("ID0", &ids[0]);
        let answer = house.get(&format!("/v1/jobs?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let got: Vec<_> = answer.json()["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|n: usize| ids[n].clone())
            .collect();
        assert_eq!(got, expected, "{query}");
    }
    for wrong in [
        "status=done",
        "limit=0",
        "limit=1001",
        "limit=x",
        "page_token=x",
        "created_after=now",
        "kin=a",
        "wait=3",
    ] {
        let answer = house.get(&format!("/v1/jobs?{wrong}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_member"),
            "{wrong}"
        );
        let name = wrong.split('=').next().unwrap();
        assert!(
            answer.text.contains(&format!("`{name}`")),
            "{}",
            answer.text
        );
    }
}
