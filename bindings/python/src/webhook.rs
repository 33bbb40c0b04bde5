//! Webhooks: signed, verified, and heard by waits.

use std::sync::{Mutex, PoisonError};

use abide::Event;
use abide::webhook::{self, ReplayGuard, Secret, Signed};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

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
    #[new]
    fn new() -> Self {
        Self {
            inbox: abide::Inbox::new(),
            seen: Mutex::default(),
        }
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

    /// Tells the waits of a verified delivery. Returns whether it was news; raises `ValueError` for what isn't JSON.
    fn deliver(&self, body: &[u8]) -> PyResult<bool> {
        let event: serde_json::Value = serde_json::from_slice(body).map_err(wrong)?;
        // An event of another kind is no mistake: it is about no job.
        let Ok(event) = serde_json::from_value::<Event>(event) else {
            return Ok(false);
        };
        Ok(self.inbox.deliver(event.data))
    }

    #[getter]
    fn listeners(&self) -> usize {
        self.inbox.listeners()
    }
}
