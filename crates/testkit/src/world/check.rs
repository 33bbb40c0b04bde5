//! The promises, and whether a history keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::actors::owner_of;
use super::history::{End, Event, Moment, View, Way};
use super::node::{INFLIGHT_BYTES_MAX, OWNERS, STORED_BYTES_MAX};
use super::plan::{Act, Breakage, Plan};

/// How late something may be.
const LATE_MAX: Duration = Duration::from_millis(100);
/// How much longer news may take over a network on which nothing is broken: a request, its answer and a sync.
const WAY_MAX: Duration = Duration::from_millis(100);
/// Jobs with larger inputs take their time on the way, and nothing is said of how late news of them is.
const SMALL_BYTES_MAX: usize = 2_000;
/// What the server adds to records by itself, deliveries and their attempts, which it refuses to nobody.
const ADDED_BYTES_MAX: usize = STORED_BYTES_MAX / 10;
/// How long a stop takes at most: connections drain, then the journal closes, then exchanges with receivers end.
const STOP_MAX: Duration = Duration::from_millis(2 * 2_000 + 5_000 + 1_000);
/// How old a job may look that was just made, by the clock of the server's machine: its clock follows once a second.
const AGO_MS_MAX: i64 = 2_000;
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
        violations: Vec::new(),
    };
    judge.kept();
    judge.frozen();
    judge.revisions();
    judge.feeds();
    judge.delivered();
    judge.waits();
    judge.lengths();
    judge.clocks();
    judge.idempotency();
    judge.isolation();
    judge.limits();
    judge.rest();
    judge.violations
}

struct Judge<'a> {
    plan: &'a Plan,
    moments: &'a [Moment],
    violations: Vec<Violation>,
}

/// The job that someone was told of, if a moment is of that.
const fn told(moment: &Moment) -> Option<&View> {
    moment.event.told()
}

