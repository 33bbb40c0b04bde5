//! Job APIs that aren't ours, by description, tested against answers of the shapes that they send.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::schedule::Fixed;
use abide::{
    Body, BoxFuture, Client, ClientBuilder, Look, NewJob, Outcome, Remote, Transport,
    TransportError, poll_until,
};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::world::now;

const SECOND: Duration = Duration::from_secs(1);

type Script = dyn Fn(usize, &Request<Bytes>) -> Result<Response<Value>, ()> + Send + Sync;

/// A server that answers as a script says.
#[derive(Clone)]
struct Scripted {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Scripted {
    fn new(
        script: impl Fn(usize, &Request<Bytes>) -> Result<Response<Value>, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            script: Arc::new(script),
            seen: Arc::default(),
        }
    }

    fn builder(&self, remote: Remote) -> ClientBuilder {
        Client::builder("https://api.example.test")
            .transport(self.clone())
            .schedule(Fixed::new(2 * SECOND))
            .remote(remote)
            .seed(1)
    }

    fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Transport for Scripted {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        let ordinal = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(request.clone());
            seen.len()
        };
        let answer = (self.script)(ordinal, &request);
        Box::pin(async move {
            match answer {
                Ok(answer) => Ok(answer.map(|body| Body::full(body.to_string()))),
                Err(()) => Err(TransportError::broken(std::io::Error::from(
                    std::io::ErrorKind::ConnectionReset,
                ))),
            }
        })
    }
}

fn ok(body: &Value) -> Result<Response<Value>, ()> {
    Ok(Response::new(body.clone()))
}

