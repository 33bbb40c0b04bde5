//! Ctrl-C and SIGTERM.

use std::future::Future;

/// Waits for the work, or for somebody to interrupt it; then there is no answer, and the work has been dropped.
///
/// # Cancel safety
///
/// That of the work.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = work => Some(result),
        () = signal() => None,
    }
}

/// Waits for Ctrl-C or, where there is such a thing, SIGTERM.
pub(crate) async fn signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    // Without a handler the system ends the process by itself.
    let _unhandled = tokio::signal::ctrl_c().await;
}
