//! A stream of events.

use std::time::Duration;

use super::{Begin, Happened, LongPoll, Move, Observed, Plan, Strategy};
use crate::schedule::Ended;

/// Reads a stream of server-sent events, resumed by revision: one request for all changes of a job.
///
/// A stream can be dead without being closed: a peer that vanished, a proxy that keeps the events to itself. So a
/// stream is believed only while something comes over it, be it a heartbeat. While nothing has come since it was opened
/// the job is looked at after 3, 9 and 21 seconds; a stream that is silent for 40 seconds, or that is caught not
/// telling what a look has told, is closed. Where streams don't work the wait goes on with [`LongPoll`].
#[derive(Clone, Debug, Default)]
pub struct Stream {
    then: LongPoll,
}

impl Stream {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for Stream {
    fn name(&self) -> &'static str {
        "stream"
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        Box::new(StreamPlan {
            then: self.then.begin(begin),
            opened: None,
            checks: 0,
            troubles: 0,
            fallen: false,
        })
    }
}

/// The first look at a job whose stream is quiet; each later one comes after twice the time.
const CHECK: Duration = Duration::from_secs(3);
const CHECKS_MAX: u32 = 3;
/// After this many streams that came to nothing the wait goes on by other means.
const TROUBLES_MAX: u32 = 3;

#[derive(Debug)]
pub(super) struct StreamPlan {
    then: Box<dyn Plan>,
    /// When the open stream was asked for.
    opened: Option<Duration>,
    checks: u32,
    troubles: u32,
    fallen: bool,
}

impl StreamPlan {
    fn listen(&mut self, seen: &Observed) -> Move {
        let opened = *self.opened.get_or_insert(seen.time.elapsed);
        let check = (self.checks < CHECKS_MAX).then(|| {
            let after = CHECK * ((1 << (self.checks + 1)) - 1);
            opened.saturating_add(after)
        });
        Move::Listen { check }
    }

    fn fall(&mut self, seen: &Observed) -> Move {
        self.fallen = true;
        self.then.next(&seen.after(Happened::Began))
    }

    /// A stream came to nothing: a look tells where the job stands, and then another one is tried.
    fn trouble(&mut self, seen: &Observed) -> Move {
        self.opened = None;
        self.checks = 0;
        self.troubles += 1;
        if self.troubles >= TROUBLES_MAX {
            return self.fall(seen);
        }
        Move::Ask
    }
}

impl Plan for StreamPlan {
    fn next(&mut self, seen: &Observed) -> Move {
        if self.fallen {
            return self.then.next(seen);
        }
        match seen.happened {
            Happened::Quiet => {
                self.checks += 1;
                Move::Ask
            }
            Happened::NoStream => self.fall(seen),
            Happened::Closed | Happened::Muted => self.trouble(seen),
            Happened::Failed => {
                self.opened = None;
                self.checks = 0;
                self.listen(seen)
            }
            Happened::News => {
                self.troubles = 0;
                self.checks = CHECKS_MAX;
                self.listen(seen)
            }
            _ => self.listen(seen),
        }
    }

    fn finish(&mut self, ended: &Ended) {
        self.then.finish(ended);
    }

    fn hazard(&self, seen: &Observed) -> Option<f64> {
        self.then.hazard(seen)
    }
}

#[cfg(test)]
mod tests {
    use abide_wire::Until;

    use super::super::testing::{begin, seen};
    use super::*;
    use crate::schedule::Fixed;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan() -> Box<dyn Plan> {
        Stream::new().begin(&begin(Fixed::default()).updates(true))
    }

    fn listen(check: Option<u32>) -> Move {
        Move::Listen {
            check: check.map(|seconds| seconds * SECOND),
        }
    }

    #[test]
    fn a_quiet_stream_is_checked_by_looking() {
        let mut plan = plan();
        assert_eq!(plan.next(&seen(0.0, Happened::Began)), listen(Some(3)));
        assert_eq!(plan.next(&seen(3.0, Happened::Quiet)), Move::Ask);
        assert_eq!(plan.next(&seen(3.1, Happened::Answered)), listen(Some(9)));
        assert_eq!(plan.next(&seen(9.0, Happened::Quiet)), Move::Ask);
        assert_eq!(plan.next(&seen(9.1, Happened::Answered)), listen(Some(21)));
        assert_eq!(plan.next(&seen(21.0, Happened::Quiet)), Move::Ask);
        assert_eq!(plan.next(&seen(21.1, Happened::Answered)), listen(None));
        assert_eq!(plan.next(&seen(30.0, Happened::News)), listen(None));
    }

    #[test]
    fn streams_that_come_to_nothing_give_way_to_held_requests() {
        let mut plan = plan();
        let _ = plan.next(&seen(0.0, Happened::Began));
        for at in [40.0, 80.0] {
            assert_eq!(plan.next(&seen(at, Happened::Muted)), Move::Ask);
            assert!(matches!(
                plan.next(&seen(at, Happened::Answered)),
                Move::Listen { .. }
            ));
        }
        let held = Move::Hold {
            up_to: 60 * SECOND,
            until: Until::Any,
        };
        assert_eq!(plan.next(&seen(120.0, Happened::Muted)), held);
        assert_eq!(
            plan.next(&seen(180.0, Happened::Released { held: true })),
            held
        );
    }

    #[test]
    fn a_server_without_streams_is_held_at_once() {
        let mut plan = plan();
        let _ = plan.next(&seen(0.0, Happened::Began));
        assert!(matches!(
            plan.next(&seen(0.1, Happened::NoStream)),
            Move::Hold { .. }
        ));
    }
}
