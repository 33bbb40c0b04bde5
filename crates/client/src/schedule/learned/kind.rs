//! One learner, shared by every wait for jobs of its kind.
//!
//! The learner sits behind a mutex that is held for at most a refit (well under a millisecond) and never across an
//! await. A plan is made once per state of the learner and shared; a wait takes away only its next few polls, and
//! notices a new state by its version, without taking the lock.

use super::effects::{Effects, Traits};
use super::experts::{Lanes, Prior};
use super::file;
use super::forecast;
use super::grid::{Law, STEP, shift};
use super::lattice::{self, Period};
use super::model::Model;
use super::past::{UNDER_WAY_MAX, Whose};
use super::plan::{Demand, Path, Plan, Tick};
use super::ring::{Observation, Place, RING};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many plans of one state are kept for sharing: a few dials times a few floors.
const SHARED_PLANS: usize = 8;

/// The price that a budget starts from, in seconds of delay per request.
const FIRST_PRICE: f64 = 0.5;

/// How fast a budget's price follows the polls spent, and how far it may go.
const PRICE_STEP: f64 = 0.15;
const PRICE_SPAN: f64 = 9.0;

/// How fast the share of lost pushes and the comparison of learners forget.
const COUNT_FADE: f64 = 0.99;
const SCORE_FADE: f64 = 0.9;

/// The most that one job may say for or against a learner, in nats.
const SCORE_MOST: f64 = 3.0;

/// What is believed of pushes that come at all before any was counted: half of one lost among ten.
const PRIOR_LOST: f64 = 0.5;
const PRIOR_PUSHES: f64 = 10.0;

/// A job that runs although this share of its kind would have ended makes room for another to be followed.
const OVERDUE: f64 = 0.99;

/// How likely a way that pushes come by breaks from one job to the next.
const BREAK: f64 = 0.002;

/// The learner of one kind of job, or of one kind of hint about such jobs.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Counts the changes of the learner.
    version: AtomicU64,
    /// The version that was last written to disk.
    saved: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    model: Model,
    memory: Memory,
    effects: Effects,
    /// Made from the model when first needed.
    outlook: Option<Outlook>,
    /// What was learned since it was last written to disk.
    unsaved: Vec<Place>,
}

/// What a kind remembers beside its durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    /// The size that counts as 1: the first one seen.
    pub(crate) reference: Option<f64>,
    /// ln of the price by which a budget is kept.
    pub(crate) ln_price: f64,
    /// How many pushes were lost, and expected, while they came at all; both fade.
    pub(crate) lost: f64,
    pub(crate) pushes: f64,
    /// How likely pushes don't come at all. It is 1 until the first one has come, so that polls are only ever relaxed
    /// for pushes that have proven themselves: where every push is lost, each poll is where it would be without pushes.
    pub(crate) silent: f64,
    /// How much better this learner has lately predicted than the plain one, in nats per job.
    pub(crate) advantage: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            reference: None,
            ln_price: FIRST_PRICE.ln(),
            lost: 0.0,
            pushes: 0.0,
            silent: 1.0,
            advantage: 0.0,
        }
    }
}

impl Memory {
    /// The share of pushes that are lost as long as they come at all.
    fn share_lost(&self) -> f64 {
        (self.lost + PRIOR_LOST) / (self.pushes + PRIOR_PUSHES)
    }

    /// Counts a push, by Bayes' rule over the two explanations of a lost one: this one was, or none comes any more. It
    /// counts against the share of those that come only as far as that is what explains it.
    fn count(&mut self, came: bool) {
        let one_of_many = (1.0 - self.silent) * self.share_lost();
        let counted = if came {
            self.silent = 0.0;
            1.0
        } else {
            self.silent /= self.silent + one_of_many;
            1.0 - self.silent
        };
        self.lost = COUNT_FADE * self.lost + if came { 0.0 } else { counted };
        self.pushes = COUNT_FADE * self.pushes + counted;
        self.silent += BREAK * (1.0 - self.silent);
    }
}

