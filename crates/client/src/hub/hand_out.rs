//! Telling the members of a request what it has brought.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use abide_wire::JobId;

use super::flight::Brought;
use super::state::{Batch, State, Told, Want};
use crate::answer::{Answer, check};
use crate::exchange::Failure;
use crate::origin::Origin;
use crate::report::Channel;
use crate::rt::Instant;

impl State {
    /// Hands each job's news to its members; those that are told nothing wait for the next request.
    pub(super) fn hand_out(
        &mut self,
        origin: &Origin,
        batch: &Batch,
        answer: Brought,
        now: Instant,
    ) {
        let mut waiting: HashMap<JobId, Vec<u64>> = HashMap::new();
        for (name, member) in batch.aboard(&self.members) {
            waiting.entry(member.id.clone()).or_default().push(name);
        }
        for (id, failure) in answer.errors {
            for name in waiting.remove(&id).unwrap_or_default() {
                self.tell(name, Told::Failure(failure.clone()));
            }
        }
        for job in answer.jobs {
            let sound = check(job.clone(), None).map(Arc::new);
            for name in waiting.get(&job.id).into_iter().flatten() {
                let member = self.members.get(name);
                let Some(member) = member.filter(|member| member.is_news(&job)) else {
                    continue;
                };
                let told = match &sound {
                    Ok(job) => {
                        let told = origin.told(Arc::clone(job), Channel::Shared);
                        let age = age(told.age, member.not_yet, batch.sent, now, origin);
                        Told::Answer(Box::new(Answer {
                            granted: true,
                            age: age.filter(|_| told.done),
                            ..told
                        }))
                    }
                    Err(failure) => Told::Failure(failure.clone()),
                };
                self.tell(*name, told);
            }
        }
        for name in batch.members.iter().copied() {
            self.go_on(name, batch, now);
        }
    }

    /// A member that was told nothing waits for the next request.
    fn go_on(&mut self, name: u64, batch: &Batch, now: Instant) {
        let Some(member) = self.members.get_mut(&name) else {
            return;
        };
        if member.flight != Some(batch.flight) {
            return;
        }
        member.flight = None;
        member.not_yet = Some(now);
        let want = member.want;
        if want == Want::Now {
            let left_out = Failure::garbled("the answer leaves the job out");
            self.tell(name, Told::Failure(left_out));
        } else {
            self.pend(name, want, now);
        }
    }
}

/// How old the news of a shared answer is. A held answer comes when the news happens. For one that came at once only
/// the clocks tell, but its news isn't older than the last answer that had none.
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
