//! One request and its answer, and what kind of answer it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use abide_wire::{Problem, headers};

use crate::complaint;
use crate::error::{Error, Kind, Source};
use crate::origin::Origin;
use crate::retry::retry_after;
use crate::rt::{Instant, after, in_time, timeout};
use crate::telemetry::{self, Purpose};
use crate::transport::{Body, Fresh, Through, TransportError};

/// The largest answer about one job that is read, in bytes: its input and its result may each have 256 KiB, and JSON
/// may need six bytes for one.
pub(crate) const JOB_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest answer about many jobs that is read, in bytes.
pub(crate) const JOBS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest problem that is read, in bytes. What is wrong is told in less.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// How long a problem may take to arrive once its status is known.
const PROBLEM_WAIT: Duration = Duration::from_secs(2);

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) purpose: Purpose,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether it may be sent again although it may have reached the server. One that may not goes out on a connection
    /// of its own, which the server can't just have closed.
    pub(crate) repeatable: bool,
    /// The end of the time in which not all of the server may know the job that it is about.
    pub(crate) young_until: Option<Instant>,
    /// The largest body of a good answer.
    pub(crate) limit: usize,
}

impl Call {
    pub(crate) fn new(purpose: Purpose, method: Method, url: Url) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            purpose,
            method,
            url,
            headers,
            body: Bytes::new(),
            repeatable: true,
            young_until: None,
            limit: JOB_BYTES_MAX,
        }
    }

    pub(crate) fn get(purpose: Purpose, url: Url) -> Self {
        Self::new(purpose, Method::GET, url)
    }

    pub(crate) fn json(mut self, body: Bytes) -> Self {
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    fn request(&self) -> Result<Request<Bytes>, TransportError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.url.as_str())
            .body(self.body.clone())
            .map_err(TransportError::unsendable)?;
        *request.headers_mut() = self.headers.clone();
        if !self.repeatable {
            request.extensions_mut().insert(Fresh);
        }
        Ok(request)
    }
}

/// A good answer: 2xx or 304.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The proxy that it came through.
    proxy: Option<Arc<str>>,
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The server's clock when it answered, in whole seconds.
    pub(crate) fn date(&self) -> Option<abide_wire::Timestamp> {
        let date = httpdate::parse_http_date(self.header(DATE.as_str())?).ok()?;
        let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(abide_wire::Timestamp::default() + since_epoch)
    }

    /// Whether the server says that it held the request.
    pub(crate) fn was_held(&self) -> bool {
        self.header(headers::PREFERENCE_APPLIED)
            .is_some_and(|applied| applied.contains("wait"))
    }

    /// An answer that isn't of this protocol.
    pub(crate) fn garbled(&self, what: impl Into<String>) -> Failure {
        Failure::garbled(what)
            .with_status(self.status)
            .through(self.proxy.as_deref())
    }

    /// An answer of this protocol that can't be read.
    pub(crate) fn unreadable(&self, what: impl Into<String>) -> Failure {
        Failure {
            kind: FailureKind::Unreadable,
            ..self.garbled(what)
        }
    }

    pub(crate) fn took(&self) -> Duration {
        self.received.saturating_duration_since(self.sent)
    }
}

/// No good answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) status: Option<StatusCode>,
    /// Whether the request surely had no effect.
    pub(crate) harmless: bool,
    /// How long the server asked to be left alone.
    pub(crate) hint: Option<Duration>,
    pub(crate) problem: Option<Box<Problem>>,
    /// What the answer said, as it came.
    body: Option<Box<str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No answer, or "not now": the same request may have one later.
    NotNow,
    /// No answer in the time that an exchange may take: as [`FailureKind::NotNow`].
    TimedOut,
    /// What answered doesn't speak this protocol, perhaps for now: a gateway's page, a cut body.
    Garbled,
    /// It speaks the protocol, and what it says of a job can't be read.
    Unreadable,
    /// The server said no.
    Refused,
    /// The answer is larger than we read.
    TooLarge,
    /// The request can't be sent at all.
    Unsendable,
}

