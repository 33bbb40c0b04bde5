//! Who is joined, what is on its way, and who is told what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::AbortHandle;
use tokio::sync::oneshot;

use abide_wire::{Job, JobId, Revision, Until};

use super::bucket::Bucket;
use super::flight::Brought;
use crate::answer::Answer;
use crate::budget::Cost;
use crate::exchange::Failure;
use crate::retry::turnaround;
use crate::rt::{Instant, after};

/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct State {
    /// How many requests single waits hold, how many of them ask, and how many listen.
    pub(super) holding: usize,
    pub(super) asking: usize,
    pub(super) listening: usize,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) lanes: [Lane; 3],
    pub(super) bucket: Bucket,
    /// Names members and flights.
    pub(super) names: u64,
    /// Whether the task is running.
    pub(super) running: bool,
}

/// What members want: how a job stands now, any news of it, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Now = 0,
    Any = 1,
    Done = 2,
}

impl Want {
    pub(super) const ALL: [Self; 3] = [Self::Now, Self::Any, Self::Done];
}

impl From<Until> for Want {
    fn from(until: Until) -> Self {
        match until {
            Until::Any => Self::Any,
            Until::Done => Self::Done,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Members that are in no request.
    pub(super) pending: Vec<u64>,
    /// When the next request may leave: the first of the batch has waited, the last answer was not an empty one.
    pub(super) not_before: Option<Instant>,
    pub(super) empty: u32,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) want: Want,
    pub(super) id: JobId,
    pub(super) after: Option<Revision>,
    /// None once it was told, until it has left.
    pub(super) tell: Option<oneshot::Sender<Told>>,
    /// The last instant at which an answer said that there was no news.
    pub(super) not_yet: Option<Instant>,
    pub(super) flight: Option<u64>,
    pub(super) cost: Cost,
}

impl Member {
    /// Whether the job, as it stands, is what the member waits for.
    pub(super) fn is_news(&self, job: &Job) -> bool {
        match self.want {
            Want::Now => true,
            Want::Any => job.done || self.after.is_none_or(|seen| job.revision > seen),
            Want::Done => job.done,
        }
    }
}

/// What a member is told.
#[derive(Debug)]
pub(super) enum Told {
    Answer(Box<Answer<Arc<Job>>>),
    Failure(Failure),
    /// The server has no set waits: hold alone.
    Alone,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) want: Want,
    pub(super) members: usize,
    pub(super) abort: AbortHandle,
}

/// A request for many, on its way.
pub(super) struct Batch {
    pub(super) flight: u64,
    pub(super) want: Want,
    pub(super) members: Vec<u64>,
    pub(super) sent: Instant,
}

impl Batch {
    /// The members that are still aboard.
    pub(super) fn aboard<'a>(
        &'a self,
        members: &'a BTreeMap<u64, Member>,
    ) -> impl Iterator<Item = (u64, &'a Member)> {
        let here = |member: &&Member| member.flight == Some(self.flight);
        let member = move |name: &u64| Some((*name, members.get(name).filter(here)?));
        self.members.iter().filter_map(member)
    }
}

impl State {
    /// When the next request of a lane may leave, if anybody waits for it to.
    pub(super) fn due(&mut self, want: Want, now: Instant) -> Option<Instant> {
        let lane = &self.lanes[want as usize];
        let at = lane.not_before.unwrap_or(now);
        if lane.pending.is_empty() {
            None
        } else if want == Want::Now {
            // A waiter that wants to know at once is at its deadline, and is not held back.
            Some(at)
        } else {
            Some(at.max(self.bucket.ready(now, self.members.len())))
        }
    }

    /// An answer that came at once and told nothing puts the next request off, each time for longer.
    pub(super) fn turn_around(
        &mut self,
        want: Want,
        answer: &Brought,
        took: Duration,
        now: Instant,
    ) {
        let lane = &mut self.lanes[want as usize];
        let told = !answer.jobs.is_empty() || !answer.errors.is_empty();
        if told || took >= Duration::from_secs(1) {
            lane.empty = 0;
            return;
        }
        lane.not_before = Some(after(now, turnaround(lane.empty)));
        lane.empty += 1;
    }

    pub(super) const fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// Puts a member among those that are in no request.
    pub(super) fn pend(&mut self, name: u64, want: Want, now: Instant) {
        let lane = &mut self.lanes[want as usize];
        if lane.pending.is_empty() && lane.not_before.is_none_or(|at| at <= now) {
            lane.not_before = Some(after(now, GATHER));
        }
        lane.pending.push(name);
    }

    /// A member leaves its request; one without members is given up.
    pub(super) fn disembark(&mut self, flight: Option<u64>) {
        let Some(name) = flight else { return };
        let Some(flight) = self.flights.get_mut(&name) else {
            return;
        };
        flight.members -= 1;
        if flight.members == 0 {
            flight.abort.abort();
            self.flights.remove(&name);
        }
    }

    /// Tells all members of a request the same.
    pub(super) fn tell_all(&mut self, batch: &Batch, told: impl Fn() -> Told) {
        let names: Vec<u64> = batch.aboard(&self.members).map(|(name, _)| name).collect();
        for name in names {
            self.tell(name, told());
        }
    }

    /// Tells a member, whose ticket then takes it out. The cost stays to be fetched by it.
    pub(super) fn tell(&mut self, name: u64, told: Told) {
        let Some(member) = self.members.get_mut(&name) else {
            return;
        };
        member.flight = None;
        if let Some(tell) = member.tell.take() {
            // A waiter may have left in this instant.
            let _ = tell.send(told);
        }
    }
}
