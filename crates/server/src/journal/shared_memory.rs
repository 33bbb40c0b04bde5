//! A shared log in memory: for tests of several servers in one process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide_engine::entry::LEVEL;
use abide_wire::Timestamp;

use super::{
    Batch, Beat, Checkpoints, EachEntry, EachPart, Journal, JournalError, Leading, Lease, Member,
    PartChange, Position, SharedLog, Tail,
};

/// What [`JournalError`] calls it.
const PLACE: &str = "memory";
/// Batches that one read of the tail gives at most.
const READ_MAX: usize = 1_000;

/// What a test does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the caller is told that the database is away.
    Away,
    /// It happens, and the answer is lost.
    LostAnswer,
    /// It doesn't happen, and no answer comes either.
    LostRequest,
}

/// The calls that a fault may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// An append or a mark.
    Append,
    /// A load, a replay or a read of the tail.
    Read,
    /// A call of [`Lease`].
    Lease,
}

type Faults = Arc<dyn Fn(Call) -> Option<Fault> + Send + Sync>;

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

#[derive(Debug, Default)]
struct Held {
    life: u64,
    /// The log without what a checkpoint has covered; the last batch always stays.
    batches: VecDeque<Batch>,
    nonces: u64,
    parts: BTreeMap<String, Vec<u8>>,
    checkpoint: u64,
    /// The term of the leader that wrote the checkpoint.
    checkpoint_term: u64,
    leading: Leading,
    members: BTreeMap<String, Member>,
    time: Timestamp,
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

    /// Sets the database's clock, which [`Lease::beat`] tells.
    pub fn set_time(&self, time: Timestamp) {
        self.held().time = time;
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

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // Nothing panics while it holds the lock half way through a change, so a poisoned one is as good as any.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(faults: Option<&Faults>, call: Call) -> Option<Fault> {
    faults.and_then(|faults| faults(call))
}

fn away() -> JournalError {
    JournalError::Away {
        place: PLACE.to_owned(),
        source: "a test cut it off".into(),
    }
}

fn superseded(detail: String) -> JournalError {
    JournalError::Superseded {
        place: PLACE.to_owned(),
        detail,
    }
}

fn lost(detail: String) -> JournalError {
    JournalError::LostByDatabase {
        place: PLACE.to_owned(),
        detail,
    }
}

impl Held {
    /// The end of the log and the term of its last batch.
    fn end(&self) -> (Position, u64) {
        self.batches.back().map_or_else(
            || {
                let seq = self.checkpoint;
                (
                    Position {
                        seq,
                        ..Position::default()
                    },
                    0,
                )
            },
            |batch| (batch.position(), batch.term),
        )
    }

    /// Adds the batch if it is the next one and follows what its writer knows, or if it is there already.
    fn insert(&mut self, batch: Batch) -> Result<(), JournalError> {
        if let Some(there) = self.batches.iter().find(|b| b.number == batch.number) {
            return if there.nonce == batch.nonce {
                Ok(())
            } else {
                Err(superseded(format!("it has batch {}", batch.number)))
            };
        }
        let (end, _) = self.end();
        if end.batch >= batch.number {
            return Err(superseded(format!("it ends with batch {}", end.batch)));
        }
        if !batch.follows(end) {
            return Err(lost(format!(
                "batch {} is gone, and the log ends with batch {}",
                batch.number - 1,
                end.batch
            )));
        }
        self.batches.push_back(batch);
        Ok(())
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

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        Ok(())
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

/// Every door but the log itself.
struct Handle {
    held: Arc<Mutex<Held>>,
    faults: Option<Faults>,
    term: Arc<AtomicU64>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Has the change made, unless a fault meets it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Held) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match fault(self.faults.as_ref(), Call::Lease) {
            None => change(&mut lock(&self.held)),
            Some(Fault::LostAnswer) => {
                change(&mut lock(&self.held))?;
                Err(away())
            }
            Some(Fault::Away | Fault::LostRequest) => Err(away()),
        }
    }
}

impl Checkpoints for Handle {
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let term = self.term.load(Ordering::Relaxed);
        let mut held = lock(&self.held);
        let newest = held.end().1.max(held.checkpoint_term);
        if newest > term || held.checkpoint > seq {
            return Err(superseded(format!(
                "the leader of term {newest} has written"
            )));
        }
        held.checkpoint_term = term;
        for (key, body) in changes {
            match body {
                Some(body) => held.parts.insert(key, body),
                None => held.parts.remove(&key),
            };
        }
        held.checkpoint = seq;
        while held.batches.len() > 1 && held.batches[0].position().seq <= seq {
            held.batches.pop_front();
        }
        Ok(())
    }
}

