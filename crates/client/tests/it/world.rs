//! A server in memory, on virtual time, that can fail in every way in which a peer of TCP and HTTP can.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use abide::schedule::Fixed;
use abide::{Body, BoxFuture, Client, ClientBuilder, Inbox, Transport, TransportError};
use abide_wire::{
    Event, EventKind, Job, JobId, Links, Outcome, Problem, Progress, Revision, Status, Timestamp,
    WaitFailure, WaitRequest, WaitResponse,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use tokio::time::{Instant, sleep, sleep_until};

/// When the server's clock began, had it no skew.
const EPOCH_MS: i64 = 1_795_305_600_000;

/// The status of a job that can't be read: a number is written in its place.
const BROKEN: &str = "BROKEN";
/// A result that is JSON and that not every reader can hold.
pub(crate) const ODD: &str =
    r#"{"text":"\ud800","large":1E400,"long":123456789012345678901234567890}"#;

/// The JSON of something, in which jobs with that status can't be read.
fn written(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap();
    text.replace(&format!("{BROKEN:?}"), "7")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the world has a clock of its own"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What goes wrong with one exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Nobody listens.
    Refuse,
    /// The connection is reset before the head.
    Reset,
    /// The server acts, and the connection is reset before its answer.
    ResetAfter,
    /// Nothing ever comes.
    Stall,
    /// The head comes, the body never.
    StallBody,
    /// The body ends after that number of bytes, as a reset.
    Cut(usize),
    /// The body ends early as if it were whole.
    Short(usize),
    /// Something that isn't HTTP's fault, nor JSON.
    Garbage,
    /// A page of a proxy, with 200.
    Page,
    /// JSON of another shape.
    OtherShape,
    /// Another job than the one that was asked for.
    OtherJob,
    /// 204 without a body.
    NoContent,
    /// A redirect with that status.
    Redirect(u16),
    /// That status, with that `Retry-After`.
    Status(u16, Option<&'static str>),
    /// That status, and a body that never comes.
    Unexplained(u16),
    /// The answer comes so much later.
    Late(Duration),
    /// The state is older by that span.
    Stale(Duration),
    /// A proxy cuts a held request after that span, with 504.
    HoldCut(Duration),
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When it arrived, since the world began.
    pub(crate) at: Duration,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) ordinal: usize,
    /// How many jobs it was about.
    pub(crate) jobs: usize,
}

impl Seen {
    pub(crate) fn is_hold(&self) -> bool {
        self.query.contains_key("wait") || self.path == "/v1/jobs/wait"
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.path.ends_with("/events")
    }

    pub(crate) fn is_ask(&self) -> bool {
        self.method == Method::GET && !self.is_hold() && !self.is_stream()
    }

    pub(crate) fn is_create(&self) -> bool {
        self.method == Method::POST && self.path == "/v1/jobs"
    }
}

/// A job's life, since it was created.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// When it changes: each adds a revision. The last one is the end.
    pub(crate) changes: Vec<Duration>,
    pub(crate) outcome: Outcome,
    pub(crate) status_word: Option<String>,
    pub(crate) born: Duration,
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Half before the request arrives, half after the answer leaves.
    pub(crate) rtt: Duration,
    /// Whether it holds requests.
    pub(crate) holds: bool,
    /// Whether it has set waits.
    pub(crate) sets: bool,
    /// Whether it has streams, and whether a proxy keeps what they say until they end.
    pub(crate) streams: bool,
    pub(crate) buffered: bool,
    /// Whether it sends a comment when a stream opens, and how often afterwards.
    pub(crate) greets: bool,
    pub(crate) heartbeat: Duration,
    /// How far its clock is off, in milliseconds.
    pub(crate) skew: i64,
    /// Whether it says how old the news is.
    pub(crate) timing: bool,
    /// `Retry-After` on an answer about a job that isn't done.
    pub(crate) hint: Option<&'static str>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            rtt: Duration::from_millis(2),
            holds: true,
            sets: true,
            streams: true,
            buffered: false,
            greets: true,
            heartbeat: Duration::from_secs(15),
            skew: 0,
            timing: true,
            hint: None,
        }
    }
}

