//! Work that reads files.

/// Does the work off the threads that turn futures; where a host turns them, here. None if the runtime is going down.
pub(crate) async fn unblock<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    #[cfg(feature = "host")]
    if super::host::is_turning() {
        return Some(work());
    }
    tokio::task::spawn_blocking(work).await.ok()
}
