//! Who is joined, what is on its way, and who is told what.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, AbortRegistration};
use tokio::sync::oneshot;

use abide_wire::{Job, JobId, Revision, Span, Until, WaitItem, WaitRequest, WaitResponse, limits};

use super::bucket::Bucket;
use crate::answer::{Answer, check};
use crate::budget::Cost;
use crate::exchange::Failure;
use crate::origin::Origin;
use crate::report::Channel;
use crate::rt::{Instant, after};

/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// The most bytes of ids in one request; it leaves room below the server's limit for a body.
const IDS_BYTES_MAX: usize = limits::BODY_BYTES_MAX / 2;
/// The pauses after an answer that came at once and told nothing.
const TURNAROUND: Duration = Duration::from_millis(250);
const TURNAROUND_MAX: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct State {
    /// How many requests single waits hold, how many of them ask, and how many listen.
    pub(super) holding: usize,
    pub(super) asking: usize,
    pub(super) listening: usize,
    pub(super) members: HashMap<u64, Member>,
    pub(super) flights: HashMap<u64, Flight>,
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
    pub(super) empty: i32,
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
        answer: &WaitResponse,
        took: Duration,
        now: Instant,
    ) {
        let lane = &mut self.lanes[want as usize];
        let told = !answer.jobs.is_empty() || !answer.errors.is_empty();
        if told || took >= Duration::from_secs(1) {
            lane.empty = 0;
            return;
        }
        let pause = TURNAROUND.mul_f64(2_f64.powi(lane.empty.min(16)));
        lane.empty += 1;
        lane.not_before = Some(after(now, pause.min(TURNAROUND_MAX)));
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

    /// The next request of a lane: all that are pending, and those of smaller requests on their way, which it replaces.
    pub(super) fn batch(
        &mut self,
        want: Want,
        now: Instant,
    ) -> Option<(Batch, WaitRequest, AbortRegistration)> {
        let mut pending = std::mem::take(&mut self.lanes[want as usize].pending);
        if pending.is_empty() {
            return None;
        }
        let mut size = pending.len();
        let mut swallowed = HashSet::new();
        let mut small: Vec<(usize, u64)> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.want == want && want != Want::Now)
            .map(|(name, flight)| (flight.members, *name))
            .collect();
        small.sort_unstable();
        for (members, name) in small {
            if members > 2 * size || size + members > limits::SET_JOBS_MAX {
                break;
            }
            size += members;
            swallowed.insert(name);
        }
        for (name, member) in &self.members {
            if member
                .flight
                .is_some_and(|flight| swallowed.contains(&flight))
            {
                pending.push(*name);
            }
        }
        for name in swallowed {
            if let Some(flight) = self.flights.remove(&name) {
                flight.abort.abort();
            }
        }
        let mut items: HashMap<JobId, Option<Revision>> = HashMap::new();
        let mut bytes = 0;
        let mut aboard = Vec::new();
        for name in pending {
            let Some(member) = self.members.get(&name) else {
                continue;
            };
            let is_new = !items.contains_key(&member.id);
            let full = items.len() >= limits::SET_JOBS_MAX || bytes >= IDS_BYTES_MAX;
            if is_new && full {
                self.lanes[want as usize].pending.push(name);
                continue;
            }
            if is_new {
                bytes += member.id.as_str().len() + 40;
            }
            // Where two wait for one job the older knowledge counts; each is told only what is news to it.
            let seen = if want == Want::Any {
                member.after
            } else {
                None
            };
            items
                .entry(member.id.clone())
                .and_modify(|known| *known = (*known).min(seen))
                .or_insert(seen);
            aboard.push(name);
        }
        let flight = self.name();
        let (abort, registration) = AbortHandle::new_pair();
        let share = 1.0 / aboard.len().max(1) as f64;
        for name in &aboard {
            if let Some(member) = self.members.get_mut(name) {
                member.flight = Some(flight);
                member.cost.requests += 1;
                member.cost.share += share;
            }
        }
        self.flights.insert(
            flight,
            Flight {
                want,
                members: aboard.len(),
                abort,
            },
        );
        if want != Want::Now {
            self.bucket.take();
        }
        let request = WaitRequest {
            jobs: items
                .into_iter()
                .map(|(id, after)| WaitItem { id, after })
                .collect(),
            wait: Span::default(),
            until: if want == Want::Done {
                Until::Done
            } else {
                Until::Any
            },
        };
        let batch = Batch {
            flight,
            want,
            members: aboard,
            sent: now,
        };
        Some((batch, request, registration))
    }

    pub(super) fn hand_out(
        &mut self,
        origin: &Origin,
        batch: &Batch,
        answer: WaitResponse,
        now: Instant,
    ) {
        let mut waiting: HashMap<JobId, Vec<u64>> = HashMap::new();
        for name in &batch.members {
            if let Some(member) = self
                .members
                .get(name)
                .filter(|member| member.flight == Some(batch.flight))
            {
                waiting.entry(member.id.clone()).or_default().push(*name);
            }
        }
        for failed in answer.errors {
            for name in waiting.remove(&failed.id).unwrap_or_default() {
                self.tell(name, Told::Failure(Failure::refused(failed.error.clone())));
            }
        }
        for job in answer.jobs {
            let id = job.id.clone();
            for name in waiting.get(&id).cloned().unwrap_or_default() {
                let Some(member) = self.members.get(&name) else {
                    continue;
                };
                let news = match member.want {
                    Want::Now => true,
                    Want::Any => job.done || member.after.is_none_or(|seen| job.revision > seen),
                    Want::Done => job.done,
                };
                if !news {
                    continue;
                }
                let not_yet = member.not_yet;
                let told = match check(job.clone(), None) {
                    Ok(job) => {
                        let told = origin.told(job, Channel::Shared);
                        let age = age(told.age, not_yet, batch.sent, now, origin);
                        Told::Answer(Box::new(Answer {
                            granted: true,
                            age: age.filter(|_| told.done),
                            ..told
                        }))
                    }
                    Err(failure) => Told::Failure(failure),
                };
                self.tell(name, told);
            }
        }
        for name in waiting.into_values().flatten() {
            let Some(member) = self.members.get_mut(&name) else {
                continue;
            };
            if member.tell.is_none() {
                continue;
            }
            member.flight = None;
            member.not_yet = Some(now);
            let want = member.want;
            if want == Want::Now {
                self.tell(
                    name,
                    Told::Failure(Failure::garbled("the answer leaves the job out")),
                );
            } else {
                self.pend(name, want, now);
            }
        }
    }

    pub(super) fn tell_all(&mut self, batch: &Batch, told: impl Fn(&Member) -> Told) {
        for name in &batch.members {
            if let Some(member) = self
                .members
                .get(name)
                .filter(|member| member.flight == Some(batch.flight))
            {
                let told = told(member);
                self.tell(*name, told);
            }
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

/// How old the news of a shared answer is. One that was held came when it happened; of one that came at once nobody
/// knows better than the clocks, but the news isn't older than the last answer that had none.
fn age(
    by_clocks: Option<Duration>,
    not_yet: Option<Instant>,
    sent: Instant,
    now: Instant,
    origin: &Origin,
) -> Option<Duration> {
    let rtt = origin.memory.rtt().unwrap_or_default();
    let took = now.saturating_duration_since(sent);
    if took > rtt * 4 + Duration::from_millis(50) {
        return Some(rtt / 2);
    }
    let at_most = not_yet.map(|at| now.saturating_duration_since(at));
    match (by_clocks, at_most) {
        (Some(age), Some(most)) => Some(age.min(most)),
        (age, _) => age,
    }
}
