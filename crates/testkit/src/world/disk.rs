//! The disk: a journal that takes time to sync, fills up, breaks, and forgets at a crash what wasn't synced.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use abide_server::journal::{
    Checkpoints, EachEntry, EachPart, Journal, JournalError, MemoryJournal, PartChange,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::draw::Draw;
use super::history::now;
use super::plan::Sabotage;

/// Entries after which a checkpoint is written: few, so that every world has some.
const CHECKPOINT_ENTRIES: u64 = 60;
/// How long a disk that tells before it has appended waits with the append.
const TOLD_BEFORE: Duration = Duration::from_millis(400);
/// Which syncs a disk loses: one in this number.
const LOST_SYNCS: u64 = 2;

/// A disk. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    draw: Draw,
    journal: MemoryJournal,
    /// The ends of appends that a crash may undo, and when each is safe; `None` for one that waits for a later sync.
    unsynced: VecDeque<(u64, Option<Instant>)>,
    /// What was told and not appended.
    told: VecDeque<(Instant, Vec<Vec<u8>>)>,
    appends: watch::Sender<u64>,
    latency: Duration,
    full_until: Option<Instant>,
    fails_next: Option<Failing>,
    sabotage: Sabotage,
    /// Counts the crashes: a handle of an earlier life writes nothing.
    life: u64,
}

/// How the next append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// Nothing is written.
    Broken,
    /// Everything is written.
    Lying,
}

/// The journal on a disk, until the next crash.
#[derive(Debug)]
pub(super) struct Log {
    disk: Disk,
    life: u64,
}

impl Disk {
    pub(super) fn new(draw: Draw, sabotage: Sabotage) -> Self {
        Self(Arc::new(Mutex::new(Held {
            latency: draw.named("latency").span(1, 25),
            draw,
            journal: MemoryJournal::new(),
            unsynced: VecDeque::new(),
            told: VecDeque::new(),
            appends: watch::Sender::new(0),
            full_until: None,
            fails_next: None,
            sabotage,
            life: 0,
        })))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal, as a start opens it.
    pub(super) fn open(&self) -> Log {
        Log {
            disk: self.clone(),
            life: self.held().life,
        }
    }

    /// A start is over. What it has appended is synced: it waits for that, unlike the loop, which goes on meanwhile.
    pub(super) fn started(&self) {
        self.held().unsynced.clear();
    }

    /// How many appends there have been.
    pub(super) fn appends(&self) -> watch::Receiver<u64> {
        self.held().appends.subscribe()
    }

    /// How long a sync takes.
    pub(super) fn latency(&self) -> Duration {
        self.held().latency
    }

    /// Has no room for that long.
    pub(super) fn fill(&self, length: Duration) {
        self.held().full_until = Some(now() + length);
    }

    /// Fails the next append so that the journal can't go on.
    pub(super) fn fail(&self, how: Failing) {
        self.held().fails_next = Some(how);
    }

    /// Fails no longer.
    pub(super) fn heal(&self) {
        self.held().fails_next = None;
    }

    /// Ends what is open, and forgets of what wasn't synced all that comes after a point that is drawn. Returns how
    /// many entries that were.
    pub(super) fn crash(&self) -> u64 {
        let mut held = self.held();
        held.settle();
        held.life += 1;
        held.told.clear();
        held.fails_next = None;
        let last = held.journal.last_seq();
        let life = held.life;
        held.note_synced();
        let first = held.unsynced.front().map(|(begin, _)| *begin);
        let batches = held.unsynced.len() as u64;
        let kept = held.draw.named("torn").of(life).below(batches + 1);
        let kept = usize::try_from(kept).unwrap_or_default();
        let end = match first {
            None => last,
            Some(_) if kept == held.unsynced.len() => last,
            Some(_) => held.unsynced[kept].0,
        };
        held.unsynced.clear();
        // A checkpoint is never ahead of the synced log.
        if let Some(torn) = held.journal.crashed_after(end) {
            held.journal = torn;
        }
        last - held.journal.last_seq()
    }
}

impl Held {
    /// Appends what was told before, and is due.
    fn settle(&mut self) {
        while self.told.front().is_some_and(|(at, _)| *at <= now()) {
            let entries = self.told.pop_front().map(|(_, entries)| entries);
            // In memory it doesn't fail.
            let _ = self.journal.append(&entries.unwrap_or_default());
        }
    }

