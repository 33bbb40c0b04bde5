//! The engine as the journal has it.

use abide_engine::snapshot::PartReader;
use abide_engine::{Effect, Engine, Entry, Policy};
use abide_wire::Timestamp;

use super::aside::{read_aside, readers};
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

/// How often a start begins again because the leader has forgotten what it was about to read.
const LOADS_MAX: u32 = 10;

/// Restores the engine from the last checkpoint and the entries after it. `policy` is in force where the log has none.
pub(crate) fn load(journal: &mut dyn Journal, policy: Policy) -> Result<Loaded, JournalError> {
    for _ in 1..LOADS_MAX {
        match load_once(journal, policy.clone()) {
            // Another node has written the next checkpoint between the two, and forgotten the entries before it.
            Err(JournalError::Missing { .. }) if journal.shared().is_some() => {}
            loaded => return loaded,
        }
    }
    load_once(journal, policy)
}

fn load_once(journal: &mut dyn Journal, policy: Policy) -> Result<Loaded, JournalError> {
    let threads = if journal.is_blocking() { readers() } else { 0 };
    let mut engine = Engine::new(policy);
    let checkpointed = read_aside(
        threads,
        || {
            let mut reader = PartReader::default();
            move |name: &str, bytes: &[u8]| reader.read(name, bytes)
        },
        |each| journal.load(each),
        |part| {
            let put = part.and_then(|part| engine.put(part));
            put.map_err(|error| {
                JournalError::unreadable(format!("the part {}", error.part()), &error)
            })
        },
    )?;
    engine.restored(checkpointed);
    let feed = Feed::new(journal.life(), engine.last_change());
    let (mut effects, mut seq) = (Vec::new(), checkpointed);
    read_aside(
        threads,
        || |_: &str, bytes: &[u8]| Entry::decode(bytes),
        |each| journal.replay(checkpointed, &mut |_, bytes| each("", bytes)),
        |entry| {
            seq += 1;
            let entry =
                entry.map_err(|error| JournalError::unreadable(format!("entry {seq}"), &error))?;
            engine.apply(&entry, &mut effects);
            feed.add(effects.iter().filter_map(Effect::as_change));
            effects.clear();
            Ok(())
        },
    )?;
    Ok(Loaded {
        engine,
        feed,
        checkpointed,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Checkpoints, EachEntry, EachPart, Files, SharedLog, SharedMemoryJournal};

    /// A handle of a log whose leader writes a checkpoint right after the next loads.
    #[derive(Debug)]
    struct Overtaken {
        log: SharedMemoryJournal,
        leader: SharedMemoryJournal,
        times: u32,
    }

    impl Journal for Overtaken {
        fn is_blocking(&self) -> bool {
            false
        }

        fn life(&self) -> u64 {
            self.log.life()
        }

        fn last_seq(&self) -> u64 {
            self.log.last_seq()
        }

        fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
            self.log.append(entries)
        }

        fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
            let loaded = self.log.load(each)?;
            if let Some(left) = self.times.checked_sub(1) {
                self.times = left;
                let entry = Entry::Seeded { seed: 7 }.encode();
                let seq = self.leader.append(&[entry.clone(), entry.clone()])?;
                self.leader.append(&[entry])?;
                let mut parts = std::iter::empty();
                self.leader.checkpoints().write(seq, &mut parts)?;
            }
            Ok(loaded)
        }

        fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
            self.log.replay(after, each)
        }

        fn checkpoints(&self) -> Box<dyn Checkpoints> {
            self.log.checkpoints()
        }

        fn shared(&mut self) -> Option<&mut dyn SharedLog> {
            self.log.shared()
        }

        fn files(&self) -> Arc<Files> {
            self.log.files()
        }
    }

    #[test]
    fn a_start_that_a_checkpoint_overtakes_begins_again() {
        let leader = SharedMemoryJournal::new(1);
        let load = |times| -> Result<_, JournalError> {
            let mut log = Overtaken {
                log: leader.open(),
                leader: leader.open(),
                times,
            };
            let loaded = load(&mut log, Policy::default())?;
            Ok((loaded.checkpointed, log.last_seq()))
        };
        assert_eq!(load(3).unwrap(), (8, 9));
        // A log whose checkpoint never reaches what it forgets is missing something.
        assert!(matches!(load(LOADS_MAX), Err(JournalError::Missing { .. })));
    }
}
