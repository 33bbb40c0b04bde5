//! A push first, with polls as a safety net.

use std::sync::Arc;
use std::time::Duration;

use super::poll::PollPlan;
use super::{Begin, Move, Observed, Plan, Strategy};
use crate::inbox::Inbox;
use crate::schedule::{Ended, Pacer, Push, Schedule};

/// Waits for a push in an [`Inbox`], with polls as a safety net: the first of the two wins.
///
/// A push may be lost without a trace, so the job is also polled. A schedule that learns plans these polls for the
/// share of pushes that are lost, which it counts: as long as no push has come for the kind of job it polls as if there
/// were none, so that an unreachable receiver costs nothing; once one has come it polls seldom, and after three or
/// four lost in a row as before. A push ends the wait at once, also while a poll is on its way or has just failed.
#[derive(Clone, Debug)]
pub struct Webhook {
    inbox: Inbox,
    schedule: Option<Arc<dyn Schedule>>,
}

impl Webhook {
    /// Waits for pushes in that inbox, with safety polls by the wait's own schedule.
    #[must_use]
    pub fn new(inbox: &Inbox) -> Self {
        Self {
            inbox: inbox.clone(),
            schedule: None,
        }
    }

    /// Sends safety polls by that schedule.
    #[must_use]
    pub fn polls(mut self, schedule: impl Schedule) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }
}

impl Strategy for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        let schedule = self.schedule.as_ref().unwrap_or(&begin.schedule);
        let start = begin.start.clone().push(Push::Expected);
        Box::new(WebhookPlan(PollPlan::new(Pacer::new(schedule, &start))))
    }

    fn inbox(&self) -> Option<&Inbox> {
        Some(&self.inbox)
    }
}

#[derive(Debug)]
struct WebhookPlan(PollPlan);

impl Plan for WebhookPlan {
    fn next(&mut self, seen: &Observed) -> Move {
        match self.0.due(seen) {
            // The polls are used up, but a push may still come; the deadline bounds it.
            None => Move::Inbox {
                until: Duration::MAX,
            },
            Some(at) if at <= seen.time.elapsed => Move::Ask,
            Some(until) => Move::Inbox { until },
        }
    }

    fn finish(&mut self, ended: &Ended) {
        self.0.finish(ended);
    }

    fn hazard(&self, seen: &Observed) -> Option<f64> {
        self.0.hazard(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Happened;
    use super::super::testing::{begin, seen};
    use super::*;
    use crate::schedule::Fixed;

    #[test]
    fn it_listens_between_the_safety_polls_and_after_the_last() {
        let inbox = Inbox::new();
        let schedule = Fixed::new(Duration::from_secs(20)).attempts(1);
        let mut plan = Webhook::new(&inbox)
            .polls(schedule)
            .begin(&begin(Fixed::default()));
        let known = |seconds, happened| {
            let mut seen = seen(seconds, happened);
            seen.age_known = true;
            seen
        };
        let until = Duration::from_secs(20);
        assert_eq!(
            plan.next(&known(0.0, Happened::Began)),
            Move::Inbox { until }
        );
        assert_eq!(
            plan.next(&known(9.0, Happened::Pushed)),
            Move::Inbox { until }
        );
        assert_eq!(plan.next(&known(20.0, Happened::Paused)), Move::Ask);
        let until = Duration::MAX;
        assert_eq!(
            plan.next(&known(20.1, Happened::Answered)),
            Move::Inbox { until }
        );
    }
}
