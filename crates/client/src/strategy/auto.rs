//! The best of the others.

use std::time::Duration;

use super::stream::Stream;
use super::{Ability, Begin, Happened, LongPoll, Move, Observed, Plan, Poll, Strategy};
use crate::schedule::Ended;

/// The ladder: a stream where every change is wanted, a held request where the end is; polls where the server holds
/// nothing.
///
/// What a server can do is found out by using it and remembered per origin, so that only the first wait pays for it;
/// after ten minutes it is tried anew.
#[derive(Clone, Debug, Default)]
pub struct Auto {
    stream: Stream,
    long_poll: LongPoll,
    poll: Poll,
}

impl Auto {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How it holds.
    #[must_use]
    pub fn long_poll(mut self, long_poll: LongPoll) -> Self {
        self.long_poll = long_poll;
        self
    }

    fn plan(&self, rung: Rung, begin: &Begin) -> Box<dyn Plan> {
        match rung {
            Rung::Stream => self.stream.begin(begin),
            Rung::Hold => self.long_poll.begin(begin),
            Rung::Poll => self.poll.begin(begin),
        }
    }
}

impl Strategy for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        Box::new(AutoPlan {
            ladder: self.clone(),
            begin: begin.clone(),
            now: None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rung {
    Stream,
    Hold,
    Poll,
}

#[derive(Debug)]
struct AutoPlan {
    ladder: Auto,
    begin: Begin,
    now: Option<(Rung, Box<dyn Plan>)>,
}

impl AutoPlan {
    fn rung(&self, seen: &Observed) -> Rung {
        if self.begin.updates && seen.abilities.stream != Ability::No {
            Rung::Stream
        } else if seen.abilities.hold != Ability::No {
            Rung::Hold
        } else {
            Rung::Poll
        }
    }
}

impl Plan for AutoPlan {
    fn next(&mut self, seen: &Observed) -> Move {
        let best = self.rung(seen);
        match &mut self.now {
            Some((rung, plan)) if *rung == best => plan.next(seen),
            now => {
                // A schedule follows a job for one plan at a time, and another way to wait teaches it nothing.
                if let Some((_, mut plan)) = now.take() {
                    plan.finish(&Ended::given_up(Duration::ZERO));
                }
                let plan = self.ladder.plan(best, &self.begin);
                let (_, plan) = now.insert((best, plan));
                plan.next(&seen.after(Happened::Began))
            }
        }
    }

    fn finish(&mut self, ended: &Ended) {
        match &mut self.now {
            Some((_, plan)) => plan.finish(ended),
            // Nothing was planned, and all rungs learn alike.
            None => self.ladder.plan(Rung::Poll, &self.begin).finish(ended),
        }
    }

    fn hazard(&self, seen: &Observed) -> Option<f64> {
        self.now.as_ref().and_then(|(_, plan)| plan.hazard(seen))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{begin, seen};
    use super::*;
    use crate::schedule::{Fixed, History, Learned, Start};

    fn first(updates: bool, stream: Ability, hold: Ability) -> Move {
        let mut began = seen(0.0, Happened::Began);
        began.age_known = true;
        began.abilities.stream = stream;
        began.abilities.hold = hold;
        let schedule = Fixed::new(Duration::from_secs(5));
        Auto::new()
            .begin(&begin(schedule).updates(updates))
            .next(&began)
    }

    #[test]
    fn it_takes_the_highest_rung_that_bears() {
        use Ability::{No, Unknown, Yes};
        for (updates, stream, hold, expected) in [
            (false, Unknown, Unknown, "Hold"),
            (false, Yes, Yes, "Hold"),
            (false, Yes, No, "Pause"),
            (true, Unknown, Unknown, "Listen"),
            (true, No, Unknown, "Hold"),
            (true, No, No, "Pause"),
        ] {
            let taken = format!("{:?}", first(updates, stream, hold));
            assert!(
                taken.starts_with(expected),
                "{updates} {stream:?} {hold:?}: {taken}"
            );
        }
    }

    #[test]
    fn it_steps_down_within_a_wait() {
        let mut plan = Auto::new().begin(&begin(Fixed::default()));
        let mut seen = seen(0.0, Happened::Began);
        assert!(matches!(plan.next(&seen), Move::Hold { .. }));
        seen.happened = Happened::Released { held: false };
        seen.age_known = true;
        seen.abilities.hold = Ability::No;
        assert!(matches!(plan.next(&seen), Move::Pause { .. }));
    }

    #[test]
    fn a_wait_that_stepped_down_is_learned_from_once() {
        let history = History::new();
        let start = Start::new(1).history(&history).job("job_1");
        let begin = Begin::new(Arc::new(Learned::new("kind")), start);
        let mut plan = Auto::new().begin(&begin);
        let mut seen = seen(0.0, Happened::Began);
        plan.next(&seen);
        seen.abilities.hold = Ability::No;
        plan.next(&seen);
        assert_eq!(history.jobs("kind"), 0);
        let second = Duration::from_secs(1);
        plan.finish(&Ended::between(9 * second, 10 * second));
        assert_eq!(history.jobs("kind"), 1);
    }
}
