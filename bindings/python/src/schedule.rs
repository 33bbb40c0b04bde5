//! When to ask, and what was learned of how long jobs take.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use abide::RetryPolicy;
use abide::schedule::{self, Backoff, Countdown, Dial, Fixed, Learned, Start};
use pyo3::prelude::*;

use crate::usage;

/// Seconds as a duration.
pub(crate) fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        usage(format!(
            "{seconds} is no span of time: give seconds from 0 on"
        ))
    })
}

/// A number of things.
pub(crate) fn count<T: TryFrom<i64>>(number: i64) -> PyResult<T> {
    T::try_from(number).map_err(|_| usage(format!("{number} is no count: give a number from 0 on")))
}

pub(crate) fn maybe_seconds(some: Option<f64>) -> PyResult<Option<Duration>> {
    some.map(seconds).transpose()
}

/// What a server or a look says of a span of time. One that is none is no hint, and one beyond all measure is the
/// longest: the wait bounds it.
pub(crate) fn hint(some: Option<f64>) -> Option<Duration> {
    let seconds = some.filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// The time of day, by which the files of a history are dated.
#[expect(
    clippy::disallowed_methods,
    reason = "a host keeps the time, and this is one"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[pyclass(frozen, module = "abide_client")]
pub(crate) struct History {
    pub(crate) history: schedule::History,
    kept: Kept,
}

/// Where a history is kept.
enum Kept {
    Nowhere,
    Directory(PathBuf),
    Store(Py<PyAny>),
}

/// Reads what a schedule wants to know of its kind. Others hold the interpreter's lock meanwhile.
fn read(py: Python<'_>, schedule: &dyn schedule::Schedule) {
    if let Some(work) = schedule.reading(&Start::new(0)) {
        py.detach(work)();
    }
}

#[pymethods]
impl History {
    #[new]
    #[pyo3(signature = (directory=None, *, store=None))]
    fn new(py: Python<'_>, directory: Option<PathBuf>, store: Option<Py<PyAny>>) -> PyResult<Self> {
        let (history, kept) = match (directory, store) {
            (Some(directory), None) => {
                let history = schedule::History::at(&directory, now());
                (history, Kept::Directory(directory))
            }
            (None, Some(store)) => {
                let texts: Vec<String> = store.call_method0(py, "load")?.extract(py)?;
                let history = schedule::History::read_from(texts, now());
                (history, Kept::Store(store))
            }
            (None, None) => (schedule::History::new(), Kept::Nowhere),
            (Some(_), Some(_)) => {
                let what = "a history is kept in a directory or in a store, not in both";
                return Err(usage(what));
            }
        };
        Ok(Self { history, kept })
    }

    fn jobs(&self, py: Python<'_>, kind: &str) -> usize {
        read(py, &Learned::new(kind).history(&self.history));
        self.history.jobs(kind)
    }

    fn save(&self, py: Python<'_>) -> PyResult<usize> {
        let append = |name: &str, lines: &[u8]| match &self.kept {
            Kept::Nowhere => Ok(()),
            // Others hold the interpreter's lock while the disk is waited for.
            Kept::Directory(directory) => {
                py.detach(|| schedule::History::append(directory, name, lines))
            }
            Kept::Store(store) => {
                let lines = String::from_utf8_lossy(lines);
                let appended = store.call_method1(py, "append", (name, lines));
                appended.map(drop).map_err(std::io::Error::other)
            }
        };
        match self.kept {
            Kept::Nowhere => Ok(0),
            _ => Ok(self.history.save_to(now(), append)?),
        }
    }

    /// The shortest text that says the same as one that a store has kept; the text itself if it isn't about a kind.
    #[staticmethod]
    fn shortened(text: String) -> String {
        let short = schedule::History::shortened(text.as_bytes());
        let short = short.and_then(|short| String::from_utf8(short).ok());
        short.unwrap_or(text)
    }
}

#[pyclass(frozen, module = "abide_client")]
pub(crate) struct Schedule(pub(crate) Arc<dyn schedule::Schedule>);

#[pymethods]
impl Schedule {
    #[staticmethod]
    #[pyo3(signature = (kind, *, history=None, price=None, budget=None, size=None, expect=None, jitter=None, min=None, max=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn learned(
        kind: &str,
        history: Option<&History>,
        price: Option<f64>,
        budget: Option<f64>,
        size: Option<f64>,
        expect: Option<f64>,
        jitter: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
    ) -> PyResult<Self> {
        let mut learned = Learned::new(kind);
        if let Some(history) = history {
            learned = learned.history(&history.history);
        }
        if let Some(price) = price {
            learned = learned.dial(Dial::Price(seconds(price)?));
        }
        if let Some(budget) = budget {
            learned = learned.budget(budget);
        }
        if let Some(size) = size {
            learned = learned.size(size);
        }
        if let Some(expect) = expect {
            learned = learned.expect_about(seconds(expect)?);
        }
        if let Some(jitter) = jitter {
            learned = learned.jitter(jitter);
        }
        if let Some(min) = min {
            learned = learned.min(seconds(min)?);
        }
        if let Some(max) = max {
            learned = learned.max(seconds(max)?);
        }
        Ok(Self(Arc::new(learned)))
    }

    #[staticmethod]
    #[pyo3(signature = (interval, *, first=None, attempts=None))]
    fn fixed(interval: f64, first: Option<f64>, attempts: Option<i64>) -> PyResult<Self> {
        let mut fixed = Fixed::new(seconds(interval)?);
        if let Some(first) = first {
            fixed = fixed.first(seconds(first)?);
        }
        if let Some(attempts) = attempts {
            fixed = fixed.attempts(count(attempts)?);
        }
        Ok(Self(Arc::new(fixed)))
    }

    #[staticmethod]
    #[pyo3(signature = (initial, *, factor=None, max=None, attempts=None))]
    fn backoff(
        initial: f64,
        factor: Option<f64>,
        max: Option<f64>,
        attempts: Option<i64>,
    ) -> PyResult<Self> {
        let mut backoff = Backoff::new(seconds(initial)?);
        if let Some(factor) = factor {
            backoff = backoff.factor(factor);
        }
        if let Some(max) = max {
            backoff = backoff.max(seconds(max)?);
        }
        if let Some(attempts) = attempts {
            backoff = backoff.attempts(count(attempts)?);
        }
        Ok(Self(Arc::new(backoff)))
    }

    #[staticmethod]
    fn countdown(steps: Vec<(i64, f64)>) -> PyResult<Self> {
        let steps: PyResult<Vec<(u32, Duration)>> = steps
            .into_iter()
            .map(|(attempts, pause)| Ok((count(attempts)?, seconds(pause)?)))
            .collect();
        Ok(Self(Arc::new(Countdown::new(steps?))))
    }

    #[pyo3(signature = (count, *, seed=0, rtt=0.1))]
    fn preview(&self, py: Python<'_>, count: usize, seed: u64, rtt: f64) -> PyResult<Vec<f64>> {
        let rtt = seconds(rtt)?;
        read(py, &*self.0);
        let mut cursor = self.0.begin(&Start::new(seed));
        let mut seen = schedule::Seen::at(rtt / 2).rtt(rtt);
        let mut polls = Vec::new();
        while polls.len() < count {
            let Some(at) = cursor.next(&seen) else { break };
            polls.push(at.as_secs_f64());
            seen = schedule::Seen::at(at.saturating_add(rtt))
                .rtt(rtt)
                .polls(seen.polls.saturating_add(1));
        }
        Ok(polls)
    }
}

