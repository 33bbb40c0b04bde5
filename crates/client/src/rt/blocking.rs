//! The runtime of calls without async.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::Error;

/// The one runtime on which the process blocks, with one thread of its own; started by the first use.
///
/// # Errors
///
/// Inside an async context, or if no thread can be started.
pub(crate) fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    if Handle::try_current().is_ok() {
        return Err(Error::usage(
            "blocking inside an async context would stop everything else: await it instead",
        ));
    }
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("abide")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())
    });
    runtime
        .as_ref()
        .map_err(|error| Error::usage(format!("no thread can be started: {error}")))
}