type Script = Box<dyn Fn(&Seen) -> Fault + Send + Sync>;

#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    began: Instant,
    manner: Manner,
    script: Script,
    jobs: Mutex<HashMap<JobId, Life>>,
    keys: Mutex<HashMap<String, JobId>>,
    seen: Mutex<Vec<Seen>>,
    /// Exchanges that are neither answered to the end nor dropped.
    open: AtomicUsize,
    /// The life of a job created here.
    next: Mutex<(Vec<f64>, Outcome)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Manner::default(), |_| Fault::None)
    }

    pub(crate) fn with(
        manner: Manner,
        script: impl Fn(&Seen) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            began: now(),
            manner,
            script: Box::new(script),
            jobs: Mutex::default(),
            keys: Mutex::default(),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            next: Mutex::new((vec![10.0, 20.0], Outcome::Completed)),
        }))
    }

    /// A client with a fixed seed that polls every second.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder("http://world.test")
            .transport(self.clone())
            .schedule(Fixed::default())
            .seed(1)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// A job that was created just now and changes at these instants, the last of which is its end.
    pub(crate) fn job(&self, id: &str, changes: &[f64], outcome: Outcome) -> JobId {
        let id = JobId::new(id);
        self.0.jobs.lock().unwrap().insert(
            id.clone(),
            Life {
                changes: changes
                    .iter()
                    .copied()
                    .map(Duration::from_secs_f64)
                    .collect(),
                outcome,
                status_word: None,
                born: self.elapsed(),
            },
        );
        id
    }

    pub(crate) fn change(&self, id: &JobId, change: impl FnOnce(&mut Life)) {
        change(self.0.jobs.lock().unwrap().get_mut(id).unwrap());
    }

    /// How long jobs take that are created from now on.
    pub(crate) fn jobs_take(&self, length: Duration) {
        let length = length.as_secs_f64();
        self.jobs_are(&[length / 2.0, length], Outcome::Completed);
    }

    /// What becomes of jobs that are created from now on.
    pub(crate) fn jobs_are(&self, changes: &[f64], outcome: Outcome) {
        *self.0.next.lock().unwrap() = (changes.to_vec(), outcome);
    }

    /// How long the job has existed.
    pub(crate) fn age(&self, id: &JobId) -> Duration {
        let born = self.0.jobs.lock().unwrap()[id].born;
        self.elapsed().saturating_sub(born)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.0.began)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.seen.lock().unwrap().len()
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    pub(crate) fn created(&self) -> usize {
        self.0.keys.lock().unwrap().len()
    }

    fn stamp(&self, elapsed: Duration) -> Timestamp {
        let millis = i64::try_from(elapsed.as_millis()).unwrap();
        Timestamp::from_millis(EPOCH_MS + self.0.manner.skew + millis)
    }

    /// The job as it is now.
    pub(crate) fn look(&self, id: &JobId) -> Option<Job> {
        self.look_back(id, Duration::ZERO)
    }

    /// The job as it was that span ago.
    fn look_back(&self, id: &JobId, ago: Duration) -> Option<Job> {
        let life = self.0.jobs.lock().unwrap().get(id)?.clone();
        let age = self.elapsed().saturating_sub(life.born).saturating_sub(ago);
        let past = life.changes.iter().filter(|change| **change <= age).count();
        let done = past == life.changes.len();
        let at = |n: usize| self.stamp(life.born + life.changes[n]);
        let status = match (done, past) {
            (true, _) => match life.outcome {
                Outcome::Completed => Status::Completed,
                Outcome::Failed => Status::Failed,
                Outcome::Canceled => Status::Canceled,
            },
            (false, 0) => Status::Pending,
            (false, _) => Status::Running,
        };
        let status = match &life.status_word {
            _ if id.as_str().starts_with("broken") => Status::Other(BROKEN.to_owned()),
            Some(word) if !done => Status::Other(word.clone()),
            _ => status,
        };
        Some(Job {
            id: id.clone(),
            kind: "video_translation".to_owned(),
            status,
            done,
            outcome: done.then_some(life.outcome),
            revision: Revision(1 + past as u64),
            progress: (past > 0).then(|| Progress {
                percent: 100.0 * past as f64 / life.changes.len() as f64,
                stage: None,
            }),
            input: None,
            result: (done && life.outcome == Outcome::Completed).then(|| {
                match id.as_str().starts_with("odd") {
                    true => serde_json::from_str(ODD).unwrap(),
                    false => serde_json::json!({"url": "https://example.test/v.mp4"}).into(),
                }
            }),
            error: (done && life.outcome == Outcome::Failed)
                .then(|| Problem::new(500, abide_wire::Code::JOB_FAILED, "The job failed")),
            metadata: id
                .as_str()
                .split_once('_')
                .map(|(model, _)| serde_json::json!({"model": model}).into()),
            created_at: self.stamp(life.born),
            started_at: (past > 0).then(|| at(0)),
            updated_at: if past > 0 {
                at(past - 1)
            } else {
                self.stamp(life.born)
            },
            finished_at: done.then(|| at(past - 1)),
            expires_at: None,
            remaining_ms: None,
            attempts: None,
            lease: None,
            links: Links::of(id.as_str()),
        })
    }

    /// Pushes the job's changes to an inbox: each later than it happened by what `delays` says for its number;
    /// none where it is lost, more than one where it is doubled. Returns when there is nothing left to push.
    pub(crate) async fn push(
        &self,
        id: &JobId,
        inbox: &Inbox,
        delays: impl Fn(usize) -> Vec<Duration>,
    ) {
        let life = self.0.jobs.lock().unwrap()[id].clone();
        let mut due: Vec<(Instant, usize)> = (0..life.changes.len())
            .flat_map(|n| {
                let changed = self.0.began + life.born + life.changes[n];
                delays(n).into_iter().map(move |delay| (changed + delay, n))
            })
            .collect();
        due.sort_unstable();
        for (at, n) in due {
            sleep_until(at).await;
            let ago = self.elapsed().saturating_sub(life.born + life.changes[n]);
            if let Some(job) = self.look_back(id, ago) {
                inbox.deliver(job);
            }
        }
    }

    /// When it changes next.
    fn next_change(&self, id: &JobId) -> Option<Instant> {
        let life = self.0.jobs.lock().unwrap().get(id)?.clone();
        let age = self.elapsed().saturating_sub(life.born);
        let change = life.changes.iter().find(|change| **change > age)?;
        Some(self.0.began + life.born + *change)
    }

    fn head(&self, status: StatusCode) -> http::response::Builder {
        let date = UNIX_EPOCH
            + Duration::from_millis(u64::try_from(self.stamp(self.elapsed()).as_millis()).unwrap());
        Response::builder()
            .status(status)
            .header(header::DATE, httpdate::fmt_http_date(date))
    }

    fn of_job(&self, status: StatusCode, job: &Job, held: Option<Duration>) -> Response<Body> {
        let mut head = self
            .head(status)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ETAG, format!("\"{}\"", job.revision));
        if let Some(finished) = job.finished_at.filter(|_| self.0.manner.timing) {
            let age = self.stamp(self.elapsed()).since(finished).as_millis();
            head = head.header("server-timing", format!("since-end;dur={age}"));
        }
        if let Some(hint) = self.0.manner.hint.filter(|_| !job.done) {
            head = head.header("retry-after", hint);
        }
        if let Some(held) = held {
            head = head.header("preference-applied", format!("wait={}", held.as_secs()));
        }
        head.body(Body::full(written(job))).unwrap()
    }

    fn problem(&self, status: u16, retry_after: Option<&str>) -> Response<Body> {
        let problem = Problem::new(status, abide_wire::Code::new("test"), "Not now or not ever");
        let mut head = self
            .head(StatusCode::from_u16(status).unwrap())
            .header(header::CONTENT_TYPE, "application/problem+json");
        if let Some(retry_after) = retry_after {
            head = head.header("retry-after", retry_after);
        }
        head.body(Body::full(serde_json::to_vec(&problem).unwrap()))
            .unwrap()
    }

    async fn serve(&self, seen: &Seen, body: &Bytes) -> Response<Body> {
        let parts: Vec<&str> = seen.path.split('/').skip(1).collect();
        match (&seen.method, parts.as_slice()) {
            (&Method::POST, ["v1", "jobs"]) => self.create(seen),
            (&Method::POST, ["v1", "jobs", "wait"]) if self.0.manner.sets => {
                self.wait_for_set(body).await
            }
            (&Method::GET, ["v1", "jobs", id]) => self.read(&JobId::new(*id), seen).await,
            (&Method::GET, ["v1", "jobs", id, "events"]) if self.0.manner.streams => {
                self.stream(&JobId::new(*id), seen)
            }
            (&Method::POST, ["v1", "jobs", id, "cancel"]) => {
                let id = JobId::new(*id);
                let Some(job) = self.look(&id) else {
                    return self.problem(404, None);
                };
                if !job.done {
                    let age = self.elapsed();
                    self.change(&id, |life| {
                        let age = age.saturating_sub(life.born);
                        life.changes.retain(|change| *change <= age);
                        life.changes.push(age);
                        life.outcome = Outcome::Canceled;
                    });
                }
                self.of_job(StatusCode::OK, &self.look(&id).unwrap(), None)
            }
            (&Method::DELETE, ["v1", "jobs", id]) => {
                match self.0.jobs.lock().unwrap().remove(&JobId::new(*id)) {
                    Some(_) => self
                        .head(StatusCode::NO_CONTENT)
                        .body(Body::full(""))
                        .unwrap(),
                    None => self.problem(404, None),
                }
            }
            _ => self.problem(404, None),
        }
    }

    fn create(&self, seen: &Seen) -> Response<Body> {
        let key = seen.headers["idempotency-key"].to_str().unwrap().to_owned();
        let known = self.0.keys.lock().unwrap().get(&key).cloned();
        let replayed = known.is_some();
        let id = known.unwrap_or_else(|| {
            let (changes, outcome) = self.0.next.lock().unwrap().clone();
            let id = self.job(&format!("job_{}", self.created()), &changes, outcome);
            self.0.keys.lock().unwrap().insert(key, id.clone());
            id
        });
        let mut answer = self.of_job(StatusCode::ACCEPTED, &self.look(&id).unwrap(), None);
        if replayed {
            answer
                .headers_mut()
                .insert("idempotent-replayed", "true".parse().unwrap());
        }
        answer
    }

    async fn read(&self, id: &JobId, seen: &Seen) -> Response<Body> {
        let Some(mut job) = self.look(id) else {
            return self.problem(404, None);
        };
        let hold = seen
            .query
            .get("wait")
            .map(|wait| Duration::from_secs_f64(wait.parse().unwrap()));
        let Some(hold) = hold.filter(|_| self.0.manner.holds) else {
            return self.of_job(StatusCode::OK, &job, None);
        };
        let granted = hold.min(Duration::from_secs(60));
        let until_done = seen.query.get("until").is_some_and(|until| until == "done");
        let after: Option<u64> = seen.query.get("after").map(|after| after.parse().unwrap());
        let news =
            |job: &Job| job.done || !until_done && after.is_none_or(|after| job.revision.0 > after);
        let end = now() + granted;
        while !news(&job) {
            let next = self.next_change(id).unwrap_or(end);
            sleep_until(next.min(end)).await;
            job = match self.look(id) {
                Some(job) => job,
                None => return self.problem(410, None),
            };
            if now() >= end {
                break;
            }
        }
        if !news(&job) && after.is_some() {
            return self
                .head(StatusCode::NOT_MODIFIED)
                .header("preference-applied", format!("wait={}", granted.as_secs()))
                .body(Body::full(""))
                .unwrap();
        }
        self.of_job(StatusCode::OK, &job, Some(granted))
    }

    async fn wait_for_set(&self, body: &Bytes) -> Response<Body> {
        let request: WaitRequest = serde_json::from_slice(body).unwrap();
        let until_done = request.until == abide_wire::Until::Done;
        let end = now() + request.wait.get().min(Duration::from_secs(60));
        loop {
            let mut answer = WaitResponse {
                jobs: Vec::new(),
                errors: Vec::new(),
            };
            let mut next = end;
            for item in &request.jobs {
                match self.look(&item.id) {
                    None => answer.errors.push(WaitFailure {
                        id: item.id.clone(),
                        error: Problem::new(
                            404,
                            abide_wire::Code::NOT_FOUND,
                            "There is no such job",
                        ),
                    }),
                    Some(job) => {
                        let news = item.after.is_none_or(|after| job.revision > after);
                        if job.done || news && !until_done {
                            answer.jobs.push(job);
                        } else if let Some(change) = self.next_change(&item.id) {
                            next = next.min(change);
                        }
                    }
                }
            }
            if !answer.jobs.is_empty() || !answer.errors.is_empty() || now() >= end {
                return self
                    .head(StatusCode::OK)
                    .header(header::CONTENT_TYPE, "application/json")
                    .header("preference-applied", "wait=60")
                    .body(Body::full(written(&answer)))
                    .unwrap();
            }
            sleep_until(next).await;
        }
    }

    fn stream(&self, id: &JobId, seen: &Seen) -> Response<Body> {
        let Some(job) = self.look(id) else {
            return self.problem(404, None);
        };
        let last = seen
            .headers
            .get("last-event-id")
            .map_or(0, |id| id.to_str().unwrap().parse::<u64>().unwrap());
        if job.done && last >= job.revision.0 {
            return self
                .head(StatusCode::NO_CONTENT)
                .body(Body::full(""))
                .unwrap();
        }
        let world = self.clone();
        let id = id.clone();
        let parts =
            futures_util::stream::unfold((last, true, false), move |(last, first, over)| {
                let world = world.clone();
                let id = id.clone();
                async move {
                    if over {
                        return None;
                    }
                    if first && world.0.manner.greets && !world.0.manner.buffered {
                        return Some((": hello\n\n".to_owned(), (last, false, false)));
                    }
                    let mut held = String::new();
                    let mut last = last;
                    loop {
                        let job = world.look(&id)?;
                        if job.revision.0 > last {
                            last = job.revision.0;
                            let kind = match job.status {
                                Status::Completed => EventKind::Completed,
                                Status::Failed => EventKind::Failed,
                                Status::Canceled => EventKind::Canceled,
                                _ => EventKind::Progress,
                            };
                            let event = Event {
                                kind: kind.clone(),
                                timestamp: job.updated_at,
                                data: job.clone(),
                            };
                            let data = written(&event);
                            held += &format!("id: {last}\nevent: {kind}\ndata: {data}\n\n");
                            if job.done || !world.0.manner.buffered {
                                return Some((held, (last, false, job.done)));
                            }
                        }
                        let beat = now() + world.0.manner.heartbeat;
                        let next = world.next_change(&id).unwrap_or(beat);
                        sleep_until(next.min(beat)).await;
                        if now() >= beat && !world.0.manner.buffered {
                            return Some((": beat\n\n".to_owned(), (last, false, false)));
                        }
                    }
                }
            });
        self.head(StatusCode::OK)
            .header(header::CONTENT_TYPE, "text/event-stream")
            .body(Body::stream(parts.map(|part| Ok(Bytes::from(part)))))
            .unwrap()
    }
}

