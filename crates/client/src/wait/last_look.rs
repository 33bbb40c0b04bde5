//! The look at a wait's deadline.

use std::time::Duration;

use super::deadline::GRACE;
use super::driver::{Driver, Moved};
use super::findings::Step;
use crate::answer::Answer;
use crate::error::Error;
use crate::exchange::{Failure, FailureKind};
use crate::rt::{AWAKE, Instant, after, sleep_until};
use crate::schedule::PAUSE_MIN;

/// A wait that was given up sooner than this before its deadline hasn't used the time that it was given.
const PROMPT: Duration = Duration::from_millis(50);
/// Why a wait ends whose last look found the job running.
const AT_THE_DEADLINE: &str = "still running at the deadline";
/// Why a wait ends that slept past its deadline and wasn't answered after it woke up.
const WHEN_LAST_SEEN: &str = "still running when it was last seen, before the deadline passed";

impl<V: Clone + Send> Driver<'_, V> {
    /// The look at the deadline. An end that it shows is a result. If it is answered so soon that there is time for
    /// another one, nothing is returned, and the wait goes on until that.
    ///
    /// A process that slept past its deadline takes this look when it wakes up, with time to look: see [`AWAKE`].
    pub(super) async fn last_look(&mut self) -> Moved<V> {
        let deadline = self.deadline.at.unwrap_or_else(|| self.now());
        if self.has_looked(deadline) {
            return match self.may_look_again() {
                true => Ok(None),
                false => Err(self.still_running(AT_THE_DEADLINE, true)),
            };
        }
        loop {
            let sent = self.now();
            let slept = sent > after(deadline, GRACE);
            let span = if slept { AWAKE } else { GRACE };
            let cut = after(sent.max(deadline), span);
            let limit = cut.saturating_duration_since(sent);
            let failure = match self.look(Some(cut), limit, None).await {
                Err(job) => return Ok(self.told(&job)),
                Ok(Some(Ok(answer))) => return self.looked(answer, sent),
                Ok(Some(Err(failure))) => failure,
                Ok(None) => Failure::timed_out(limit),
            };
            self.failures += 1;
            let failure = failure.unless_young(self.terms.young_until, self.now());
            if !failure.is_transient() {
                return Err(self.give_up(failure.into_error()));
            }
            let timed_out = failure.kind == FailureKind::TimedOut;
            if slept && timed_out && self.findings.answered.is_some() {
                return Err(self.still_running(WHEN_LAST_SEEN, true));
            }
            let left = deadline.saturating_duration_since(self.now());
            if left < PROMPT || timed_out {
                return Err(self.too_late(failure, deadline));
            }
            sleep_until(after(self.now(), left / 2)).await;
        }
    }

    /// Takes in the answer to the last look.
    fn looked(&mut self, answer: Answer<V>, sent: Instant) -> Moved<V> {
        let step = self.answered(answer, sent);
        if let Some(Step::Ended(_)) = step {
            return Ok(step);
        }
        if self.may_look_again() {
            return Ok(step);
        }
        let error = self.still_running(AT_THE_DEADLINE, true);
        if step.is_none() {
            return Err(error);
        }
        self.parting = Some(error);
        Ok(step)
    }

    /// Whether there is time for a look that is closer to the deadline than the one that was just answered.
    fn may_look_again(&mut self) -> bool {
        let is_first = !self.deadline.looked;
        self.deadline.looked = true;
        let next = self.look_at();
        is_first && next.is_some_and(|next| next > after(self.now(), PAUSE_MIN))
    }

    /// Whether the job was seen running so shortly before the deadline that the answer was that of the last look.
    fn has_looked(&self, deadline: Instant) -> bool {
        let look_at = self.look_at().unwrap_or(deadline);
        let not_yet = after(self.findings.accepted, self.findings.not_yet);
        self.findings.answered.is_some() && not_yet >= look_at
    }

    /// What a wait comes to whose last look failed when there was no time left for another one.
    pub(super) fn too_late(&mut self, failure: Failure, deadline: Instant) -> Error {
        if self.deadline.looked || self.has_looked(deadline) {
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
