//! The log itself, in memory.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::doors::Handle;
use super::held::{Call, Fault, Faults, Held, PLACE, away, fault, lock};
use crate::clock::Clock;
use crate::journal::{
    Batch, Checkpoints, EachEntry, EachPart, Journal, JournalError, Lease, Position, SharedLog,
    Tail,
};

/// A handle of a log in memory that several servers share, with the append rule of [`SharedLog`].
///
/// ```
/// use abide_server::journal::{Journal, JournalError, SharedMemoryJournal};
///
/// let log = SharedMemoryJournal::new(1);
/// let (mut one, mut other) = (log.open(), log.open());
/// one.append(&[b"fact".to_vec()])?;
/// let late = other.append(&[b"another".to_vec()]);
/// assert!(matches!(late, Err(JournalError::Superseded { .. })));
/// # Ok::<(), JournalError>(())
/// ```
pub struct SharedMemoryJournal {
    held: Arc<Mutex<Held>>,
    faults: Option<Faults>,
    position: Position,
    /// The door for checkpoints has it too.
    term: Arc<AtomicU64>,
    /// The nonce of an append whose outcome is unknown, its entries and its term.
    unknown: Option<(u64, Vec<Vec<u8>>, u64)>,
}

impl fmt::Debug for SharedMemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemoryJournal")
            .field("position", &self.position)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

impl SharedMemoryJournal {
    /// A handle of a new, empty log of that life.
    #[must_use]
    pub fn new(life: u64) -> Self {
        let held = Held {
            life,
            ..Held::default()
        };
        Self::of(Arc::new(Mutex::new(held)), None)
    }

    /// Another handle of the same log, at its end, as another process would open it. It meets no faults.
    #[must_use]
    pub fn open(&self) -> Self {
        Self::of(self.held.clone(), None)
    }

    /// The same with faults: `faults` is asked before each call of this handle and of what it gives.
    #[must_use]
    pub fn open_with(
        &self,
        faults: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self::of(self.held.clone(), Some(Arc::new(faults)))
    }

    /// Gives the database a clock: [`Lease::beat`] tells what [`Clock::system`] says. Without one it stands at 1970.
    pub fn set_clock(&self, clock: Clock) {
        self.held().clock = Some(clock);
    }

    /// All batches that aren't forgotten, for a test's judge.
    #[must_use]
    pub fn batches(&self) -> Vec<Batch> {
        self.held().batches.iter().cloned().collect()
    }

    /// Loses every batch after that number, as a failover to an asynchronous standby does.
    pub fn lose_after(&self, number: u64) {
        self.held().batches.retain(|batch| batch.number <= number);
    }

    fn of(held: Arc<Mutex<Held>>, faults: Option<Faults>) -> Self {
        let mut journal = Self {
            held,
            faults,
            position: Position::default(),
            term: Arc::default(),
            unknown: None,
        };
        let (position, term) = journal.held().end();
        journal.position = position;
        journal.term.store(term, Ordering::Relaxed);
        journal
    }

