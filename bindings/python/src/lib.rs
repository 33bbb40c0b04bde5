//! The Python extension `abide_client._core`: the client's core, and nothing that does I/O.
//!
//! Everything here is private to the package `abide_client`, whose Python code sends the requests, keeps the time and
//! shows the types that users see. No call blocks but those that read or write a history's files. All of them keep the
//! interpreter's lock while a lock of this extension is held, so that no process forks meanwhile.

mod convert;
mod core;
mod handles;
mod schedule;
mod terms;
mod webhook;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::core::Core;
    #[pymodule_export]
    use super::handles::{Handle, Lease, Listing};
    #[pymodule_export]
    use super::schedule::{History, Retry, Schedule};
    #[pymodule_export]
    use super::version;
    #[pymodule_export]
    use super::webhook::{Inbox, Verifier, secret, sign};
}

pyo3::import_exception!(abide_client._errors, UsageError);

/// The call itself was wrong.
fn usage(error: impl std::fmt::Display) -> PyErr {
    UsageError::new_err(error.to_string())
}

/// The version of the extension, to be compared with the package's.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
