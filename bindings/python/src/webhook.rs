//! Webhooks: signed, verified, and heard by waits.

use std::sync::{Mutex, PoisonError};

use abide::Event;
use abide::webhook::{self, ReplayGuard, Secret, Signed};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde::de::IgnoredAny;

use crate::schedule::seconds;
use crate::usage;

fn wrong(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn secrets(texts: Vec<String>) -> PyResult<Vec<Secret>> {
    texts
        .iter()
        .map(|text| text.parse().map_err(usage))
        .collect()
}

/// Makes a secret of 32 random bytes.
#[pyfunction]
pub(crate) fn secret(random: [u8; 32]) -> String {
    Secret::generate(random).expose()
}

/// The signature header of a delivery.
#[pyfunction]
pub(crate) fn sign(with: Vec<String>, id: &str, timestamp: i64, body: &[u8]) -> PyResult<String> {
    let secrets = secrets(with)?;
    let at = abide::Timestamp::from_millis(timestamp.saturating_mul(1_000));
    Ok(webhook::sign(&secrets, id, at, body))
}

#[pyclass(frozen, module = "abide_client.webhooks")]
pub(crate) struct Verifier(webhook::Verifier);

#[pymethods]
impl Verifier {
    #[new]
    #[pyo3(signature = (with, *, tolerance=None))]
    fn new(with: Vec<String>, tolerance: Option<f64>) -> PyResult<Self> {
        let mut verifier = webhook::Verifier::new(secrets(with)?);
        if let Some(tolerance) = tolerance {
            verifier = verifier.tolerance(seconds(tolerance)?);
        }
        Ok(Self(verifier))
    }

    /// Raises `ValueError` unless the delivery is to be believed.
    #[pyo3(signature = (id, timestamp, signature, body, *, now=None))]
    fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &[u8],
        now: Option<f64>,
    ) -> PyResult<()> {
        let signed = Signed {
            id,
            timestamp,
            signature,
        };
        let now = match now {
            Some(now) => abide::Timestamp::default() + seconds(now)?,
            None => webhook::now(),
        };
        self.0.verify_at(signed, body, now).map_err(wrong)
    }
}

/// Where pushes arrive and waits listen.
#[pyclass(frozen, module = "abide_client._core")]
pub(crate) struct Inbox {
    inbox: abide::Inbox,
    seen: Mutex<ReplayGuard>,
}

impl Inbox {
    pub(crate) fn inbox(&self) -> &abide::Inbox {
        &self.inbox
    }
}

#[pymethods]
impl Inbox {
    /// `tolerance` is that of the verifier before it.
    #[new]
    #[pyo3(signature = (*, tolerance=None))]
    fn new(tolerance: Option<f64>) -> PyResult<Self> {
        let mut seen = ReplayGuard::default();
        if let Some(tolerance) = tolerance {
            seen = seen.tolerance(seconds(tolerance)?);
        }
        Ok(Self {
            inbox: abide::Inbox::new(),
            seen: Mutex::new(seen),
        })
    }

    /// Whether a body is JSON, as every client reads it.
    #[staticmethod]
    fn is_json(body: &[u8]) -> bool {
        // What nothing reads as a value may be no text, too.
        std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
    }

    /// Whether a delivery of that id is the first. Raises if too many have come at once to remember another.
    fn is_new(&self, id: &str) -> PyResult<bool> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_new(id, webhook::now())
            .map_err(|full| PyRuntimeError::new_err(full.to_string()))
    }

    /// Forgets that a delivery of that id has come.
    fn forget(&self, id: &str) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .forget(id);
    }

    /// Tells the waits of a verified delivery. Returns whether it was news.
    fn deliver(&self, body: &[u8]) -> bool {
        // An event of another kind is no mistake: it is about no job.
        let event = serde_json::from_slice::<Event>(body);
        event.is_ok_and(|event| self.inbox.deliver(event.data))
    }

    #[getter]
    fn listeners(&self) -> usize {
        self.inbox.listeners()
    }
}
