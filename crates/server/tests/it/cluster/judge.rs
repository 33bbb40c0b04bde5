//! What clients of a cluster saw, and whether the log bears it out.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

use std::collections::{BTreeMap, BTreeSet};

use abide_engine::{Effect, Engine, Entry, Job, JobKey, Policy};
use abide_server::board::Look;
use abide_server::journal::Batch;
use abide_wire::Timestamp;
use serde_json::Value;
use std::sync::Arc;

use super::world::World;

/// What was seen, by all clients in the order of the one clock that they have.
#[derive(Debug, Default)]
pub struct History {
    /// The jobs that were answered to creates, by idempotency key.
    pub created: BTreeMap<String, BTreeSet<String>>,
    /// Keys whose only create was refused by an answer that promises that nothing has changed.
    pub refused: BTreeSet<String>,
    /// The newest revision that any client had been told of.
    pub told: BTreeMap<String, u64>,
    /// The revision with which a job had ended, as it was told first.
    pub ended: BTreeMap<String, u64>,
    /// What was seen of each revision.
    pub seen: BTreeMap<(String, u64), String>,
    /// What followers of the feed were told: number of the entry, job, revision.
    pub feeds: Vec<Vec<(u64, String, u64)>>,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
}

impl History {
    /// Notes a job as it was answered, and gives its revision.
    pub fn note(&mut self, job: &Value) -> u64 {
        let id = job["id"].as_str().unwrap().to_owned();
        let revision = job["revision"].as_u64().unwrap();
        // What of it depends on nothing but its revision.
        let state = format!(
            "{} {} {}",
            job["status"], job["progress"], job["finished_at"]
        );
        let told = self.told.entry(id.clone()).or_default();
        *told = revision.max(*told);
        let before = self
            .seen
            .entry((id.clone(), revision))
            .or_insert_with(|| state.clone());
        if *before != state {
            let wrong = format!("I3: revision {revision} of {id} was {before} and {state}");
            self.wrong.push(wrong);
        }
        let is_done = !job["finished_at"].is_null();
        let end = self.ended.get(&id).copied();
        if end.is_some_and(|end| revision > end || (is_done && revision != end)) {
            let wrong = format!("I2: {id} had ended with {end:?} and is at {revision}");
            self.wrong.push(wrong);
        }
        if is_done {
            self.ended.entry(id).or_insert(revision);
        }
        revision
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }
}

/// What the log says, by a replay from nothing.
struct Truth {
    jobs: BTreeMap<JobKey, Arc<Job>>,
    engine: Engine,
    /// Number of the entry, job, revision.
    changes: Vec<(u64, String, u64)>,
}

impl Truth {
    fn of(batches: &[Batch], wrong: &mut Vec<String>) -> Self {
        let mut engine = Engine::new(Policy::default());
        let mut changes = Vec::new();
        let mut latest = Timestamp::default();
        let (mut made, mut keys, mut ended) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for bytes in batches.iter().flat_map(|batch| &batch.entries) {
            let entry = Entry::decode(bytes).unwrap();
            if let Entry::Created(created) = &entry {
                let key = created.idempotency.map(|key| key.key);
                if !made.insert(created.job) || key.is_some_and(|key| !keys.insert(key)) {
                    wrong.push(format!("I1: {} is in the log twice", created.job));
                }
                if created.at < latest {
                    wrong.push(format!("time goes back to {}", created.at));
                }
                latest = latest.max(created.at);
            }
            let mut effects = Vec::new();
            engine.apply(&entry, &mut effects);
            let changed = effects.iter().filter_map(Effect::as_change);
            for (job, _) in changed.clone() {
                if ended.contains(&job.key) {
                    wrong.push(format!("I2: {} changes after its end", job.key));
                }
                if job.is_done() {
                    ended.insert(job.key);
                }
            }
            changes.extend(changed.map(|(job, seq)| (seq, job.key.to_string(), job.revision)));
        }
        let jobs = engine.jobs().iter().map(|job| (job.key, job.clone()));
        Self {
            jobs: jobs.collect(),
            engine,
            changes,
        }
    }
}

