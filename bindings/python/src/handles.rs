//! What Python keeps of a core: jobs, lists, leases, and work for a thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide::{JobHandle, List, LoopWork};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::convert::json;
use crate::usage;

/// A job as one core knows it. Other cores adopt it by its token.
#[pyclass(frozen, module = "abide_client._core")]
pub(crate) struct Handle {
    pub(crate) core: u64,
    pub(crate) job: JobHandle,
}

impl Handle {
    pub(crate) fn new(core: u64, job: JobHandle) -> Self {
        Self { core, job }
    }
}

#[pymethods]
impl Handle {
    #[getter]
    fn id(&self) -> &str {
        self.job.id().as_str()
    }

    #[getter]
    fn token(&self) -> String {
        self.job.resume_token().to_string()
    }

    #[getter]
    fn snapshot(&self) -> PyResult<Option<String>> {
        self.job.snapshot().map(json).transpose()
    }

    #[getter]
    fn idempotency_key(&self) -> Option<&str> {
        self.job.idempotency_key()
    }

    #[getter]
    fn replayed(&self) -> bool {
        self.job.is_replayed()
    }
}

/// Where a list goes on.
#[pyclass(frozen, module = "abide_client._core")]
pub(crate) struct Listing(Mutex<Option<List>>);

impl Listing {
    pub(crate) fn new(list: List) -> Self {
        Self(Mutex::new(Some(list)))
    }

    /// The list, once.
    pub(crate) fn take(&self) -> PyResult<List> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        list.ok_or_else(|| PyRuntimeError::new_err("this page was asked for"))
    }
}

/// A worker's hold on a job, until it is closed.
#[pyclass(frozen, module = "abide_client._core")]
pub(crate) struct Lease {
    job: String,
    token: String,
    held: Mutex<Option<Arc<abide::Lease>>>,
}

impl Lease {
    pub(crate) fn new(lease: Arc<abide::Lease>) -> PyResult<Self> {
        Ok(Self {
            job: json(lease.job())?,
            token: lease.token().to_owned(),
            held: Mutex::new(Some(lease)),
        })
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<abide::Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn held(&self) -> PyResult<Arc<abide::Lease>> {
        let held = self.slot().clone();
        held.ok_or_else(|| usage("the lease was let go"))
    }
}

#[pymethods]
impl Lease {
    #[getter]
    fn job(&self) -> &str {
        &self.job
    }

    #[getter]
    fn token(&self) -> &str {
        &self.token
    }

    /// Renews it no more. Turn the core for that to be known, unless it was claimed by hand.
    fn close(&self) {
        drop(self.slot().take());
    }
}

/// What may wait for a disk.
#[pyclass(frozen, module = "abide_client._core")]
pub(crate) struct Work(Mutex<Option<LoopWork>>);

impl Work {
    pub(crate) fn new(work: LoopWork) -> Self {
        Self(Mutex::new(Some(work)))
    }
}

#[pymethods]
impl Work {
    /// Does it, once. Others hold the interpreter's lock while it reads, which takes no lock of this extension.
    fn __call__(&self, py: Python<'_>) {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            py.detach(|| work.read()).put();
        }
    }
}
