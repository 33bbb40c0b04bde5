//! What was told stays.

use std::collections::BTreeMap;
use std::time::Duration;

use super::judge::{Judge, Promise, told};
use crate::world::actors::owner_of;
use crate::world::history::{Event, Way};
use crate::world::node::OWNERS;

impl Judge<'_> {
    pub(super) fn kept(&mut self) {
        let mut known: BTreeMap<&str, u64> = BTreeMap::new();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for moment in self.moments {
            if let Some(view) = told(moment) {
                owners.insert(&view.job, &view.owner);
                let revision = known.entry(&view.job).or_default();
                *revision = view.revision.max(*revision);
            }
            if let Event::AcceptedAll { owner, jobs, .. } = &moment.event {
                for job in jobs {
                    owners.insert(job, owner);
                    let revision = known.entry(job).or_default();
                    *revision = 1.max(*revision);
                }
            }
            if let Event::Missing { job, host } = &moment.event
                && !self.deleted.contains_key(job.as_str())
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
            let deleted = self.deleted.get(job.as_str()).copied();
            if found.is_some() && deleted.flatten().is_some_and(|at| at < moment.at) {
                let what = format!("{job} was deleted and is back");
                self.accuse(Promise::Kept, moment.at, what);
            }
            let is_lost = found.is_none() && deleted.is_none();
            if is_lost || found.is_some_and(|found| found < least) {
                let what = format!("{job} was told at revision {least} and is at {found:?}");
                self.accuse(Promise::Kept, moment.at, what);
            }
        }
    }

    pub(super) fn frozen(&mut self) {
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

    /// A read shows at least what anyone had been told of before it was sent.
    pub(super) fn reads(&mut self) {
        let mut accused = Vec::new();
        for moment in self.moments {
            let Event::Read {
                job,
                sent,
                revision,
            } = &moment.event
            else {
                continue;
            };
            let before = self.moments.iter().take_while(|it| it.at < *sent);
            let before = before.filter_map(told).filter(|view| view.job == *job);
            let known = before.map(|view| view.revision).max().unwrap_or(0);
            if *revision < known {
                let what = format!("{job} was read at {revision}, and {known} had been told");
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Revisions, at, what);
        }
    }

    /// A report on a job that has ended, or that has changed since, is refused.
    pub(super) fn remarks(&mut self) {
        let mut ended: BTreeMap<&str, Duration> = BTreeMap::new();
        let mut changed: BTreeMap<(&str, u64), Duration> = BTreeMap::new();
        let mut accused = Vec::new();
        for moment in self.moments {
            if let Some(view) = told(moment).filter(|view| view.done) {
                ended.entry(&view.job).or_insert(moment.at);
            }
            if let Some(view) = told(moment) {
                changed
                    .entry((&view.job, view.revision))
                    .or_insert(moment.at);
            }
            let Event::Remarked {
                job,
                sent,
                revision,
                status: Some(status @ ..300),
            } = &moment.event
            else {
                continue;
            };
            if ended.get(job.as_str()).is_some_and(|at| at < sent) {
                let what = format!("{job} had ended, and a report was answered by {status}");
                accused.push((moment.at, what));
            }
            let mut later = changed.range((job.as_str(), revision + 1)..=(job.as_str(), u64::MAX));
            if *revision > 0 && later.any(|(_, at)| at < sent) {
                let what = format!("{job} was past {revision}, and a report on it was heard");
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Frozen, at, what);
        }
    }

    /// What a watch, a wait or held reads show: newer each time.
    pub(super) fn revisions(&mut self) {
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
}
