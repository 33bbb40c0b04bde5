//! One hyper handler: the HTTP library and nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::commit::Commits;
use super::topics::Topics;
use super::{LimitArgs, body_of, say_where};

/// How much hyper reads at once; its default is fifty times as much.
const BUFFER: usize = 8 * 1024;

type Answer = Response<Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>>;

pub(super) async fn run(arguments: &LimitArgs) -> anyhow::Result<()> {
    let body = Bytes::from(body_of(arguments));
    let topics = Topics::default();
    let commits = Commits::open(arguments)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    say_where(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (body, topics, commits) = (body.clone(), topics.clone(), commits.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                answer(request, body.clone(), topics.clone(), commits.clone())
            });
            // A connection that ends in an error has ended.
            let _ended = hyper::server::conn::http1::Builder::new()
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    body: Bytes,
    topics: Topics,
    commits: Option<Commits>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    if path == "/read" {
        return Ok(full(body));
    }
    let number = |text: &str| text.parse().unwrap_or(0);
    if let Some(topic) = path.strip_prefix("/wait/") {
        let bell = topics.bell(number(topic));
        // Released before the wait, as a careful server would.
        drop(request);
        bell.notified().await;
        return Ok(full(body));
    }
    if let Some(topic) = path.strip_prefix("/stream/") {
        let bell = topics.bell(number(topic));
        let stream = Stream {
            wait: Box::pin(async move { bell.notified().await }),
            is_over: false,
            event: event(&body),
        };
        let mut response = Response::new(Either::Right(stream.boxed_unsync()));
        response.headers_mut().insert(
            hyper::header::CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("text/event-stream"),
        );
        return Ok(response);
    }
    if let Some(topic) = path.strip_prefix("/end/") {
        topics.end(number(topic));
        return Ok(full(Bytes::from_static(b"{}")));
    }
    if let (Some(commits), "/create") = (commits, path) {
        let record = request.into_body().collect().await;
        let record = record.map(http_body_util::Collected::to_bytes);
        commits.commit(record.unwrap_or_default()).await;
        return Ok(full(body));
    }
    Ok(full(Bytes::new()))
}

fn full(body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}

/// What a stream sends at its end.
pub(super) fn event(body: &Bytes) -> Bytes {
    let mut event = b"id: 2\nevent: job.completed\ndata: ".to_vec();
    event.extend_from_slice(body);
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// A stream with one event, and a heartbeat that a real one would have is left out.
struct Stream {
    wait: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    event: Bytes,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.wait.as_mut().poll(cx).map(|()| {
            self.is_over = true;
            Some(Ok(Frame::data(self.event.clone())))
        })
    }
}