#[derive(Debug)]
struct Outlook {
    law: Box<Law>,
    slope: f64,
    ticks: Vec<Tick>,
    /// The period that scouts probe.
    probed: Option<Period>,
    /// The ends that are known, in order.
    ends: Vec<f64>,
    /// Plans for jobs of the reference size, on different terms.
    plans: Vec<Plan>,
}

/// The next polls of a plan, and the version of the learner it was made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) version: u64,
    pub(crate) path: Path,
}

impl Kind {
    /// A learner of durations that has seen nothing.
    pub(crate) fn of_durations(median: f64) -> Self {
        let model = Model::new(Prior::new(median, 1.0), None);
        Self::from_parts(model, Memory::default(), Effects::default())
    }

    /// A learner of how estimates of `reference` seconds turn out; such durations scale with the estimate.
    pub(crate) fn of_estimates(reference: f64, scale: f64) -> Self {
        let memory = Memory {
            reference: Some(reference),
            ..Memory::default()
        };
        let model = Model::new(Prior::new(reference, scale), Some(1.0));
        Self::from_parts(model, memory, Effects::default())
    }

    pub(crate) fn from_parts(model: Model, memory: Memory, mut effects: Effects) -> Self {
        effects.judge(model.past().ended());
        Self {
            version: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            state: Mutex::new(State {
                model,
                memory,
                effects,
                outlook: None,
                unsaved: Vec::new(),
            }),
        }
    }

    /// How often the learner has changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The best polls for such a job after a look in vain at `from`, at most `greatest` seconds apart. Jobs of the
    /// least `rank`, from 0 to 1, are the first to be scouts.
    pub(crate) fn plan(
        &self,
        demand: Demand,
        traits: &Traits,
        from: f64,
        greatest: f64,
        rank: f64,
    ) -> Planned {
        let mut state = self.lock();
        let version = self.version();
        let bins = state.bins(traits);
        let outlook = state.outlook();
        let path = if bins == 0.0 {
            let probed = outlook.probed.filter(|probed| rank < probed.scouts());
            match probed {
                Some(period) => {
                    let (law, ticks) = lattice::rounded(&outlook.law, period.seconds);
                    let plan = Plan::new(&law, &ticks, &outlook.ends, demand);
                    plan.path(from, greatest, true)
                }
                None => outlook.shared_plan(demand).path(from, greatest, false),
            }
        } else {
            let law = shift(&outlook.law, bins);
            let longer = (bins * STEP).exp();
            let ends: Vec<f64> = outlook.ends.iter().map(|end| end * longer).collect();
            Plan::new(&law, &[], &ends, demand).path(from, greatest, false)
        };
        Planned { version, path }
    }

    /// The law of such a job.
    pub(crate) fn law(&self, traits: &Traits) -> Box<Law> {
        let mut state = self.lock();
        let bins = state.bins(traits);
        let law = &state.outlook().law;
        if bins == 0.0 {
            law.clone()
        } else {
            shift(law, bins)
        }
    }

    /// Follows a job from its acceptance; see [`Past`](super::past::Past).
    pub(crate) fn accept(&self, whose: Whose, traits: &Traits) -> Option<Place> {
        let mut state = self.lock();
        let ln_size = state.ln_size(traits);
        if let Some(job) = state.model.past().in_the_way() {
            let after = f64::from(job.after);
            let bins = state.bins_of(f64::from(job.ln_size));
            let ended = forecast::ended_by(&state.outlook().law, after / (bins * STEP).exp());
            if ended > OVERDUE {
                let seen = state.model.close(job.place(), after, f64::INFINITY);
                self.learned(&mut state, seen);
            }
        }
        state.model.past_mut().accept(whose, ln_size)
    }

    /// A job that is followed still ran then.
    pub(crate) fn running(&self, place: Place, after: f64) {
        self.lock().model.past_mut().running(place, after);
    }

    /// Stops following a job without having learned anything.
    pub(crate) fn forget(&self, place: Place) {
        self.lock().model.past_mut().forget(place);
    }

