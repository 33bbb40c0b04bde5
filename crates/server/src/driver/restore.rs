//! The engine as the journal has it.

use abide_engine::{Effect, Engine, Entry, Policy};
use abide_wire::Timestamp;

use super::run::{BATCH_DUE_MAX, encode};
use crate::board::Feed;
use crate::clock::Clock;
use crate::journal::{Journal, JournalError};

/// What the journal has.
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    /// The changes of the entries after the checkpoint.
    pub(super) feed: Feed,
    /// The number of the checkpoint's last entry.
    pub(super) checkpointed: u64,
}

impl Loaded {
    /// Seeds a new log, and has happen what was due while the server was down: a batch at a time, because it may be
    /// much.
    pub(super) fn catch_up(
        &mut self,
        journal: &mut dyn Journal,
        clock: &Clock,
        fresh_seed: u64,
    ) -> Result<(), JournalError> {
        let Self { engine, feed, .. } = self;
        let (mut entries, mut effects) = (Vec::new(), Vec::new());
        if engine.jobs().made() == 0 && engine.jobs().rng().seed() == 0 {
            entries.push(Entry::Seeded { seed: fresh_seed });
            engine.apply(&entries[0], &mut effects);
        }
        resume(engine, clock.now(), &mut entries, &mut effects);
        loop {
            engine.fire(clock.now(), BATCH_DUE_MAX, &mut entries, &mut effects);
            if entries.is_empty() {
                return Ok(());
            }
            journal.append(&encode(&entries))?;
            feed.add(effects.iter().filter_map(Effect::as_change));
            entries.clear();
            effects.clear();
        }
    }
}

/// Has the leases of workers count anew, which could not report for a while.
pub(super) fn resume(
    engine: &mut Engine,
    now: Timestamp,
    entries: &mut Vec<Entry>,
    effects: &mut Vec<Effect>,
) {
    if engine.jobs().has_leases() {
        let entry = Entry::Resumed { at: now };
        engine.apply(&entry, effects);
        entries.push(entry);
    }
}

/// Restores the engine from the last checkpoint and the entries after it. `policy` is in force where the log has none.
pub(crate) fn load(journal: &mut dyn Journal, policy: Policy) -> Result<Loaded, JournalError> {
    let mut engine = Engine::new(policy);
    let checkpointed = journal.load(&mut |name, bytes| {
        engine
            .restore(name, bytes)
            .map_err(|error| JournalError::unreadable(format!("the part {name}"), &error))
    })?;
    engine.restored(checkpointed);
    let feed = Feed::new(journal.life(), engine.last_change());
    let mut effects = Vec::new();
    journal.replay(checkpointed, &mut |seq, bytes| {
        let entry = Entry::decode(bytes)
            .map_err(|error| JournalError::unreadable(format!("entry {seq}"), &error))?;
        engine.apply(&entry, &mut effects);
        feed.add(effects.iter().filter_map(Effect::as_change));
        effects.clear();
        Ok(())
    })?;
    Ok(Loaded {
        engine,
        feed,
        checkpointed,
    })
}
