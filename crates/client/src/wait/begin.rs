//! From the settings of a wait to its loop.

use std::sync::Arc;

use abide_wire::Job;

use super::driver::{Driver, Terms};
use crate::job::JobHandle;
use crate::options::Options;
use crate::rt::{Instant, after};
use crate::schedule::Start;
use crate::strategy::{Auto, Begin, Strategy};
use crate::target::{Foreign, Native};

/// The loop for one job. `deadline_at` is the deadline of a set that it belongs to; `crowded` says that more waits begin
/// together than may each hold a request.
pub(super) fn begin(
    job: &JobHandle,
    options: &Options,
    deadline_at: Option<Instant>,
    updates: bool,
    crowded: bool,
) -> Driver<'static, Arc<Job>> {
    let core = &job.client().core;
    let origin = &core.origin;
    let known = &job.known;
    let schedule = options.schedule.clone();
    let schedule = schedule.unwrap_or_else(|| core.schedule(known.kind.as_deref()));
    let mut start = Start::new(origin.rng.seed())
        .history(&core.history)
        .job(job.id().as_str())
        .began(origin.clock.time_of_day());
    if let Some(size) = options.size {
        start = start.size(size);
    }
    let auto = Auto::new();
    let strategy: &dyn Strategy = match &options.strategy {
        Some(strategy) => strategy,
        None => &auto,
    };
    let deadline = options.deadline.or(core.options.deadline);
    let deadline = deadline.map(|deadline| after(origin.clock.now(), deadline));
    let retry = options.retry.clone();
    let retry = retry.unwrap_or_else(|| origin.retry.clone());
    let now = origin.clock.now();
    let noted = known.created_at.and_then(|created_at| {
        let age = origin.clock.wall().since(created_at);
        now.checked_sub(age)
    });
    let terms = Terms {
        plan: strategy.begin(&Begin::new(schedule, start).updates(updates)),
        strategy: strategy.name(),
        inbox: strategy.inbox().map(|inbox| inbox.subscribe(job.id())),
        young_until: job.young_until(&retry),
        retry,
        attempt_timeout: options.attempt_timeout.unwrap_or(origin.attempt_timeout),
        deadline: deadline_at.or(deadline),
        accepted: known.accepted,
        noted,
        // To a wait for the end only, what an earlier process saw is of no use.
        revision: known
            .revision
            .filter(|_| updates || known.accepted.is_some()),
        wrong: job.check_id().err(),
    };
    let Some(remote) = &core.remote else {
        return Driver::new(Native::new(job.clone(), crowded), Arc::clone(origin), terms);
    };
    let foreign = Foreign {
        origin: Arc::clone(origin),
        remote: Arc::clone(remote),
        id: job.id().clone(),
        kind: known.kind.clone().unwrap_or_else(|| remote.name.clone()),
        token: job.resume_token(),
        created_at: known.created_at,
        seen: None,
    };
    Driver::new(foreign, Arc::clone(origin), terms)
}
