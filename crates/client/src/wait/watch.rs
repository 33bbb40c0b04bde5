//! Watching one job change.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{FutureExt as _, Stream, StreamExt, stream};

use abide_wire::Job;

use super::begin::{begin, read_kind};
use super::driver::Driver;
use super::findings::Step;
use crate::error::Error;
use crate::job::JobHandle;
use crate::options::{Options, settings};

/// A stream of the states of a job, to the last one: made by [`JobHandle::watch`].
///
/// Every state has a greater revision than the one before it; states that follow each other too quickly may be left
/// out, the last one never is. What the handle knew from its create isn't repeated: that is
/// [`JobHandle::snapshot`]. After the end, or after an error, the stream is over.
///
/// The settings are those of [`Wait`](crate::Wait), and so are the errors. The default strategy takes a stream of
/// events if the server has one.
///
/// # Cancel safety
///
/// [`Watch::next`] and every other future of the stream may be dropped at any time without losing a state. Dropping the
/// stream gives up the request in flight.
#[must_use = "a stream does nothing until it is polled"]
pub struct Watch {
    job: JobHandle,
    options: Options,
    running: Option<Running>,
}

type Running = Pin<Box<dyn Stream<Item = Result<Job, Error>> + Send>>;

impl JobHandle {
    /// Watches the job change: a stream of its states, progress included, to the last one. Nothing is sent before it is
    /// polled.
    ///
    /// ```no_run
    /// # async fn example(job: abide::JobHandle) -> Result<(), abide::Error> {
    /// let mut updates = job.watch();
    /// while let Some(update) = updates.next().await {
    ///     let job = update?;
    ///     println!("{} {:?}", job.status, job.progress);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> Watch {
        Watch {
            job: self.clone(),
            options: Options::default(),
            running: None,
        }
    }
}

impl Watch {
    settings! { deadline strategy schedule dial max_interval retry attempt_timeout size feature metadata_feature }

    /// The next state; none after the end or an error.
    ///
    /// # Errors
    ///
    /// See [`Wait`](crate::Wait).
    ///
    /// # Cancel safety
    ///
    /// No state is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Result<Job, Error>> {
        StreamExt::next(self).await
    }
}

fn run(driver: Driver<'static, Arc<Job>>, job: JobHandle) -> Running {
    let states = stream::unfold(Some((driver, job)), |running| async {
        let (mut driver, handle) = running?;
        let step = driver.step().await;
        if let Ok(Step::News(job)) = step {
            return Some((Ok(Arc::unwrap_or_clone(job)), Some((driver, handle))));
        }
        if let Some(hook) = &handle.client().core.on_report {
            hook(handle.id(), &driver.report());
        }
        let last = step.map(|step| match step {
            Step::News(job) | Step::Ended(job) => Arc::unwrap_or_clone(job),
        });
        Some((last, None))
    });
    Box::pin(states.fuse())
}

impl Stream for Watch {
    type Item = Result<Job, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let running = this.running.get_or_insert_with(|| {
            let (job, options) = (this.job.clone(), this.options.clone());
            let states = async move {
                read_kind(&job, &options).await;
                run(begin(&job, &options, None, true, false), job)
            };
            Box::pin(states.flatten_stream())
        });
        running.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("job", &self.job)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
