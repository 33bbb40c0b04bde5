//! One exchange with a receiver, bounded in time and in memory whatever the receiver does.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::connect::{ConnectError, Dialer, Used};
use crate::clock::Clock;
use crate::guard::{DialError, Guard};

/// How long a whole exchange may take: name, connection, request, head and body.
pub const EXCHANGE_MAX: Duration = Duration::from_secs(15);
/// How long the body of an answer is read once its head is there. The status has decided by then.
pub const BODY_READ_MAX: Duration = Duration::from_secs(2);
/// How much of an answer's body is read and kept, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers of an answer.
const HEADERS_MAX: usize = 100;
/// The most connections to one receiver that are kept open for the next delivery.
const IDLE_PER_RECEIVER_MAX: usize = 32;
/// How long a connection is kept open for the next delivery.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How old a connection may be that carries a delivery. After it a name is looked up and its addresses are judged anew,
/// so that a receiver that has moved is found.
pub const KEPT_AGE_MAX: Duration = Duration::from_secs(60);

/// What is posted.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where; as [`crate::guard::Target`] writes it.
    pub url: String,
    /// With which headers, beside those of every post.
    pub headers: HeaderMap,
    /// Whether their names are sent as `Like-This`; in lower case if not.
    pub has_titles: bool,
    /// What.
    pub body: Bytes,
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// What its `Retry-After` asks for, counted from now.
    pub retry_after: Option<Duration>,
    /// The first [`ANSWER_BYTES_MAX`] bytes of its body.
    pub body: Vec<u8>,
    /// Whether there was more, or it didn't end in time.
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The guard refused the address, or the URL can't be called.
    #[error("refused: {0}")]
    Refused(String),
    /// The endpoint wants a form that this server can't say the event in.
    #[error("the event can't be said as {0}")]
    Form(String),
    /// There is no record of the job any more, and so no event.
    #[error("the job's record has been removed")]
    Gone,
    /// The name has no address.
    #[error("name not resolved: {0}")]
    Resolve(String),
    /// Nothing listens there, or the dial wasn't answered.
    #[error("not connected: {0}")]
    Connect(String),
    /// The server lacks a descriptor, a port or memory. That says nothing of the receiver.
    #[error("this server has no room for a connection: {0}")]
    Own(String),
    /// The certificate, or the handshake.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// No answer within the deadline.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// Something that isn't HTTP, or a connection that ended early.
    #[error("no proper answer: {0}")]
    Protocol(String),
}

/// What a [`Carrier`] returns.
pub type Carrying<'a> = Pin<Box<dyn Future<Output = Result<Answered, SendError>> + Send + 'a>>;

/// Carries a post to its receiver. A seam, so that a simulation can have receivers without sockets.
pub trait Carrier: fmt::Debug + Send + Sync + 'static {
    /// Posts, and returns what was answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the exchange up; the receiver may have got it.
    fn post(&self, post: Post) -> Carrying<'_>;
}

/// Carries posts over the network: HTTP/1.1, certificates checked as the system does, no redirects, no proxy.
#[derive(Clone, Debug)]
pub struct HttpCarrier {
    plain: Clients,
    /// The same, and the names of headers are sent as `Like-This`.
    titled: Clients,
    clock: Clock,
    deadline: Duration,
}

#[derive(Clone, Debug)]
struct Clients {
    kept: Client<HttpsConnector<Dialer>, Full<Bytes>>,
    /// Opens a connection for each request.
    fresh: Client<HttpsConnector<Dialer>, Full<Bytes>>,
}

impl HttpCarrier {
    /// A carrier that calls what the guard lets through and trusts what the system trusts.
    #[must_use]
    pub fn new(guard: Arc<Guard>) -> Self {
        Self::with_tls(guard, system_tls())
    }

