//! What is told of a job fits together, and is what was asked for and reported.

use std::collections::BTreeMap;

use super::judge::{Judge, Promise, told};
use crate::world::history::{Event, View};

/// How far a job is that has ended well, in thousandths of a percent.
const WHOLE: u64 = 100_000;

impl Judge<'_> {
    /// The instants of a job are in order, and its progress doesn't go back while the simulator works on it.
    pub(super) fn courses(&mut self) {
        let seen = self.first_told();
        let mut accused = Vec::new();
        let mut before: Option<&View> = None;
        for (at, view) in seen.into_values() {
            let last = before.replace(view).filter(|last| last.job == view.job);
            let is_simulated = self
                .plan
                .job_of(view)
                .is_some_and(|job| job.length.is_some());
            let is_next = last.is_none_or(|last| {
                last.updated_ms <= view.updated_ms
                    && last.created_ms == view.created_ms
                    && (!is_simulated || last.milli_percent <= view.milli_percent)
            });
            let is_within = |ms: &i64| (view.created_ms..=view.updated_ms).contains(ms);
            let is_ended_then = match view.finished_ms {
                Some(finished) => view.done && finished == view.updated_ms,
                None => !view.done,
            };
            let is_begun_then = match (view.is_pending, view.done) {
                (true, _) => view.started_ms.is_none(),
                (false, false) => view.started_ms.is_some(),
                (false, true) => true,
            };
            let is_fine = is_next
                && is_within(&view.created_ms)
                && view.started_ms.as_ref().is_none_or(is_within)
                && is_ended_then
                && is_begun_then
                && (view.revision > 1 || view.is_pending && view.updated_ms == view.created_ms)
                && view.milli_percent <= WHOLE;
            if !is_fine {
                accused.push((at, format!("{view:?} doesn't fit, after {last:?}")));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Fits, at, what);
        }
    }

    /// A job is shown with the input that its create had.
    pub(super) fn inputs(&mut self) {
        let mut accused = Vec::new();
        for moment in self.moments {
            let Some((view, shown)) = told(moment).and_then(|it| Some((it, it.input_bytes?)))
            else {
                continue;
            };
            let Some(job) = self.plan.job_of(view) else {
                continue;
            };
            // It is a text between quotes.
            if self.plan.part_of(view).is_none() && shown != job.input_bytes + 2 {
                let (id, who, bytes) = (&view.job, &moment.who, job.input_bytes);
                let what = format!("{id} has an input of {shown} bytes for {who}, not {bytes}");
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Fits, at, what);
        }
    }

    /// The result of a claimed job is the last worker's.
    pub(super) fn results(&mut self) {
        // The leases of each job, by the revision that each claim made.
        let mut leases: BTreeMap<&str, BTreeMap<u64, &str>> = BTreeMap::new();
        for moment in self.moments {
            if let Event::Claimed { token, view, .. } = &moment.event {
                let leases = leases.entry(&view.job).or_default();
                leases.insert(view.revision, token);
            }
        }
        let mut accused = Vec::new();
        for moment in self.moments {
            let Some((view, by)) = told(moment).and_then(|it| Some((it, it.by.as_deref()?))) else {
                continue;
            };
            let own = leases.get(view.job.as_str());
            let last = own.and_then(|own| own.range(..view.revision).next_back());
            if last.is_none_or(|(_, last)| *last != by) {
                let what = format!("{} has the result of {by} after {own:?}", view.job);
                accused.push((moment.at, what));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Fits, at, what);
        }
    }
}
