//! How to wait, as Python says it.

use std::sync::Arc;
use std::time::Duration;

use abide::RetryPolicy;
use abide::schedule::FeatureValue;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::schedule::{Retry, Schedule, seconds};
use crate::usage;
use crate::webhook::Inbox;

/// A feature's value, as Python has it.
#[derive(FromPyObject)]
pub(crate) enum Value {
    Number(f64),
    Text(String),
}

impl From<Value> for FeatureValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(number) => Self::from(number),
            Value::Text(text) => Self::from(text),
        }
    }
}

/// How to wait, from a dictionary.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Duration>,
    pub(crate) strategy: Option<String>,
    pub(crate) inbox: Option<abide::Inbox>,
    pub(crate) schedule: Option<Arc<dyn abide::schedule::Schedule>>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) size: Option<f64>,
    pub(crate) features: Vec<(String, Value)>,
}

impl Terms {
    pub(crate) fn read(dict: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut terms = Self::default();
        for (name, value) in dict.iter() {
            match name.extract::<String>()?.as_str() {
                "deadline" => terms.deadline = Some(seconds(value.extract()?)?),
                "strategy" => terms.strategy = Some(value.extract()?),
                "inbox" => terms.inbox = Some(value.cast::<Inbox>()?.get().inbox().clone()),
                "schedule" => terms.schedule = Some(value.cast::<Schedule>()?.get().0.clone()),
                "retry" => terms.retry = Some(value.cast::<Retry>()?.get().0.clone()),
                "attempt_timeout" => terms.attempt_timeout = Some(seconds(value.extract()?)?),
                "size" => terms.size = Some(value.extract()?),
                "features" => terms.features = value.extract()?,
                other => return Err(usage(format!("{other:?} is no term of a wait"))),
            }
        }
        Ok(terms)
    }
}

/// Applies the terms to any builder that has these methods.
macro_rules! apply {
    ($terms:expr, $wait:expr) => {{
        let (terms, mut wait) = ($terms, $wait);
        if let Some(deadline) = terms.deadline {
            wait = wait.deadline(deadline);
        }
        wait = match (terms.strategy.as_deref(), &terms.inbox) {
            (None | Some("webhook"), Some(inbox)) => {
                wait.strategy(abide::strategy::Webhook::new(inbox))
            }
            (None, None) => wait,
            (Some("auto"), _) => wait.strategy(abide::strategy::Auto::new()),
            (Some("long_poll"), _) => wait.strategy(abide::strategy::LongPoll::new()),
            (Some("stream"), _) => wait.strategy(abide::strategy::Stream::new()),
            (Some("poll"), _) => wait.strategy(abide::strategy::Poll::new()),
            (Some("webhook"), None) => {
                return Err($crate::usage("the strategy webhook needs an inbox"));
            }
            (Some(other), _) => {
                return Err($crate::usage(format!(
                    "{other:?} is no strategy: there are auto, long_poll, stream, poll and webhook"
                )));
            }
        };
        if let Some(schedule) = terms.schedule {
            wait = wait.schedule(schedule);
        }
        if let Some(retry) = terms.retry {
            wait = wait.retry(retry);
        }
        if let Some(timeout) = terms.attempt_timeout {
            wait = wait.attempt_timeout(timeout);
        }
        wait
    }};
}

/// The same for those that also take a job's size and features.
macro_rules! apply_all {
    ($terms:expr, $wait:expr) => {{
        let mut terms = $terms;
        let (size, features) = (terms.size, std::mem::take(&mut terms.features));
        let mut wait = apply!(terms, $wait);
        if let Some(size) = size {
            wait = wait.size(size);
        }
        for (name, value) in features {
            wait = wait.feature(&name, value);
        }
        wait
    }};
}

pub(crate) use {apply, apply_all};
