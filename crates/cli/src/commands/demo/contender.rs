//! The ways of waiting that are compared: those of five classic clients, and ours.

use std::sync::LazyLock;
use std::time::Duration;

use abide::schedule::{
    Backoff, Countdown, Ended, Fixed, History, Learned, Schedule, Start, intervals,
};
use abide::strategy::{LongPoll, Poll, Stream, Webhook};
use abide::{Inbox, JobHandle, Wait};

/// One way of waiting.
#[derive(Debug)]
pub(super) struct Contender {
    /// What it is called.
    pub(super) name: &'static str,
    /// Whether it is one of ours.
    pub(super) is_ours: bool,
    /// What sort of work its jobs are said to be.
    pub(super) kind: &'static str,
    pub(super) way: Way,
}

/// How it waits.
#[derive(Debug)]
pub(super) enum Way {
    /// Each job by itself.
    Wait(fn(&JobHandle) -> Wait),
    /// Each job by itself, and the server pushes each end into an inbox.
    Pushed(fn(&JobHandle, &Inbox) -> Wait),
    /// All jobs together.
    Set,
}

/// The shortest and the longest job. The slowest way of waiting sees the end of the longest one after 15 s.
pub(super) const SHORTEST: Duration = Duration::from_millis(3_000);
pub(super) const LONGEST: Duration = Duration::from_millis(9_200);
const SECOND: Duration = Duration::from_secs(1);
/// How many jobs the learned schedule has seen before the demonstration, where it has.
const SEEN_BEFORE: u32 = 20;

/// All of them, the classic ones first.
pub(super) fn all() -> &'static [Contender] {
    &ALL
}

static ALL: [Contender; 13] = [
    Contender {
        name: "every second",
        is_ours: false,
        kind: "demo-000-short",
        way: Way::Wait(|job| {
            let every_second = Fixed::new(SECOND).first(Duration::ZERO);
            job.wait().strategy(Poll::by(every_second))
        }),
    },
    Contender {
        name: "long poll, 5 s at a time",
        is_ours: false,
        kind: "demo-000-long",
        way: Way::Wait(|job| {
            let holds = LongPoll::new().hold(5 * SECOND).attach_late(0.0);
            job.wait().strategy(holds)
        }),
    },
    Contender {
        name: "exponential from 2 s",
        is_ours: false,
        kind: "demo-001",
        way: Way::Wait(|job| job.wait().strategy(Poll::by(doubling()))),
    },
    Contender {
        name: "exponential, and a webhook",
        is_ours: false,
        kind: "demo-001-webhook",
        way: Way::Pushed(|job, inbox| job.wait().strategy(Webhook::new(inbox).polls(doubling()))),
    },
    Contender {
        name: "after 1, 2, 4, 8, 15 s",
        is_ours: false,
        kind: "demo-002",
        way: Way::Wait(|job| {
            let pauses = intervals([0, 1, 2, 4, 8, 15, 15].map(Duration::from_secs));
            job.wait().strategy(Poll::by(pauses))
        }),
    },
    Contender {
        name: "growing by 1.5 from 1 s",
        is_ours: false,
        kind: "demo-003",
        way: Way::Wait(|job| {
            let growing = Backoff::new(SECOND).factor(1.5).max(30 * SECOND);
            job.wait().strategy(Poll::by(growing.first(Duration::ZERO)))
        }),
    },
    Contender {
        name: "webhook, countdown 4-2-1 s",
        is_ours: false,
        kind: "demo-004",
        way: Way::Pushed(|job, inbox| {
            let steps = [(1, 0), (4, 4), (3, 2), (3, 1)];
            let steps = steps.map(|(polls, pause)| (polls, Duration::from_secs(pause)));
            job.wait()
                .strategy(Webhook::new(inbox).polls(Countdown::new(steps)))
        }),
    },
    Contender {
        name: "poll, learning from nothing",
        is_ours: true,
        kind: "demo-poll-new",
        way: Way::Wait(|job| job.wait().strategy(Poll::new())),
    },
    Contender {
        name: "poll, 20 such jobs known",
        is_ours: true,
        kind: "demo-poll",
        way: Way::Wait(|job| job.wait().strategy(Poll::by(experienced()))),
    },
    Contender {
        name: "webhook, with safety polls",
        is_ours: true,
        kind: "demo-webhook",
        way: Way::Pushed(|job, inbox| {
            job.wait()
                .strategy(Webhook::new(inbox).polls(experienced()))
        }),
    },
    Contender {
        name: "stream",
        is_ours: true,
        kind: "demo-stream",
        way: Way::Wait(|job| job.wait().strategy(Stream::new())),
    },
    Contender {
        name: "set, one held request",
        is_ours: true,
        kind: "demo-set",
        way: Way::Set,
    },
    Contender {
        name: "auto",
        is_ours: true,
        kind: "demo-auto",
        way: Way::Wait(JobHandle::wait),
    },
];

/// The polls of the classic client that starts with two seconds and doubles.
fn doubling() -> Backoff {
    let doubling = Backoff::new(2 * SECOND).factor(2.0).max(30 * SECOND);
    doubling.first(Duration::ZERO)
}

/// A schedule that has waited for such jobs before, as one has in a process that has run for a while.
fn experienced() -> Learned {
    static HISTORY: LazyLock<History> = LazyLock::new(|| {
        let history = History::new();
        let schedule = Learned::new("demo").history(&history);
        for n in 0..SEEN_BEFORE {
            let share = (f64::from(n) + 0.5) / f64::from(SEEN_BEFORE);
            let length = SHORTEST + (LONGEST - SHORTEST).mul_f64(share);
            let mut cursor = schedule.begin(&Start::new(u64::from(n)));
            cursor.finish(&Ended::between(length, length).duration(Some(length)));
        }
        history
    });
    Learned::new("demo").history(&HISTORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ways_share_what_they_learn() {
        let mut kinds: Vec<_> = all().iter().map(|contender| contender.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), all().len());
    }
}
