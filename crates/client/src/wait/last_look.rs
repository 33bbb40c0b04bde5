//! The look at a wait's deadline.

use std::time::Duration;

use super::deadline::GRACE;
use super::driver::{Driver, Moved};
use super::findings::Step;
use crate::answer::Answer;
use crate::error::Error;
use crate::exchange::{Failure, FailureKind};
use crate::rt::{Instant, after, sleep_until};
use crate::schedule::PAUSE_MIN;

/// A wait that was given up sooner than this before its deadline hasn't used the time that it was given.
const PROMPT: Duration = Duration::from_millis(50);
/// Why a wait ends whose last look found the job running.
const AT_THE_DEADLINE: &str = "still running at the deadline";

impl<V: Clone + Send> Driver<'_, V> {
    /// The look at the deadline. An end that it shows is a result. If it is answered so soon that there is time for
    /// another one, nothing is returned, and the wait goes on until that.
    pub(super) async fn last_look(&mut self) -> Moved<V> {
        let deadline = self.deadline.at.unwrap_or_else(|| self.now());
        let cut = after(deadline, GRACE);
        loop {
            let sent = self.now();
            let limit = cut.saturating_duration_since(sent);
            let failure = match self.look(Some(cut), limit, None).await {
                Err(job) => return Ok(self.told(&job)),
                Ok(_) if limit.is_zero() => Failure::timed_out(limit),
                Ok(Some(Ok(answer))) => return self.looked(answer, sent, deadline),
                Ok(Some(Err(failure))) => failure,
                Ok(None) => Failure::timed_out(limit),
            };
            self.failures += 1;
            if !failure.is_transient() {
                return Err(self.give_up(failure.into_error()));
            }
            let left = deadline.saturating_duration_since(self.now());
            if left < PROMPT || failure.kind == FailureKind::TimedOut {
                return Err(self.too_late(failure, deadline));
            }
            sleep_until(after(self.now(), left / 2)).await;
        }
    }

    /// Takes in the answer to the last look.
    fn looked(&mut self, answer: Answer<V>, sent: Instant, deadline: Instant) -> Moved<V> {
        let step = self.answered(answer, sent);
        if let Some(Step::Ended(_)) = step {
            return Ok(step);
        }
        let may_look_again = !self.deadline.looked;
        self.deadline.looked = true;
        let next = self.look_at().unwrap_or(deadline);
        if may_look_again && next > after(self.now(), PAUSE_MIN) {
            return Ok(step);
        }
        let error = self.still_running(AT_THE_DEADLINE, true);
        if step.is_none() {
            return Err(error);
        }
        self.parting = Some(error);
        Ok(step)
    }

    /// What a wait comes to whose last look failed when there was no time left for another one.
    fn too_late(&mut self, failure: Failure, deadline: Instant) -> Error {
        let look_at = self.look_at().unwrap_or(deadline);
        let not_yet = after(self.findings.accepted, self.findings.not_yet);
        if self.deadline.looked || not_yet >= look_at {
            // A look that came late was the last one.
            return self.still_running(AT_THE_DEADLINE, true);
        }
        // That there was no time left for an answer says less than the answers before it.
        let failure = match self.trouble.latest.take() {
            Some(before) if failure.kind == FailureKind::TimedOut => *before,
            _ => failure,
        };
        self.give_up(failure.into_error().timed_out(true))
    }
}