impl Failure {
    /// The word for its kind, in metrics.
    pub(crate) const fn kind_word(&self) -> &'static str {
        match self.kind {
            FailureKind::NotNow => "not_now",
            FailureKind::TimedOut => "timed_out",
            FailureKind::Garbled | FailureKind::Unreadable => "garbled",
            FailureKind::Refused => "refused",
            FailureKind::TooLarge => "too_large",
            FailureKind::Unsendable => "unsendable",
        }
    }

    /// A failure of that kind, of which no more is known; the request may have had an effect.
    fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            harmless: false,
            hint: None,
            problem: None,
            body: None,
            source: None,
            what: what.into(),
        }
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        let what = format!("no answer within {:.3} s", limit.as_secs_f64());
        Self::new(FailureKind::TimedOut, what)
    }

    pub(crate) fn garbled(what: impl Into<String>) -> Self {
        Self::new(FailureKind::Garbled, what)
    }

    /// What is said of a job, and can't be read.
    pub(crate) fn unreadable(what: impl Into<String>) -> Self {
        Self::new(FailureKind::Unreadable, what)
    }

    pub(crate) fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The same, with the name of the proxy that stood between.
    fn through(mut self, proxy: Option<&str>) -> Self {
        if let Some(proxy) = proxy {
            self.what = format!("{} (through the proxy {proxy})", self.what);
        }
        self
    }

    pub(crate) const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// How long the server asked to be left alone.
    pub(crate) const fn after(mut self, hint: Option<Duration>) -> Self {
        self.hint = hint;
        self
    }

    /// A 404 for a job that was created so shortly ago that not all of the server may know it: no refusal, but "not
    /// now".
    pub(crate) fn unless_young(mut self, young_until: Option<Instant>, now: Instant) -> Self {
        if self.is_not_found() && young_until.is_some_and(|until| now < until) {
            self.kind = FailureKind::NotNow;
            self.what.push_str(", for a job that it has just made");
        }
        self
    }

    /// Whether the server knows no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the request may have done what it was sent for, although its answer is none.
    pub(crate) fn may_have_worked(&self) -> bool {
        let no_answer = self.is_transient() || self.kind == FailureKind::TooLarge;
        no_answer && !self.harmless
    }

    /// A look that a caller's closure couldn't take.
    pub(crate) fn of_look(error: impl Into<Source>, is_final: bool) -> Self {
        let error = error.into();
        let kind = if is_final {
            FailureKind::Refused
        } else {
            FailureKind::NotNow
        };
        Self::new(kind, format!("the look failed: {error}")).because(error)
    }

    pub(crate) fn refused(problem: Problem) -> Self {
        Self {
            status: StatusCode::from_u16(problem.status).ok(),
            harmless: true,
            problem: Some(Box::new(problem)),
            ..Self::new(FailureKind::Refused, "the server refused")
        }
    }

    /// Whether the same request may be answered later.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::NotNow
                | FailureKind::TimedOut
                | FailureKind::Garbled
                | FailureKind::Unreadable
        )
    }

    /// What to tell the caller when it is given up.
    pub(crate) fn into_error(self) -> Error {
        let kind = match self.kind {
            FailureKind::NotNow | FailureKind::TimedOut => Kind::Unreachable,
            FailureKind::Garbled => Kind::Garbled,
            FailureKind::Unreadable => Kind::Unreadable,
            FailureKind::TooLarge => Kind::TooLarge,
            FailureKind::Refused => Kind::Refused,
            FailureKind::Unsendable => Kind::Usage,
        };
        let error = Error::new(kind, self.what)
            .timed_out(self.kind == FailureKind::TimedOut)
            .answered(self.status, self.problem.map(|problem| *problem))
            .with_body(self.body)
            .after(self.hint);
        match self.source {
            Some(source) => error.because(Box::new(source) as Source),
            None => error,
        }
    }

    /// A line for a log.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let kind = match () {
            () if error.is_final() => FailureKind::Unsendable,
            () if error.is_too_large() => FailureKind::TooLarge,
            () => FailureKind::NotNow,
        };
        Self {
            harmless: error.is_connect(),
            ..Self::new(kind, error.to_string())
        }
        .because(error)
    }
}

/// A body without the byte order mark that some servers begin a text with.
fn unmarked(body: Bytes) -> Bytes {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    match body.starts_with(MARK) {
        true => body.slice(MARK.len()..),
        false => body,
    }
}

/// Reads an answer that is to be an object. An array would be read as one, by the order of the members: `[[]]` as a
/// page without jobs.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body),
        _ => Err(serde::de::Error::custom("it is no object")),
    }
}

/// How long a server may hold in truth: it may let go a little later, so that not all are let go together.
pub(crate) fn stretched(hold: Duration) -> Duration {
    hold.saturating_add(hold / 8)
}

/// Sends and reads to the end, all of it within `limit`.
pub(crate) async fn exchange(
    origin: &Origin,
    call: &Call,
    limit: Duration,
) -> Result<Reply, Failure> {
    let sent = origin.clock.now();
    let work = async {
        let answer = open(origin, call).await?;
        let (head, body) = answer.into_parts();
        let proxy = head
            .extensions
            .get::<Through>()
            .map(|through| Arc::clone(&through.0));
        let body = body.collect(call.limit).await;
        let body = body.map_err(|error| Failure::from(error).through(proxy.as_deref()))?;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: unmarked(body),
            proxy,
            sent,
            received: origin.clock.now(),
        })
    };
    let result = in_time(&origin.clock, after(sent, limit), work).await;
    let result = result.unwrap_or_else(|| Err(Failure::timed_out(limit)));
    let took = origin.clock.now().saturating_duration_since(sent);
    telemetry::exchanged(
        call.purpose,
        took,
        result.as_ref().err().map(Failure::kind_word),
    );
    result
}

