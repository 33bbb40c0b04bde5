//! From the settings of a wait to its loop.

use std::collections::HashMap;
use std::sync::Arc;

use abide_wire::{Job, Json};
use serde_json::Value;

use super::driver::{Driver, Terms};
use crate::client::Core;
use crate::job::JobHandle;
use crate::options::Options;
use crate::rt::{Instant, after};
use crate::schedule::{Feature, FeatureValue, Start};
use crate::strategy::{Auto, Begin, Plan, Strategy};
use crate::target::{Foreign, Native};

/// How the plan of a wait is begun, and begun again when the first answer tells the kind of a job of which only the id
/// was known: what is learned of one kind says nothing of another.
#[derive(Debug)]
pub(super) struct Plans {
    core: Arc<Core>,
    options: Options,
    strategy: Arc<dyn Strategy>,
    start: Start,
    updates: bool,
}

impl Plans {
    pub(super) fn begin(&self, kind: &str, job: Option<&Job>) -> Box<dyn Plan> {
        let schedule = self.core.schedule(&self.options, kind);
        let names = &self.options.metadata_features;
        let told = names.iter().filter_map(|name| feature(job?, name));
        let begin = Begin::new(schedule, self.start.clone().features(told));
        self.strategy.begin(&begin.updates(self.updates))
    }

    /// Reads what is known of the kind, so that beginning doesn't.
    pub(super) async fn read(&self, kind: &str) {
        self.core.read_kind(&self.options, kind).await;
    }
}

/// What a job's metadata tell under that name.
fn feature(job: &Job, name: &str) -> Option<Feature> {
    let metadata: HashMap<String, Json> = job.metadata.as_ref()?.parse().ok()?;
    let value = match metadata.get(name)?.parse().ok()? {
        Value::String(text) => FeatureValue::from(text),
        Value::Number(number) => FeatureValue::from(number.as_f64()?),
        Value::Bool(is) => FeatureValue::from(is.to_string()),
        _ => return None,
    };
    Some(Feature::new(name, value))
}

/// Reads what is known of the job's kind, if that is known.
pub(super) async fn read_kind(job: &JobHandle, options: &Options) {
    if let Some(kind) = &job.known.kind {
        job.client().core.read_kind(options, kind).await;
    }
}

/// The loop for one job. `deadline_at` is the deadline of a set that it belongs to; `crowded` says that more waits
/// begin together than may each hold a request.
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
    let mut start = Start::new(origin.rng.seed())
        .history(&core.history)
        .job(job.id().as_str())
        .began(origin.clock.time_of_day())
        .features(options.features.iter().copied());
    if let Some(size) = options.size {
        start = start.size(size);
    }
    let strategy = options.strategy.clone();
    let strategy = strategy.unwrap_or_else(|| Arc::new(Auto::new()));
    let plans = Plans {
        core: Arc::clone(core),
        options: options.clone(),
        strategy: Arc::clone(&strategy),
        start,
        updates,
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
    let kind = known.kind.as_deref().unwrap_or_default();
    let tells = known.snapshot.is_some() || options.metadata_features.is_empty();
    let is_unknown = known.kind.is_none() || !tells;
    let terms = Terms {
        plan: plans.begin(kind, known.snapshot.as_deref()),
        plans: is_unknown.then(|| Box::new(plans)),
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
