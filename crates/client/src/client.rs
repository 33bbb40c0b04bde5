//! The client: one server, one pool of connections, one memory.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use abide_wire::{Job, JobId, NewJob, headers, limits};

use crate::budget::Budget;
use crate::call::call;
use crate::clock::Clock;
use crate::error::Error;
use crate::exchange::{Call, Failure, Reply, exchange};
use crate::feed::Feed;
use crate::hub::Hub;
use crate::job::{JobHandle, Known};
use crate::list::List;
use crate::luck::Luck;
use crate::memory::Memory;
use crate::native::read_job;
use crate::origin::{ATTEMPT_TIMEOUT, Origin, TIMEOUT};
use crate::poll_until::{Look, PollUntil};
use crate::remote::Remote;
use crate::report::Report;
use crate::resume::ResumeToken;
use crate::retry::{RetryBudget, RetryPolicy};
use crate::schedule::{History, Learned, Schedule};
use crate::set::{JobSet, WaitAll};
use crate::telemetry::Purpose;
use crate::transport::{BoxFuture, Transport};

/// A client of one server.
///
/// Cheap to clone; clones share connections, memory and budgets, so one client per server and process is enough. Making
/// one does no I/O and starts nothing.
///
/// ```no_run
/// # async fn example() -> Result<(), abide::Error> {
/// use abide::{Client, NewJob};
///
/// let client = Client::new("http://127.0.0.1:8080")?;
/// let job = client.create(NewJob::new("video_translation")).await?;
/// let done = job.wait().deadline(std::time::Duration::from_secs(600)).await?;
/// println!("{} after {} requests", done.outcome(), done.report().requests);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) origin: Arc<Origin>,
    pub(crate) hub: Arc<Hub>,
    /// The API that is spoken, where it isn't ours.
    pub(crate) remote: Option<Arc<Remote>>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) on_report: Option<OnReport>,
    schedule: Option<Arc<dyn Schedule>>,
    history: History,
    directory: Option<PathBuf>,
}

/// How long a cancel at a wait's deadline may take: the caller wants its thread back.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