/// Counts an exchange as long as it is alive.
struct Open(World);

impl Open {
    fn new(world: &World) -> Self {
        world.0.open.fetch_add(1, Ordering::SeqCst);
        Self(world.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn reset() -> TransportError {
    TransportError::broken(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}

impl Transport for World {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let open = Open::new(self);
            let (head, body) = request.into_parts();
            let rtt = self.0.manner.rtt;
            sleep(rtt / 2).await;
            let seen = {
                let mut all = self.0.seen.lock().unwrap();
                let query = head.uri.query().unwrap_or_default();
                let jobs =
                    serde_json::from_slice::<WaitRequest>(&body).map_or(1, |set| set.jobs.len());
                let seen = Seen {
                    at: self.elapsed(),
                    method: head.method,
                    path: head.uri.path().to_owned(),
                    query: url::form_urlencoded::parse(query.as_bytes())
                        .into_owned()
                        .collect(),
                    headers: head.headers,
                    ordinal: all.len() + 1,
                    jobs,
                };
                all.push(seen.clone());
                seen
            };
            let fault = (self.0.script)(&seen);
            match fault {
                Fault::Refuse => {
                    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                    return Err(TransportError::connect(refused));
                }
                Fault::Reset => return Err(reset()),
                Fault::Stall => std::future::pending().await,
                Fault::Late(late) => sleep(late).await,
                Fault::Status(status, retry_after) => {
                    sleep(rtt / 2).await;
                    return Ok(self.problem(status, retry_after));
                }
                Fault::Unexplained(status) => {
                    sleep(rtt / 2).await;
                    let head = self.head(StatusCode::from_u16(status).unwrap());
                    return Ok(head
                        .body(Body::stream(futures_util::stream::pending()))
                        .unwrap());
                }
                Fault::Redirect(status) => {
                    sleep(rtt / 2).await;
                    let head = self.head(StatusCode::from_u16(status).unwrap());
                    return Ok(head
                        .header(header::LOCATION, "https://elsewhere.test/")
                        .body(Body::full("moved"))
                        .unwrap());
                }
                Fault::HoldCut(after) if seen.is_hold() => {
                    return Ok(tokio::select! {
                        answer = self.serve(&seen, &body) => answer,
                        () = sleep(after) => self.problem(504, None),
                    });
                }
                Fault::Stale(ago) if seen.is_ask() => {
                    sleep(rtt / 2).await;
                    let id = JobId::new(seen.path.rsplit('/').next().unwrap());
                    return Ok(match self.look_back(&id, ago) {
                        Some(job) => self.of_job(StatusCode::OK, &job, None),
                        None => self.problem(404, None),
                    });
                }
                _ => {}
            }
            let answer = self.serve(&seen, &body).await;
            sleep(rtt / 2).await;
            let (mut head, mut body) = answer.into_parts();
            let json = |text: &'static str| Body::full(text);
            match fault {
                Fault::ResetAfter => return Err(reset()),
                Fault::StallBody => body = Body::stream(futures_util::stream::pending()),
                Fault::Cut(bytes) => {
                    let all = body.collect(usize::MAX).await?;
                    let part = all.slice(..bytes.min(all.len()));
                    body = Body::stream(futures_util::stream::iter([Ok(part), Err(reset())]));
                }
                Fault::Short(bytes) => {
                    let all = body.collect(usize::MAX).await?;
                    body = Body::full(all.slice(..bytes.min(all.len().saturating_sub(1))));
                }
                Fault::Garbage => body = Body::full(vec![0xFF, 0x00, 0xC3, 0x28]),
                Fault::Page => {
                    head.headers
                        .insert(header::CONTENT_TYPE, "text/html".parse().unwrap());
                    body = json("<html>Sign in to the network</html>");
                }
                Fault::OtherShape => body = json(r#"{"done": "soon", "id": 7}"#),
                Fault::OtherJob => {
                    body = json(
                        r#"{"id":"job_of_another","status":"completed","done":true,"outcome":"completed","revision":9,
                        "created_at":"2026-11-22T00:00:00Z","updated_at":"2026-11-22T00:00:00Z"}"#,
                    );
                }
                Fault::NoContent => {
                    head.status = StatusCode::NO_CONTENT;
                    body = json("");
                }
                _ => {}
            }
            // The exchange is open until its body has been read or dropped.
            let body = futures_util::stream::unfold((body, open), |(mut body, open)| async move {
                let part = body.chunk().await?;
                Some((part, (body, open)))
            });
            Ok(Response::from_parts(head, Body::stream(body)))
        })
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}