    fn handle(&self) -> Handle {
        Handle {
            held: self.held.clone(),
            faults: self.faults.clone(),
            term: self.term.clone(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    /// Writes a batch of that term after the position, by the rule of [`SharedLog`].
    fn write(&mut self, term: u64, entries: &[Vec<u8>]) -> Result<Position, JournalError> {
        let fault = fault(self.faults.as_ref(), Call::Append);
        if fault == Some(Fault::Away) {
            return Err(away());
        }
        let mut held = lock(&self.held);
        let tried = self
            .unknown
            .take()
            .filter(|(_, tried, of_term)| tried == entries && *of_term == term);
        let nonce = tried.map_or_else(
            || {
                held.nonces += 1;
                held.nonces
            },
            |(nonce, ..)| nonce,
        );
        let batch = Batch {
            number: self.position.batch + 1,
            term,
            nonce,
            before: self.position.nonce,
            first: self.position.seq + 1,
            entries: entries.to_vec(),
        };
        let position = batch.position();
        if fault != Some(Fault::LostRequest) {
            held.insert(batch)?;
        }
        if fault.is_some() {
            self.unknown = Some((nonce, entries.to_vec(), term));
            return Err(JournalError::Unknown {
                place: PLACE.to_owned(),
                source: "a test lost the answer".into(),
            });
        }
        drop(held);
        self.position = position;
        self.term.store(term, Ordering::Relaxed);
        Ok(position)
    }
}

impl Journal for SharedMemoryJournal {
    fn is_blocking(&self) -> bool {
        false
    }

    fn life(&self) -> u64 {
        self.held().life
    }

    fn last_seq(&self) -> u64 {
        self.position.seq
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        if entries.is_empty() {
            return Ok(self.position.seq);
        }
        self.write(SharedLog::term(self), entries)
            .map(|position| position.seq)
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        if fault(self.faults.as_ref(), Call::Read).is_some() {
            return Err(away());
        }
        let (parts, checkpoint) = {
            let held = self.held();
            (held.parts.clone(), held.checkpoint)
        };
        for (key, body) in &parts {
            each(key, body)?;
        }
        Ok(checkpoint)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        if fault(self.faults.as_ref(), Call::Read).is_some() {
            return Err(away());
        }
        let (batches, (end, _)) = {
            let held = self.held();
            (held.batches.clone(), held.end())
        };
        let first = batches.front().map_or(end.seq + 1, |batch| batch.first);
        if after + 1 < first {
            return Err(JournalError::Missing {
                place: PLACE.to_owned(),
                from: after + 1,
                through: first - 1,
            });
        }
        for batch in &batches {
            for (seq, entry) in (batch.first..).zip(&batch.entries) {
                if seq > after {
                    each(seq, entry)?;
                }
            }
        }
        (self.position, self.unknown) = (end, None);
        Ok(())
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(self.handle())
    }

    fn shared(&mut self) -> Option<&mut dyn SharedLog> {
        Some(self)
    }
}

impl SharedLog for SharedMemoryJournal {
    fn position(&self) -> Position {
        self.position
    }

    fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }

    fn stand_at(&mut self, position: Position) {
        if self.position != position {
            (self.position, self.unknown) = (position, None);
        }
    }

    fn mark(&mut self, term: u64) -> Result<Position, JournalError> {
        self.write(term, &[])
    }

    fn tail(&self) -> Box<dyn Tail> {
        Box::new(self.handle())
    }

    fn lease(&self) -> Box<dyn Lease> {
        Box::new(self.handle())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;

    use super::*;

    fn entry(text: &str) -> Vec<Vec<u8>> {
        vec![text.as_bytes().to_vec()]
    }

    #[test]
    fn an_append_whose_answer_was_lost_is_written_once() {
        for fault in [Fault::LostAnswer, Fault::LostRequest] {
            let log = SharedMemoryJournal::new(1);
            let left = AtomicU8::new(2);
            let mut writer = log.open_with(move |_| {
                (left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)))
                    .ok()
                    .map(|_| fault)
            });
            for _ in 0..2 {
                let error = writer.append(&entry("a")).unwrap_err();
                assert!(matches!(error, JournalError::Unknown { .. }), "{error}");
                assert!(error.is_retryable());
            }
            assert_eq!(writer.append(&entry("a")).unwrap(), 1);
            assert_eq!(writer.append(&entry("a")).unwrap(), 2);
            assert_eq!(log.batches().len(), 2);
        }
    }

    #[test]
    fn a_lost_suffix_is_noticed_by_the_writer_and_by_readers() {
        let log = SharedMemoryJournal::new(1);
        let mut writer = log.open();
        for text in ["a", "b", "c"] {
            writer.append(&entry(text)).unwrap();
        }
        let (at, mut tail) = (writer.position(), writer.tail());
        log.lose_after(1);
        for error in [
            writer.append(&entry("d")).unwrap_err(),
            tail.read(at).unwrap_err(),
        ] {
            assert!(
                matches!(error, JournalError::LostByDatabase { .. }),
                "{error}"
            );
        }
        // Another writer goes on from there; who held more sees that the history is another one.
        let mut other = log.open();
        for text in ["x", "y", "z"] {
            other.append(&entry(text)).unwrap();
        }
        let error = tail.read(at).unwrap_err();
        assert!(
            matches!(error, JournalError::LostByDatabase { .. }),
            "{error}"
        );
    }
}