#[pyclass(frozen, module = "abide_client")]
pub(crate) struct Retry(pub(crate) RetryPolicy);

#[pymethods]
impl Retry {
    #[new]
    #[pyo3(signature = (*, initial=None, factor=None, max=None, attempts=None, patience=None, hint_max=None,
        not_found_for=None))]
    fn new(
        initial: Option<f64>,
        factor: Option<f64>,
        max: Option<f64>,
        attempts: Option<i64>,
        patience: Option<f64>,
        hint_max: Option<f64>,
        not_found_for: Option<f64>,
    ) -> PyResult<Self> {
        let mut retry = RetryPolicy::default();
        if let Some(initial) = initial {
            retry = retry.initial(seconds(initial)?);
        }
        if let Some(factor) = factor {
            retry = retry.factor(factor);
        }
        if let Some(max) = max {
            retry = retry.max(seconds(max)?);
        }
        if let Some(attempts) = attempts {
            retry = retry.attempts(count(attempts)?);
        }
        if let Some(patience) = patience {
            retry = retry.patience(seconds(patience)?);
        }
        if let Some(hint_max) = hint_max {
            retry = retry.hint_max(seconds(hint_max)?);
        }
        if let Some(age) = not_found_for {
            retry = retry.not_found_for(seconds(age)?);
        }
        Ok(Self(retry))
    }

    #[staticmethod]
    fn never() -> Self {
        Self(RetryPolicy::never())
    }
}
