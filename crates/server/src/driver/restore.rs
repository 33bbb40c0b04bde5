//! The engine as the journal has it.

use abide_engine::{Engine, Entry};

use crate::journal::{Journal, JournalError};

/// Restores the engine from the last checkpoint and the entries after it. Returns the number of the checkpoint's last entry.
pub(super) fn load(engine: &mut Engine, journal: &mut dyn Journal) -> Result<u64, JournalError> {
    let checkpointed = journal.load(&mut |name, bytes| {
        engine
            .restore(name, bytes)
            .map_err(|error| JournalError::unreadable(format!("the part {name}"), &error))
    })?;
    engine.restored();
    let mut effects = Vec::new();
    journal.replay(checkpointed, &mut |seq, bytes| {
        let entry = Entry::decode(bytes)
            .map_err(|error| JournalError::unreadable(format!("entry {seq}"), &error))?;
        engine.apply(&entry, &mut effects);
        effects.clear();
        Ok(())
    })?;
    Ok(checkpointed)
}