impl Tail for Handle {
    fn read(&mut self, after: Position) -> Result<Vec<Batch>, JournalError> {
        if fault(self.faults.as_ref(), Call::Read).is_some() {
            return Err(away());
        }
        let held = lock(&self.held);
        let (end, _) = held.end();
        if end.batch < after.batch {
            return Err(lost(format!(
                "batch {} is gone, and the log ends with batch {}",
                after.batch, end.batch
            )));
        }
        let first = held.batches.front().map_or(1, |batch| batch.number);
        if after.batch + 1 < first {
            return Err(JournalError::Missing {
                place: PLACE.to_owned(),
                from: after.seq + 1,
                through: held.batches[0].first - 1,
            });
        }
        let there = held.batches.iter().find(|b| b.number == after.batch);
        if there.is_some_and(|batch| batch.nonce != after.nonce) {
            return Err(lost(format!("batch {} is another one", after.batch)));
        }
        let next: Vec<_> = held
            .batches
            .iter()
            .filter(|batch| batch.number > after.batch)
            .take(READ_MAX)
            .cloned()
            .collect();
        match next.first() {
            Some(batch) if !batch.follows(after) => {
                Err(lost(format!("batch {} is another one", after.batch)))
            }
            _ => Ok(next),
        }
    }
}

impl Lease for Handle {
    fn join(&mut self, member: &Member) -> Result<(), JournalError> {
        self.change(|held| {
            held.members.insert(member.node.clone(), member.clone());
            Ok(())
        })
    }

    fn beat(&mut self, node: &str, run: u64, applied: u64) -> Result<Beat, JournalError> {
        self.change(|held| {
            let Some(member) = held.members.get_mut(node).filter(|m| m.run == run) else {
                return Err(superseded(format!("another process is the node {node:?}")));
            };
            member.beat += 1;
            member.applied = applied;
            Ok(Beat {
                term: held.leading.term,
                database_time: held.time,
                level: LEVEL,
            })
        })
    }

    fn leading(&mut self) -> Result<Leading, JournalError> {
        self.change(|held| {
            let mut leading = held.leading.clone();
            let member = leading
                .node
                .as_ref()
                .and_then(|node| held.members.get(node));
            if let Some(member) = member.filter(|member| member.run == leading.run) {
                (leading.beat, leading.address) = (member.beat, member.address.clone());
            }
            Ok(leading)
        })
    }

    fn take(&mut self, node: &str, run: u64, seen: u64) -> Result<bool, JournalError> {
        self.change(|held| {
            let leading = &mut held.leading;
            // The answer to the first attempt may have been lost.
            let is_ours = leading.term == seen + 1
                && leading.run == run
                && leading.node.as_deref() == Some(node);
            if leading.term == seen {
                *leading = Leading {
                    term: seen + 1,
                    node: Some(node.to_owned()),
                    run,
                    ..Leading::default()
                };
                return Ok(true);
            }
            Ok(is_ours)
        })
    }

    fn hand_over(&mut self, term: u64) -> Result<bool, JournalError> {
        self.change(|held| {
            let is_ours = held.leading.term == term;
            if is_ours {
                held.leading.term += 1;
                held.leading.node = None;
            }
            Ok(is_ours)
        })
    }

    fn peer_key(&mut self) -> Result<[u8; 32], JournalError> {
        Ok([7; 32])
    }

    fn members(&mut self) -> Result<Vec<Member>, JournalError> {
        self.change(|held| Ok(held.members.values().cloned().collect()))
    }

    fn forget(&mut self, member: &Member) -> Result<bool, JournalError> {
        let is_it = |there: &Member| (there.run, there.beat) == (member.run, member.beat);
        self.change(|held| {
            let is_there = held.members.get(&member.node).is_some_and(is_it);
            if is_there {
                held.members.remove(&member.node);
            }
            Ok(is_there)
        })
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