    /// The same with other trust, for receivers whose certificates a private authority has signed.
    #[must_use]
    pub fn with_tls(guard: Arc<Guard>, tls: rustls::ClientConfig) -> Self {
        // Ages are measured by the machine's time, whatever the server's clock shows.
        let clock = Clock::real();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer::new(guard, clock.clone()));
        let client = |kept_max, has_titles| {
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_MAX)
                .pool_max_idle_per_host(kept_max)
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .http1_max_buf_size(HEAD_BYTES_MAX)
                .http1_max_headers(HEADERS_MAX)
                .http1_title_case_headers(has_titles)
                .build(connector.clone())
        };
        let clients = |has_titles| Clients {
            kept: client(IDLE_PER_RECEIVER_MAX, has_titles),
            fresh: client(0, has_titles),
        };
        Self {
            plain: clients(false),
            titled: clients(true),
            clock,
            deadline: EXCHANGE_MAX,
        }
    }

    /// How long an exchange may take; [`EXCHANGE_MAX`] by default.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    async fn exchange(&self, post: Post) -> Result<Answered, SendError> {
        let mut first = request(&post)?;
        let connection = capture_connection(&mut first);
        let clients = match post.has_titles {
            true => &self.titled,
            false => &self.plain,
        };
        let response = match clients.kept.request(first).await {
            // Another kept one could be as stale.
            Err(error) if is_stale(&error) => clients.fresh.request(request(&post)?).await,
            first => first,
        };
        let (head, body) = response.map_err(|error| explain(&error))?.into_parts();
        if let Some(used) = head.extensions.get::<Used>() {
            used.mark();
            // It may lie idle once more before it is used.
            if self.clock.elapsed() >= used.since + KEPT_AGE_MAX - IDLE_MAX
                && let Some(connection) = connection.connection_metadata().as_ref()
            {
                connection.poison();
            }
        }
        let (body, truncated) = read(body).await;
        Ok(Answered {
            status: head.status.as_u16(),
            retry_after: retry_after(head.status, &head.headers),
            body,
            truncated,
        })
    }
}

impl Carrier for HttpCarrier {
    fn post(&self, post: Post) -> Carrying<'_> {
        Box::pin(async move {
            // One deadline over everything: a bound on each part lets a receiver have all of them in turn.
            match tokio::time::timeout(self.deadline, self.exchange(post)).await {
                Ok(result) => result,
                Err(_elapsed) => Err(SendError::Timeout(self.deadline)),
            }
        })
    }
}

fn request(post: &Post) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&post.url)
        .body(Full::new(post.body.clone()))
        .map_err(|error| SendError::Refused(error.to_string()))?;
    request.headers_mut().clone_from(&post.headers);
    request.headers_mut().insert(
        header::USER_AGENT,
        header::HeaderValue::from_static(concat!("abide/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(request)
}

/// Whether the connection had been used before and was closed without an answer: the receiver may have let go of it
/// just then, so one fresh connection is worth a try. Should it have got the delivery, the id says that it is the same.
fn is_stale(error: &legacy::Error) -> bool {
    let mut extensions = http::Extensions::new();
    if let Some(info) = error.connect_info() {
        info.get_extras(&mut extensions);
    }
    !error.is_connect() && extensions.get::<Used>().is_some_and(Used::is_set)
}

/// Reads a body to its bound. Whatever ends it early, the status has already said what became of the delivery.
async fn read(mut body: hyper::body::Incoming) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let room = ANSWER_BYTES_MAX - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return true;
            }
        }
        !body.is_end_stream()
    };
    let cut = tokio::time::timeout(BODY_READ_MAX, reading).await;
    (kept, cut.unwrap_or(true))
}

/// What the headers of a refusal ask for. Only refusals of load are heard: elsewhere the header means something else.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        return None;
    }
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    // Counted by the receiver's own clock. Without one there is nothing to count by.
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let now: SystemTime = httpdate::parse_http_date(date).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

fn explain(error: &legacy::Error) -> SendError {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            return match connect {
                connect if connect.is_own() => SendError::Own(connect.to_string()),
                ConnectError::Dial(DialError::Refused(refused)) => {
                    SendError::Refused(refused.to_string())
                }
                ConnectError::Dial(DialError::Resolve { .. }) => {
                    SendError::Resolve(connect.to_string())
                }
                ConnectError::NoHost => SendError::Refused(connect.to_string()),
                ConnectError::Io { .. } => SendError::Connect(connect.to_string()),
            };
        }
        if let Some(tls) = tls_error(cause) {
            return SendError::Tls(tls.to_string());
        }
        causes.push(cause.to_string());
        source = cause.source();
    }
    let text = causes.pop().unwrap_or_else(|| error.to_string());
    if error.is_connect() {
        SendError::Connect(text)
    } else {
        SendError::Protocol(text)
    }
}

/// The TLS error behind an I/O error, which hides what it wraps from `source`, and may wrap another I/O error.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    tls_error(error.downcast_ref::<std::io::Error>()?.get_ref()?)
}

/// Trust as the system has it. Where the system has none, no certificate is believed.
fn system_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions of TLS")
    };
    match builder().with_platform_verifier() {
        Ok(config) => config.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no system certificates; https webhooks will fail");
            builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth()
        }
    }
}

#[cfg(test)]
mod tests;
