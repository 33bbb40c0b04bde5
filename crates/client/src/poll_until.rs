//! Waiting for anything at all: a closure that looks.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use abide_wire::Revision;

use crate::clock::after;
use crate::drive::{Answer, Cost, Driver, Exchange, Heard, Hold, Step, Target, Terms};
use crate::error::Error;
use crate::exchange::Failure;
use crate::origin::Origin;
use crate::report::{Channel, Report};
use crate::retry::RetryPolicy;
use crate::schedule::{History, Learned, Remaining, Schedule, Start};
use crate::strategy::{Begin, Poll, Strategy};
use crate::transport::BoxFuture;

/// What a look has shown.
///
/// `Look::from(option)` makes one of an `Option`: done where there is a value.
#[derive(Clone, Debug)]
pub struct Look<T> {
    done: Option<T>,
    progress: Option<f64>,
    remaining: Option<Duration>,
    retry_after: Option<Duration>,
    duration: Option<Duration>,
}

impl<T> Look<T> {
    /// It is done, and this is what came of it, well or not.
    #[must_use]
    pub const fn done(value: T) -> Self {
        Self {
            done: Some(value),
            progress: None,
            remaining: None,
            retry_after: None,
            duration: None,
        }
    }

    /// It isn't done.
    #[must_use]
    pub const fn not_yet() -> Self {
        Self {
            done: None,
            progress: None,
            remaining: None,
            retry_after: None,
            duration: None,
        }
    }

    /// The share of the work that is done, 0 to 1: something to learn from.
    #[must_use]
    pub const fn progress(mut self, share: f64) -> Self {
        self.progress = Some(share);
        self
    }

    /// How long it will still take, as the server thinks: something to learn from.
    #[must_use]
    pub const fn remaining(mut self, remaining: Duration) -> Self {
        self.remaining = Some(remaining);
        self
    }

    /// How long the server wants to be left alone: the next look isn't taken before.
    #[must_use]
    pub const fn retry_after(mut self, wish: Duration) -> Self {
        self.retry_after = Some(wish);
        self
    }

    /// How long it took, where the server tells: the best thing to learn from.
    #[must_use]
    pub const fn took(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }
}

impl<T> From<Option<T>> for Look<T> {
    fn from(value: Option<T>) -> Self {
        Self {
            done: value,
            ..Self::not_yet()
        }
    }
}

/// Waits until a closure's look finds something done, to be awaited: made by [`poll_until`].
///
/// | setting | default |
/// |---|---|
/// | [`deadline`](Self::deadline) | none |
/// | [`schedule`](Self::schedule) | [`Learned`] without a name: it learns nothing from one wait to the next, or with [`Client::poll_until`](crate::Client::poll_until) from all that name no schedule; better name a kind, `Learned::new("my-kind")` |
/// | [`retry`](Self::retry) | every error of the closure may pass; 30 s of nothing but errors end the wait |
/// | [`final_if`](Self::final_if) | no error is final |
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
    schedule: Option<Arc<dyn Schedule>>,
    retry: RetryPolicy,
    attempt_timeout: Duration,
    deadline: Option<Duration>,
    size: Option<f64>,
    is_final: fn(&E) -> bool,
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

impl<F, E> PollUntil<'_, F, E> {
    pub(crate) fn new(look: F, origin: Arc<Origin>, history: Option<History>) -> Self {
        Self {
            look,
            history,
            schedule: None,
            retry: origin.retry.clone(),
            attempt_timeout: origin.attempt_timeout,
            deadline: None,
            size: None,
            is_final: |_| false,
            borrows: PhantomData,
            origin,
        }
    }

    /// Bounds the wait, from its first poll on; one last look is taken just before. Default: none.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// When to look. Default: [`Learned`].
    pub fn schedule(mut self, schedule: impl Schedule) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }

    /// How errors of the closure are met. Default: [`RetryPolicy::default`].
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Which errors end the wait at once. Default: none.
    pub fn final_if(mut self, is_final: fn(&E) -> bool) -> Self {
        self.is_final = is_final;
        self
    }

    /// The most that one look may take. Default: 10 s.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// How big the job is, in any unit that is the same within one kind. Default: unknown.
    pub fn size(mut self, size: f64) -> Self {
        self.size = Some(size);
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
        let schedule = self.schedule.unwrap_or_else(|| Arc::new(Learned::new("")));
        let mut start = Start::new(self.origin.luck.seed());
        if let Some(history) = &self.history {
            start = start.history(history);
        }
        if let Some(size) = self.size {
            start = start.size(size);
        }
        let now = self.origin.clock.now();
        let strategy = Poll::new();
        let terms = Terms {
            plan: strategy.begin(&Begin::new(schedule, start)),
            strategy: strategy.name(),
            inbox: None,
            retry: self.retry,
            attempt_timeout: self.attempt_timeout,
            deadline: self.deadline.map(|deadline| after(now, deadline)),
            accepted: None,
            revision: None,
            wrong: None,
        };
        let closure = Closure {
            look: self.look,
            is_final: self.is_final,
            origin: Arc::clone(&self.origin),
            turn: 0.0,
            cost: Cost::default(),
        };
        let mut driver = Driver::new(closure, self.origin, terms);
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
            .field("schedule", &self.schedule)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A closure as something that is waited for.
struct Closure<F, E> {
    look: F,
    is_final: fn(&E) -> bool,
    origin: Arc<Origin>,
    turn: f64,
    cost: Cost,
}

impl<F, Fut, T, E> Target for Closure<F, E>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<Look<T>, E>> + Send,
    T: Clone + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type View = T;

    fn ask(&mut self, terms: Exchange) -> BoxFuture<'_, Result<Answer<T>, Failure>> {
        Box::pin(async move {
            let origin = &self.origin;
            match terms.weight {
                Some(weight) => {
                    origin
                        .budget
                        .take(&origin.clock, &mut self.turn, weight)
                        .await;
                }
                None => origin.budget.overdraw(),
            }
            self.cost.requests += 1;
            self.cost.share += 1.0;
            let sent = origin.clock.now();
            let look = timeout(terms.limit, (self.look)())
                .await
                .map_err(|_| Failure::timed_out(terms.limit))?;
            let took = origin.clock.now().saturating_duration_since(sent);
            origin.memory.note_rtt(took);
            let look = look.map_err(|error| {
                let is_final = (self.is_final)(&error);
                Failure::of_look(error, is_final)
            })?;
            Ok(Answer {
                done: look.done.is_some(),
                view: look.done,
                revision: None,
                progress: look.progress.filter(|share| (0.0..=1.0).contains(share)),
                remaining: look.remaining.map(Remaining::about),
                hint: look.retry_after,
                granted: false,
                channel: Channel::Poll,
                age: None,
                duration: look.duration,
                accepted_for: None,
            })
        })
    }

    fn hold(&mut self, _: Hold, terms: Exchange) -> BoxFuture<'_, Result<Answer<T>, Failure>> {
        self.ask(terms)
    }

    fn listen(
        &mut self,
        _: Option<Revision>,
        _: Exchange,
    ) -> BoxFuture<'_, Result<Heard, Failure>> {
        Box::pin(async { Ok(Heard::Absent) })
    }

    fn read(&mut self, _: &str, _: &str) -> Result<Option<Answer<T>>, Failure> {
        Ok(None)
    }

    fn pushed(&mut self, _: &abide_wire::Job) -> Option<Answer<T>> {
        None
    }

    fn complete(&self, error: Error, _: Option<&T>) -> Error {
        error
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}
