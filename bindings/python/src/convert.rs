//! Effects as tuples, errors and reports as dictionaries, jobs as JSON, which Python reads.

use abide::{Change, Error, Finished, Report};
use abide_core::{Effect, Ended, News};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use serde::Serialize;

use crate::handles::{Handle, Lease, Listing, Work};

pub(crate) fn json(value: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

type Any<'py> = PyResult<Bound<'py, PyAny>>;

/// What an effect is, as a tuple that begins with a word.
pub(crate) fn effect<'py>(py: Python<'py>, core: u64, effect: Effect) -> Any<'py> {
    let tuple = match effect {
        Effect::Send { exchange, request } => {
            let (head, body) = request.into_parts();
            let headers = PyList::empty(py);
            for (name, value) in &head.headers {
                headers.append((name.as_str(), String::from_utf8_lossy(value.as_bytes())))?;
            }
            let body = PyBytes::new(py, &body);
            let (method, url) = (head.method.as_str().to_owned(), head.uri.to_string());
            ("send", exchange.0, method, url, headers, body)
                .into_pyobject(py)?
                .into_any()
        }
        Effect::Abort { exchange } => ("abort", exchange.0).into_pyobject(py)?.into_any(),
        Effect::Look { op, look } => ("look", op.0, look.0).into_pyobject(py)?.into_any(),
        Effect::LookAbort { look } => ("look_abort", look.0).into_pyobject(py)?.into_any(),
        Effect::Work(work) => ("work", Work::new(work)).into_pyobject(py)?.into_any(),
        Effect::News { op, news } => {
            let (word, value) = news_of(py, news)?;
            ("news", op.0, word, value).into_pyobject(py)?.into_any()
        }
        Effect::Ended { op, end: Ok(end) } => {
            let value = ended(py, core, end)?;
            ("ended", op.0, value).into_pyobject(py)?.into_any()
        }
        Effect::Ended {
            op,
            end: Err(failure),
        } => ("failed", op.0, error(py, &failure)?)
            .into_pyobject(py)?
            .into_any(),
    };
    Ok(tuple)
}

fn news_of(py: Python<'_>, news: News) -> PyResult<(&'static str, Bound<'_, PyAny>)> {
    Ok(match news {
        News::Job(job) => ("job", text(py, &*job)?),
        News::Member(id, Ok(done)) => {
            let (job, report) = finished(py, &done)?;
            (
                "end",
                (id.as_str(), job, report).into_pyobject(py)?.into_any(),
            )
        }
        News::Member(id, Err(failure)) => {
            let failure = error(py, &failure)?;
            (
                "no_end",
                (id.as_str(), failure).into_pyobject(py)?.into_any(),
            )
        }
        News::Change(Change::Event(event), place) => {
            let event = text(py, &*event)?;
            ("event", (event, place).into_pyobject(py)?.into_any())
        }
        News::Change(_, place) => ("gap", place.into_pyobject(py)?.into_any()),
    })
}

fn ended(py: Python<'_>, core: u64, end: Ended) -> Any<'_> {
    Ok(match end {
        Ended::Created(handle) => Handle::new(core, handle).into_pyobject(py)?.into_any(),
        Ended::Job(job) => text(py, &*job)?,
        Ended::Finished(done) => finished(py, &done)?.into_pyobject(py)?.into_any(),
        Ended::Looked(told) => report(py, &told)?.into_any(),
        Ended::Claimed(lease) => lease
            .map(Lease::new)
            .transpose()?
            .into_pyobject(py)?
            .into_any(),
        Ended::StreamToken(token) => text(py, &token)?,
        Ended::Page(list, jobs) => {
            let jobs = match jobs {
                Some(jobs) => Some(jobs.iter().map(json).collect::<PyResult<Vec<String>>>()?),
                None => None,
            };
            (Listing::new(*list), jobs).into_pyobject(py)?.into_any()
        }
        Ended::Endpoint(value) => text(py, &*value)?,
        Ended::Endpoints(value) => text(py, &*value)?,
        Ended::Delivery(value) => text(py, &*value)?,
        Ended::Deliveries(value) => text(py, &*value)?,
        Ended::Replayed(value) => text(py, &value)?,
        Ended::Nothing => py.None().into_bound(py),
    })
}

fn text<'py>(py: Python<'py>, value: &impl Serialize) -> Any<'py> {
    Ok(json(value)?.into_pyobject(py)?.into_any())
}

fn finished<'py>(py: Python<'py>, done: &Finished) -> PyResult<(String, Bound<'py, PyDict>)> {
    Ok((json(done.job())?, report(py, done.report())?))
}

fn report<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("requests", report.requests)?;
    dict.set_item("requests_share", report.requests_share)?;
    dict.set_item("failures", report.failures)?;
    dict.set_item("bytes_received", report.bytes_received)?;
    dict.set_item("channel", report.channel.map(|channel| channel.as_str()))?;
    dict.set_item("strategy", report.strategy)?;
    dict.set_item("elapsed", report.elapsed.as_secs_f64())?;
    dict.set_item("detection", report.detection.map(|late| late.as_secs_f64()))?;
    dict.set_item("rtt", report.rtt.map(|rtt| rtt.as_secs_f64()))?;
    Ok(dict)
}

/// What kind of error it is, as a word.
fn kind(error: &Error) -> &'static str {
    match () {
        () if error.is_still_running() => "still_running",
        () if error.is_failed() => "failed",
        () if error.is_canceled() => "canceled",
        () if error.is_unreachable() => "unreachable",
        () if error.is_not_found() => "not_found",
        () if error.is_refused() => "refused",
        () if error.is_garbled() => "garbled",
        () if error.is_lease_lost() => "lease_lost",
        () => "usage",
    }
}

pub(crate) fn error<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("kind", kind(error))?;
    dict.set_item("message", error.to_string())?;
    dict.set_item("timed_out", error.is_timeout())?;
    dict.set_item("status", error.status())?;
    dict.set_item("body", error.body())?;
    dict.set_item("may_have_created", error.may_have_created())?;
    dict.set_item("problem", error.problem().map(json).transpose()?)?;
    dict.set_item("job_id", error.job_id().map(|id| id.as_str()))?;
    dict.set_item("job", error.job().map(json).transpose()?)?;
    dict.set_item("token", error.resume_token().map(ToString::to_string))?;
    dict.set_item("idempotency_key", error.idempotency_key())?;
    dict.set_item(
        "retry_after",
        error.retry_after().map(|after| after.as_secs_f64()),
    )?;
    dict.set_item(
        "report",
        error
            .wait_report()
            .map(|told| report(py, told))
            .transpose()?,
    )?;
    Ok(dict)
}
