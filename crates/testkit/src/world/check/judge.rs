//! Who accuses, and what of.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::world::history::{Event, Moment, STOP, View};
use crate::world::plan::Plan;

/// How late something may be.
pub(super) const LATE_MAX: Duration = Duration::from_millis(100);
/// How much longer news may take over a network on which nothing is broken: a request, its answer and a sync.
pub(super) const WAY_MAX: Duration = Duration::from_millis(100);
/// After a breakage clients take this long until they are on time again.
const SETTLES: Duration = Duration::from_secs(15);

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// No acknowledged job is lost, and nothing that anyone was told is taken back.
    Kept,
    /// A revision has one content, and an ended job never changes.
    Frozen,
    /// On every channel revisions come once and in order.
    Revisions,
    /// Every event comes to every enabled endpoint.
    Delivered,
    /// Deadlines are kept, and news comes at once.
    Deadlines,
    /// One key makes one job.
    Idempotency,
    /// No owner sees another's job.
    Isolation,
    /// Limits in bytes hold.
    Limits,
    /// One worker at a time has a job, the oldest that waits, and none waits beside one.
    Leases,
    /// What is told of a job fits together, and is what was asked for and reported.
    Fits,
    /// A list has all jobs, and what is deleted is gone.
    Lists,
    /// Odd requests are answered as each is to be, and slow ones don't last.
    Odd,
    /// The world comes to rest, and the server stops in order.
    Rest,
}

/// A promise that wasn't kept.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// When.
    pub at: Duration,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (promise, at) = (self.promise, self.at.as_secs_f64());
        write!(f, "{promise:?} at {at:.4}: {}", self.what)
    }
}

/// What wasn't kept, in the history of that plan.
#[must_use]
pub fn check(plan: &Plan, moments: &[Moment]) -> Vec<Violation> {
    let mut judge = Judge {
        plan,
        moments,
        deleted: deleted(moments),
        violations: Vec::new(),
    };
    judge.kept();
    judge.frozen();
    judge.reads();
    judge.remarks();
    judge.revisions();
    judge.feeds();
    judge.prompt_feeds();
    judge.late_feeds();
    judge.delivered();
    judge.own_webhooks();
    judge.waits();
    judge.lengths();
    judge.clocks();
    judge.order();
    judge.idempotency();
    judge.all_or_none();
    judge.isolation();
    judge.estimates();
    judge.limits();
    judge.leases();
    judge.idle_workers();
    judge.oldest_first();
    judge.courses();
    judge.inputs();
    judge.results();
    judge.lists();
    judge.gone();
    judge.odd();
    judge.rest();
    judge.violations
}

/// What judges a history.
pub(super) struct Judge<'a> {
    pub(super) plan: &'a Plan,
    pub(super) moments: &'a [Moment],
    /// Jobs that were asked to be deleted, and when that was acknowledged.
    pub(super) deleted: BTreeMap<&'a str, Option<Duration>>,
    violations: Vec<Violation>,
}

fn deleted(moments: &[Moment]) -> BTreeMap<&str, Option<Duration>> {
    let mut deleted = BTreeMap::new();
    for moment in moments {
        if let Event::Deleted { job, is_certain } = &moment.event {
            let at = deleted.entry(job.as_str()).or_insert(None);
            *at = at.or(is_certain.then_some(moment.at));
        }
    }
    deleted
}

/// The job that someone was told of, if a moment is of that.
pub(super) const fn told(moment: &Moment) -> Option<&View> {
    moment.event.told()
}

impl<'a> Judge<'a> {
    /// Each revision of each job as it was told first, and when that was.
    pub(super) fn first_told(&self) -> BTreeMap<(&'a str, u64), (Duration, &'a View)> {
        let mut seen = BTreeMap::new();
        for moment in self.moments {
            if let Some(view) = told(moment) {
                let place = (view.job.as_str(), view.revision);
                seen.entry(place).or_insert((moment.at, view));
            }
        }
        seen
    }

    pub(super) fn accuse(&mut self, promise: Promise, at: Duration, what: String) {
        self.violations.push(Violation { promise, at, what });
    }

    /// Whether the clock of the server's machine was set in that time.
    pub(super) fn is_clock_set(&self, from: Duration, to: Duration) -> bool {
        self.has_broken("Clock", from, to)
    }

    /// Whether the server was stopped in that time, or ended by itself a little later.
    pub(super) fn is_stopped(&self, from: Duration, to: Duration) -> bool {
        let ended = self.moments.iter().any(|moment| {
            matches!(&moment.event, Event::Down(why) if why.starts_with("ended"))
                && (from..=to + SETTLES).contains(&moment.at)
        });
        ended || self.has_broken(STOP, from, to)
    }

    fn has_broken(&self, begin: &str, from: Duration, to: Duration) -> bool {
        self.moments.iter().any(|moment| {
            matches!(&moment.event, Event::Broke { what, .. } if what.starts_with(begin))
                && (from..=to).contains(&moment.at)
        })
    }

    /// Whether something was broken for that host in that time, or shortly before.
    pub(super) fn is_troubled(&self, host: u64, from: Duration, to: Duration) -> bool {
        let from = from.saturating_sub(SETTLES);
        let mut down_since = None;
        for moment in self.moments {
            let (of, until) = match &moment.event {
                Event::Broke { host, until, .. } => (*host, *until),
                Event::Down(_) => {
                    down_since.get_or_insert(moment.at);
                    continue;
                }
                Event::Up => match down_since.take() {
                    Some(since) if since <= to && moment.at >= from => return true,
                    _ => continue,
                },
                _ => continue,
            };
            if of.is_none_or(|of| of == host) && moment.at <= to && until >= from {
                return true;
            }
        }
        down_since.is_some_and(|since| since <= to)
    }
}