    /// Forgets what a crash can't undo any more: what is safe is safe with all before it.
    fn note_synced(&mut self) {
        let is_safe = |at: Option<Instant>| at.is_some_and(|at| at <= now());
        let synced = self.unsynced.iter().rposition(|(_, at)| is_safe(*at));
        self.unsynced.drain(..synced.map_or(0, |synced| synced + 1));
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        let path = || "disk".into();
        self.settle();
        if self.full_until.is_some_and(|until| until > now()) {
            return Err(JournalError::Full { path: path() });
        }
        let broken = || JournalError::Io {
            path: path(),
            source: "the disk failed".into(),
        };
        let failing = self.fails_next.take();
        if failing == Some(Failing::Broken) {
            return Err(broken());
        }
        let begin = self.last_seq();
        let count = *self.appends.borrow() + 1;
        let is_lost = self.sabotage == Sabotage::LostSync && self.draw.of(count).one_in(LOST_SYNCS);
        if self.sabotage == Sabotage::TellBeforeAppend {
            self.told.push_back((now() + TOLD_BEFORE, entries.to_vec()));
        } else {
            self.journal.append(entries)?;
            self.note_synced();
            let at = (!is_lost).then(|| now() + self.latency);
            self.unsynced.push_back((begin, at));
        }
        self.appends.send_replace(count);
        match failing {
            Some(_) => Err(broken()),
            None => Ok(begin + entries.len() as u64),
        }
    }

    fn last_seq(&self) -> u64 {
        let told: usize = self.told.iter().map(|(_, entries)| entries.len()).sum();
        self.journal.last_seq() + told as u64
    }
}

impl Log {
    /// The disk, unless it has crashed since.
    fn held(&self) -> Result<MutexGuard<'_, Held>, JournalError> {
        let held = self.disk.held();
        if held.life == self.life {
            return Ok(held);
        }
        Err(JournalError::Io {
            path: "disk".into(),
            source: "the process has crashed".into(),
        })
    }
}

impl Journal for Log {
    fn is_blocking(&self) -> bool {
        false
    }

    fn latency(&self) -> Duration {
        self.disk.latency()
    }

    fn life(&self) -> u64 {
        self.disk.held().journal.life()
    }

    fn last_seq(&self) -> u64 {
        self.disk.held().last_seq()
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        self.held()?.append(entries)
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        let mut journal = self.held()?.journal.clone();
        journal.load(each)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        let mut journal = self.held()?.journal.clone();
        journal.replay(after, each)
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(Self {
            disk: self.disk.clone(),
            life: self.life,
        })
    }

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        let mut held = self.held()?;
        // A close in order syncs.
        held.unsynced.clear();
        while let Some((_, entries)) = held.told.pop_front() {
            held.journal.append(&entries)?;
        }
        Ok(())
    }
}

impl Checkpoints for Log {
    fn entries(&self) -> u64 {
        CHECKPOINT_ENTRIES
    }

    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let mut held = self.held()?;
        if held.full_until.is_some_and(|until| until > now()) {
            return Err(JournalError::Full {
                path: "disk".into(),
            });
        }
        // What a checkpoint stands for is synced before it.
        held.unsynced.clear();
        while let Some((_, entries)) = held.told.pop_front() {
            held.journal.append(&entries)?;
        }
        Checkpoints::write(&mut held.journal, seq, changes)
    }
}
