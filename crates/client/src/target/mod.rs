//! What is waited for: a job on our server, a job on another's, or anything that a closure looks at.
//!
//! A [`Target`] makes the exchanges that the loop of a wait wants made and says what they have shown. It neither
//! retries nor sleeps. What a target can't do has a default: a request that isn't held, a stream that isn't there.

mod closure;
mod foreign;
mod native;

use std::sync::Arc;
use std::time::Duration;

use abide_wire::{Job, Revision, Until};

pub(crate) use self::closure::Closure;
pub use self::closure::Look;
pub(crate) use self::foreign::Foreign;
pub(crate) use self::native::Native;
use crate::answer::Answer;
use crate::budget::Account;
use crate::error::Error;
use crate::exchange::Failure;
use crate::sse::Opened;
use crate::transport::BoxFuture;

/// The answer to a look, on its way.
pub(crate) type Asked<'a, V> = BoxFuture<'a, Result<Answer<V>, Failure>>;

/// Something that is waited for.
pub(crate) trait Target: Send {
    /// What the caller gets to see.
    type View;

    /// Looks once.
    fn ask<'a>(&'a mut self, exchange: Exchange<'a>) -> Asked<'a, Self::View>;

    /// Looks, to be answered at the first news. Answered at once by a target that can't be held; the loop sees that.
    fn hold<'a>(&'a mut self, hold: Hold, exchange: Exchange<'a>) -> Asked<'a, Self::View> {
        let _ = hold;
        self.ask(exchange)
    }

    /// Opens the stream of what happens after that revision.
    fn listen<'a>(
        &'a mut self,
        after: Option<Revision>,
        exchange: Exchange<'a>,
    ) -> BoxFuture<'a, Result<Opened, Failure>> {
        let _ = (after, exchange);
        Box::pin(async { Ok(Opened::Absent) })
    }

    /// Reads what a stream told; none if it isn't about the job.
    fn read(&mut self, event: &str, data: &str) -> Result<Option<Answer<Self::View>>, Failure> {
        let _ = (event, data);
        Ok(None)
    }

    /// Reads what an inbox was told.
    fn pushed(&mut self, job: &Job) -> Option<Answer<Self::View>> {
        let _ = job;
        None
    }

    /// The view as a job, if it is one.
    fn job<'v>(&self, view: &'v Self::View) -> Option<&'v Arc<Job>> {
        let _ = view;
        None
    }

    /// Tells an error what it is about.
    fn complete(&self, error: Error, last: Option<&Self::View>) -> Error {
        let _ = last;
        error
    }
}

/// On what terms an exchange is made.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// Where a request is paid from. A target that is told by another wait's request pays only its share.
    pub(crate) account: &'a mut Account,
    /// The most that it may take, beside the time that it is held.
    pub(crate) limit: Duration,
    /// How many turns it gets in proportion to others where the request budget is short; none for a last look, which
    /// isn't kept waiting.
    pub(crate) weight: Option<f64>,
}

/// What a held request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// How long the server shall hold it at most.
    pub(crate) up_to: Duration,
    /// What counts as news.
    pub(crate) until: Until,
    /// What is known already.
    pub(crate) after: Option<Revision>,
}
