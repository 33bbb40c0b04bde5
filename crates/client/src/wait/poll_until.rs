//! Waiting for anything at all: a closure that looks.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::driver::{Driver, Terms};
use super::findings::Step;
use crate::client::Client;
use crate::error::Error;
use crate::options::{Options, settings};
use crate::origin::Origin;
use crate::report::Report;
use crate::rt::{after, unblock};
use crate::schedule::{History, Learned, Start};
use crate::strategy::{Begin, Poll, Strategy};
use crate::target::{Closure, Look};
use crate::transport::BoxFuture;

/// Waits until a closure's look finds something done, to be awaited: made by [`poll_until`].
///
/// | setting | default |
/// |---|---|
/// | [`deadline`](Self::deadline) | none |
/// | [`schedule`](Self::schedule) | [`Learned`] without a name: it learns nothing from one wait to the next, or with [`Client::poll_until`](crate::Client::poll_until) from all that name no schedule; better name a kind, `Learned::new("my-kind")` |
/// | [`retry`](Self::retry) | every error of the closure may pass; 30 s of nothing but errors end the wait |
/// | [`final_if`](Self::final_if), [`retry_after`](Self::retry_after) | no error is final, none tells how long to wait |
/// | [`attempt_timeout`](Self::attempt_timeout) | 10 s for one look |
///
/// # Errors
///
/// [Still running](Error::is_still_running) at the deadline or when the schedule's attempts are used up;
/// [unreachable](Error::is_unreachable) with the closure's own error as its source;
/// [refused](Error::is_refused) with it where it was final.
///
/// # Cancel safety
///
/// The future may be dropped at any time; the closure's future in flight is dropped with it.
#[must_use = "a wait does nothing until it is awaited"]
pub struct PollUntil<'a, F, E> {
    look: F,
    origin: Arc<Origin>,
    history: Option<History>,
    options: Options,
    is_final: fn(&E) -> bool,
    hint: fn(&E) -> Option<Duration>,
    /// What the closure may borrow.
    borrows: PhantomData<&'a ()>,
}

/// Waits until a look finds something done: any API, any state, anything that can be looked at.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use std::time::Duration;
/// use abide::{Look, poll_until};
/// use abide::schedule::Learned;
///
/// let mut looks = 0;
/// let found = poll_until(|| {
///     looks += 1;
///     let found = (looks == 3).then_some("the report");
///     async move { Ok::<_, std::io::Error>(Look::from(found)) }
/// })
/// .schedule(Learned::new("my-kind"))
/// .deadline(Duration::from_secs(600))
/// .await?;
/// assert_eq!(found, "the report");
/// # Ok::<(), abide::Error>(()) }).unwrap();
/// ```
pub fn poll_until<'a, F, Fut, T, E>(look: F) -> PollUntil<'a, F, E>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = Result<Look<T>, E>> + Send + 'a,
    T: Clone + Send + 'a,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'a,
{
    PollUntil::new(look, Arc::new(Origin::nowhere()), None)
}

impl Client {
    /// Waits until a look finds something done, on any API at all. It draws on this client's budget and learns from and
    /// for its history; see [`poll_until`](crate::poll_until()).
    pub fn poll_until<'a, F, Fut, T, E>(&self, look: F) -> PollUntil<'a, F, E>
    where
        F: FnMut() -> Fut + Send + 'a,
        Fut: Future<Output = Result<Look<T>, E>> + Send + 'a,
        T: Clone + Send + 'a,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'a,
    {
        let origin = Arc::new(self.core.origin.elsewhere());
        PollUntil::new(look, origin, Some(self.core.history.clone()))
    }
}

impl<F, E> PollUntil<'_, F, E> {
    fn new(look: F, origin: Arc<Origin>, history: Option<History>) -> Self {
        Self {
            look,
            history,
            options: Options::default(),
            is_final: |_| false,
            hint: |_| None,
            borrows: PhantomData,
            origin,
        }
    }

    settings! { deadline schedule retry attempt_timeout size feature }

    /// Which errors end the wait at once. Default: none.
    pub fn final_if(mut self, is_final: fn(&E) -> bool) -> Self {
        self.is_final = is_final;
        self
    }

    /// How long the server asked to be left alone, where an error tells: a floor under the pause. Default: none tells.
    pub fn retry_after(mut self, hint: fn(&E) -> Option<Duration>) -> Self {
        self.hint = hint;
        self
    }
}

impl<'a, F, Fut, T, E> PollUntil<'a, F, E>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = Result<Look<T>, E>> + Send + 'a,
    T: Clone + Send + 'a,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'a,
{
    /// The same, and what it cost.
    ///
    /// # Errors
    ///
    /// See [`PollUntil`]; the report of a wait that came to nothing is [in the error](Error::wait_report).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time; the closure's future in flight is dropped with it.
    pub async fn with_report(self) -> Result<(T, Report), Error> {
        let Self {
            origin, options, ..
        } = self;
        let mut start = Start::new(origin.rng.seed())
            .began(origin.clock.time_of_day())
            .features(options.features);
        start.history = self.history;
        if let Some(size) = options.size {
            start = start.size(size);
        }
        let schedule = options.schedule;
        let schedule = schedule.unwrap_or_else(|| Arc::new(Learned::new("")));
        unblock(|| schedule.reading(&start)).await;
        let now = origin.clock.now();
        let strategy = Poll::new();
        let terms = Terms {
            plans: None,
            young_until: None,
            noted: None,
            plan: strategy.begin(&Begin::new(schedule, start)),
            strategy: strategy.name(),
            inbox: None,
            retry: options.retry.unwrap_or_else(|| origin.retry.clone()),
            attempt_timeout: options.attempt_timeout.unwrap_or(origin.attempt_timeout),
            deadline: options.deadline.map(|deadline| after(now, deadline)),
            accepted: None,
            revision: None,
            wrong: None,
        };
        let closure = Closure {
            look: self.look,
            is_final: self.is_final,
            hint: self.hint,
            origin: Arc::clone(&origin),
        };
        let mut driver = Driver::new(closure, origin, terms);
        loop {
            if let Step::Ended(value) = driver.step().await? {
                return Ok((value, driver.report()));
            }
        }
    }
}

impl<'a, F, Fut, T, E> IntoFuture for PollUntil<'a, F, E>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = Result<Look<T>, E>> + Send + 'a,
    T: Clone + Send + 'a,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'a,
{
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.with_report().await.map(|(value, _)| value) })
    }
}

impl<F, E> fmt::Debug for PollUntil<'_, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollUntil")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
