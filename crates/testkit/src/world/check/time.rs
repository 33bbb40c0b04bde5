//! Deadlines, lengths, clocks.

use std::collections::BTreeSet;
use std::time::Duration;

use abide_wire::Code;

use super::judge::{Judge, LATE_MAX, Promise, WAY_MAX, told};
use crate::world::history::{End, Event, Moment, View};

/// Jobs with larger inputs take their time on the way, and nothing is said of how late news of them is.
const SMALL_BYTES_MAX: usize = 2_000;
/// How old a job may look that is yet to be made, by the clock of the server's machine: its clock follows from a
/// quarter of a second on.
const AGO_MS_MAX: i64 = 300;
/// How long the server's clock takes to follow that of its machine: it looks once a second.
const FOLLOWS: Duration = Duration::from_millis(1_100);

impl Judge<'_> {
    pub(super) fn waits(&mut self) {
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
        let is_hold = *how == "hold";
        // A hold is bounded by the machine's time, whatever the server's clock does; a stop alone ends it early.
        if let Some(deadline) = deadline
            && is_hold
            && *end == End::StillRunning
            && took + LATE_MAX < *deadline
            && !self.is_stopped(*began, moment.at)
        {
            return Some(format!("{how} for {job} ended after {took:?}"));
        }
        // A wait's deadline holds whatever breaks, a hold's only where its answer comes through, and that is spread.
        if let Some(deadline) = deadline
            && (!is_hold || !is_troubled)
            && took > *deadline + *deadline / 16 * u32::from(is_hold) + LATE_MAX
        {
            return Some(format!(
                "{how} for {job} took {took:?} of {deadline:?}: {end:?}"
            ));
        }
        let is_gone = self.deleted.contains_key(job.as_str());
        if is_troubled || is_gone || matches!(*how, "poll" | "webhook") || *end == End::StillRunning
        {
            return None;
        }
        if *end != End::Finished {
            return Some(format!(
                "{how} for {job} is {end:?}, and nothing was broken"
            ));
        }
        // The first client to be told shows when it was known.
        let is_it = |view: &View| {
            view.job == *job && after.map_or(view.done, |after| view.revision > after)
        };
        let first = self
            .moments
            .iter()
            .find(|moment| told(moment).is_some_and(is_it))?;
        if !self.is_small(told(first)?) {
            return None;
        }
        let late = moment.at.saturating_sub(first.at.max(*began));
        (late > LATE_MAX + WAY_MAX).then(|| {
            let who = &first.who;
            format!("{how} for {job} was told {late:?} after {who}")
        })
    }

    /// Whether news of that job is short, so that it may be expected at once.
    pub(super) fn is_small(&self, view: &View) -> bool {
        let job = self.plan.job_of(view);
        job.is_some_and(|job| job.input_bytes <= SMALL_BYTES_MAX)
    }

    /// A job ends when it was to end: a simulated one after its length, any by its deadline.
    pub(super) fn lengths(&mut self) {
        // What a clock that was set makes of a length says nothing, and a disk that can't be written has all wait.
        if self.plan.has_bad_disk() || self.plan.clock_steps().next().is_some() {
            return;
        }
        let mut seen = BTreeSet::new();
        for moment in self.moments {
            let Some((view, took)) = told(moment).and_then(|view| Some((view, view.took?))) else {
                continue;
            };
            let Some(job) = self.plan.job_of(view).filter(|_| seen.insert(&view.job)) else {
                continue;
            };
            let is_late = view.code.as_deref() == Some(Code::DEADLINE_EXCEEDED.as_str());
            let due = match (view.is_completed, is_late) {
                (true, _) => job.length,
                (_, true) => job.deadline,
                _ => None,
            };
            if due.is_some_and(|due| took.abs_diff(due) > LATE_MAX) {
                let what = format!("{} took {took:?} and not {due:?}", view.job);
                self.accuse(Promise::Deadlines, moment.at, what);
            }
            if is_late && job.deadline.is_none()
                || job.deadline.is_some_and(|it| took > it + LATE_MAX)
            {
                let what = format!("{} took {took:?} of {:?}", view.job, job.deadline);
                self.accuse(Promise::Deadlines, moment.at, what);
            }
        }
    }

    /// The server's clock never goes back, whatever is done to that of its machine and over every restart.
    pub(super) fn order(&mut self) {
        // The latest instant that anyone had been told of, by when they were.
        let (mut latest, mut told_at) = (i64::MIN, Vec::new());
        let mut accused = Vec::new();
        for moment in self.moments {
            if let Event::Accepted {
                view,
                sent,
                is_replayed: false,
                ..
            } = &moment.event
            {
                let before = told_at.iter().rev().find(|(at, _)| at < sent);
                let before = before.map_or(i64::MIN, |(_, latest)| *latest);
                if view.created_ms < before {
                    let what = format!(
                        "{} was made {} ms before what had been told of",
                        view.job,
                        before - view.created_ms
                    );
                    accused.push((moment.at, what));
                }
            }
            if let Some(view) = told(moment) {
                latest = latest.max(view.updated_ms);
                told_at.push((moment.at, latest));
            }
        }
        for (at, what) in accused {
            self.accuse(Promise::Deadlines, at, what);
        }
    }

    /// The server's clock goes with that of its machine, but for where that goes back.
    pub(super) fn clocks(&mut self) {
        for moment in self.moments {
            let Event::Accepted {
                view,
                sent,
                ago_ms,
                is_replayed: false,
                ..
            } = &moment.event
            else {
                continue;
            };
            let since = sent.saturating_sub(FOLLOWS);
            if *ago_ms > AGO_MS_MAX && !self.is_clock_set(since, moment.at) {
                let what = format!("{} was made {ago_ms} ms ago by its clock", view.job);
                self.accuse(Promise::Deadlines, moment.at, what);
            }
        }
    }
}
