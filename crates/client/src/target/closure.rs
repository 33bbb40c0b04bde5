//! Anything that a closure can look at.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{Asked, Exchange, Target};
use crate::answer::Answer;
use crate::error::Source;
use crate::exchange::Failure;
use crate::origin::Origin;
use crate::report::Channel;
use crate::rt::{after, in_time};
use crate::schedule::Remaining;

/// What a look has shown.
///
/// `Look::from(option)` makes one of an `Option`: done if there is a value.
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

    /// The share of the work that is done, 0 to 1. Schedules may learn from it.
    #[must_use]
    pub const fn progress(mut self, share: f64) -> Self {
        self.progress = Some(share);
        self
    }

    /// How long the job will still take, by the server's estimate. Schedules may learn from it.
    #[must_use]
    pub const fn remaining(mut self, remaining: Duration) -> Self {
        self.remaining = Some(remaining);
        self
    }

    /// How long the server wants to be left alone: the next look isn't taken before.
    #[must_use]
    pub const fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// How long the job took, if the server tells: the best thing to learn from.
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

/// A closure as something that is waited for.
pub(crate) struct Closure<F, E> {
    pub(crate) look: F,
    pub(crate) is_final: fn(&E) -> bool,
    pub(crate) hint: fn(&E) -> Option<Duration>,
    pub(crate) origin: Arc<Origin>,
}

impl<F, Fut, T, E> Target for Closure<F, E>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<Look<T>, E>> + Send,
    T: Clone + Send,
    E: Into<Source> + Send,
{
    type View = T;

    fn ask<'a>(&'a mut self, terms: Exchange<'a>) -> Asked<'a, T> {
        Box::pin(async move {
            let origin = &self.origin;
            terms
                .account
                .spend(&origin.budget, &origin.clock, terms.weight)
                .await;
            let sent = origin.clock.now();
            let look = in_time(&origin.clock, after(sent, terms.limit), (self.look)()).await;
            let look = look.ok_or_else(|| Failure::timed_out(terms.limit))?;
            origin
                .memory
                .note_rtt(origin.clock.now().saturating_duration_since(sent));
            let look = look.map_err(|error| {
                let (is_final, hint) = ((self.is_final)(&error), (self.hint)(&error));
                Failure::of_look(error, is_final).after(hint)
            })?;
            Ok(Answer {
                done: look.done.is_some(),
                view: look.done,
                progress: look.progress.filter(|share| (0.0..=1.0).contains(share)),
                remaining: look.remaining.map(Remaining::about),
                hint: look.retry_after,
                duration: look.duration,
                ..Answer::nothing_new(Channel::Poll)
            })
        })
    }
}
