//! HTTP over the simulated network, for the real client, and for what it has no words for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use abide::{Body, BoxFuture, Transport, TransportError};
use abide_wire::headers;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderName, Method, Request, Response, Uri, header};
use http_body_util::{BodyDataStream, BodyExt as _, Full};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_service::Service;

use super::draw::Draw;
use super::net::{End, Net};

/// On a lossy network one in this number of requests is sent twice, and one in as many answers is lost.
const LOSSY_ONE_IN: u64 = 12;
/// How long a connection may take, as by the client's default.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a plain exchange may take beyond what it is held.
const EXCHANGE_WAIT: Duration = Duration::from_secs(10);
/// How many bytes a body has that comes byte by byte, and how long each takes.
const DRIPS: usize = 100;
const DRIP: Duration = Duration::from_millis(800);
/// How many lists a client asks for that reads none: more than are on their way at once.
const DEAF_LISTS: usize = 400;
/// How long the answers that are on their way take to come, and the end after them.
const DEAF_END: Duration = Duration::from_secs(2);
/// Where workers claim jobs.
pub(super) const CLAIM: &str = "/v1/jobs/claim";
/// The name of the server.
pub(super) const SERVER: &str = "http://server.test";

/// The way of one host to the server. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Way {
    net: Net,
    host: u64,
    key: &'static str,
    client: Client<Dial, Full<Bytes>>,
    draw: Draw,
    is_lossy: bool,
    sent: Arc<AtomicU64>,
}

/// Connects to the server.
#[derive(Clone, Debug)]
struct Dial {
    net: Net,
    host: u64,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Way {
    /// The way of that host, which shows that API key.
    pub(super) fn new(net: &Net, host: u64, key: &'static str, draw: Draw, is_lossy: bool) -> Self {
        let dial = Dial {
            net: net.clone(),
            host,
        };
        Self {
            net: net.clone(),
            host,
            key,
            client: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(90))
                .pool_timer(TokioTimer::new())
                .build(dial),
            draw: draw.of(host),
            is_lossy,
            sent: Arc::default(),
        }
    }

