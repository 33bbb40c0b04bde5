//! The move of a wait that has the server hold a request.

use std::time::Duration;

use abide_wire::Until;
use abide_wire::limits::{HOLD_EXACT_MAX, HOLD_SPREAD};

use super::driver::{Driver, Moved};
use super::findings::Step;
use crate::answer::Answer;
use crate::report::Channel;
use crate::rt::{Instant, after, before};
use crate::strategy::Happened;
use crate::target::{Exchange, Hold};

impl<V: Clone + Send> Driver<'_, V> {
    /// Asks with a request that the server holds, for no longer than until the last look.
    pub(super) async fn hold(&mut self, up_to: Duration, until: Until) -> Moved<V> {
        self.turn_around().await;
        let sent = self.now();
        let mut cut = None;
        let mut up_to = up_to;
        if let Some(look_at) = self.look_at() {
            if sent >= look_at {
                return Ok(None);
            }
            // What is answered then is the last look itself, and there is time for another if it isn't answered.
            up_to = up_to.min(unstretched(look_at.saturating_duration_since(sent)));
            cut = self.deadline.between(look_at);
        }
        let hold = Hold {
            up_to,
            until,
            after: self.findings.seen.revision,
        };
        let exchange = Exchange {
            limit: self.terms.attempt_timeout,
            weight: Some(self.weight()),
            account: &mut self.account,
        };
        match before(cut, self.target.hold(hold, exchange)).await {
            Some(Ok(answer)) => Ok(self.released(answer, up_to, sent)),
            Some(Err(failure)) => {
                let now = self.now();
                let held = now.saturating_duration_since(sent);
                self.origin.memory.note_cut(held, now);
                Box::pin(self.fail(failure, sent)).await
            }
            None => Ok(None),
        }
    }

    /// Takes in the answer to a request that was to be held.
    fn released(&mut self, answer: Answer<V>, up_to: Duration, sent: Instant) -> Option<Step<V>> {
        let now = self.now();
        let took = now.saturating_duration_since(sent);
        let memory = &self.origin.memory;
        let is_whole = answer.granted && !answer.done && took >= up_to;
        if is_whole && up_to <= HOLD_EXACT_MAX && memory.rtt().is_none() {
            memory.note_rtt(took.saturating_sub(up_to));
        }
        let rtt = memory.rtt().unwrap_or_else(|| self.round_trip());
        let half_way = now.checked_sub(rtt / 2);
        // A server that held the request for all of the time saw the job running at the end of it.
        let seen_at = if is_whole { after(sent, up_to) } else { sent };
        let sampled = half_way.unwrap_or(now).max(seen_at);
        let news = answer.done || self.findings.is_news(&answer);
        let kept = took >= up_to / 2;
        // News at once says nothing about whether the server would have held.
        if answer.channel == Channel::LongPoll && (kept || answer.granted || !news) {
            memory.note_hold(kept || answer.granted, now);
        }
        self.findings.seen.happened = Happened::Released { held: kept || news };
        // The server's poll hint is for polling; it is ignored after a held request.
        let hint = answer.hint.filter(|_| !kept);
        self.absorb(Answer { hint, ..answer }, sampled)
    }
}

/// How long to ask the server to hold, in whole milliseconds, so that the answer is sent when that time is over, or
/// before if it is long.
fn unstretched(within: Duration) -> Duration {
    if within > HOLD_EXACT_MAX {
        return within.div_f64(1.0 + HOLD_SPREAD).max(HOLD_EXACT_MAX);
    }
    let over = within.subsec_nanos() % 1_000_000;
    within + Duration::from_nanos(u64::from(1_000_000 - over) % 1_000_000)
}