impl Judge<'_> {
    fn accuse(&mut self, promise: Promise, at: Duration, what: String) {
        self.violations.push(Violation { promise, at, what });
    }

    fn kept(&mut self) {
        let mut known: BTreeMap<&str, u64> = BTreeMap::new();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for moment in self.moments {
            if let Some(view) = told(moment) {
                owners.insert(&view.job, &view.owner);
                let revision = known.entry(&view.job).or_default();
                *revision = view.revision.max(*revision);
            }
            if let Event::Missing { job, host } = &moment.event
                && owners.get(job.as_str()) == Some(&OWNERS[owner_of(*host)])
            {
                let what = format!("{job} wasn't found by its owner");
                self.accuse(Promise::Kept, moment.at, what);
            }
            let Event::Audited { job, view } = &moment.event else {
                continue;
            };
            let least = known.get(job.as_str()).copied().unwrap_or_default();
            let found = view.as_ref().map(|view| view.revision);
            if found.is_none_or(|found| found < least) {
                let what = format!("{job} was told at revision {least} and is at {found:?}");
                self.accuse(Promise::Kept, moment.at, what);
            }
        }
    }

    fn frozen(&mut self) {
        let mut contents: BTreeMap<(&str, u64), (u64, &str)> = BTreeMap::new();
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for moment in self.moments {
            let audited = match &moment.event {
                Event::Audited { view, .. } => view.as_ref(),
                _ => None,
            };
            let Some(view) = told(moment).or(audited) else {
                continue;
            };
            let place = (view.job.as_str(), view.revision);
            let (digest, first) = *contents.entry(place).or_insert((view.digest, &moment.who));
            if digest != view.digest {
                let (job, revision) = place;
                let what = format!(
                    "{job} revision {revision} is another for {} than for {first}",
                    moment.who
                );
                self.accuse(Promise::Frozen, moment.at, what);
            }
            if view.done {
                ends.entry(&view.job).or_insert(view.revision);
            }
        }
        for ((job, revision), (_, who)) in contents {
            if let Some(end) = ends.get(job).filter(|end| **end < revision) {
                let what = format!("{job} ended at {end} and is at {revision} for {who}");
                self.accuse(Promise::Frozen, Duration::ZERO, what);
            }
        }
    }

    /// What a watch, a wait or held reads show: newer each time.
    fn revisions(&mut self) {
        let mut seen: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for moment in self.moments {
            let Event::Shown { way, view } = &moment.event else {
                continue;
            };
            if !matches!(way, Way::Wait | Way::Hold) {
                continue;
            }
            let before = seen.insert((&moment.who, &view.job), view.revision);
            // A held read may end without news.
            let is_fine = before.is_none_or(|before| {
                view.revision > before || *way == Way::Hold && view.revision == before
            });
            if !is_fine {
                let (who, job, revision) = (&moment.who, &view.job, view.revision);
                let what = format!("{who} saw {job} at {revision} after {before:?}");
                self.accuse(Promise::Revisions, moment.at, what);
            }
        }
    }

    /// The feed: each revision, one after the other, unless it says that some are missing.
    fn feeds(&mut self) {
        let mut seen: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for moment in self.moments {
            match &moment.event {
                Event::Gap => seen.retain(|(who, _), _| *who != moment.who),
                Event::Shown {
                    way: Way::Feed,
                    view,
                } => {
                    let before = seen.insert((&moment.who, &view.job), view.revision);
                    if before.is_some_and(|before| before + 1 != view.revision) {
                        let (job, revision) = (&view.job, view.revision);
                        let what = format!("the feed told {job} at {revision} after {before:?}");
                        self.accuse(Promise::Revisions, moment.at, what);
                    }
                }
                _ => {}
            }
        }
    }

    fn delivered(&mut self) {
        let mut ends: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
        let mut came: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
        let mut ids: BTreeMap<(&str, &str), (&str, u64)> = BTreeMap::new();
        let mut subscribed: Vec<(&str, &str, bool, Duration)> = Vec::new();
        let mut accepted: BTreeMap<&str, Duration> = BTreeMap::new();
        for moment in self.moments {
            match &moment.event {
                Event::Accepted { view, .. } => {
                    accepted.entry(&view.job).or_insert(moment.at);
                }
                Event::Subscribed {
                    url,
                    owner,
                    is_ordered,
                } => subscribed.push((url, owner, *is_ordered, moment.at)),
                Event::Audited {
                    view: Some(view), ..
                } => {
                    ends.insert(&view.job, (&view.owner, view.revision));
                }
                Event::Delivered {
                    url,
                    id,
                    view,
                    is_verified,
                    is_taken,
                } => {
                    if !is_verified {
                        let what = format!("{id} has a signature that isn't good");
                        self.accuse(Promise::Delivered, moment.at, what);
                    }
                    let of = (view.job.as_str(), view.revision);
                    if *ids.entry((url, id)).or_insert(of) != of {
                        let what = format!("{id} is of two events");
                        self.accuse(Promise::Delivered, moment.at, what);
                    }
                    let came = came.entry((url, &view.job)).or_default();
                    let is_ordered = subscribed.iter().any(|it| it.0 == url && it.2);
                    let next = came.last().map_or(1, |last| last + 1);
                    if is_ordered && !came.is_empty() && view.revision > next {
                        let (job, revision) = (&view.job, view.revision);
                        let what = format!("{job} came at {revision} where {next} was next");
                        self.accuse(Promise::Delivered, moment.at, what);
                    }
                    if *is_taken {
                        came.insert(view.revision);
                    }
                }
                _ => {}
            }
        }
        let end = self.moments.last().map_or(Duration::ZERO, |last| last.at);
        for (url, owner, _, since) in subscribed {
            for (job, (of, last)) in &ends {
                let is_after = accepted.get(job).is_some_and(|at| *at > since);
                if *of != owner || !is_after {
                    continue;
                }
                let came = came.get(&(url, *job));
                let missing = (1..=*last).find(|it| came.is_none_or(|came| !came.contains(it)));
                if let Some(missing) = missing {
                    let what = format!("{job} revision {missing} of {last} never came to {url}");
                    self.accuse(Promise::Delivered, end, what);
                }
            }
        }
    }

    /// Whether something was broken for that host in that time, or shortly before.
    fn is_troubled(&self, host: u64, from: Duration, to: Duration) -> bool {
        let from = from.saturating_sub(SETTLES);
        let mut down_since = None;
        for moment in self.moments {
            let (of, until) = match &moment.event {
                Event::Broke { host, until, .. } => (*host, *until),
                Event::Down(_) => {
                    down_since = Some(moment.at);
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

    fn waits(&mut self) {
        let accused = self
            .moments
            .iter()
            .filter_map(|moment| self.late(moment).map(|what| (moment.at, what)))
            .collect::<Vec<_>>();
        for (at, what) in accused {
            self.accuse(Promise::Deadlines, at, what);
        }
    }

    /// How a wait or a held read was late, if it was.
    fn late(&self, moment: &Moment) -> Option<String> {
        let Event::Over {
            job,
            how,
            host,
            began,
            deadline,
            after,
            end,
            ..
        } = &moment.event
        else {
            return None;
        };
        let took = moment.at - *began;
        let is_troubled = self.plan.is_lossy || self.is_troubled(*host, *began, moment.at);
        // A wait's deadline holds whatever breaks, a hold's only where its answer comes through.
        if let Some(deadline) = deadline
            && (*how != "hold" || !is_troubled)
            && took > *deadline + LATE_MAX
        {
            return Some(format!(
                "{how} for {job} took {took:?} of {deadline:?}: {end:?}"
            ));
        }
        if is_troubled || matches!(*how, "poll" | "webhook") || *end == End::StillRunning {
            return None;
        }
        if *end != End::Finished {
            return Some(format!(
                "{how} for {job} is {end:?}, and nothing was broken"
            ));
        }
        // Whoever was told first shows when it was known.
        let is_it = |view: &View| {
            view.job == *job && after.map_or(view.done, |after| view.revision > after)
        };
        let first = self
            .moments
            .iter()
            .find(|moment| told(moment).is_some_and(is_it))?;
        let key = told(first)?.key.strip_prefix("key-")?.parse().ok()?;
        if self.plan.job(key).input_bytes > SMALL_BYTES_MAX {
            return None;
        }
        let late = moment.at.saturating_sub(first.at.max(*began));
        (late > LATE_MAX + WAY_MAX).then(|| {
            let who = &first.who;
            format!("{how} for {job} was told {late:?} after {who}")
        })
    }

    /// A simulated job takes as long as it was to take.
    fn lengths(&mut self) {
        let mut breaks = self.plan.steps.iter();
        // What a clock that was set makes of a length says nothing, and a disk that can't be written has all wait.
        if breaks.any(|step| {
            matches!(
                step.act,
                Act::Break(
                    Breakage::Clock { .. }
                        | Breakage::DiskFull { .. }
                        | Breakage::DiskBroken { .. }
                )
            )
        }) {
            return;
        }
        let mut seen = BTreeSet::new();
        for moment in self.moments {
            let Some(view) = told(moment).filter(|view| view.is_completed) else {
                continue;
            };
            let key = view
                .key
                .strip_prefix("key-")
                .and_then(|key| key.parse().ok());
            let length = key.and_then(|key: u64| self.plan.job(key).length);
            let (Some(length), Some(took)) = (length, view.took) else {
                continue;
            };
            let off = took.abs_diff(length);
            if seen.insert(&view.job) && off > LATE_MAX {
                let what = format!("{} took {took:?} and not {length:?}", view.job);
                self.accuse(Promise::Deadlines, moment.at, what);
            }
        }
    }

    /// The server's clock goes with that of its machine, but for where that goes back.
    fn clocks(&mut self) {
        let is_set =
            self.plan.steps.iter().any(
                |step| matches!(&step.act, Act::Break(Breakage::Clock { by_ms }) if *by_ms < 0),
            );
        for moment in self.moments {
            let Event::Accepted {
                view,
                ago_ms,
                is_replayed: false,
                ..
            } = &moment.event
            else {
                continue;
            };
            // A create that was sent again may have been made long before it was answered.
            let is_old = self.plan.is_lossy || self.is_troubled(0, moment.at, moment.at);
            let is_troubled = is_old || self.is_troubled(1, moment.at, moment.at);
            if *ago_ms > AGO_MS_MAX && !is_troubled && !is_set {
                let what = format!("{} was made {ago_ms} ms ago by its clock", view.job);
                self.accuse(Promise::Deadlines, moment.at, what);
            }
        }
    }

    fn idempotency(&mut self) {
        let mut jobs: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for moment in self.moments {
            if let Some(view) = told(moment) {
                let made = jobs.entry((&view.owner, &view.key)).or_default();
                made.insert(&view.job);
            }
        }
        for ((owner, key), made) in jobs {
            if made.len() > 1 {
                let what = format!("{key} of {owner} made {made:?}");
                self.accuse(Promise::Idempotency, Duration::ZERO, what);
            }
        }
    }

    fn isolation(&mut self) {
        for moment in self.moments {
            let viewer = match moment.who.split_once(' ') {
                Some(("feed" | "audit", owner)) => Some(owner),
                Some(("client", "2")) | Some(("receiver", "1")) => Some("bob"),
                Some(("client" | "receiver", _)) => Some("alice"),
                _ => None,
            };
            let of = told(moment).map(|view| view.owner.as_str());
            if let (Some(viewer), Some(of)) = (viewer, of)
                && viewer != of
            {
                let what = format!("{} saw a job of {of}", moment.who);
                self.accuse(Promise::Isolation, moment.at, what);
            }
            if let Event::Trespassed { status } = moment.event
                && !matches!(status, 404 | 503)
            {
                let what = format!("another owner's read was answered by {status}");
                self.accuse(Promise::Isolation, moment.at, what);
            }
        }
    }

    fn limits(&mut self) {
        let mut stored = BTreeMap::new();
        for moment in self.moments {
            match &moment.event {
                Event::Accepted { view, bytes, .. } => {
                    stored.insert(&view.job, *bytes);
                    let sum: usize = stored.values().sum();
                    if sum > STORED_BYTES_MAX {
                        let what = format!("{sum} bytes of inputs were taken");
                        self.accuse(Promise::Limits, moment.at, what);
                    }
                }
                Event::Sampled { stored, inflight } => {
                    let stored_max = STORED_BYTES_MAX + ADDED_BYTES_MAX;
                    if *stored > stored_max || *inflight > INFLIGHT_BYTES_MAX {
                        let what = format!("{stored} bytes stored, {inflight} in flight");
                        self.accuse(Promise::Limits, moment.at, what);
                    }
                }
                _ => {}
            }
        }
    }

    fn rest(&mut self) {
        let rested = self.moments.iter().rev().find_map(|it| match it.event {
            Event::Rested { open, running } => Some((open, running)),
            _ => None,
        });
        let end = self.moments.last().map_or(Duration::ZERO, |last| last.at);
        match rested {
            Some((0, 0)) => {}
            Some((open, running)) => {
                let what = format!("{open} deliveries are open and {running} jobs run at the end");
                self.accuse(Promise::Rest, end, what);
            }
            None => self.accuse(Promise::Rest, end, "it never came to rest".to_owned()),
        }
        for moment in self.moments {
            if let Event::Stopped { took } = &moment.event
                && *took > STOP_MAX
            {
                self.accuse(Promise::Rest, moment.at, format!("a stop took {took:?}"));
            }
            if let Event::Down(why) = &moment.event {
                let is_fine = why == "stopped: Ok(())" || why.starts_with("crashed");
                let is_broken = self.plan.steps.iter().any(|step| {
                    matches!(
                        step.act,
                        Act::Break(Breakage::DiskBroken { .. } | Breakage::DiskFull { .. })
                    )
                });
                if !is_fine && !is_broken {
                    self.accuse(Promise::Rest, moment.at, why.clone());
                }
            }
        }
    }
}
