//! Timers of a process that was asleep: stopped, suspended, or blocked by its own work.
//!
//! Such a process finds all of its timers fired, and the answers that came meanwhile not yet read. A timer that fires
//! that late says nothing of the other side, so what it bounds gets [`AWAKE`] more.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use super::{Clock, Instant, after, timeout, timeout_at};

/// How late a timer fires at least in a process that was asleep. A loaded machine is late by less.
const OVERSLEPT: Duration = Duration::from_millis(250);
/// The least time that an answer gets after the process slept past the end of its time: enough for a connection and a
/// round trip to the other side of the world.
pub(crate) const AWAKE: Duration = Duration::from_secs(2);

/// Whether a timer for that instant, which has fired now, fired late because the process was asleep.
pub(crate) fn overslept(at: Instant, now: Instant) -> bool {
    now > after(at, OVERSLEPT)
}

/// The work, if it is done by that instant; for a process that slept past it, [`AWAKE`] after it woke up.
pub(crate) async fn in_time<T>(
    clock: &Clock,
    until: Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    if let Ok(done) = timeout_at(until, &mut work).await {
        return Some(done);
    }
    match overslept(until, clock.now()) {
        true => timeout(AWAKE, work).await.ok(),
        false => None,
    }
}

/// Waits for the future until that instant, if there is one.
pub(crate) async fn before<T>(
    instant: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match instant {
        Some(instant) => timeout_at(instant, future).await.ok(),
        None => Some(future.await),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sleep_until;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_slept_past_the_end_of_its_time_has_time_to_hear_the_answer() {
        let clock = Clock::start();
        let second = Duration::from_secs(1);
        for (slept, answered_after, heard) in [(0, 2, false), (10, 11, true), (10, 13, false)] {
            let began = clock.now();
            let answer = sleep_until(began + second * answered_after);
            let asleep = tokio::time::advance(second * slept);
            let (answer, ()) = tokio::join!(in_time(&clock, began + second, answer), asleep);
            assert_eq!(answer.is_some(), heard, "{slept} s, {answered_after} s");
        }
    }
}
