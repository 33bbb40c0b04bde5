//! What the log says of itself, and what a start adds to it.

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use crate::command::{Command, Decided};
use crate::engine::Engine;
use crate::entry::{Entries, Entry, LEVEL};
use crate::jobs::{self, Defaults};
use crate::policy::Policy;
use crate::rng::digest;

/// What the log says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The newest level of forms that it may hold.
    pub(crate) level: u32,
    /// The digest of the configuration whose settings were last written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configured: Option<u64>,
    /// The latest instant of any entry.
    pub(crate) latest: Timestamp,
    /// The number of the last entry that changed a job.
    pub(crate) changed: u64,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            level: 1,
            configured: None,
            latest: Timestamp::default(),
            changed: 0,
        }
    }
}

/// Writes down what the configuration says, if it says something else than at the last start. What was changed at run
/// time stays as long as the configuration does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configure {
    /// What the server allows.
    pub policy: Policy,
    /// The simulator's defaults.
    pub defaults: Defaults,
    /// The seed of all draws; `None` keeps the one in force.
    pub seed: Option<u64>,
    /// The newest level of forms that may be written, up to [`LEVEL`], which is the default. A log's level never falls.
    #[serde(default = "newest", skip_serializing_if = "is_newest")]
    pub level: u32,
}

const fn newest() -> u32 {
    LEVEL
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_newest(level: &u32) -> bool {
    *level == LEVEL
}

impl Configure {
    /// Of what may be changed at run time too.
    fn digest(&self) -> u64 {
        let settings = serde_json::to_vec(&(&self.defaults, self.seed));
        digest(&[&settings.unwrap_or_default()])
    }
}

impl Command for Configure {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let (configured, digest) = (engine.meta.configured, self.digest());
        let mut fresh = Entries::new();
        let level = self.level.min(LEVEL);
        if engine.meta.level < level {
            fresh.push(Entry::Level { level });
        }
        if configured.is_none() || self.policy != engine.policy {
            fresh.push(Entry::Policy(Box::new(self.policy.clone())));
        }
        if configured != Some(digest) {
            jobs::set(&self.defaults, engine, &mut fresh)?;
            let seed = self.seed.filter(|seed| *seed != engine.jobs.rng().seed());
            fresh.extend(seed.map(|seed| Entry::Seeded { seed }));
            fresh.push(Entry::Configured { digest });
        }
        entries.append(&mut fresh);
        Ok(())
    }
}