    /// Learns from a job that was followed: it ended within `(after, at_most]` seconds.
    pub(crate) fn close(&self, place: Place, after: f64, at_most: f64, traits: &Traits) {
        let mut state = self.lock();
        let seen = state.model.close(place, after, at_most);
        state.learn_effects(seen, traits);
        self.learned(&mut state, seen);
    }

    /// Learns from one job that wasn't followed.
    pub(crate) fn observe(&self, whose: Whose, after: f64, at_most: f64, traits: &Traits) {
        let mut state = self.lock();
        let ln_size = state.ln_size(traits);
        let seen = state.model.observe(whose, after, at_most, ln_size);
        state.learn_effects(Some(seen), traits);
        self.learned(&mut state, Some(seen));
    }

    fn learned(&self, state: &mut State, seen: Option<Observation>) {
        if let Some(seen) = seen {
            state.model.refit();
            if state.unsaved.len() >= RING {
                state.unsaved.remove(0);
            }
            state.unsaved.push(seen.place());
            self.changed(state);
        }
    }

    /// Replaces the prior's median, as long as nothing was seen.
    pub(crate) fn expect(&self, median: f64) {
        let mut state = self.lock();
        if state.model.expect(median) {
            self.changed(&mut state);
        }
    }

    /// Says which size counts as 1, as long as none was seen.
    pub(crate) fn count_sizes_from(&self, size: f64) {
        let mut state = self.lock();
        if state.memory.reference.is_none() {
            state.memory.reference = Some(size);
            self.changed(&mut state);
        }
    }

    /// The price by which the kind's budget is kept.
    pub(crate) fn price(&self) -> f64 {
        self.lock().memory.ln_price.exp()
    }

    /// Moves the price after a job that spent `polls` where `budget` were meant.
    pub(crate) fn spent(&self, polls: u32, budget: f64) {
        let mut state = self.lock();
        let off = PRICE_STEP * (f64::from(polls) - budget) / budget;
        let first = FIRST_PRICE.ln();
        // One absurd job may not move the price by more than a factor of e.
        let moved = state.memory.ln_price + off.min(1.0);
        state.memory.ln_price = moved.clamp(first - PRICE_SPAN, first + PRICE_SPAN);
        self.changed(&mut state);
    }

    /// How likely the next push is lost: because none comes, or as some of those that come are.
    pub(crate) fn loss(&self) -> f64 {
        let memory = self.lock().memory;
        memory.silent + (1.0 - memory.silent) * memory.share_lost()
    }

    /// Counts an expected push.
    pub(crate) fn pushed(&self, came: bool) {
        let mut state = self.lock();
        state.memory.count(came);
        self.changed(&mut state);
    }

    /// How much better this learner predicts than the plain one.
    pub(crate) fn advantage(&self) -> f64 {
        self.lock().memory.advantage
    }

    /// Counts by how much it predicted the latest job better, in nats.
    pub(crate) fn compared(&self, nats: f64) {
        if nats.is_nan() {
            return;
        }
        let mut state = self.lock();
        let nats = nats.clamp(-SCORE_MOST, SCORE_MOST);
        let memory = &mut state.memory;
        memory.advantage = SCORE_FADE * memory.advantage + (1.0 - SCORE_FADE) * nats;
        self.changed(&mut state);
    }

    /// The median of the durations seen; none if there were none.
    pub(crate) fn median_seen(&self) -> Option<f64> {
        self.lock().model.median_seen()
    }

    /// How many jobs are remembered.
    pub(crate) fn jobs(&self) -> usize {
        self.lock().model.past().ended().len()
    }

    /// The memory that must be kept, in bytes.
    pub(crate) fn state_bytes(&self) -> usize {
        let past = (RING + UNDER_WAY_MAX) * size_of::<Observation>();
        // Of the prior only median and scale; its law is derived.
        past + size_of::<Lanes>() + size_of::<Memory>() + 2 * size_of::<f64>()
    }