    /// The API key that it shows.
    pub(super) const fn key(&self) -> &'static str {
        self.key
    }

    /// Asks the server, once.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        held: Duration,
    ) -> Result<Answer, TransportError> {
        self.exchange(self.request(method, path), body, held).await
    }

    /// Asks the server, once, to do so if the job is at that revision (`If-Match`), or if it isn't (`If-None-Match`).
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn ask_if(
        &self,
        method: Method,
        path: &str,
        (condition, revision): (HeaderName, u64),
        body: Option<String>,
    ) -> Result<Answer, TransportError> {
        let request = self.request(method, path);
        let request = request.header(condition, format!("\"{revision}\""));
        self.exchange(request, body, Duration::ZERO).await
    }

    /// Sends a worker's report under a lease, once.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn report(
        &self,
        job: &str,
        token: &str,
        body: String,
    ) -> Result<Answer, TransportError> {
        let request = self.request(Method::PATCH, &format!("/v1/jobs/{job}"));
        let request = request.header(headers::LEASE_TOKEN, token);
        self.exchange(request, Some(body), Duration::ZERO).await
    }

    /// Creates a job under that key, once.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn create(&self, key: &str, body: String) -> Result<Answer, TransportError> {
        let request = self.request(Method::POST, "/v1/jobs");
        let request = request.header(headers::IDEMPOTENCY_KEY, key);
        self.exchange(request, Some(body), Duration::ZERO).await
    }

    /// Creates several jobs of that length under that key, once, by the interface of a vendor that makes one for each
    /// language.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn create_all(
        &self,
        key: &str,
        length: Duration,
        languages: &[String],
    ) -> Result<Answer, TransportError> {
        let path = "/dialects/heygen/v3/video-translations";
        let directive = format!("duration={}ms,queue=0s", length.as_millis());
        let request = self.request(Method::POST, path);
        let request = request
            .header(headers::IDEMPOTENCY_KEY, key)
            .header("abide-simulate", directive);
        let video = json!({"type": "url", "url": "https://receiver.test/video"});
        let body = json!({"video": video, "output_languages": languages});
        self.exchange(request, Some(body.to_string()), Duration::ZERO)
            .await
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{SERVER}{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
    }

    async fn exchange(
        &self,
        request: http::request::Builder,
        body: Option<String>,
        held: Duration,
    ) -> Result<Answer, TransportError> {
        let request = request
            .body(Bytes::from(body.unwrap_or_default()))
            .map_err(TransportError::unsendable)?;
        let asked = async {
            let answer = self.send(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect(1 << 20).await?;
            Ok(Answer { status, body })
        };
        tokio::time::timeout(EXCHANGE_WAIT + held, asked)
            .await
            .unwrap_or_else(|_| Err(TransportError::broken("there was no answer in time")))
    }

    /// Claims a job, once, by a claim that may be sent again under that key.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn claim(
        &self,
        key: &str,
        body: String,
        held: Duration,
    ) -> Result<Answer, TransportError> {
        let request = self.request(Method::POST, CLAIM);
        let request = request.header(headers::IDEMPOTENCY_KEY, key);
        self.exchange(request, Some(body), held).await
    }

    /// Reads on a connection of its own, and ends its side once it has asked.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn ask_and_end(&self, path: &str, held: Duration) -> io::Result<Answer> {
        self.ask_as(&[], path, held).await
    }

    /// The head of a plain read, up to its last line.
    fn head(&self, path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nhost: server.test\r\nauthorization: Bearer {}\r\n",
            self.key
        )
    }

    /// Reads on a connection of its own, with these lines more in the head or in the place of others, and ends its side
    /// once it has asked.
    ///
    /// # Errors
    ///
    /// There was no answer.
    pub(super) async fn ask_as(
        &self,
        lines: &[(&str, &str)],
        path: &str,
        held: Duration,
    ) -> io::Result<Answer> {
        let asked = async {
            let mut end = self.net.connect(self.host).await?;
            let mut head = self.head(path);
            for (instead_of, line) in lines {
                match instead_of.is_empty() {
                    true => head = format!("{head}{line}\r\n"),
                    false => head = head.replace(instead_of, line),
                }
            }
            end.write_all(format!("{head}\r\n").as_bytes()).await?;
            end.shutdown().await?;
            let mut answer = Vec::new();
            end.read_to_end(&mut answer).await?;
            read_answer(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        tokio::time::timeout(EXCHANGE_WAIT + held, asked)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Asks for lists, reads nothing for that long, and says whether the server has ended the connection by then.
    ///
    /// # Errors
    ///
    /// There was none.
    pub(super) async fn ask_deaf(&self, length: Duration) -> io::Result<bool> {
        let mut end = self.net.connect(self.host).await?;
        let lists = format!("{}\r\n", self.head("/v1/jobs")).repeat(DEAF_LISTS);
        // The server takes no more once nobody reads its answers.
        let _stalled = tokio::time::timeout(length, async {
            let _cut = end.write_all(lists.as_bytes()).await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut answers = Vec::new();
        let rest = end.read_to_end(&mut answers);
        Ok(tokio::time::timeout(DEAF_END, rest).await.is_ok())
    }

    /// Sends a create whose body comes byte by byte, until the server ends the connection.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub(super) async fn drip(&self) -> io::Result<()> {
        let mut end = self.net.connect(self.host).await?;
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: server.test\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {DRIPS}\r\nconnection: close\r\n\r\n",
            self.key
        );
        end.write_all(head.as_bytes()).await?;
        let (mut from, mut to) = tokio::io::split(end);
        let dripping = async {
            for _ in 0..DRIPS {
                tokio::time::sleep(DRIP).await;
                to.write_all(b" ").await?;
            }
            Ok::<_, io::Error>(())
        };
        let mut answer = Vec::new();
        // Either end may see first that the connection is over.
        tokio::select! {
            read = from.read_to_end(&mut answer) => read.map(|_| ()),
            sent = dripping => sent,
        }
    }
}

/// The last answer of those bytes; others say nothing but that one will come.
fn read_answer(mut bytes: &[u8]) -> Option<Answer> {
    const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    while let Some(rest) = bytes.strip_prefix(PROBE) {
        bytes = rest;
    }
    let text = String::from_utf8_lossy(bytes);
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let length: usize = length.trim().parse().ok()?;
    (body.len() == length).then(|| Answer {
        status,
        body: Bytes::from(body.to_owned()),
    })
}

/// Whether a network may repeat a request: it is known to change nothing the second time.
fn may_repeat(request: &Request<Bytes>) -> bool {
    const KEY: HeaderName = HeaderName::from_static("idempotency-key");
    let is_read = request.method() == Method::GET && !request.uri().path().ends_with("/events");
    // A worker would hear of only one of two claims under one key.
    is_read || request.headers().contains_key(KEY) && request.uri().path() != CLAIM
}

impl Transport for Way {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let draw = self.draw.of(self.sent.fetch_add(1, Ordering::Relaxed));
            let happens = |what| self.is_lossy && draw.named(what).one_in(LOSSY_ONE_IN);
            let request = request.map(Full::new);
            if happens("repeated") && may_repeat(&request.clone().map(|_| Bytes::new())) {
                let (client, copy) = (self.client.clone(), request.clone());
                // Its answer is of no use to anyone.
                tokio::spawn(async move { client.request(copy).await.is_ok() });
            }
            let answer = self.client.request(request).await.map_err(translate)?;
            if happens("lost") {
                return Err(TransportError::broken("the answer was lost"));
            }
            Ok(answer.map(|body| {
                let parts = BodyDataStream::new(body.map_err(TransportError::broken));
                Body::stream(parts.map(|part| part))
            }))
        })
    }
}

fn translate(error: legacy::Error) -> TransportError {
    if error.is_connect() {
        TransportError::connect(error)
    } else {
        TransportError::broken(error)
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<End>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<End>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { net, host } = self.clone();
        Box::pin(async move {
            let connected = tokio::time::timeout(CONNECT_WAIT, net.connect(host)).await;
            let end = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            Ok(TokioIo::new(end))
        })
    }
}
