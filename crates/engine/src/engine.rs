//! The state, and the one function that changes it.
//!
//! The engine is two halves that mirror each other, [`Jobs`] and [`Deliveries`]. Each has its commands, its facts, and
//! what is due in it. The engine routes between them: an entry to the half it changes, a changed job to the deliveries
//! that tell of it, a due deadline to the half that knows what it means.

use std::sync::Arc;

use abide_wire::Timestamp;

use crate::delivery::{Deliveries, Fact};
use crate::due::{Due, DueSet};
use crate::effect::{Effect, Touch};
use crate::entry::Entry;
use crate::hash::FastSet;
use crate::jobs::{Jobs, News};
use crate::meta::Meta;
use crate::policy::Policy;
use crate::snapshot::PartKey;
use crate::stored::Stored;

/// The state of all jobs and deliveries. A clone shares the records and goes its own way from there.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) policy: Policy,
    pub(crate) jobs: Jobs,
    pub(crate) deliveries: Deliveries,
    pub(crate) meta: Meta,
    /// The number of the last entry that was applied.
    pub(crate) seq: u64,
    pub(crate) due: DueSet,
    /// The parts that the next checkpoint writes again.
    pub(crate) dirty: FastSet<PartKey>,
    pub(crate) stored: Stored,
}

impl Engine {
    /// A server's state before its first entry. `policy` is in force until an entry brings another.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            jobs: Jobs::default(),
            deliveries: Deliveries::new(&policy.webhooks),
            meta: Meta::default(),
            seq: 0,
            due: DueSet::default(),
            dirty: FastSet::default(),
            stored: Stored::default(),
            policy,
        }
    }

    /// What the server allows.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The jobs.
    #[must_use]
    pub const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The endpoints and deliveries.
    #[must_use]
    pub const fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// The latest instant of any entry: the clock of a later start shows at least that.
    #[must_use]
    pub const fn latest(&self) -> Timestamp {
        self.meta.latest
    }

    /// The number of the last entry that changed a job; 0 before the first.
    #[must_use]
    pub const fn last_change(&self) -> u64 {
        self.meta.changed
    }

    /// When the next deadline is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| at)
    }

    /// Changes the state by one fact. The only function that does.
    ///
    /// It can't fail, reads no clock and draws no numbers. A fact that no longer fits, such as the end of an ended job,
    /// changes nothing.
    pub fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) {
        self.seq += 1;
        self.meta.latest = self.meta.latest.max(entry.at().unwrap_or_default());
        let mut touch = Touch {
            seq: self.seq,
            due: &mut self.due,
            dirty: &mut self.dirty,
            effects,
            stored: &mut self.stored,
        };
        touch.dirty(PartKey::Meta);
        match entry {
            Entry::Clock { .. } => {}
            Entry::Level { level } => self.meta.level = *level,
            Entry::Configured { digest } => self.meta.configured = Some(*digest),
            Entry::Policy(policy) => {
                self.policy = policy.as_ref().clone();
                self.deliveries.follow(&self.policy.webhooks);
                touch.dirty(PartKey::Policy);
            }
            Entry::Webhook(fact) => self.deliveries.apply(fact, &mut touch),
            Entry::Reset => {
                *touch.stored = Stored::default();
                let (due, dirty) = (std::mem::take(touch.due), std::mem::take(touch.dirty));
                let (jobs, deliveries) = (self.jobs.forget_all(), self.deliveries.forget_all());
                touch.dirty.extend(PartKey::AFTER_RESET);
                touch.tell(Effect::Reset(Arc::new((due, dirty, jobs, deliveries))));
                self.jobs.simulator.tell(&mut touch);
            }
            entry => match self.jobs.apply(entry, &mut touch) {
                // The deliveries of a change are part of it, so there is no outbox to keep in step.
                Some(News::Changed(job)) => {
                    self.meta.changed = touch.seq;
                    let form = match entry {
                        Entry::Created(created) => created.rendering.as_deref(),
                        _ => None,
                    };
                    self.deliveries.tell(&job, form, &self.jobs, &mut touch);
                }
                Some(News::Removed(job)) => self.deliveries.job_removed(job, &mut touch),
                None => {}
            },
        }
    }

    /// Turns what is due by `now` into entries, and applies them, until these or their effects are `limit` or more.
    ///
    /// What happened while the server was down is dated when it was due: a job that ended meanwhile ended then.
    pub fn fire(
        &mut self,
        now: Timestamp,
        limit: usize,
        entries: &mut Vec<Entry>,
        effects: &mut Vec<Effect>,
    ) {
        let (start, told) = (entries.len(), effects.len());
        while entries.len() - start < limit && effects.len() - told < limit {
            let Some((at, due)) = self.due.first().filter(|(at, _)| *at <= now) else {
                break;
            };
            if self.deliveries.queue_up(at, due, &mut self.due) {
                continue;
            }
            let before = entries.len();
            match due {
                Due::Sweep(endpoint) => entries.push(Fact::Swept { endpoint }.into()),
                due => self.jobs.fall_due(due, (at, now), &self.policy, entries),
            }
            if entries.len() == before {
                // A stale deadline: it would fire on every pass.
                self.due.remove(at, due);
            }
            for entry in &entries[before..] {
                self.apply(entry, effects);
            }
        }
    }

    /// Hands out the deliveries that may be sent now, as effects. Call it after whatever may have made one due or a
    /// place free; the effects are told like all others, after the append.
    pub fn dispatch(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        // What the entries just applied have made due at once needn't wait for the next round.
        while let Some((at, due)) = self.due.first().filter(|(at, _)| *at <= now)
            && self.deliveries.queue_up(at, due, &mut self.due)
        {}
        self.deliveries.dispatch(now, &self.jobs, effects);
    }
}