/// Sends, and reads the head of a good answer. The body of any other is read for the problem in it.
pub(crate) async fn open(origin: &Origin, call: &Call) -> Result<Response<Body>, Failure> {
    let mut request = call.request()?;
    for (name, value) in &origin.headers {
        if !request.headers().contains_key(name) {
            request.headers_mut().insert(name.clone(), value.clone());
        }
    }
    debug_assert!(
        origin
            .headers
            .get(AUTHORIZATION)
            .is_none_or(HeaderValue::is_sensitive)
    );
    telemetry::sent(call.purpose);
    let answer = origin.transport.send(request).await?;
    let status = answer.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        origin.budget.answered();
        return Ok(answer);
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        origin.budget.refused();
    }
    let (head, body) = answer.into_parts();
    // A problem that can't be read, or doesn't come, is no problem: the status says enough.
    let body = timeout(PROBLEM_WAIT, body.collect(PROBLEM_BYTES_MAX)).await;
    let body = unmarked(body.ok().and_then(Result::ok).unwrap_or_default());
    let problem = complaint::read(&body, status);
    let through = head.extensions.get::<Through>();
    let mut failure =
        classify(status, &head.headers, problem).through(through.map(|through| &*through.0));
    failure.body = (!body.is_empty()).then(|| String::from_utf8_lossy(&body).into());
    Err(failure)
}

fn classify(status: StatusCode, headers: &HeaderMap, problem: Option<Problem>) -> Failure {
    let mut what = format!("the server answered {status}");
    let kind = match status.as_u16() {
        408 | 425 | 429 | 500..=599 => FailureKind::NotNow,
        // The same create is still being worked on.
        409 if problem.as_ref().is_some_and(|problem| problem.retryable) => FailureKind::NotNow,
        // A login page of a hotel comes by such a redirect; a moved server by 301 or 308.
        302 | 303 | 307 => FailureKind::Garbled,
        300..=499 => FailureKind::Refused,
        _ => FailureKind::Garbled,
    };
    if status.is_redirection() {
        let place = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("nowhere");
        what = format!(
            "{what}, to {place}; redirects are not followed, because a key would go with them"
        );
    }
    Failure {
        status: Some(status),
        harmless: status == StatusCode::TOO_MANY_REQUESTS,
        hint: retry_after(headers),
        problem: problem.map(Box::new),
        ..Failure::new(kind, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::transport::{BoxFuture, Transport};

    #[test]
    fn an_answer_that_is_no_object_is_none_however_its_elements_fit() {
        #[derive(serde::Deserialize)]
        struct Page {
            jobs: Vec<u32>,
        }
        for (body, jobs) in [
            (r#"{"jobs": [1]}"#, Some(1)),
            (" \n{\"jobs\": []}", Some(0)),
            ("[[]]", None),
            ("[[1]]", None),
            ("null", None),
            ("", None),
        ] {
            let page = object::<Page>(body.as_bytes()).ok();
            assert_eq!(page.map(|page| page.jobs.len()), jobs, "{body}");
        }
    }

    /// Answers everything with these bytes.
    #[derive(Debug)]
    struct Says(StatusCode, String);

    impl Transport for Says {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
            let mut answer = Response::new(Body::full(self.1.clone()));
            *answer.status_mut() = self.0;
            Box::pin(async { Ok(answer) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_of_the_byte_order_is_no_part_of_an_answer() {
        let job = serde_json::to_string(&crate::testing::job("a").build()).unwrap();
        let ask = async |status, body: &str| {
            let says = Says(status, format!("\u{feff}{body}"));
            let client = Client::builder("http://jobs.test").transport(says);
            client.build().unwrap().job("a").status().await
        };
        assert!(ask(StatusCode::OK, &job).await.is_ok());
        let refused = ask(StatusCode::FORBIDDEN, r#"{"message": "not you"}"#).await;
        let problem = refused.unwrap_err().problem().cloned().unwrap();
        assert_eq!(problem.detail.as_deref(), Some("not you"));
    }

    #[test]
    fn what_may_pass_is_transient_and_what_will_not_is_final() {
        for (status, transient) in [
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (502, true),
            (503, true),
            (504, true),
            (302, true),
            (301, false),
            (308, false),
            (400, false),
            (401, false),
            (403, false),
            (404, false),
            (409, false),
            (410, false),
            (422, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = classify(status, &HeaderMap::new(), None);
            assert_eq!(failure.is_transient(), transient, "{status}");
        }
    }
}