/// I10: the log is one list, which one leader after the other has written.
fn judge_log(batches: &[Batch], wrong: &mut Vec<String>) {
    let mut nonces = BTreeSet::new();
    for pair in batches.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        if !next.follows(one.position()) || next.term < one.term {
            wrong.push(format!("I10: batch {} doesn't follow", next.number));
        }
    }
    for batch in batches {
        if !nonces.insert(batch.nonce) {
            wrong.push(format!(
                "I10: batch {} has a nonce of another",
                batch.number
            ));
        }
    }
}

/// I9: what was delivered is in the log, under one id each, and every end was.
fn judge_webhooks(world: &World, truth: &Truth, history: &mut History) {
    let mut ids: BTreeMap<String, (Value, Value)> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for taken in world.receiver.taken() {
        let job = &taken.body["data"];
        history.note(job);
        told.insert(job["id"].as_str().unwrap().to_owned());
        let what = (taken.body["type"].clone(), job["id"].clone());
        let first = ids.entry(taken.id.clone()).or_insert_with(|| what.clone());
        if *first != what {
            history.wrong(format!("I9: {} tells {first:?} and {what:?}", taken.id));
        }
    }
    for job in truth.jobs.values().filter(|job| job.is_done()) {
        if !told.contains(&job.key.to_string()) {
            let known: Vec<_> = truth.engine.deliveries().of_job(job.key).collect();
            history.wrong(format!("I9: the end of {} wasn't told: {known:?}", job.key));
        }
    }
}

/// What is wrong after the database has lost what it had acknowledged: that number of creates were acknowledged after
/// that, and nodes may have gone on.
pub fn judge_loss(world: &World, acknowledged: usize) -> Vec<String> {
    let up = world.nodes.keys().filter(|name| world.is_up(name));
    let mut wrong: Vec<_> = up.map(|name| format!("{name} goes on")).collect();
    if acknowledged > 0 {
        wrong.push(format!(
            "{acknowledged} creates were acknowledged after a loss"
        ));
    }
    wrong
}

/// All that is wrong.
pub fn judge(world: &World, history: &mut History) -> Vec<String> {
    let mut wrong = Vec::new();
    let batches = world.log.batches();
    judge_log(&batches, &mut wrong);
    let truth = Truth::of(&batches, &mut wrong);
    judge_webhooks(world, &truth, history);
    wrong.append(&mut history.wrong);
    let known: BTreeSet<String> = truth.jobs.keys().map(ToString::to_string).collect();
    for (key, ids) in &history.created {
        if ids.len() != 1 {
            wrong.push(format!("I1: the key {key} made {ids:?}"));
        }
        for id in ids.difference(&known) {
            wrong.push(format!("I1: {id} was acknowledged and is lost"));
        }
    }
    let created = truth.jobs.values().filter_map(|job| {
        let metadata: Value = job.extra.as_ref()?.metadata.as_ref()?.parse().ok()?;
        Some(metadata["key"].as_str()?.to_owned())
    });
    for key in created.filter(|key| history.refused.contains(key)) {
        wrong.push(format!("I12: the create {key} was refused and made a job"));
    }
    let changes: BTreeSet<(String, u64)> = truth
        .changes
        .iter()
        .map(|(_, id, revision)| (id.clone(), *revision))
        .collect();
    for seen in history.seen.keys().filter(|seen| !changes.contains(*seen)) {
        wrong.push(format!("I3: {seen:?} was shown and isn't in the log"));
    }
    for feed in &history.feeds {
        let (Some(first), Some(last)) = (feed.first(), feed.last()) else {
            continue;
        };
        let said: Vec<_> = truth
            .changes
            .iter()
            .filter(|(seq, ..)| (first.0..=last.0).contains(seq))
            .collect();
        if !feed.iter().eq(said.iter().copied()) {
            wrong.push(format!(
                "I5: a feed of {} changes has {}",
                said.len(),
                feed.len()
            ));
        }
    }
    for name in world.nodes.keys().filter(|name| world.is_up(name)) {
        let board = &world.state(name).board;
        let same =
            |job: &Arc<Job>| matches!(board.look(job.key), Look::Found(shown) if shown == *job);
        let different = truth.jobs.values().filter(|job| !same(job)).count();
        if different > 0 || board.len() != truth.jobs.len() {
            wrong.push(format!(
                "I11: {different} jobs of {name} differ from the log"
            ));
        }
    }
    wrong
}
