//! Work that reads files.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::timeout;

/// How long a wait waits for a disk before it goes on without.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How many such works are done at a time. Threads that a disk has hung stay so, and the others are needed.
const AT_ONCE_MAX: usize = 16;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// Does the work off the threads that turn futures; where a host turns them, here. Returns once it is done or has taken
/// long; then it goes on.
pub(crate) async fn unblock(work: impl FnOnce() + Send + 'static) {
    #[cfg(feature = "host")]
    if super::host::is_turning() {
        return work();
    }
    unblock_at(&PLACES, work).await;
}

async fn unblock_at(places: &'static Semaphore, work: impl FnOnce() + Send + 'static) {
    let done = async {
        let place = places.acquire().await;
        let work = move || {
            work();
            drop(place);
        };
        // A runtime that goes down ends the work.
        let _ = tokio::task::spawn_blocking(work).await;
    };
    let _ = timeout(WAIT_MAX, done).await;
}

#[cfg(all(test, not(feature = "host")))]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::Semaphore;

    use super::unblock_at;

    /// Those of the test, since others in this process read too.
    static PLACES: Semaphore = Semaphore::const_new(2);

    #[tokio::test]
    async fn a_disk_that_hangs_keeps_nobody_waiting_and_takes_few_threads() {
        let (hung, ends) = mpsc::channel::<()>();
        let ends = std::sync::Arc::new(std::sync::Mutex::new(ends));
        let waits = (0..4).map(|_| {
            let ends = ends.clone();
            unblock_at(&PLACES, move || drop(ends.lock().unwrap().recv()))
        });
        futures_util::future::join_all(waits).await;
        assert_eq!(PLACES.available_permits(), 0);
        drop(hung);
        // Once the disk answers, all places are free again.
        let _all = PLACES.acquire_many(2).await.unwrap();
    }
}