fn shape(name: &str) -> Value {
    let path = format!("{}/tests/shapes/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Creates a job, and waits for it through all the answers of its shape.
async fn from_create_to_end(
    name: &str,
    remote: Remote,
) -> (abide::Job, Vec<Request<Bytes>>, Vec<String>) {
    let shape = shape(name);
    let server = Scripted::new(move |ordinal, _| match ordinal {
        1 => ok(&shape["create"]),
        n => ok(&shape["answers"][(n - 2).min(2)]),
    });
    let client = server
        .builder(remote)
        .api_key("key-of-mine")
        .build()
        .unwrap();
    let job = client
        .create(NewJob::new("k").input(json!({"video": "a.mp4"})))
        .await
        .unwrap();
    let words = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&words);
    let done = job
        .wait()
        .on_update(move |job| noted.lock().unwrap().push(job.status.to_string()))
        .await
        .unwrap();
    let words = words.lock().unwrap().clone();
    (done.completed().unwrap(), server.seen(), words)
}

/// What a job made.
fn value(job: &abide::Job) -> Value {
    job.result.as_ref().unwrap().parse().unwrap()
}

async fn failed(name: &str, remote: Remote) -> abide::Error {
    let shape = shape(name);
    let server = Scripted::new(move |_, _| ok(&shape["failed"]));
    let client = server.builder(remote).build().unwrap();
    let done = client.job("x").wait().await.unwrap();
    assert_eq!(done.outcome(), Outcome::Failed);
    done.completed().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn heygen_is_waited_for_by_description() {
    let (job, seen, words) = from_create_to_end("heygen", Remote::preset("heygen").unwrap()).await;
    assert_eq!(
        value(&job)["video_url"],
        "https://files.example.test/vt_8f2a.mp4?Expires=1"
    );
    assert_eq!(words, ["pending", "running", "completed"]);
    assert_eq!(
        seen[0].uri(),
        "https://api.example.test/v3/video-translations"
    );
    assert_eq!(seen[0].headers()["idempotency-key"].len(), 32);
    assert_eq!(seen[0].body(), r#"{"video":"a.mp4"}"#);
    assert_eq!(
        seen[1].uri(),
        "https://api.example.test/v3/video-translations/vt_8f2a"
    );
    assert_eq!(seen[1].headers()["x-api-key"], "key-of-mine");
    assert!(!seen[1].headers().contains_key("authorization"));
    let error = failed("heygen", Remote::preset("heygen").unwrap()).await;
    assert_eq!(
        error.problem().unwrap().detail.as_deref(),
        Some("The video has no speech.")
    );

    let (job, seen, words) =
        from_create_to_end("heygen_v2", Remote::preset("heygen_v2").unwrap()).await;
    assert_eq!(
        value(&job)["url"],
        "https://files.example.test/9b1c77.mp4?Expires=1"
    );
    assert_eq!(words, ["pending", "running", "completed"]);
    assert_eq!(
        seen[1].uri(),
        "https://api.example.test/v2/video_translate/9b1c77"
    );
    failed("heygen_v2", Remote::preset("heygen_v2").unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn replicate_is_waited_for_by_description() {
    let (job, seen, words) =
        from_create_to_end("replicate", Remote::preset("replicate").unwrap()).await;
    assert_eq!(value(&job), json!(["https://files.example.test/out.mp4"]));
    assert_eq!(words, ["starting", "processing", "completed"]);
    assert_eq!(
        job.finished_at.unwrap().since(job.created_at),
        Duration::from_millis(12_500)
    );
    assert_eq!(seen[1].headers()["authorization"], "Bearer key-of-mine");
    let error = failed("replicate", Remote::preset("replicate").unwrap()).await;
    assert_eq!(
        error.problem().unwrap().detail.as_deref(),
        Some("CUDA out of memory")
    );
}

#[tokio::test(start_paused = true)]
async fn openai_videos_are_waited_for_by_description() {
    let (job, _, words) =
        from_create_to_end("openai_video", Remote::preset("openai_video").unwrap()).await;
    assert_eq!(words, ["queued", "in_progress", "completed"]);
    assert_eq!(job.progress.unwrap().percent, 100.0);
    assert_eq!(job.finished_at.unwrap().since(job.created_at), 40 * SECOND);
    let error = failed("openai_video", Remote::preset("openai_video").unwrap()).await;
    assert_eq!(
        error.problem().unwrap().detail.as_deref(),
        Some("The prompt was refused.")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_read_anew_on_every_answer() {
    let shape = shape("openai_video");
    let server = Scripted::new(move |ordinal, _| {
        let mut answer = Response::new(shape["answers"][usize::from(ordinal > 3) * 2].clone());
        let hint = ["100", "7000", "2500"][(ordinal - 1).min(2)];
        answer
            .headers_mut()
            .insert("openai-poll-after-ms", hint.parse().unwrap());
        Ok(answer)
    });
    let began = now();
    let client = server
        .builder(Remote::preset("openai_video").unwrap())
        .build()
        .unwrap();
    let _ = client.job("video_123").wait().await.unwrap();
    // A floor under the schedule's two seconds: 2, 7 and 2.5 seconds, and a little jitter.
    let took = (now() - began).as_secs_f64();
    assert!((11.5..12.5).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_word_that_nobody_knows_means_that_the_job_runs_unless_that_is_refused() {
    let words = [
        "archiving",
        "archiving",
        "moderating",
        "processing",
        "succeeded",
    ];
    let server = || {
        Scripted::new(move |ordinal, _| {
            ok(&json!({"id": "x", "status": words[(ordinal - 1).min(4)]}))
        })
    };
    let lenient = Remote::preset("replicate").unwrap();
    let client = server().builder(lenient.clone()).build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let wait = client.job("x").wait();
    let wait = wait.on_update(move |job| noted.lock().unwrap().push(job.status.to_string()));
    assert!(wait.await.unwrap().is_completed());
    assert_eq!(
        *seen.lock().unwrap(),
        ["archiving", "moderating", "processing", "completed"]
    );

    let always = Scripted::new(|_, _| ok(&json!({"id": "x", "status": "archiving"})));
    let client = always.builder(lenient.strict()).build().unwrap();
    let error = client.job("x").wait().await.unwrap_err();
    assert!(error.is_garbled(), "{error:?}");
    assert!(error.to_string().contains("archiving"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_foreign_api_says_is_wrong_is_kept_and_nothing_is_added() {
    let refusal = json!({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}});
    let text = refusal.to_string();
    let server = Scripted::new(move |_, _| {
        let mut answer = Response::new(refusal.clone());
        *answer.status_mut() = http::StatusCode::UNAUTHORIZED;
        Ok(answer)
    });
    let remote = Remote::preset("openai_video").unwrap();
    let client = server.builder(remote.clone()).build().unwrap();
    let error = client.job("x").wait().await.unwrap_err();
    assert!(error.is_refused());
    assert_eq!(error.body(), Some(text.as_str()));
    assert_eq!(error.problem().unwrap().code.as_str(), "invalid_api_key");
    assert_eq!(
        error.to_string(),
        "job x: the server answered 401 Unauthorized: Incorrect API key"
    );

    let failed = json!({"id": "x", "status": "failed",
        "error": {"code": "moderation_blocked", "message": "Your request was blocked."}});
    let server = Scripted::new(move |_, _| ok(&failed));
    let client = server.builder(remote).build().unwrap();
    let done = client.job("x").wait().await.unwrap();
    let error = done.completed().unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.code.as_str(), "moderation_blocked");
    assert_eq!((problem.status, problem.retryable), (0, false));
    assert_eq!(
        error.to_string(),
        "job x: the job failed: Your request was blocked."
    );
}

#[tokio::test(start_paused = true)]
async fn a_create_without_a_key_is_not_sent_twice_and_says_that_it_may_have_worked() {
    let server = Scripted::new(|_, _| Err(()));
    let client = server
        .builder(Remote::preset("replicate").unwrap())
        .build()
        .unwrap();
    let error = client.create(NewJob::default()).await.unwrap_err();
    assert!(error.is_unreachable() && error.may_have_created());
    assert!(error.to_string().contains("may have been made"), "{error}");
    assert_eq!(
        (error.idempotency_key(), error.resume_token()),
        (None, None)
    );
    assert_eq!(server.seen().len(), 1);
    let named = client.create(NewJob::default()).idempotency_key("k");
    assert!(named.await.unwrap_err().is_usage());
    assert_eq!(server.seen().len(), 1);

    let client = server
        .builder(Remote::preset("heygen").unwrap())
        .build()
        .unwrap();
    let error = client.create(NewJob::default()).await.unwrap_err();
    assert!(error.may_have_created() && error.idempotency_key().is_some());
    assert!(!error.to_string().contains("may have been made"), "{error}");
    assert_eq!(server.seen().len(), 1 + 4);

    let refusing = Scripted::new(|_, _| {
        let mut answer = Response::new(json!({"detail": "no credit"}));
        *answer.status_mut() = http::StatusCode::PAYMENT_REQUIRED;
        Ok(answer)
    });
    let remote = Remote::preset("replicate").unwrap();
    let client = refusing.builder(remote).build().unwrap();
    let error = client.create(NewJob::default()).await.unwrap_err();
    assert!(error.is_refused() && !error.may_have_created());
    assert!(error.to_string().ends_with("no credit"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_just_made_is_looked_for_again_before_a_404_is_believed() {
    let lags = |lag: Duration| {
        let began = now();
        Scripted::new(move |ordinal, _| {
            let age = now() - began;
            if ordinal > 1 && age < lag {
                let mut answer = Response::new(json!({"error": "not found"}));
                *answer.status_mut() = http::StatusCode::NOT_FOUND;
                return Ok(answer);
            }
            let word = if age < 20 * SECOND {
                "processing"
            } else {
                "succeeded"
            };
            ok(&json!({"id": "x", "status": word}))
        })
    };
    let remote = || Remote::preset("replicate").unwrap();
    let server = lags(8 * SECOND);
    let client = server.builder(remote()).build().unwrap();
    let job = client.create(NewJob::default()).await.unwrap();
    assert!(job.wait().await.unwrap().is_completed());

    let server = lags(4 * SECOND);
    let client = server.builder(remote()).build().unwrap();
    let job = client.create(NewJob::default()).await.unwrap();
    assert!(!job.status().await.unwrap().done);
    assert!(server.seen().len() <= 10, "{}", server.seen().len());

    // Bounded, and not for a bare id.
    let server = lags(60 * SECOND);
    let began = now();
    let client = server.builder(remote()).build().unwrap();
    let job = client.create(NewJob::default()).await.unwrap();
    let error = job.wait().await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    let took = now() - began;
    assert!((10..20).contains(&took.as_secs()), "{took:?}");
    let before = server.seen().len();
    let error = client.job("x").wait().await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(server.seen().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_foreign_job_has_its_kind_and_its_age() {
    let began = now();
    let server = Scripted::new(move |_, _| {
        let done = now() - began >= 100 * SECOND;
        ok(
            &json!({"id": "x", "status": if done { "success" } else { "running" },
            "data": {"video_translate_id": "x", "status": if done { "success" } else { "running" }}}),
        )
    });
    let remote = Remote::preset("heygen_v2").unwrap();
    let client = server.builder(remote).build().unwrap();
    let job = client.create(NewJob::new("dub")).await.unwrap();
    let token = job.resume_token().to_string();
    assert!(
        token.contains(r#""kind":"dub""#) && token.contains("created_at"),
        "{token}"
    );
    tokio::time::sleep(60 * SECOND).await;
    // Later the job is as old as the token says.
    let seen = Arc::new(Mutex::new(Duration::ZERO));
    let noted = Arc::clone(&seen);
    let job = client.resume(&token.parse().unwrap()).unwrap();
    let wait = job.wait().on_update(move |job| {
        *noted.lock().unwrap() = job.updated_at.since(job.created_at);
    });
    assert!(wait.await.unwrap().is_completed());
    let age = seen.lock().unwrap().as_secs();
    assert!((95..105).contains(&age), "{age}");
}

#[test]
fn a_description_is_configuration() {
    let text = r#"{"name": "render", "status": "/r?id={id}", "state": "/s", "running": ["wait"], "completed": ["ok"]}"#;
    let remote: Remote = serde_json::from_str(text).unwrap();
    assert_eq!(remote.key_prefix, "Bearer ");
    let again: Remote = serde_json::from_str(&serde_json::to_string(&remote).unwrap()).unwrap();
    assert_eq!(again, remote);
    let typo = text.replace("state", "sate");
    assert!(serde_json::from_str::<Remote>(&typo).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_id_may_stand_in_the_query_and_cannot_leave_its_place() {
    let server = Scripted::new(|_, _| ok(&json!({"s": "ok"})));
    let remote = Remote::new("q", "/r?id={id}&full=1", "/s").completed(["ok"]);
    let client = server.builder(remote).build().unwrap();
    let _ = client.job("a&b=c/d").wait().await.unwrap();
    assert_eq!(
        server.seen()[0].uri(),
        "https://api.example.test/r?id=a%26b%3Dc%2Fd&full=1"
    );
    let remote = Remote::new("p", "/r/{id}/state", "/s").completed(["ok"]);
    let client = server.builder(remote).build().unwrap();
    let _ = client.job("../a?b#c").wait().await.unwrap();
    assert_eq!(
        server.seen()[1].uri(),
        "https://api.example.test/r/..%2Fa%3Fb%23c/state"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_description_does_not_tell_is_refused_before_it_is_sent() {
    let server = Scripted::new(|_, _| ok(&json!({})));
    let remote = Remote::new("q", "/r/{id}", "/s").completed(["ok"]);
    let client = server.builder(remote).build().unwrap();
    assert!(client.job("x").cancel().await.unwrap_err().is_usage());
    assert!(client.job("x").delete().await.unwrap_err().is_usage());
    assert!(
        client
            .create(NewJob::default())
            .await
            .unwrap_err()
            .is_usage()
    );
    assert!(server.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn anything_can_be_waited_for_by_a_closure_that_borrows() {
    let began = now();
    let mut looks = Vec::new();
    let found = poll_until(|| {
        looks.push(now() - began);
        let found = (looks.len() == 4).then_some(42);
        async move { Ok::<_, std::io::Error>(Look::from(found)) }
    })
    .schedule(Fixed::new(3 * SECOND))
    .await
    .unwrap();
    assert_eq!(found, 42);
    let looks: Vec<u64> = looks.iter().map(Duration::as_secs).collect();
    assert_eq!(looks, [0, 3, 6, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_closures_errors_pass_or_end_the_wait() {
    let mut looks = 0;
    let found = poll_until(|| {
        looks += 1;
        let look = if looks < 4 {
            Err(std::io::Error::other("flaky"))
        } else {
            Ok(Look::done(looks))
        };
        async move { look }
    });
    let (found, report) = found.with_report().await.unwrap();
    assert_eq!((found, report.requests, report.failures), (4, 4, 3));

    let error =
        poll_until(|| async { Err::<Look<()>, _>(std::io::Error::other("wrong password")) })
            .final_if(|_| true)
            .await
            .unwrap_err();
    assert!(error.is_refused());
    assert!(std::error::Error::source(&error).is_some());

    let began = now();
    let error = poll_until(|| async { Err::<Look<()>, _>(std::io::Error::other("down")) })
        .await
        .unwrap_err();
    assert!(error.is_unreachable());
    assert!(now() - began < 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_closure_has_a_deadline_a_last_look_and_a_limit_for_each_look() {
    let began = now();
    let error = poll_until(|| async { Ok::<Look<()>, std::io::Error>(Look::not_yet()) })
        .schedule(Fixed::new(4 * SECOND))
        .deadline(10 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_still_running() && error.is_timeout());
    assert!((now() - began).abs_diff(10 * SECOND) < Duration::from_millis(100));
    assert_eq!(error.wait_report().unwrap().requests, 4);

    let began = now();
    let error = poll_until(std::future::pending::<Result<Look<()>, std::io::Error>>)
        .attempt_timeout(SECOND)
        .deadline(5 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_unreachable() && error.is_timeout());
    assert!((now() - began).abs_diff(5 * SECOND) < Duration::from_millis(100));
}

#[test]
fn a_description_that_cannot_be_right_is_refused_before_anything_is_sent() {
    let wrong = Remote::new("q", "/r/{id}", "data.status").completed(["ok"]);
    let error = Client::builder("https://api.example.test")
        .remote(wrong)
        .build()
        .unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().contains("/data/status"), "{error}");
}

#[test]
fn a_password_in_an_address_is_in_no_error() {
    for address in [
        "http://me:hunter2@host.test",
        "htp://me:hunter2@host.test",
        "http://me:hunter2@ho st.test",
    ] {
        let error = Client::new(address).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_with_a_job_that_cannot_be_read_has_all_others() {
    let job = |id: &str, status: Value| {
        json!({"id": id, "status": status, "done": false, "revision": 1,
            "created_at": "2026-11-22T00:00:00Z", "updated_at": "2026-11-22T00:00:00Z"})
    };
    let page = json!({"jobs": [job("a", json!("running")), job("b", json!(7)), {}, job("c", json!("running"))]});
    let server = Scripted::new(move |_, _| ok(&page));
    let client = Client::builder("https://api.example.test").transport(server);
    let mut list = client.build().unwrap().list();
    let jobs = list.next_page().await.unwrap().unwrap();
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    let unreadable: Vec<&str> = list.unreadable().iter().map(abide::JobId::as_str).collect();
    assert_eq!(unreadable, ["b", "unknown"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_foreign_job_made_keeps_its_digits() {
    struct Raw;
    impl fmt::Debug for Raw {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Raw")
        }
    }
    impl Transport for Raw {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
            let text =
                r#"{"s":"ok","out":{"n":123456789012345678901234567890,"t":"\udc00"},"x":1E400}"#;
            Box::pin(async move { Ok(Response::new(Body::full(text))) })
        }
    }
    let remote = Remote::new("r", "/r/{id}", "/s")
        .completed(["ok"])
        .result("/out");
    let client = Client::builder("https://api.example.test").transport(Raw);
    let client = client.remote(remote).build().unwrap();
    let done = client.job("a").wait().await.unwrap();
    let result = done.into_job().result.unwrap();
    assert_eq!(
        result.get(),
        r#"{"n":123456789012345678901234567890,"t":"\udc00"}"#
    );
}
