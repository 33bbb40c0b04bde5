//! Work that reads files.

use std::time::Duration;

use tokio::sync::Semaphore;

#[cfg(feature = "host")]
use super::host::spawn_blocking;
use super::{Work, timeout};

/// How long a wait waits for a disk before it goes on without.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How many such works are done at a time. Threads that a disk has hung stay so, and the others are needed.
const AT_ONCE_MAX: usize = 16;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// Does the work that is wanted off the threads that turn futures. Returns once it is done, no longer wanted, or has
/// taken long; then it goes on.
pub(crate) async fn unblock(wanted: impl Fn() -> Option<Work>) {
    if wanted().is_some() {
        unblock_at(&PLACES, wanted).await;
    }
}

async fn unblock_at(places: &'static Semaphore, wanted: impl Fn() -> Option<Work>) {
    let done = async {
        let place = places.acquire().await;
        // Another wait may have had it done meanwhile.
        if let Some(work) = wanted() {
            let work = move || -> Box<dyn FnOnce() + Send> {
                let put = work();
                Box::new(move || {
                    put();
                    drop(place);
                })
            };
            spawn_blocking(Box::new(work)).await;
        }
    };
    let _ = timeout(WAIT_MAX, done).await;
}

#[cfg(not(feature = "host"))]
async fn spawn_blocking(work: Work) {
    // A runtime that goes down drops the work.
    let _ = tokio::task::spawn_blocking(|| work()()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::mpsc;

    use tokio::sync::Semaphore;

    use super::{Work, unblock_at};

    /// Those of the test, since others in this process read too.
    static PLACES: Semaphore = Semaphore::const_new(2);

    #[tokio::test]
    async fn a_disk_that_hangs_keeps_nobody_waiting_and_takes_few_threads() {
        let (hung, ends) = mpsc::channel::<()>();
        let ends = std::sync::Arc::new(std::sync::Mutex::new(ends));
        let waits = (0..4).map(|_| {
            let ends = ends.clone();
            unblock_at(&PLACES, move || {
                let ends = ends.clone();
                Some(Box::new(move || {
                    let _ = ends.lock().unwrap().recv();
                    Box::new(|| {})
                }))
            })
        });
        futures_util::future::join_all(waits).await;
        assert_eq!(PLACES.available_permits(), 0);
        drop(hung);
        // Once the disk answers, all places are free again.
        let _all = PLACES.acquire_many(2).await.unwrap();
    }

    #[tokio::test]
    async fn what_others_have_done_meanwhile_is_not_done_again() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let done = std::sync::Arc::new(AtomicUsize::new(0));
        let waits = (0..100).map(|_| {
            let done = done.clone();
            unblock_at(&ONE, move || {
                let done = done.clone();
                let is_done = done.load(Relaxed) > 0;
                let put = move || {
                    done.fetch_add(1, Relaxed);
                };
                (!is_done).then(|| -> Work { Box::new(|| Box::new(put)) })
            })
        });
        futures_util::future::join_all(waits).await;
        assert_eq!(done.load(Relaxed), 1);
    }
}