type OnReport = Box<dyn Fn(&JobId, &Report) + Send + Sync>;

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    ///
    /// A URL that isn't the `http` or `https` address of a server.
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// A client with other settings.
    pub fn builder(url: impl AsRef<str>) -> ClientBuilder {
        ClientBuilder::new(url.as_ref())
    }

    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        self.core.origin.server()
    }

    /// Creates a job. Nothing is sent before the [`Create`] is awaited.
    pub fn create(&self, job: NewJob) -> Create {
        Create {
            client: self.clone(),
            job,
            key: None,
        }
    }

    /// The caller's jobs, the newest first. Nothing is sent before a page is asked for.
    pub fn list(&self) -> List {
        List::new(self.clone())
    }

    /// A handle to the job with that id. Nothing is sent; whether there is such a job shows when something is asked of it.
    #[must_use]
    pub fn job(&self, id: impl Into<JobId>) -> JobHandle {
        JobHandle {
            client: self.clone(),
            id: id.into(),
            known: Arc::default(),
        }
    }

    /// Follows the changes of all of the caller's jobs, from now on. Nothing is sent before the [`Feed`] is polled.
    ///
    /// ```no_run
    /// # async fn example(client: abide::Client) -> Result<(), abide::Error> {
    /// let mut feed = client.feed();
    /// while let Some(change) = feed.next().await {
    ///     if let abide::Change::Event(event) = change? {
    ///         println!("{} {}", event.kind, event.data.id);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn feed(&self) -> Feed {
        Feed::new(self.clone())
    }

    /// Waits until a look finds something done, on any API at all. It draws on this client's budget and learns from and for
    /// its history; see [`poll_until`](crate::poll_until()).
    pub fn poll_until<'a, F, Fut, T, E>(&self, look: F) -> PollUntil<'a, F, E>
    where
        F: FnMut() -> Fut + Send + 'a,
        Fut: Future<Output = Result<Look<T>, E>> + Send + 'a,
        T: Clone + Send + 'a,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'a,
    {
        let origin = Arc::new(self.core.origin.elsewhere());
        PollUntil::new(look, origin, Some(self.core.history.clone()))
    }

    /// Waits for many jobs together, to be told of each one as it ends.
    ///
    /// ```no_run
    /// # async fn example(client: abide::Client, jobs: Vec<abide::JobHandle>) {
    /// let mut set = client.set(jobs).deadline(std::time::Duration::from_secs(600));
    /// while let Some((id, outcome)) = set.join_next().await {
    ///     println!("{id}: {outcome:?}");
    /// }
    /// # }
    /// ```
    pub fn set(&self, jobs: impl IntoIterator<Item = JobHandle>) -> JobSet {
        let mut set = JobSet::new(self.clone());
        set.extend(jobs);
        set
    }

    /// Waits for many jobs together until all have ended. Nothing is sent before the [`WaitAll`] is awaited.
    pub fn wait_all(&self, jobs: impl IntoIterator<Item = JobHandle>) -> WaitAll {
        WaitAll::new(self.set(jobs))
    }

    /// A handle to the job of a token. Nothing is sent.
    ///
    /// # Errors
    ///
    /// A token of another server, or of a create whose answer never came: send that create again with
    /// [`Create::resume`].
    pub fn resume(&self, token: &ResumeToken) -> Result<JobHandle, Error> {
        self.check_server(token)?;
        let Some(id) = token.job_id() else {
            return Err(Error::usage(
                "this token is of a create whose answer never came: \
                 send the same create again, with `create(…).resume(&token)`",
            )
            .token(token.clone()));
        };
        Ok(JobHandle {
            client: self.clone(),
            id: id.clone(),
            known: Arc::new(Known {
                key: token.idempotency_key().map(str::to_owned),
                kind: token.kind().map(str::to_owned),
                created_at: token.created_at(),
                revision: token.revision(),
                ..Known::default()
            }),
        })
    }

    /// Asks how a job stands now.
    ///
    /// # Errors
    ///
    /// [Unreachable](Error::is_unreachable) after the attempts of the retry policy, [refused](Error::is_refused), among
    /// others by [404 and 410](Error::is_not_found), or [garbled](Error::is_garbled).
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing; the future may be dropped at any time.
    pub async fn status(&self, id: impl Into<JobId>) -> Result<Job, Error> {
        self.job(id).status().await
    }

    /// Cancels a job. One that has ended stays as it ended, and that is no error.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped the job may have been canceled or not. Canceling again is harmless.
    pub async fn cancel(&self, id: impl Into<JobId>) -> Result<Job, Error> {
        self.job(id).cancel().await
    }

    /// Deletes the record of a job that is done. A record that is already gone is no error.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`]; a job that isn't done is [refused](Error::is_refused) with 409.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped the record may have been deleted or not. Deleting again is harmless.
    pub async fn delete(&self, id: impl Into<JobId>) -> Result<(), Error> {
        self.job(id).delete().await
    }

    /// What was learned of how long jobs take, for a schedule of your own.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.core.history
    }

    /// Writes what was learned of how long jobs take into the [state directory](ClientBuilder::state_dir), and says
    /// how many kinds of jobs have changed. Call it before the program ends, and now and then in one that doesn't.
    ///
    /// It blocks for a file system access per kind: in asynchronous code, call it through `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// The first failure of the file system. What could not be written is tried again by the next call.
    pub fn save_history(&self) -> std::io::Result<usize> {
        if self.core.directory.is_none() {
            return Ok(0);
        }
        self.core.history.save(self.core.origin.clock.time_of_day())
    }

    pub(crate) async fn status_of(&self, id: &JobId, token: ResumeToken) -> Result<Job, Error> {
        let origin = &self.core.origin;
        let request = Call::get(Purpose::Look, self.job_url(id, Action::Status, &token)?);
        call(origin, &request, &token, |reply| self.read(reply, id)).await
    }

    pub(crate) async fn cancel_of(&self, id: &JobId, token: ResumeToken) -> Result<Job, Error> {
        let origin = &self.core.origin;
        let request = Call::new(
            Purpose::Cancel,
            Method::POST,
            self.job_url(id, Action::Cancel, &token)?,
        );
        let canceled = call(origin, &request, &token, |reply| {
            Ok(self.read(reply, id).ok())
        })
        .await?;
        match canceled {
            Some(job) => Ok(job),
            // Others answer a cancel with something else than the job.
            None => self.status_of(id, token).await,
        }
    }

    pub(crate) async fn delete_of(&self, id: &JobId, token: ResumeToken) -> Result<(), Error> {
        let origin = &self.core.origin;
        let request = Call::new(
            Purpose::Delete,
            Method::DELETE,
            self.job_url(id, Action::Delete, &token)?,
        );
        match call(origin, &request, &token, |_| Ok(())).await {
            // A retry of a delete whose answer was lost finds nothing.
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Cancels, without retries and without telling what came of it.
    pub(crate) async fn cancel_once(&self, id: &JobId, token: &ResumeToken) {
        let origin = &self.core.origin;
        if let Ok(url) = self.job_url(id, Action::Cancel, token) {
            let request = Call::new(Purpose::Cancel, Method::POST, url);
            // The caller is told that the job was still running; that it could not be canceled changes nothing.
            let limit = origin.attempt_timeout.min(CANCEL_WAIT);
            let _ = exchange(origin, &request, limit).await;
        }
    }

    fn read(&self, reply: &Reply, id: &JobId) -> Result<Job, Failure> {
        match &self.core.remote {
            None => read_job(reply, Some(id)),
            Some(remote) => remote.read(reply, id, &remote.name, self.core.origin.clock.wall()),
        }
    }

    /// The URL of a job, unless its id would make it that of something else.
    fn job_url(&self, id: &JobId, action: Action, token: &ResumeToken) -> Result<Url, Error> {
        check_id(id).map_err(|error| error.token(token.clone()))?;
        let origin = &self.core.origin;
        let Some(remote) = &self.core.remote else {
            let id = id.as_str();
            return Ok(match action {
                Action::Status | Action::Delete => origin.url(["v1", "jobs", id]),
                Action::Cancel => origin.url(["v1", "jobs", id, "cancel"]),
            });
        };
        let template = match action {
            Action::Status => Some(&remote.status),
            Action::Cancel => remote.cancel.as_ref(),
            Action::Delete => remote.delete.as_ref(),
        };
        let Some(template) = template else {
            let what = format!("{} knows no way to do this to a job", remote.name);
            return Err(Error::usage(what).token(token.clone()));
        };
        Ok(remote.url(origin, template, id))
    }

    fn check_server(&self, token: &ResumeToken) -> Result<(), Error> {
        if token.server() == self.server() {
            return Ok(());
        }
        Err(Error::usage(format!(
            "this token is of the server {}, and this client is of {}",
            token.server(),
            self.server()
        ))
        .token(token.clone()))
    }
}

/// What is done to a job.
#[derive(Clone, Copy, Debug)]
enum Action {
    Status,
    Cancel,
    Delete,
}

/// An id that can stand in a path. The longest that is sent has 1 KiB.
pub(crate) fn check_id(id: &JobId) -> Result<(), Error> {
    match id.as_str() {
        "" | "." | ".." => Err(Error::usage(format!(
            "{:?} is not the id of a job",
            id.as_str()
        ))),
        text if text.len() > 1_024 => Err(Error::usage("the id of a job has at most 1024 bytes")),
        _ => Ok(()),
    }
}

impl Core {
    /// The schedule of a wait that names none.
    pub(crate) fn schedule(&self, kind: Option<&str>) -> Arc<dyn Schedule> {
        match &self.schedule {
            Some(schedule) => Arc::clone(schedule),
            None => {
                // A kind is slow or fast on one server, and another on the next.
                let kind = format!("{} {}", self.origin.server(), kind.unwrap_or_default());
                Arc::new(Learned::new(kind).history(&self.history))
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server())
            .finish_non_exhaustive()
    }
}

/// A create, to be awaited: made by [`Client::create`].
///
/// It carries an idempotency key that is made before the first byte is sent and is the same for every retry, so that
/// however often it is sent there is one job.
///
/// # Errors
///
/// Every error has the [key](Error::idempotency_key) and a [token](Error::resume_token): send the same create again with
/// [`Create::resume`], from this process or a later one, and if the job exists already, it is that job.
///
/// # Cancel safety
///
/// Where the future is dropped the job may have been created or not. Name a [key](Self::idempotency_key) of your own
/// beforehand if you must find out.
#[must_use = "a create does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct Create {
    client: Client,
    job: NewJob,
    key: Option<String>,
}

impl Create {
    /// The key that names this create, 1 to 255 visible ASCII characters. Default: 128 random bits.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Takes the key of an earlier attempt, so that there will be one job, not two.
    pub fn resume(mut self, token: &ResumeToken) -> Self {
        self.key = token.idempotency_key().map(str::to_owned).or(self.key);
        self
    }

    async fn run(self) -> Result<JobHandle, Error> {
        let Self { client, job, key } = self;
        let origin = &client.core.origin;
        let key = key.unwrap_or_else(|| origin.luck.key());
        let token = ResumeToken::of_create(origin.server(), key.clone());
        let fits = !key.is_empty()
            && key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(value) = HeaderValue::from_str(&key).ok().filter(|_| fits) else {
            return Err(Error::usage(format!(
                "an idempotency key has 1 to {} visible ASCII characters",
                limits::IDEMPOTENCY_KEY_BYTES_MAX
            )));
        };
        let (job, accepted, replayed) = match &client.core.remote {
            None => {
                let request = native_create(origin, &job, value)
                    .map_err(|error| error.token(token.clone()))?;
                call(origin, &request, &token, |reply| {
                    let job = read_job(reply, None)?;
                    origin.note_date(reply);
                    origin.memory.note_rtt(reply.took());
                    let replayed = reply.header(headers::IDEMPOTENT_REPLAYED) == Some("true");
                    Ok((job, reply.received - reply.took() / 2, replayed))
                })
                .await?
            }
            Some(remote) => {
                let request = remote
                    .create_call(origin, &job, &key)
                    .map_err(|error| error.token(token.clone()))?;
                let kind = job.kind.as_ref().unwrap_or(&remote.name);
                call(origin, &request, &token, |reply| {
                    let id = remote.created(reply)?;
                    let now = origin.clock.wall();
                    // Not every API tells the whole job at once.
                    let job = remote
                        .read(reply, &id, kind, now)
                        .unwrap_or_else(|_| remote.fresh(id, kind, now));
                    Ok((job, reply.received - reply.took() / 2, false))
                })
                .await?
            }
        };
        let known = Known {
            // A job that was there before was accepted at some other time, which its next answer will tell.
            accepted: (!replayed).then_some(accepted),
            key: Some(key),
            kind: Some(job.kind.clone()),
            // A foreign job has none of its own.
            revision: client.core.remote.is_none().then_some(job.revision),
            created_at: Some(job.created_at),
            replayed,
            snapshot: None,
        };
        Ok(JobHandle {
            id: job.id.clone(),
            known: Arc::new(Known {
                snapshot: Some(Arc::new(job)),
                ..known
            }),
            client,
        })
    }
}

fn native_create(origin: &Origin, job: &NewJob, key: HeaderValue) -> Result<Call, Error> {
    let body = serde_json::to_vec(job)
        .map_err(|error| Error::usage("the job can't be written as JSON").because(error))?;
    Ok(
        Call::new(Purpose::Create, Method::POST, origin.url(["v1", "jobs"]))
            .json(Bytes::from(body))
            .header(headers::IDEMPOTENCY_KEY, key),
    )
}

impl IntoFuture for Create {
    type Output = Result<JobHandle, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Settings of a [`Client`].
///
/// | setting | default |
/// |---|---|
/// | [`api_key`](Self::api_key), [`header`](Self::header) | none |
/// | [`remote`](Self::remote) | our own API |
/// | [`user_agent`](Self::user_agent) | `abide/<version>` |
/// | [`connect_timeout`](Self::connect_timeout) | 5 s |
/// | [`attempt_timeout`](Self::attempt_timeout) | 10 s |
/// | [`timeout`](Self::timeout) | 30 s |
/// | [`deadline`](Self::deadline) | none |
/// | [`retry`](Self::retry) | [`RetryPolicy::default`] |
/// | [`budget`](Self::budget) | 50 requests of waits a second |
/// | [`schedule`](Self::schedule) | [`Learned`], by server and kind of job |
/// | [`state_dir`](Self::state_dir) | what is learned is kept in memory |
/// | [`transport`](Self::transport) | HTTP over TCP and TLS, by the feature `http` |
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    url: String,
    headers: HeaderMap,
    api_key: Option<String>,
    remote: Option<Remote>,
    wrong: Option<Error>,
    connect_timeout: Duration,
    attempt_timeout: Duration,
    timeout: Duration,
    deadline: Option<Duration>,
    retry: RetryPolicy,
    budget: Budget,
    schedule: Option<Arc<dyn Schedule>>,
    state_dir: Option<PathBuf>,
    transport: Option<Arc<dyn Transport>>,
    seed: Option<u64>,
    on_report: Option<OnReport>,
}

impl ClientBuilder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: HeaderMap::new(),
            api_key: None,
            remote: None,
            wrong: None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: ATTEMPT_TIMEOUT,
            timeout: TIMEOUT,
            deadline: None,
            retry: RetryPolicy::default(),
            budget: Budget::default(),
            schedule: None,
            state_dir: None,
            transport: None,
            seed: None,
            on_report: None,
        }
    }

    /// Sends `Authorization: Bearer <key>`, or what a [`remote`](Self::remote) wants instead. The key appears in no log,
    /// error or token.
    pub fn api_key(mut self, key: impl AsRef<str>) -> Self {
        self.api_key = Some(key.as_ref().trim().to_owned());
        self
    }

    /// Speaks another API than ours. Default: ours.
    pub fn remote(mut self, remote: Remote) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Sends a header with every request.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let parsed = HeaderName::from_bytes(name.as_bytes());
        match (parsed, HeaderValue::from_str(value.as_ref())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(name == header::AUTHORIZATION || name == header::COOKIE);
                self.with_header(name, value)
            }
            _ => self.wrong(Error::usage(format!("the header {name:?} can't be sent"))),
        }
    }

    /// Who asks, for the server's logs. Default: `abide/` and the version of this crate.
    pub fn user_agent(self, name: impl AsRef<str>) -> Self {
        self.header("user-agent", name)
    }

    /// The most that making a connection may take. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The most that one exchange may take, from connecting to the last byte, beside the time that the server was asked
    /// to hold it. Default: 10 s.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// The most that one call (create, status, cancel, list, delete) may take, with all its retries. Waits have
    /// [deadlines](Self::deadline) instead. Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The deadline of waits that name none. Default: none; such a wait goes on for as long as the server answers.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How failures are met. Default: [`RetryPolicy::default`].
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// What all waits may send together. Give clones of one budget to several clients, and they share it. Default: 50
    /// requests a second for this client.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = budget.clone();
        self
    }

    /// When to poll, where it comes to polling, in waits that name no schedule. Default: [`Learned`], by server and
    /// kind of job.
    pub fn schedule(mut self, schedule: impl Schedule) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }

    /// A directory that keeps what is learned of how long jobs take, a few kilobytes per kind of job, so that the next
    /// process needn't learn it anew. Several processes may share one. It is read when the client is built and written
    /// by [`Client::save_history`]. Default: none.
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(directory.into());
        self
    }

    /// What sends requests. Default: HTTP over TCP and TLS, by the feature `http`. With a transport of your own
    /// [`connect_timeout`](Self::connect_timeout) is its business.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Makes all luck (jitter, idempotency keys) repeat, for a test. Default: luck that nobody can foresee.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Calls this with the report of every wait and watch that ended or gave up, for metrics.
    pub fn on_report(
        mut self,
        on_report: impl Fn(&JobId, &Report) + Send + Sync + 'static,
    ) -> Self {
        self.on_report = Some(Box::new(on_report));
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// A URL that isn't the `http` or `https` address of a server, a header that can't be sent, or a [`Remote`] that can't be
    /// right.
    pub fn build(mut self) -> Result<Client, Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let base = address(&self.url)?;
        if let Some(mistake) = self.remote.as_ref().and_then(Remote::mistake) {
            return Err(Error::usage(format!(
                "the remote is described wrongly: {mistake}"
            )));
        }
        if let Some(key) = &self.api_key {
            let (name, value) = key_header(self.remote.as_ref(), key)?;
            self.headers.insert(name, value);
        }
        let agent = concat!("abide/", env!("CARGO_PKG_VERSION"));
        self.headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(agent));
        let clock = Clock::start();
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport(self.connect_timeout)?,
        };
        let history = match &self.state_dir {
            Some(directory) => History::open(directory, clock.time_of_day()),
            None => History::new(),
        };
        let origin = Origin {
            base,
            headers: self.headers,
            transport,
            clock,
            luck: Luck::new(self.seed),
            memory: Memory::default(),
            retry: self.retry,
            retry_budget: RetryBudget::default(),
            budget: self.budget,
            attempt_timeout: self.attempt_timeout,
            timeout: self.timeout,
        };
        if self.remote.is_some() {
            origin.memory.only_polls();
        }
        let origin = Arc::new(origin);
        Ok(Client {
            core: Arc::new(Core {
                hub: Hub::new(Arc::clone(&origin)),
                remote: self.remote.map(Arc::new),
                origin,
                deadline: self.deadline,
                on_report: self.on_report,
                schedule: self.schedule,
                history,
                directory: self.state_dir,
            }),
        })
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn wrong(mut self, error: Error) -> Self {
        self.wrong.get_or_insert(error);
        self
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

/// The header that carries the key, marked so that nothing logs it.
fn key_header(remote: Option<&Remote>, key: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let (name, prefix) = remote.map_or(("authorization", "Bearer "), |remote| {
        (remote.key_header.as_str(), remote.key_prefix.as_str())
    });
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| {
        Error::usage(format!("the header {name:?} can't be sent")).because(error)
    })?;
    let mut value = HeaderValue::from_str(&format!("{prefix}{key}"))
        .map_err(|_| Error::usage("an API key must be visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(feature = "http")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "without the feature it is an error"
)]
fn default_transport(connect_timeout: Duration) -> Result<Arc<dyn Transport>, Error> {
    Ok(Arc::new(crate::transport::Http::new(connect_timeout)))
}

#[cfg(not(feature = "http"))]
fn default_transport(_: Duration) -> Result<Arc<dyn Transport>, Error> {
    Err(Error::usage(
        "without the feature `http` a client needs a `transport`",
    ))
}

fn address(text: &str) -> Result<Url, Error> {
    // Whatever stands before an `@` may be a password, and errors end up in logs.
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let no_address = || format!("{shown:?} is not an address such as http://127.0.0.1:8080");
    let mut url = Url::parse(text).map_err(|error| Error::usage(no_address()).because(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Error::usage(no_address()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage(
            "an address with a name or a password in it would end up in logs: use `api_key`",
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}
