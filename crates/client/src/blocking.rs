//! The same calls and waits, without async.
//!
//! There is no second client: whatever can be awaited can be blocked on, with the same settings, the same errors and
//! the same guarantees. All of it runs on one shared runtime with one thread of its own, which is started by the first
//! use and serves the whole process; calls from many threads run beside each other.
//!
//! ```no_run
//! use abide::blocking::{Block, updates};
//! use abide::{Client, NewJob};
//!
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let job = client.create(NewJob::new("video_translation")).block()?;
//! for update in updates(job.watch()) {
//!     println!("{}", update?.status);
//! }
//! let done = job.wait().deadline(std::time::Duration::from_secs(600)).block()?;
//! println!("{}", done.outcome());
//! # Ok::<(), abide::Error>(())
//! ```
//!
//! It works in any thread that may block, those of `tokio::task::spawn_blocking` among them. Inside an async task
//! blocking would stop everything else, and is an error that [is of usage](Error::is_usage), not a panic.

use std::future::IntoFuture;

use futures_util::{Stream, StreamExt};

use abide_wire::Job;

use crate::error::Error;
use crate::wait::Watch;

/// Blocks on what can be awaited: creates, waits, and the futures of every other call.
pub trait Block<T>: IntoFuture<Output = Result<T, Error>> + Sized {
    /// Waits for the result, without async.
    ///
    /// # Errors
    ///
    /// Those of the future; and an error of usage inside an async task.
    fn block(self) -> Result<T, Error> {
        block_on(self)?
    }
}

impl<T, F: IntoFuture<Output = Result<T, Error>>> Block<T> for F {}

/// Waits for any future, without async; for those whose output isn't a result, such as a [`JobSet`](crate::JobSet).
///
/// # Errors
///
/// Inside an async task, or where no thread can be started.
pub fn block_on<F: IntoFuture>(future: F) -> Result<F::Output, Error> {
    crate::rt::blocking::block_on(future.into_future())
}

/// Waits for the next item of a stream, such as a [`JobSet`](crate::JobSet); none when it is over.
///
/// # Errors
///
/// Inside an async task, or where no thread can be started.
pub fn next<S: Stream + Unpin>(stream: &mut S) -> Result<Option<S::Item>, Error> {
    block_on(stream.next())
}

/// The states of a job as an iterator, each as it comes.
pub fn updates(watch: Watch) -> Updates {
    Updates(Some(watch))
}

/// An iterator over the states of a job: made by [`updates`].
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked"]
pub struct Updates(Option<Watch>);

impl Iterator for Updates {
    type Item = Result<Job, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let watch = self.0.as_mut()?;
        match next(watch) {
            Ok(Some(update)) => Some(update),
            Ok(None) => {
                self.0 = None;
                None
            }
            Err(error) => {
                self.0 = None;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[tokio::test]
    async fn blocking_inside_an_async_task_is_an_error() {
        let client = Client::new("http://127.0.0.1:9").unwrap();
        assert!(client.job("a").status().block().unwrap_err().is_usage());
        let mut updates = updates(client.job("a").watch());
        assert!(updates.next().unwrap().unwrap_err().is_usage());
        assert!(updates.next().is_none());
    }

    #[test]
    fn any_thread_that_may_block_may_block() {
        let slow = || async {
            crate::rt::timeout(
                std::time::Duration::from_millis(5),
                std::future::pending::<()>(),
            )
            .await
            .is_err()
        };
        for mut builder in [
            tokio::runtime::Builder::new_current_thread(),
            tokio::runtime::Builder::new_multi_thread(),
        ] {
            let host = builder.enable_all().build().unwrap();
            let in_pool = host.block_on(async move {
                let pooled = tokio::task::spawn_blocking(move || block_on(slow()));
                pooled.await.unwrap()
            });
            assert!(in_pool.unwrap());
            let spawned = host.block_on(async move {
                let task =
                    tokio::spawn(async move { block_on(slow()).map_err(|error| error.is_usage()) });
                task.await.unwrap()
            });
            assert_eq!(spawned, Err(true));
            let _entered = host.enter();
            assert!(block_on(slow()).unwrap());
        }
    }

    #[test]
    fn calls_from_many_threads_run_beside_each_other() {
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                // Each call can only return when all four are in it.
                scope.spawn(|| block_on(barrier.wait()).unwrap());
            }
        });
    }
}
