//! What a change reaches beyond the half that it changes: deadlines, parts of the checkpoint, and who is told.

use std::any::Any;
use std::sync::Arc;

use crate::delivery::Notice;
use crate::due::DueSet;
use crate::hash::FastSet;
use crate::jobs::{Defaults, Job, Step};
use crate::snapshot::PartKey;
use crate::stored::Stored;
use crate::{JobKey, Owner, Rng};

/// What readers are told once an entry is durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A job is new or has changed, by the entry of that number.
    Changed(Arc<Job>, u64),
    /// A job's record is gone.
    Removed(JobKey),
    /// A job of that kind says something about how long such jobs take.
    Learned(Owner, Arc<str>, Step),
    /// What was known of an owner's kind is forgotten.
    Unlearned(Owner, Arc<str>),
    /// The simulator's defaults or its seed have changed.
    Settings(Arc<Defaults>, Rng),
    /// The name stands for this job from now on.
    Named(Arc<str>, JobKey),
    /// An endpoint or a delivery has changed, or is to be sent.
    Webhook(Notice),
    /// Nothing is there any more. Carries what was there: millions of records, perhaps, which are best dropped where
    /// nothing waits.
    Reset(Arc<dyn Any + Send + Sync>),
}

impl Effect {
    /// The job that is new or has changed, and the number of the entry that did it.
    #[must_use]
    pub const fn as_change(&self) -> Option<(&Arc<Job>, u64)> {
        match self {
            Self::Changed(job, seq) => Some((job, *seq)),
            _ => None,
        }
    }
}

/// Where a change leaves what it means for the rest of the engine.
pub(crate) struct Touch<'a> {
    /// The number of the entry that is applied.
    pub(crate) seq: u64,
    pub(crate) due: &'a mut DueSet,
    /// The parts that the next checkpoint writes again.
    pub(crate) dirty: &'a mut FastSet<PartKey>,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// What the records take.
    pub(crate) stored: &'a mut Stored,
}

impl Touch<'_> {
    pub(crate) fn dirty(&mut self, part: PartKey) {
        self.dirty.insert(part);
    }

    pub(crate) fn tell(&mut self, effect: impl Into<Effect>) {
        self.effects.push(effect.into());
    }
}

impl From<Notice> for Effect {
    fn from(notice: Notice) -> Self {
        Self::Webhook(notice)
    }
}
