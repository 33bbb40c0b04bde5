//! What a client is answered, and what its users hand in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use abide::strategy::Stream;
use abide::{
    Body, BoxFuture, Client, FeedPlace, Remote, ResumeToken, Timestamp, Transport, TransportError,
};
use bytes::Bytes;
use http::{Request, Response};

use super::{in_time, pieces};

/// How long a watch or a wait goes on.
const WAIT: Duration = Duration::from_secs(40);
/// Changes of a job that are looked at.
const CHANGES_MAX: usize = 200;

/// A server in memory, which answers all requests alike, but for the first one of a stream.
#[derive(Clone, Debug, Default)]
struct Answers {
    events: Arc<Vec<Bytes>>,
    has_streamed: Arc<AtomicBool>,
    body: Bytes,
}

impl Transport for Answers {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        let is_stream = request.uri().path().ends_with("/events");
        let is_first = is_stream && !self.has_streamed.swap(true, Ordering::Relaxed);
        Box::pin(async move {
            let answer = match (is_stream, is_first) {
                (true, true) => {
                    let events: Vec<_> = self.events.iter().cloned().map(Ok).collect();
                    let body = Body::stream(futures_util::stream::iter(events));
                    Response::builder()
                        .header("content-type", "text/event-stream")
                        .body(body)
                }
                (true, false) => Response::builder()
                    .status(404)
                    .header("content-type", "application/json")
                    .body(Body::full(Bytes::new())),
                (false, _) => Response::builder()
                    .header("content-type", "application/json")
                    .body(Body::full(self.body.clone())),
            };
            answer.map_err(TransportError::unsendable)
        })
    }
}

/// A client whose machine shows a fixed time.
fn builder(answers: Answers) -> abide::ClientBuilder {
    Client::builder("http://127.0.0.1:1")
        .seed(7)
        .wall(Timestamp::from_millis(1_800_000_000_000))
        .transport(answers)
}

/// What a stream of events tells, however it is cut.
pub(super) fn stream(data: &[u8]) {
    let whole = vec![Bytes::copy_from_slice(data)];
    let cut = pieces(data).into_iter().map(Bytes::copy_from_slice);
    let [whole, cut] = [whole, cut.collect()].map(|events| in_time(watch(events)));
    assert_eq!(whole, cut, "at once and in pieces");
}

async fn watch(events: Vec<Bytes>) -> Vec<String> {
    let answers = Answers {
        events: Arc::new(events),
        body: Bytes::from_static(b"{}"),
        ..Answers::default()
    };
    let client = builder(answers).build().expect("the address is one");
    let mut told = Vec::new();
    let watching = async {
        let mut watch = client.job("job_1").watch().strategy(Stream::new());
        let mut revision = 0;
        while let Some(next) = watch.next().await {
            match next {
                Ok(job) => {
                    assert!(job.revision.0 > revision, "{job:?} after {revision}");
                    revision = job.revision.0;
                    told.push(format!("{job:?}"));
                }
                Err(error) => told.push(error.to_string()),
            }
            if told.len() >= CHANGES_MAX {
                break;
            }
        }
    };
    // It need not end: what was told till then is what is compared.
    let _ = tokio::time::timeout(WAIT, watching).await;
    told
}

/// A description of another system, and after a zero byte what that system answers.
pub(super) fn remote(data: &[u8]) {
    let (text, body) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b"{}"[..]),
    };
    let text = String::from_utf8_lossy(text);
    let Ok(remote) = toml::from_str::<Remote>(&text) else {
        return;
    };
    let json = serde_json::to_string(&remote).expect("a description can be written");
    let again = serde_json::from_str::<Remote>(&json).map_err(|error| error.to_string());
    assert_eq!(again.as_ref(), Ok(&remote), "{json}");
    let answers = Answers {
        body: Bytes::copy_from_slice(body),
        ..Answers::default()
    };
    let Ok(client) = builder(answers).remote(remote).build() else {
        return;
    };
    in_time(async {
        let created =
            tokio::time::timeout(WAIT, client.create(abide::NewJob::default()).into_future());
        let created = created.await;
        let job = match created {
            Ok(Ok(job)) => job,
            _ => client.job("job/1?a=b#c"),
        };
        let waited = job.wait().deadline(WAIT).into_future();
        let waited = tokio::time::timeout(WAIT * 2, waited).await;
        assert!(waited.is_ok(), "a wait keeps its deadline");
        let _ = tokio::time::timeout(WAIT, job.cancel()).await;
        let _ = tokio::time::timeout(WAIT, job.delete()).await;
    });
}

/// Tokens with which another process goes on.
pub(super) fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(place) = text.parse::<FeedPlace>() {
        let again = place.to_string().parse::<FeedPlace>();
        assert_eq!(again.ok().as_ref(), Some(&place), "{text}");
    }
    let Ok(token) = text.parse::<ResumeToken>() else {
        return;
    };
    let written = token.to_string();
    assert_eq!(
        written.parse::<ResumeToken>().ok().as_ref(),
        Some(&token),
        "{text}"
    );
    let answers = Answers {
        body: Bytes::from_static(b"{}"),
        ..Answers::default()
    };
    let client = builder(answers).build().expect("the address is one");
    if let Ok(job) = client.resume(&token) {
        assert_eq!(Some(job.id()), token.job_id());
        in_time(async {
            let waited = job.wait().deadline(WAIT).into_future();
            let waited = tokio::time::timeout(WAIT * 2, waited).await;
            assert!(waited.is_ok(), "a wait keeps its deadline");
        });
    }
}
