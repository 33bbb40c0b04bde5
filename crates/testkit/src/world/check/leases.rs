//! One worker at a time has a job, the oldest that waits, and none waits beside a worker.

use std::collections::BTreeMap;
use std::time::Duration;

use super::judge::{Judge, LATE_MAX, Promise, WAY_MAX, told};
use super::news::FEED_LATE_MAX;
use crate::world::history::Event;
use crate::world::plan::CLIENTS;

/// A lease, as its worker knows it.
struct Known<'a> {
    token: &'a str,
    /// The revision that the claim made.
    revision: u64,
    length: Duration,
    /// When the worker had the answer.
    since: Duration,
    /// When its claim or its last report that was taken was sent.
    renewed: Duration,
}

impl Judge<'_> {
    pub(super) fn leases(&mut self) {
        let is_clock_set = self.plan.clock_steps().next().is_some();
        let mut known: BTreeMap<&str, Vec<Known<'_>>> = BTreeMap::new();
        let mut accused = Vec::new();
        let mut down_since = None;
        for moment in self.moments {
            match &moment.event {
                Event::Down(_) => {
                    down_since.get_or_insert(moment.at);
                }
                // No worker could renew a lease while the server was down: each lease begins again at the start.
                Event::Up => {
                    if let Some(since) = down_since.take() {
                        let newest = known.values_mut().filter_map(|leases| leases.last_mut());
                        for lease in newest.filter(|it| it.renewed + it.length > since) {
                            lease.renewed = moment.at;
                        }
                    }
                }
                Event::Claimed {
                    sent,
                    token,
                    lease,
                    view,
                } => {
                    let leases = known.entry(&view.job).or_default();
                    let (job, at) = (&view.job, moment.at);
                    if leases.iter().any(|it| it.token == token) || token.is_empty() {
                        accused.push((at, format!("{job} was claimed twice as {token:?}")));
                    }
                    // An answer that was held up tells of a lease that others had after it.
                    let place = leases.partition_point(|it| it.revision < view.revision);
                    let is_newest = place == leases.len();
                    if let Some(last) = leases.last().filter(|_| is_newest && !is_clock_set)
                        && at + LATE_MAX < last.renewed + last.length
                    {
                        let (before, length) = (last.token, last.length);
                        let what = format!("{job} was claimed within {length:?} of {before}");
                        accused.push((at, what));
                    }
                    let known = Known {
                        token,
                        revision: view.revision,
                        length: *lease,
                        since: at,
                        renewed: *sent,
                    };
                    leases.insert(place, known);
                    let attempts_max = self.plan.job_of(view).and_then(|job| job.attempts_max);
                    if attempts_max.is_none_or(|max| leases.len() > max as usize) {
                        let count = leases.len();
                        let what = format!("{job} was claimed {count} times of {attempts_max:?}");
                        accused.push((at, what));
                    }
                }
                Event::Reported {
                    job,
                    sent,
                    token,
                    status: 200,
                } => {
                    let leases = known.entry(job).or_default();
                    let place = leases.iter().position(|it| it.token == token);
                    let later = place.and_then(|place| leases.get(place + 1));
                    if later.is_some_and(|later| later.since < *sent) {
                        let what = format!("{job} was another worker's, and {token} was heard");
                        accused.push((moment.at, what));
                    }
                    if let Some(lease) = place.and_then(|place| leases.get_mut(place)) {
                        lease.renewed = lease.renewed.max(*sent);
                    }
                }
                _ => {}
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Leases, at, what);
        }
    }

    /// A worker gets the oldest job that waits, by the server's clock.
    pub(super) fn oldest_first(&mut self) {
        let seen = self.first_told();
        let mut accused = Vec::new();
        for moment in self.moments {
            let Event::Claimed { sent, view, .. } = &moment.event else {
                continue;
            };
            let older = seen.iter().find(|((job, revision), (told_at, other))| {
                let is_older = other.owner == view.owner && *job < view.job.as_str();
                if !is_older || !other.is_pending || told_at >= sent || other.kind != view.kind {
                    return false;
                }
                let later = (*job, revision + 1)..=(*job, u64::MAX);
                // It was pending until its next revision, which may not have been told.
                !self.deleted.contains_key(job)
                    && seen.range(later).next().is_none_or(|((_, next), (_, it))| {
                        *next == revision + 1 && it.updated_ms > view.updated_ms
                    })
            });
            if let Some(((older, _), _)) = older {
                let what = format!("{} was claimed beside the older {older}", view.job);
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Leases, at, what);
        }
    }

    /// A worker that is told that there is no job has missed none.
    pub(super) fn idle_workers(&mut self) {
        let mut accused = Vec::new();
        for moment in self.moments {
            let Event::Idle { sent, wait, host } = moment.event else {
                continue;
            };
            if moment.at + LATE_MAX < sent + wait && !self.is_stopped(sent, moment.at) {
                let (who, waited) = (&moment.who, moment.at - sent);
                let what =
                    format!("{who} was told that there is no job after {waited:?} of {wait:?}");
                accused.push((moment.at, what));
            }
            let owner = moment.who.split_once(' ').map_or("", |(_, owner)| owner);
            let feed = CLIENTS + u64::from(owner == "bob");
            let is_troubled = |host| self.is_troubled(host, sent, moment.at);
            if self.plan.is_lossy || is_troubled(host) || is_troubled(feed) || self.is_full() {
                continue;
            }
            let news = LATE_MAX + WAY_MAX;
            // What is known of each job that workers may claim: its newest revision, and since when it is pending.
            let mut jobs: BTreeMap<&str, (u64, Option<Duration>)> = BTreeMap::new();
            // A feed may tell late that another worker has it.
            let until = moment.at + FEED_LATE_MAX;
            for other in self.moments.iter().take_while(|it| it.at <= until) {
                let Some(view) = told(other).filter(|view| view.owner == owner) else {
                    continue;
                };
                let job = self.plan.job_of(view);
                let newest = jobs
                    .get(view.job.as_str())
                    .map_or(0, |(revision, _)| *revision);
                if view.revision > newest && job.is_some_and(|job| job.attempts_max.is_some()) {
                    let since = view.is_pending.then_some(other.at);
                    jobs.insert(&view.job, (view.revision, since));
                }
            }
            // One that comes while a worker waits wakes it.
            let is_open =
                |since: &Option<Duration>| since.is_some_and(|since| since + news < moment.at);
            let open = jobs.iter().filter(|(_, (_, since))| is_open(since));
            let open: Vec<_> = open.map(|(job, _)| *job).collect();
            if !open.is_empty() {
                let what = format!(
                    "{} was told that there is no job beside {open:?}",
                    moment.who
                );
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Leases, at, what);
        }
    }
}
