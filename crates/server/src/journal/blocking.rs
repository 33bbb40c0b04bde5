//! Where calls of a journal's doors are made.

use tokio::task::{JoinError, spawn_blocking};

/// Does that on a thread that may wait if the journal does, else in place, which keeps a simulation on one thread.
///
/// # Errors
///
/// The thread panicked.
///
/// # Cancel safety
///
/// Dropping it loses what the work gives; what has begun on a thread goes on.
pub(crate) async fn may_block<T: Send + 'static>(
    is_blocking: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if is_blocking {
        spawn_blocking(work).await
    } else {
        Ok(work())
    }
}
