//! Requests that the server holds.

use std::time::Duration;

use abide_wire::Until;

use super::{Begin, Happened, Move, Observed, Plan, Strategy};
use crate::retry::turnaround;
use crate::schedule::{Ended, Pacer};

/// Asks with requests that the server holds until there is news: one or two of them for a job of minutes, and the news
/// arrives when it happens.
///
/// There is no dead time between two held requests. A server that answers at once although nothing has happened is
/// asked again only after a pause that grows. Where the wait's schedule has learned how long such jobs take, the first
/// request is sent [late](Self::attach_late): while hardly any job ends there is nothing to hold.
#[derive(Clone, Debug)]
pub struct LongPoll {
    hold: Duration,
    late: f64,
}

impl Default for LongPoll {
    /// Holds as long as servers grant, and attaches when one job in a hundred has ended.
    fn default() -> Self {
        Self {
            hold: abide_wire::limits::HOLD_MAX,
            late: 0.01,
        }
    }
}

impl LongPoll {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long each request shall be held. Default: 60 s; a server may grant less.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold.max(Duration::from_secs(1));
        self
    }

    /// The share of jobs that may end before the first request is sent; 0 holds from the beginning. Default:
    /// 0.01. Without a schedule that has learned something it makes no difference.
    #[must_use]
    pub fn attach_late(mut self, share: f64) -> Self {
        self.late = if share.is_finite() {
            share.clamp(0.0, 0.5)
        } else {
            0.0
        };
        self
    }
}

impl Strategy for LongPoll {
    fn name(&self) -> &'static str {
        "long_poll"
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        Box::new(LongPollPlan {
            pacer: Pacer::new(&begin.schedule, &begin.start),
            hold: self.hold,
            // Who wants every change must be there from the beginning.
            late: if begin.updates { 0.0 } else { self.late },
            until: begin.until(),
            looked: false,
            ignored: 0,
        })
    }
}

/// The least sleep that is worth attaching late for: a held request costs a server little.
const LATE_MIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct LongPollPlan {
    pacer: Pacer,
    hold: Duration,
    late: f64,
    until: Until,
    /// Whether the last move was a plain look.
    looked: bool,
    /// How many requests in a row the server didn't hold.
    ignored: u32,
}

impl LongPollPlan {
    fn hold(&mut self, seen: &Observed) -> Move {
        self.looked = false;
        Move::Hold {
            up_to: self.hold.min(seen.abilities.hold_max),
            until: self.until,
        }
    }

    fn attach(&mut self, seen: &Observed) -> Move {
        if self.late > 0.0
            && seen.age_known
            && let Some(until) = self.pacer.quantile(self.late, &seen.time)
            && until >= seen.time.elapsed.saturating_add(LATE_MIN)
        {
            return Move::Pause { until };
        }
        self.hold(seen)
    }
}

impl Plan for LongPollPlan {
    fn next(&mut self, seen: &Observed) -> Move {
        match seen.happened {
            Happened::Began => self.attach(seen),
            Happened::Released { held: false } => {
                let pause = turnaround(self.ignored);
                self.ignored = self.ignored.saturating_add(1);
                Move::Pause {
                    until: seen.time.elapsed.saturating_add(pause),
                }
            }
            // A plain look tells whether it is the holding that fails, on the way or at the server.
            Happened::Failed if !self.looked => {
                self.looked = true;
                Move::Ask
            }
            Happened::Released { held: true } => {
                self.ignored = 0;
                self.hold(seen)
            }
            _ => self.hold(seen),
        }
    }

    fn finish(&mut self, ended: &Ended) {
        self.pacer.finish(ended);
    }

    fn hazard(&self, seen: &Observed) -> Option<f64> {
        self.pacer.hazard(&seen.time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{begin, seen};
    use super::*;
    use crate::schedule::{Cursor, Fixed, Schedule, Start};

    const SECOND: Duration = Duration::from_secs(1);

    fn held(seconds: u32) -> Move {
        Move::Hold {
            up_to: seconds * SECOND,
            until: Until::Done,
        }
    }

    #[test]
    fn held_requests_follow_each_other_without_dead_time() {
        let mut plan = LongPoll::new().begin(&begin(Fixed::default()));
        assert_eq!(plan.next(&seen(0.0, Happened::Began)), held(60));
        assert_eq!(
            plan.next(&seen(60.0, Happened::Released { held: true })),
            held(60)
        );
    }

    #[test]
    fn a_server_that_holds_nothing_is_not_asked_in_a_busy_loop() {
        let mut plan = LongPoll::new().begin(&begin(Fixed::default()));
        let _ = plan.next(&seen(0.0, Happened::Began));
        let mut now = 0.0;
        let mut requests = 1;
        while now < 60.0 {
            match plan.next(&seen(now, Happened::Released { held: false })) {
                Move::Pause { until } => now = until.as_secs_f64(),
                other => panic!("{other:?}"),
            }
            assert_eq!(plan.next(&seen(now, Happened::Paused)), held(60));
            requests += 1;
        }
        assert!(requests <= 12, "{requests}");
    }

    #[test]
    fn after_a_failed_hold_a_plain_look_tells_what_failed() {
        let mut plan = LongPoll::new().begin(&begin(Fixed::default()));
        let _ = plan.next(&seen(0.0, Happened::Began));
        assert_eq!(plan.next(&seen(1.0, Happened::Failed)), Move::Ask);
        assert_eq!(plan.next(&seen(2.0, Happened::Failed)), held(60));
        assert_eq!(plan.next(&seen(3.0, Happened::Failed)), Move::Ask);
        assert_eq!(plan.next(&seen(4.0, Happened::Answered)), held(60));
    }

    #[test]
    fn what_the_way_bears_bounds_the_hold() {
        let mut plan = LongPoll::new().begin(&begin(Fixed::default()));
        let mut began = seen(0.0, Happened::Began);
        began.abilities.hold_max = 20 * SECOND;
        assert_eq!(plan.next(&began), held(20));
    }

    /// Knows that one job in a hundred has ended by 12 s.
    #[derive(Debug, Clone)]
    struct Knows;

    impl Schedule for Knows {
        fn begin(&self, _: &Start) -> Box<dyn Cursor> {
            Box::new(Self)
        }
    }

    impl Cursor for Knows {
        fn next(&mut self, seen: &crate::schedule::Seen) -> Option<Duration> {
            Some(seen.elapsed)
        }

        fn quantile(&self, probability: f64, _: &crate::schedule::Seen) -> Option<Duration> {
            (probability == 0.01).then_some(12 * SECOND)
        }
    }

    #[test]
    fn it_attaches_late_where_it_knows_how_long_such_jobs_take() {
        let mut began = seen(0.0, Happened::Began);
        // A job of which nothing is known may have ended long ago.
        assert_eq!(LongPoll::new().begin(&begin(Knows)).next(&began), held(60));
        began.age_known = true;
        let mut plan = LongPoll::new().begin(&begin(Knows));
        assert_eq!(plan.next(&began), Move::Pause { until: 12 * SECOND });
        assert_eq!(plan.next(&seen(12.0, Happened::Paused)), held(60));
        // Who wants every change is there from the beginning.
        let mut plan = LongPoll::new().begin(&begin(Knows).updates(true));
        assert!(matches!(
            plan.next(&began),
            Move::Hold {
                until: Until::Any,
                ..
            }
        ));
    }
}
