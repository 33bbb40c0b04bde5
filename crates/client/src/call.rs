//! A single call: one request, sent again while its failures may pass.

use std::time::Duration;

use crate::error::Error;
use crate::exchange::{Call, Failure, Reply, exchange};
use crate::origin::Origin;
use crate::resume::ResumeToken;
use crate::rt::{AWAKE, after, sleep_until};
use crate::telemetry::{self, Purpose};
use crate::trouble::Trouble;

/// Sends until there is an answer that can be read, or the retry policy gives up. A request that isn't repeatable is
/// sent again only if it surely had no effect.
pub(crate) async fn call<T>(
    origin: &Origin,
    call: &Call,
    token: &ResumeToken,
    read: impl Fn(&Reply) -> Result<T, Failure>,
) -> Result<T, Error> {
    let until = after(origin.clock.now(), origin.timeout);
    let mut failures = 0;
    loop {
        let left = until.saturating_duration_since(origin.clock.now());
        // A process that slept through the time that was left hasn't asked yet.
        let left = if left.is_zero() { AWAKE } else { left };
        let limit = left.min(origin.attempt_timeout);
        let answer = exchange(origin, call, limit).await;
        let failure = match answer.and_then(|reply| read(&reply)) {
            Ok(value) => {
                origin.retry_budget.deposit();
                return Ok(value);
            }
            Err(failure) => failure.unless_young(call.young_until, origin.clock.now()),
        };
        failures += 1;
        let pause = origin
            .retry
            .pause(failures, failure.hint, origin.rng.share());
        let next = after(origin.clock.now(), pause);
        let give_up = !failure.is_transient()
            || !(call.repeatable || failure.harmless)
            // As long as a job may not be known yet, only time bounds the attempts.
            || failures >= origin.retry.attempts && !failure.is_not_found()
            || next >= until
            || !origin.retry_budget.withdraw();
        if give_up {
            let lost = call.purpose == Purpose::Create && failure.may_have_worked();
            return Err(failure.into_error().lost_create(lost).token(token.clone()));
        }
        telemetry::paused(failure.what(), failures, pause);
        sleep_until(next).await;
    }
}

/// Sends until there is an answer that can be read, for as long as the retry policy is patient with a server that gives
/// none. `make` gives the request, which may be repeated, and the most that its exchange may take.
pub(crate) async fn persist<T>(
    origin: &Origin,
    make: impl Fn() -> (Call, Duration),
    read: impl Fn(&Reply) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut trouble = Trouble::default();
    loop {
        let sent = origin.clock.now();
        let (call, limit) = make();
        let answer = exchange(origin, &call, limit).await;
        let failure = match answer.and_then(|reply| read(&reply)) {
            Ok(value) => {
                origin.retry_budget.deposit();
                return Ok(value);
            }
            Err(failure) => failure,
        };
        let (policy, now) = (&origin.retry, origin.clock.now());
        let may_retry = || origin.retry_budget.withdraw();
        let pause = trouble.meet(&failure, policy, (sent, now), origin.rng.share(), may_retry);
        let Some(pause) = pause else {
            return Err(failure);
        };
        trouble.remember(failure, pause);
        let due = after(now, pause);
        sleep_until(due).await;
        trouble.paused(due, origin.clock.now());
    }
}
