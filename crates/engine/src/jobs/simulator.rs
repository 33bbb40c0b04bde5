//! The seed and the defaults of simulated jobs, and the commands that change them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::{Simulate, Timestamp};

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

/// Changes those of the simulator's defaults that are given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeDefaults(pub Simulate);

/// Replaces all of the simulator's defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetDefaults(pub Defaults);

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
}

impl Command for Reset {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        self.defaults
            .to_wire()
            .validate()
            .map_err(Refusal::Invalid)?;
        entries.push(Entry::Reset);
        let seed = self.seed.filter(|seed| *seed != engine.jobs.rng().seed());
        entries.extend(seed.map(|seed| Entry::Seeded { seed }));
        if self.defaults != Defaults::default() {
            entries.push(Entry::Settings(Box::new(self.defaults.clone())));
        }
        Ok(())
    }
}

impl Command for ChangeDefaults {
    type Answer = ();

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        self.0.validate().map_err(Refusal::Invalid)?;
        SetDefaults(engine.jobs.defaults().with(&self.0)).decide(engine, now, entries)
    }
}

impl Command for SetDefaults {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        self.0.to_wire().validate().map_err(Refusal::Invalid)?;
        if self.0 != **engine.jobs.defaults() {
            entries.push(Entry::Settings(Box::new(self.0.clone())));
        }
        Ok(())
    }
}

impl Command for SetSeed {
    type Answer = ();

    fn decide(&self, _: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        entries.push(Entry::Seeded { seed: self.0 });
        Ok(())
    }
}
