//! Every event comes to every endpoint, every change to every follower.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::judge::{Judge, Promise, WAY_MAX, told};
use crate::world::actors::owner_of;
use crate::world::history::{Event, Moment, Way};
use crate::world::node::OWNERS;
use crate::world::plan::CLIENTS;
use crate::world::receivers::url;

/// How long before its end what a follower of the feed must have been told may have happened.
const NEWS_MAX: Duration = Duration::from_secs(2);

/// How much later than anyone else a follower of the feed may be told of a change: large ones may come before it.
pub(super) const FEED_LATE_MAX: Duration = Duration::from_secs(1);

impl Judge<'_> {
    /// The feed: each revision, one after the other, unless it says that some are missing.
    pub(super) fn feeds(&mut self) {
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

    /// The feed of each owner's own network tells a change as soon as anyone is told of it.
    pub(super) fn prompt_feeds(&mut self) {
        let mut accused = Vec::new();
        for (owner, host) in OWNERS.iter().zip(CLIENTS..) {
            let name = format!("feed {owner}");
            // The newest revision of each job that the feed has told, and those that others knew of and when.
            let mut told_by_feed: BTreeMap<&str, u64> = BTreeMap::new();
            let mut waited: BTreeMap<(&str, u64), Duration> = BTreeMap::new();
            let mut is_whole = true;
            for moment in self.moments {
                match &moment.event {
                    // What it lists after a gap isn't news.
                    Event::Gap if moment.who == name => is_whole = false,
                    Event::Shown {
                        way: Way::Feed,
                        view,
                    } if moment.who == name => {
                        told_by_feed.insert(&view.job, view.revision);
                        let since = waited.remove(&(view.job.as_str(), view.revision));
                        let since = since.unwrap_or(moment.at);
                        let is_late = moment.at > since + FEED_LATE_MAX;
                        if is_late && !self.is_troubled(host, since, moment.at) {
                            let (job, revision) = (&view.job, view.revision);
                            let late = moment.at - since;
                            let what = format!("{name} told {job} at {revision} {late:?} late");
                            accused.push((moment.at, what));
                        }
                    }
                    event => {
                        let view = event.told().filter(|view| view.owner == *owner);
                        let Some(view) = view.filter(|view| self.is_small(view)) else {
                            continue;
                        };
                        let newest = told_by_feed.get(view.job.as_str());
                        if newest.is_none_or(|newest| *newest < view.revision) {
                            let change = (view.job.as_str(), view.revision);
                            waited.entry(change).or_insert(moment.at);
                        }
                    }
                }
            }
            if is_whole {
                for (at, what) in accused.drain(..) {
                    self.accuse(Promise::Deadlines, at, what);
                }
            }
            accused.clear();
        }
    }

    pub(super) fn delivered(&mut self) {
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
                Event::AcceptedAll { jobs, .. } => {
                    for job in jobs {
                        accepted.entry(job).or_insert(moment.at);
                    }
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
                    // Its time is in what is signed.
                    let sent = moment.at.saturating_sub(WAY_MAX);
                    if !is_verified && !self.is_clock_set(sent, moment.at) {
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

    /// The end of a job comes to the webhook that it brought along, also once its record is removed.
    pub(super) fn own_webhooks(&mut self) {
        let urls = [0, 1].map(|owner| url(owner, "job"));
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut brought, mut came) = (BTreeSet::new(), BTreeSet::new());
        for moment in self.moments {
            if let Some(view) = told(moment).filter(|view| view.done) {
                ends.insert(&view.job, view.revision);
            }
            match &moment.event {
                Event::Accepted { view, .. } => {
                    let plan = self.plan.job_of(view);
                    if plan.is_some_and(|job| job.has_webhook) {
                        brought.insert(view.job.as_str());
                    }
                }
                Event::Delivered {
                    url,
                    view,
                    is_taken: true,
                    ..
                } if urls.contains(url) => {
                    came.insert((view.job.as_str(), view.revision));
                }
                _ => {}
            }
        }
        let at = self.moments.last().map_or(Duration::ZERO, |last| last.at);
        for job in brought {
            if let Some(end) = ends.get(job).filter(|end| !came.contains(&(job, **end))) {
                let what = format!("{job} ended at {end}, and its own webhook never came");
                self.accuse(Promise::Delivered, at, what);
            }
        }
    }

    /// A feed that begins at a place tells all that came after it, in the same order.
    pub(super) fn late_feeds(&mut self) {
        let late = self.moments.iter().filter_map(|moment| {
            let Event::Followed { host, after } = &moment.event else {
                return None;
            };
            let rest = self.moments.iter().skip_while(|it| it.at < moment.at);
            let told = rest.filter(|it| it.who == moment.who);
            Some((moment, *host, after.as_ref()?, told.collect::<Vec<_>>()))
        });
        let mut accused = Vec::new();
        for (begin, host, after, told) in late {
            let Some(end) = told.iter().find(|it| matches!(it.event, Event::Unfollowed)) else {
                continue;
            };
            let first = format!("feed {}", OWNERS[owner_of(host)]);
            let all = self.moments.iter().filter(|it| it.who == first);
            let all: Vec<&Moment> = all.collect();
            let mut gaps = all.iter().chain(&told);
            if self.plan.is_lossy
                || self.is_troubled(host, begin.at, end.at)
                || gaps.any(|it| matches!(it.event, Event::Gap))
            {
                continue;
            }
            let all = all.iter().filter_map(|it| Some((it.at, change(it)?)));
            let due = all.skip_while(|(_, it)| *it != (after.0.as_str(), after.1));
            let due = due.skip(1).filter(|(at, _)| *at + NEWS_MAX < end.at);
            // Of what was deleted nothing is told any more.
            let due = due.map(|(_, change)| change);
            let due: Vec<_> = due
                .filter(|(job, _)| !self.deleted.contains_key(job))
                .collect();
            let told = told.iter().filter_map(|it| change(it));
            let told: Vec<_> = told
                .filter(|(job, _)| !self.deleted.contains_key(job))
                .collect();
            if !told.starts_with(&due) {
                let what = format!("{} from {after:?} was told {told:?} of {due:?}", begin.who);
                accused.push((end.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Revisions, at, what);
        }
    }
}

/// The change that a feed told.
fn change(moment: &Moment) -> Option<(&str, u64)> {
    match &moment.event {
        Event::Shown {
            way: Way::Feed,
            view,
        } => Some((&view.job, view.revision)),
        _ => None,
    }
}