    /// What to add to the file of this name if anything changed since that was last asked, and what to take back if
    /// that fails.
    pub(crate) fn take_unsaved(&self, name: &str, now: u64) -> Option<(Vec<u8>, Vec<Place>)> {
        let mut state = self.lock();
        let version = self.version();
        if self.saved.swap(version, Ordering::AcqRel) == version {
            return None;
        }
        let unsaved = std::mem::take(&mut state.unsaved);
        let State {
            model,
            memory,
            effects,
            ..
        } = &*state;
        let lines = file::lines(name, now, model, memory, effects, &unsaved);
        Some((lines, unsaved))
    }

    /// Takes back that it was saved.
    pub(crate) fn not_saved(&self, unsaved: Vec<Place>) {
        self.lock().unsaved.extend(unsaved);
        // No version ever equals this one, so the next attempt writes.
        self.saved.store(u64::MAX, Ordering::Release);
    }

    /// Whether something was learned that isn't on disk.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.saved.load(Ordering::Acquire) != self.version()
    }

    fn changed(&self, state: &mut State) {
        state.outlook = None;
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves the learner half changed, so a panic elsewhere in the process doesn't matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn outlook(&mut self) -> &mut Outlook {
        self.outlook.get_or_insert_with(|| {
            let (law, ticks, slope) = self.model.predict();
            Outlook {
                law,
                ticks,
                slope,
                probed: self.model.probed(),
                ends: self.model.ends(),
                plans: Vec::new(),
            }
        })
    }

    /// The bins by which the law of such a job is shifted.
    fn bins(&mut self, traits: &Traits) -> f64 {
        let size = match (traits.size, self.memory.reference) {
            (Some(size), Some(reference)) => (size / reference).ln(),
            _ => 0.0,
        };
        self.bins_of(size + self.effects.sum(&traits.features))
    }

    fn bins_of(&mut self, ln_size: f64) -> f64 {
        if ln_size == 0.0 {
            return 0.0;
        }
        self.outlook().slope * ln_size / STEP
    }

    /// The logarithm of the job's relative size, as its features make it.
    fn ln_size(&mut self, traits: &Traits) -> f64 {
        self.own_ln_size(traits) + self.effects.sum(&traits.features)
    }

    /// The same without the features; the first size seen counts as 1.
    fn own_ln_size(&mut self, traits: &Traits) -> f64 {
        traits.size.map_or(0.0, |size| {
            (size / *self.memory.reference.get_or_insert(size)).ln()
        })
    }

    /// Learns what features make of durations, and sizes what is remembered anew.
    fn learn_effects(&mut self, seen: Option<Observation>, traits: &Traits) {
        let Some(seen) = seen else { return };
        let ln_size = self.own_ln_size(traits);
        if self.effects.learn(&traits.features, ln_size, seen) {
            self.effects.judge(self.model.past().ended());
            self.model
                .past_mut()
                .resize(|place| self.effects.resize(place));
        }
    }
}

impl Outlook {
    fn shared_plan(&mut self, demand: Demand) -> &Plan {
        let known = self.plans.iter().position(|plan| plan.demand() == demand);
        let place = known.unwrap_or_else(|| {
            if self.plans.len() == SHARED_PLANS {
                self.plans.remove(0);
            }
            self.plans
                .push(Plan::new(&self.law, &self.ticks, &self.ends, demand));
            self.plans.len() - 1
        });
        &self.plans[place]
    }
}

/// How likely a law found it that the job ended within `(after, at_most]`, knowing that it ran at `now`; in nats.
pub(crate) fn log_score(law: &Law, now: f64, after: f64, at_most: f64) -> f64 {
    let until = if at_most.is_finite() {
        forecast::ended_by(law, at_most)
    } else {
        1.0
    };
    let left = 1.0 - forecast::ended_by(law, now);
    let within = until - forecast::ended_by(law, after.max(now));
    // The floors keep an impossible end finite; the prior makes them rare.
    (within.max(1e-12) / left.max(1e-12)).ln()
}
