//! Keys, owners, limits, and that the world comes to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use abide_engine::jobs::learn::LONGER_MIN;

use super::judge::{Judge, Promise, told};
use crate::world::history::{Event, NO_START};
use crate::world::node::{INFLIGHT_BYTES_MAX, STORED_BYTES_MAX};

/// What the server adds to records by itself and never refuses: deliveries that wait may take a quarter.
const WAITING_BYTES_MAX: usize = STORED_BYTES_MAX / 4;
/// What is kept of a delivery that was taken and of its attempts: they are bounded in number.
const TAKEN_BYTES_MAX: usize = 2_048;
/// How long a stop takes at most: connections drain, then the journal closes, then exchanges with receivers end.
const STOP_MAX: Duration = Duration::from_millis(2 * 2_000 + 5_000 + 1_000);

impl Judge<'_> {
    pub(super) fn idempotency(&mut self) {
        let mut jobs: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for moment in self.moments {
            if let Some(view) = told(moment) {
                let made = jobs.entry((&view.owner, &view.key)).or_default();
                made.insert(&view.job);
            }
        }
        for moment in self.moments {
            let Event::Repeated {
                key,
                is_same,
                status,
            } = &moment.event
            else {
                continue;
            };
            if *is_same && matches!(status, 400 | 422) {
                let what = format!("{key} in another spelling was taken for another create");
                self.accuse(Promise::Idempotency, moment.at, what);
            }
            if !is_same && *status < 300 {
                let what = format!("another create under {key} was answered by {status}");
                self.accuse(Promise::Idempotency, moment.at, what);
            }
        }
        let mut accused = Vec::new();
        let mut new = BTreeSet::new();
        for moment in self.moments {
            if let Event::Accepted {
                view,
                is_replayed: false,
                ..
            } = &moment.event
                && !new.insert(&view.job)
            {
                accused.push((moment.at, format!("{} was new twice", view.job)));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Idempotency, at, what);
        }
        for ((owner, key), made) in jobs {
            if made.len() > 1 {
                let what = format!("{key} of {owner} made {made:?}");
                self.accuse(Promise::Idempotency, Duration::ZERO, what);
            }
        }
    }

    /// A create of several jobs makes all or none, and each under the same key is answered by the same ones.
    pub(super) fn all_or_none(&mut self) {
        let mut answered: BTreeMap<(&str, u64), &[String]> = BTreeMap::new();
        let mut made: BTreeMap<(&str, u64), BTreeMap<u64, &str>> = BTreeMap::new();
        let mut accused = Vec::new();
        for moment in self.moments {
            if let Event::AcceptedAll { owner, key, jobs } = &moment.event {
                let first = *answered.entry((owner, *key)).or_insert(jobs);
                let is_whole = jobs.len() as u64 == self.plan.several(*key).count;
                if first != jobs || !is_whole {
                    let what = format!("several {key} of {owner} are {jobs:?} after {first:?}");
                    accused.push((Promise::Idempotency, moment.at, what));
                }
            }
            if let Some(view) = told(moment)
                && let Some((key, part)) = self.plan.part_of(view)
            {
                let parts = made.entry((&view.owner, key)).or_default();
                parts.insert(part, &view.job);
            }
        }
        let end = self.moments.last().map_or(Duration::ZERO, |last| last.at);
        for ((owner, key), parts) in made {
            let count = self.plan.several(key).count;
            let is_deleted = parts.values().any(|job| self.deleted.contains_key(job));
            if !parts.keys().copied().eq(0..count) && !is_deleted {
                let what = format!("of several {key} of {owner} there are {parts:?} of {count}");
                accused.push((Promise::Kept, end, what));
            }
        }
        for (promise, at, what) in accused {
            self.accuse(promise, at, what);
        }
    }

    pub(super) fn isolation(&mut self) {
        for moment in self.moments {
            let viewer = match moment.who.split_once(' ') {
                Some(("feed" | "audit" | "worker", owner)) => Some(owner),
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

    /// No owner learns from another's jobs how long its own take.
    pub(super) fn estimates(&mut self) {
        let mut ended: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for view in self.moments.iter().filter_map(told) {
            if view.done {
                let own = ended.entry((&view.owner, &view.kind)).or_default();
                own.insert(&view.job);
            }
        }
        for moment in self.moments {
            let Some(view) = told(moment).filter(|view| view.is_estimated) else {
                continue;
            };
            let (owner, kind) = (view.owner.as_str(), view.kind.as_str());
            let count = ended.get(&(owner, kind)).map_or(0, BTreeSet::len);
            if count < LONGER_MIN {
                let what = format!("{owner} was told what {count} jobs can't have said of {kind}");
                self.accuse(Promise::Isolation, moment.at, what);
            }
        }
    }

    pub(super) fn limits(&mut self) {
        let mut stored = BTreeMap::new();
        let mut taken = BTreeSet::new();
        // Since when there has been no room, and nothing was asked to go.
        let mut is_full_since = None;
        for moment in self.moments {
            match &moment.event {
                Event::Delivered { url, id, .. } => {
                    taken.insert((url, id));
                }
                Event::Deleted { job, .. } => {
                    stored.remove(job);
                    is_full_since = None;
                }
                Event::Accepted {
                    view,
                    sent,
                    bytes,
                    is_replayed: false,
                    ..
                } if !self.deleted.contains_key(view.job.as_str()) => {
                    if is_full_since.is_some_and(|since| since < *sent) {
                        let what = format!("{} was taken without room", view.job);
                        self.accuse(Promise::Limits, moment.at, what);
                    }
                    stored.insert(&view.job, *bytes);
                    let sum: usize = stored.values().sum();
                    if sum > STORED_BYTES_MAX {
                        let what = format!("{sum} bytes of inputs were taken");
                        self.accuse(Promise::Limits, moment.at, what);
                    }
                }
                Event::Sampled { stored, inflight } => {
                    is_full_since =
                        (*stored > STORED_BYTES_MAX).then(|| is_full_since.unwrap_or(moment.at));
                    let added = WAITING_BYTES_MAX + taken.len() * TAKEN_BYTES_MAX;
                    let stored_max = STORED_BYTES_MAX + added;
                    if *stored > stored_max || *inflight > INFLIGHT_BYTES_MAX {
                        let what = format!("{stored} bytes stored, {inflight} in flight");
                        self.accuse(Promise::Limits, moment.at, what);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn rest(&mut self) {
        let rested = self.moments.iter().rev().find_map(|it| match it.event {
            Event::Rested { open, running } => Some((open, running)),
            _ => None,
        });
        let end = self.moments.last().map_or(Duration::ZERO, |last| last.at);
        match rested {
            Some((0, 0)) => {}
            // Workers, too, are refused without room.
            Some((0, _)) if self.is_full() => {}
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
                // A start needs no room: what is there can be read.
                let is_refused = why.starts_with(NO_START) && why.contains("no space left");
                if is_refused || !is_fine && !self.plan.has_bad_disk() {
                    self.accuse(Promise::Rest, moment.at, why.clone());
                }
            }
        }
    }

    /// Whether records ever took about all the room that they may.
    pub(super) fn is_full(&self) -> bool {
        self.moments.iter().any(|moment| {
            matches!(moment.event, Event::Sampled { stored, .. } if stored > STORED_BYTES_MAX / 5 * 4)
        })
    }
}
