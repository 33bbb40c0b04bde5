//! The seed and the defaults of simulated jobs, and the commands that change them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::{Simulate, Timestamp};

use super::named::PlayNamed;
use super::plan::Defaults;
use crate::command::{Command, Decided, Refusal};
use crate::effect::{Effect, Touch};
use crate::engine::Engine;
use crate::entry::{Entries, Entry};
use crate::rng::Rng;
use crate::snapshot::PartKey;

/// What all simulated jobs are drawn with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Simulator {
    #[serde(rename = "seed")]
    pub(crate) rng: Rng,
    pub(crate) defaults: Arc<Defaults>,
}

impl Simulator {
    pub(super) fn seed(&mut self, seed: u64, touch: &mut Touch<'_>) {
        self.rng = Rng::new(seed);
        self.tell(touch);
    }

    pub(super) fn set(&mut self, defaults: &Defaults, touch: &mut Touch<'_>) {
        self.defaults = Arc::new(defaults.clone());
        self.tell(touch);
    }

    pub(crate) fn tell(&self, touch: &mut Touch<'_>) {
        touch.dirty(PartKey::Simulator);
        touch.tell(Effect::Settings(self.defaults.clone(), self.rng));
    }
}

/// Changes the simulator, whole or not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ChangeSimulator {
    /// Replaces all defaults, before those are changed that are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Defaults>,
    /// The defaults that are given.
    pub change: Simulate,
    /// Begins all random draws anew with that seed, as [`SetSeed`] does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// Begins all random draws anew with this seed, even if it is the same as before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SetSeed(pub u64);

/// Forgets all jobs, endpoints and deliveries, what was learned and what was changed of the simulator. The clock stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reset {
    /// The simulator's defaults from then on.
    pub defaults: Defaults,
    /// The seed of all draws from then on; the same as before if `None`.
    pub seed: Option<u64>,
    /// The job that is there from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_job: Option<PlayNamed>,
}

impl Command for Reset {
    type Answer = ();

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        // What the state will be, for the job's decision.
        let mut after = Engine::new(engine.policy.clone());
        after.jobs = engine.jobs.forgotten();
        let seed = self.seed.filter(|seed| *seed != engine.jobs.rng().seed());
        let mut fresh: Entries = seed
            .map(|seed| Entry::Seeded { seed })
            .into_iter()
            .collect();
        set(&self.defaults, &after, &mut fresh)?;
        if let Some(play) = &self.default_job {
            for entry in &fresh {
                after.apply(entry, &mut Vec::new());
            }
            play.decide(&after, now, &mut fresh)?;
        }
        entries.push(Entry::Reset);
        entries.append(&mut fresh);
        Ok(())
    }
}

impl Command for ChangeSimulator {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        self.change.validate().map_err(Refusal::Invalid)?;
        let before = self.scenario.as_ref().unwrap_or(engine.jobs.defaults());
        set(&before.with(&self.change), engine, entries)?;
        entries.extend(self.seed.map(|seed| Entry::Seeded { seed }));
        Ok(())
    }
}

/// Replaces the defaults, if they are others.
pub(crate) fn set(
    defaults: &Defaults,
    engine: &Engine,
    entries: &mut Entries,
) -> Result<(), Refusal> {
    defaults.to_wire().validate().map_err(Refusal::Invalid)?;
    if *defaults != **engine.jobs.defaults() {
        entries.push(Entry::Settings(Box::new(defaults.clone())));
    }
    Ok(())
}

impl Command for SetSeed {
    type Answer = ();

    fn decide(&self, _: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        entries.push(Entry::Seeded { seed: self.0 });
        Ok(())
    }
}
