//! Reads a data directory and says what is damaged, also while a server runs on it.

use std::path::Path;

use abide_engine::{Engine, Entry, Policy};

use crate::journal::{self, JournalError};

/// What a check found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// How many parts of the checkpoint are whole.
    pub parts: u64,
    /// How many entries of the log are whole.
    pub entries: u64,
    /// What isn't; empty if a server can start on the directory.
    pub damage: Vec<JournalError>,
}

/// Reads everything in the directory: SQLite's structures, each checksum, and whether this program understands what it
/// reads. Changes nothing. Blocks on the disk.
#[must_use]
pub fn check(directory: &Path) -> Checked {
    let Checked {
        mut parts,
        mut entries,
        mut damage,
    } = Checked::default();
    let mut engine = Engine::new(Policy::default());
    let mut foreign = Vec::new();
    let mut unknown = Vec::new();
    let read = journal::check(
        directory,
        &mut |name, bytes| {
            parts += 1;
            if let Err(error) = engine.restore(name, bytes) {
                foreign.push(JournalError::unreadable(format!("the part {name}"), &error));
            }
            Ok(())
        },
        &mut |seq, bytes| {
            entries += 1;
            if let Err(error) = Entry::decode(bytes) {
                unknown.push(JournalError::unreadable(format!("entry {seq}"), &error));
            }
            Ok(())
        },
        &mut |error| damage.push(error),
    );
    damage.extend(foreign);
    damage.extend(unknown);
    damage.extend(read.err());
    Checked {
        parts,
        entries,
        damage,
    }
}
