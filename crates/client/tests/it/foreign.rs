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
        job.result.unwrap()["video_url"],
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
        job.result.unwrap()["url"],
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
    assert_eq!(
        job.result.unwrap(),
        json!(["https://files.example.test/out.mp4"])
    );
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
async fn a_word_that_nobody_knows_is_an_error_in_the_end() {
    let server = Scripted::new(|_, _| ok(&json!({"id": "x", "status": "archiving"})));
    let client = server
        .builder(Remote::preset("replicate").unwrap())
        .build()
        .unwrap();
    let error = client.job("x").wait().await.unwrap_err();
    assert!(error.is_garbled(), "{error:?}");
    assert!(error.to_string().contains("archiving"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_create_without_a_key_is_not_sent_twice() {
    let server = Scripted::new(|_, _| Err(()));
    let client = server
        .builder(Remote::preset("replicate").unwrap())
        .build()
        .unwrap();
    let error = client.create(NewJob::default()).await.unwrap_err();
    assert!(error.is_unreachable());
    assert_eq!(server.seen().len(), 1);
    let client = server
        .builder(Remote::preset("heygen").unwrap())
        .build()
        .unwrap();
    let _ = client.create(NewJob::default()).await.unwrap_err();
    assert_eq!(server.seen().len(), 1 + 4);
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
