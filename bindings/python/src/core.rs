//! The core, for Python to turn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use abide::{
    Budget, Client, Error, JobHandle, JobId, Look, NewJob, OnDeadline, Remote, ResumeToken,
    Timestamp,
};
use abide_core::{Broken, Core as RustCore, Ended, ExchangeId, LookError, LookId, Op, PollTerms};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::de::DeserializeOwned;

use crate::convert::effect;
use crate::handles::{Handle, Lease, Listing};
use crate::schedule::{History, Retry, Schedule, count, hint, maybe_seconds, seconds};
use crate::terms::{Terms, Value, apply, apply_all};
use crate::usage;

/// Names cores, so that a handle finds back to the one it is of.
static CORES: AtomicU64 = AtomicU64::new(1);

fn parse<T: DeserializeOwned>(text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(usage)
}

/// A call's end, which tells what it returns.
async fn ended<T>(
    end: fn(Box<T>) -> Ended,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<Ended, Error> {
    call.await.map(|told| end(Box::new(told)))
}

#[pyclass(frozen, module = "abide_client._core")]
pub(crate) struct Core {
    name: u64,
    core: Mutex<RustCore>,
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, RustCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle as this core's client has it.
    fn adopt(&self, core: &RustCore, handle: &Handle) -> PyResult<JobHandle> {
        if handle.core == self.name {
            return Ok(handle.job.clone());
        }
        core.client()
            .resume(&handle.job.resume_token())
            .map_err(usage)
    }
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (url, wall, *, servers=None, api_key=None, headers=None, remote=None, budget=None, history=None,
        schedule=None, retry=None, deadline=None, timeout=None, attempt_timeout=None, seed=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        url: &str,
        wall: f64,
        servers: Option<Vec<String>>,
        api_key: Option<&str>,
        headers: Option<Vec<(String, String)>>,
        remote: Option<&str>,
        budget: Option<f64>,
        history: Option<&History>,
        schedule: Option<&Schedule>,
        retry: Option<&Retry>,
        deadline: Option<f64>,
        timeout: Option<f64>,
        attempt_timeout: Option<f64>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let mut builder = Client::builder(url);
        builder = builder.user_agent(concat!("abide-python/", env!("CARGO_PKG_VERSION")));
        builder = builder.servers(servers.unwrap_or_default());
        if let Some(key) = api_key {
            builder = builder.api_key(key);
        }
        for (name, value) in headers.unwrap_or_default() {
            builder = builder.header(name, value);
        }
        if let Some(remote) = remote {
            // A description, or the name of one that comes with the library.
            builder = builder.remote(match remote.starts_with('{') {
                true => parse::<Remote>(remote)?,
                false => Remote::preset(remote).map_err(usage)?,
            });
        }
        if let Some(rate) = budget {
            builder = builder.budget(&Budget::per_second(rate));
        }
        if let Some(history) = history {
            builder = builder.history(&history.history);
        }
        if let Some(schedule) = schedule {
            builder = builder.schedule(schedule.0.clone());
        }
        if let Some(retry) = retry {
            builder = builder.retry(retry.0.clone());
        }
        if let Some(deadline) = maybe_seconds(deadline)? {
            builder = builder.deadline(deadline);
        }
        if let Some(timeout) = maybe_seconds(timeout)? {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = maybe_seconds(attempt_timeout)? {
            builder = builder.attempt_timeout(timeout);
        }
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        Ok(Self {
            name: CORES.fetch_add(1, Ordering::Relaxed),
            core: Mutex::new(RustCore::new(builder, seconds(wall)?).map_err(usage)?),
        })
    }

    #[getter]
    fn server(&self) -> String {
        self.lock().client().server().to_owned()
    }

    fn job(&self, id: String) -> Handle {
        Handle::new(self.name, self.lock().client().job(id))
    }

    fn resume(&self, token: &str) -> PyResult<Handle> {
        let token: ResumeToken = token.parse().map_err(usage)?;
        let job = self.lock().client().resume(&token).map_err(usage)?;
        Ok(Handle::new(self.name, job))
    }

    #[pyo3(signature = (job, *, key=None, resume=None))]
    fn create(&self, job: &str, key: Option<String>, resume: Option<&str>) -> PyResult<u64> {
        let mut core = self.lock();
        let mut create = core.client().create(parse::<NewJob>(job)?);
        if let Some(token) = resume {
            let token: ResumeToken = token.parse().map_err(usage)?;
            create = create.resume(&token);
        }
        if let Some(key) = key {
            create = create.idempotency_key(key);
        }
        Ok(core.create(create).0)
    }

    fn status(&self, job: &Handle) -> PyResult<u64> {
        let mut core = self.lock();
        let job = self.adopt(&core, job)?;
        Ok(core.status(job).0)
    }

    fn cancel(&self, job: &Handle) -> PyResult<u64> {
        let mut core = self.lock();
        let job = self.adopt(&core, job)?;
        Ok(core.cancel(job).0)
    }

    fn delete(&self, job: &Handle) -> PyResult<u64> {
        let mut core = self.lock();
        let job = self.adopt(&core, job)?;
        Ok(core.delete(job).0)
    }

    #[pyo3(signature = (job, terms, *, updates=false, cancel=false))]
    fn wait(
        &self,
        job: &Handle,
        terms: &Bound<'_, PyDict>,
        updates: bool,
        cancel: bool,
    ) -> PyResult<u64> {
        let mut core = self.lock();
        let job = self.adopt(&core, job)?;
        let mut wait = apply_all!(Terms::read(terms)?, job.wait());
        if cancel {
            wait = wait.on_deadline(OnDeadline::Cancel);
        }
        Ok(core.wait(wait, updates).0)
    }

    fn watch(&self, job: &Handle, terms: &Bound<'_, PyDict>) -> PyResult<u64> {
        let mut core = self.lock();
        let job = self.adopt(&core, job)?;
        let watch = apply_all!(Terms::read(terms)?, job.watch());
        Ok(core.watch(watch).0)
    }

    fn set(&self, jobs: Vec<Bound<'_, Handle>>, terms: &Bound<'_, PyDict>) -> PyResult<u64> {
        let mut core = self.lock();
        let jobs: PyResult<Vec<JobHandle>> = jobs
            .iter()
            .map(|job| self.adopt(&core, job.get()))
            .collect();
        let set = apply!(Terms::read(terms)?, core.client().set(jobs?));
        Ok(core.set(set).0)
    }

    #[pyo3(signature = (after=None))]
    fn feed(&self, after: Option<&str>) -> PyResult<u64> {
        let mut core = self.lock();
        let mut feed = core.client().feed();
        if let Some(after) = after {
            feed = feed.after(after.parse().map_err(usage)?);
        }
        Ok(core.feed(feed).0)
    }

    #[pyo3(signature = (*, statuses=None, kind=None, metadata=None, created_after=None, created_before=None, page_size=None))]
    fn listing(
        &self,
        statuses: Option<Vec<String>>,
        kind: Option<String>,
        metadata: Option<Vec<(String, String)>>,
        created_after: Option<&str>,
        created_before: Option<&str>,
        page_size: Option<i64>,
    ) -> PyResult<Listing> {
        let mut list = self.lock().client().list();
        for status in statuses.unwrap_or_default() {
            list = list.status(status.into());
        }
        if let Some(kind) = kind {
            list = list.kind(kind);
        }
        for (name, value) in metadata.unwrap_or_default() {
            list = list.metadata(name, value);
        }
        let instant = |text: &str| text.parse::<Timestamp>().map_err(usage);
        if let Some(after) = created_after {
            list = list.created_after(instant(after)?);
        }
        if let Some(before) = created_before {
            list = list.created_before(instant(before)?);
        }
        if let Some(jobs) = page_size {
            list = list.page_size(count(jobs)?);
        }
        Ok(Listing::new(list))
    }

    fn page(&self, listing: &Listing) -> PyResult<u64> {
        let list = listing.take()?;
        Ok(self.lock().page(list).0)
    }

    #[pyo3(signature = (schedule, *, deadline=None, retry=None, attempt_timeout=None, size=None, features=None))]
    fn poll_until(
        &self,
        schedule: &Schedule,
        deadline: Option<f64>,
        retry: Option<&Retry>,
        attempt_timeout: Option<f64>,
        size: Option<f64>,
        features: Option<Vec<(String, Value)>>,
    ) -> PyResult<u64> {
        let features = features.unwrap_or_default().into_iter();
        let terms = PollTerms {
            schedule: schedule.0.clone(),
            deadline: maybe_seconds(deadline)?,
            retry: retry.map(|retry| retry.0.clone()),
            attempt_timeout: maybe_seconds(attempt_timeout)?,
            size,
            features: features.map(|(name, value)| (name, value.into())).collect(),
        };
        Ok(self.lock().poll_until(terms).0)
    }

    #[pyo3(signature = (kinds, *, lease=None, deadline=None, by_hand=false))]
    fn claim(
        &self,
        kinds: Vec<String>,
        lease: Option<f64>,
        deadline: Option<f64>,
        by_hand: bool,
    ) -> PyResult<u64> {
        let mut core = self.lock();
        let mut claim = core.client().claim();
        if by_hand {
            claim = claim.by_hand();
        }
        for kind in kinds {
            claim = claim.kind(kind);
        }
        if let Some(length) = maybe_seconds(lease)? {
            claim = claim.lease(length);
        }
        if let Some(deadline) = maybe_seconds(deadline)? {
            claim = claim.deadline(deadline);
        }
        Ok(core.claim(claim).0)
    }

    /// A worker's report: a word, and what it tells, as JSON.
    #[pyo3(signature = (lease, report, body=None))]
    fn report(&self, lease: &Lease, report: &str, body: Option<&str>) -> PyResult<u64> {
        let (lease, json) = (lease.held()?, body.unwrap_or("null"));
        let mut core = self.lock();
        let op = match report {
            "progress" => core.progress(lease, parse(json)?),
            "complete" => core.complete(lease, parse(json)?),
            "fail" => core.fail(lease, parse(json)?),
            "release" => core.release(lease),
            "renew" => core.renew(lease),
            "over" => core.over(lease),
            other => return Err(usage(format!("{other:?} is no report"))),
        };
        Ok(op.0)
    }

    #[pyo3(signature = (job=None, ttl=60.0))]
    fn stream_token(&self, job: Option<String>, ttl: f64) -> PyResult<u64> {
        let (job, ttl) = (job.map(JobId::new), seconds(ttl)?);
        Ok(self.lock().stream_token(job, ttl).0)
    }

    /// A call about webhook endpoints: a word, the id it is about, and its body or page.
    #[pyo3(signature = (call, id="", body=None))]
    fn webhooks(&self, call: &str, id: &str, body: Option<String>) -> PyResult<u64> {
        let mut core = self.lock();
        let (webhooks, id) = (core.client().webhooks(), id.to_owned());
        let json = body.as_deref().unwrap_or("{}");
        let op = match call {
            "create" => {
                let new = parse(json)?;
                core.run(ended(Ended::Endpoint, async move {
                    webhooks.create(&new).await
                }))
            }
            "list" => core.run(ended(Ended::Endpoints, async move {
                webhooks.list(body.as_deref()).await
            })),
            "read" => core.run(ended(
                Ended::Endpoint,
                async move { webhooks.read(&id).await },
            )),
            "update" => {
                let change = parse(json)?;
                core.run(ended(Ended::Endpoint, async move {
                    webhooks.update(&id, &change).await
                }))
            }
            "delete" => {
                core.run(async move { webhooks.delete(&id).await.map(|()| Ended::Nothing) })
            }
            "rotate" => {
                let rotation = parse(json)?;
                core.run(ended(Ended::Endpoint, async move {
                    webhooks.rotate(&id, &rotation).await
                }))
            }
            "test" => core.run(ended(
                Ended::Delivery,
                async move { webhooks.test(&id).await },
            )),
            "replay" | "replay_delivered" => {
                let delivered = call == "replay_delivered";
                let since = body.as_deref().map(str::parse::<Timestamp>).transpose();
                let since = since.map_err(usage)?;
                core.run(async move {
                    let started = webhooks.replay(&id, since, delivered).await?;
                    Ok(Ended::Replayed(started))
                })
            }
            "deliveries" => core.run(ended(Ended::Deliveries, async move {
                webhooks.deliveries(&id, body.as_deref()).await
            })),
            "delivery" => core.run(ended(Ended::Delivery, async move {
                webhooks.delivery(&id).await
            })),
            "retry" => core.run(ended(
                Ended::Delivery,
                async move { webhooks.retry(&id).await },
            )),
            other => return Err(usage(format!("{other:?} is no call"))),
        };
        Ok(op.0)
    }

    fn give_up(&self, op: u64, now: f64) -> PyResult<()> {
        let now = seconds(now)?;
        self.lock().give_up(Op(op), now);
        Ok(())
    }

    fn turn<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyList>> {
        let effects = self.lock().turn(seconds(now)?);
        let list = PyList::empty(py);
        for told in effects {
            list.append(effect(py, self.name, told)?)?;
        }
        Ok(list)
    }

    #[getter]
    fn deadline(&self) -> Option<f64> {
        self.lock().deadline().map(|at| at.as_secs_f64())
    }

    #[getter]
    fn is_idle(&self) -> bool {
        self.lock().is_idle()
    }

    fn head(&self, exchange: u64, status: u16, headers: Vec<(String, String)>) -> PyResult<()> {
        let status = StatusCode::from_u16(status).map_err(usage)?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            // A header that isn't one is nothing that the client looks for.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(&value),
            ) {
                map.append(name, value);
            }
        }
        self.lock().head(ExchangeId(exchange), status, map);
        Ok(())
    }

    fn chunk(&self, exchange: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.lock().chunk(ExchangeId(exchange), bytes);
    }

    fn end(&self, exchange: u64) {
        self.lock().end(ExchangeId(exchange));
    }

    fn broken(&self, exchange: u64, how: &str, why: String) -> PyResult<()> {
        let how = match how {
            "connect" => Broken::Connect,
            "lost" => Broken::Lost,
            "final" => Broken::Final,
            other => return Err(usage(format!("{other:?} is no way to break"))),
        };
        self.lock().broken(ExchangeId(exchange), how, why);
        Ok(())
    }

    #[pyo3(signature = (look, done, *, progress=None, remaining=None, retry_after=None, took=None))]
    fn looked(
        &self,
        look: u64,
        done: bool,
        progress: Option<f64>,
        remaining: Option<f64>,
        retry_after: Option<f64>,
        took: Option<f64>,
    ) {
        let mut shown = match done {
            true => Look::done(()),
            false => Look::not_yet(),
        };
        if let Some(progress) = progress {
            shown = shown.progress(progress);
        }
        if let Some(remaining) = hint(remaining) {
            shown = shown.remaining(remaining);
        }
        if let Some(pause) = hint(retry_after) {
            shown = shown.retry_after(pause);
        }
        if let Some(took) = hint(took) {
            shown = shown.took(took);
        }
        self.lock().looked(LookId(look), shown);
    }

    #[pyo3(signature = (look, what, *, is_final=false, retry_after=None))]
    fn look_failed(&self, look: u64, what: String, is_final: bool, retry_after: Option<f64>) {
        let error = LookError {
            what,
            is_final,
            retry_after: hint(retry_after),
        };
        self.lock().look_failed(LookId(look), error);
    }
}
