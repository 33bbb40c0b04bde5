//! Checkpoints: the engine's parts as of an entry, so that a restart replays only the entries after it.
//!
//! They are written beside the appends, the parts that have changed since the last one. Those are gathered from pass
//! to pass, because all of them at once would keep what is due waiting.

use std::marker;
use std::thread;

use tokio::task::JoinHandle;

use abide_engine::Engine;
use abide_engine::snapshot::{Part, PartKey};

use crate::journal::{Checkpoints, Journal, JournalError};

/// How many times the entries that make a checkpoint due on an idle loop make it due under load too, at least and at
/// most.
const UNDER_LOAD: (u64, u64) = (8, 30);
/// Changed parts that make a checkpoint due under load as if the loop were idle: for each of those entries, and for
/// each job. Their names take memory, and those of jobs that come and go become more than the jobs that are stored.
const CHANGED: (usize, usize) = (2, 4);
/// How many times that many make one due however few entries have come: thousands of webhooks may be told of each.
const CHANGED_FULL: usize = 4;
/// Parts that are gathered in a pass, beside [`AHEAD`] times as many as changed in it: under a millisecond's work.
const PARTS_PER_PASS: usize = 1_024;
/// How many times faster parts are gathered than they change, so that fewer are left each time around.
const AHEAD: usize = 4;

/// Writes the checkpoints, one at a time.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// `None` while one is being written.
    checkpoints: Option<Box<dyn Checkpoints>>,
    /// Entries after which one is due on an idle loop.
    entries: u64,
    /// Whether writing waits for a disk; otherwise it is done in place.
    is_blocking: bool,
    /// The last entry in the last checkpoint, or at the last attempt.
    last_seq: u64,
    /// How many changed parts the last attempt left, because it failed.
    left: usize,
    gathering: Option<Gathering>,
    writing: Option<JoinHandle<Written>>,
}

/// The parts of the next checkpoint, taken bit by bit. One that changes after it was taken is taken again.
struct Gathering {
    /// Those still to be taken.
    names: Box<dyn Iterator<Item = PartKey> + marker::Send>,
    parts: Vec<(PartKey, Option<Part>)>,
    /// How many had changed anew at the end of the last pass.
    changed: usize,
}

impl std::fmt::Debug for Gathering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gathering({})", self.parts.len())
    }
}

/// A checkpoint that was written, or couldn't be.
#[derive(Debug)]
struct Written {
    checkpoints: Box<dyn Checkpoints>,
    seq: u64,
    changed: Vec<PartKey>,
    result: Result<(), JournalError>,
}

impl Checkpointer {
    /// The last checkpoint of that journal has the entries up to `last_seq`.
    pub(super) fn new(journal: &dyn Journal, last_seq: u64) -> Self {
        let checkpoints = journal.checkpoints();
        Self {
            entries: checkpoints.entries(),
            is_blocking: journal.is_blocking(),
            checkpoints: Some(checkpoints),
            last_seq,
            left: 0,
            gathering: None,
            writing: None,
        }
    }

    /// Whether there is more to gather, so that the next pass is due.
    pub(super) const fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    /// Begins a checkpoint as of that entry, if enough have come since the last. Under load it waits longer: a job that
    /// changes often is then written once instead of many times, and the load has the disk for itself.
    pub(super) async fn write_if_due(&mut self, engine: &mut Engine, seq: u64, is_idle: bool) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.written(engine).await;
        }
        let much = self.much_changed(engine);
        let enough = if is_idle || engine.dirty() >= much {
            self.entries
        } else {
            self.enough_under_load(engine)
        };
        let is_full = engine.dirty().saturating_sub(self.left) >= much.saturating_mul(CHANGED_FULL);
        let is_due = is_full || seq.saturating_sub(self.last_seq) >= enough;
        if self.gathering.is_none()
            && is_due
            && let Some(checkpoints) = &self.checkpoints
        {
            if checkpoints.is_kept() {
                self.begin(engine);
            } else {
                self.forget(engine, seq);
            }
        }
        if self.gathering.is_some() && self.gather(engine) {
            self.start(engine, seq);
        }
    }

    /// How many changed parts take much memory for what is stored, by their names alone.
    fn much_changed(&self, engine: &Engine) -> usize {
        let (for_entry, for_job) = CHANGED;
        let entries = usize::try_from(self.entries).unwrap_or(usize::MAX);
        let jobs = engine.jobs().len().saturating_mul(for_job);
        entries.saturating_mul(for_entry).saturating_add(jobs)
    }

    /// The entries that make a checkpoint due under load: as many as there are jobs. An entry is replayed about as
    /// quickly as a job is read, so that a restart takes at most about twice as long as right after a checkpoint.
    fn enough_under_load(&self, engine: &Engine) -> u64 {
        let (min, max) = UNDER_LOAD;
        let jobs = engine.jobs().len() as u64;
        jobs.clamp(self.entries * min, self.entries * max)
    }

    /// Waits for the checkpoint that is being written, and writes what has come since.
    pub(super) async fn finish(&mut self, engine: &mut Engine, seq: u64) {
        self.written(engine).await;
        if seq > self.last_seq && self.checkpoints.as_ref().is_some_and(|it| it.is_kept()) {
            self.start(engine, seq);
            self.written(engine).await;
        }
    }

    /// Forgets what was gathered, and remembers its names.
    pub(super) fn give_up(&mut self, engine: &mut Engine) {
        if let Some(Gathering { names, parts, .. }) = self.gathering.take() {
            engine.mark_dirty(parts.into_iter().map(|(name, _)| name).chain(names));
        }
    }

    /// Lets go of the names of changed parts where none is kept: they would become ever more.
    fn forget(&mut self, engine: &mut Engine, seq: u64) {
        drop(engine.take_dirty_names());
        self.last_seq = seq;
    }

    fn begin(&mut self, engine: &mut Engine) {
        self.gathering = Some(Gathering {
            parts: Vec::with_capacity(engine.dirty() + PARTS_PER_PASS),
            names: Box::new(engine.take_dirty_names()),
            changed: 0,
        });
    }

    /// Gathers what a pass may. Says whether so few are left that they can be taken at once.
    fn gather(&mut self, engine: &mut Engine) -> bool {
        let Some(gathering) = &mut self.gathering else {
            return true;
        };
        if !self.is_blocking {
            return true;
        }
        let changed = engine.dirty().saturating_sub(gathering.changed);
        let some = PARTS_PER_PASS + AHEAD * changed;
        let before = gathering.parts.len();
        for key in gathering.names.by_ref().take(some) {
            let part = engine.part(&key);
            gathering.parts.push((key, part));
        }
        let is_through = gathering.parts.len() < before + some;
        let is_last = is_through && engine.dirty() <= some;
        if is_through && !is_last {
            gathering.names = Box::new(engine.take_dirty_names());
        }
        gathering.changed = engine.dirty();
        is_last
    }

    fn start(&mut self, engine: &mut Engine, seq: u64) {
        let Some(mut checkpoints) = self.checkpoints.take() else {
            return;
        };
        let mut parts = Vec::new();
        if let Some(gathering) = self.gathering.take() {
            parts = gathering.parts;
            parts.extend(gathering.names.map(|key| {
                let part = engine.part(&key);
                (key, part)
            }));
        }
        parts.extend(engine.take_dirty());
        // So late that another would be due it must not fall further behind.
        let is_urgent = seq.saturating_sub(self.last_seq) >= self.enough_under_load(engine) * 2;
        let is_blocking = self.is_blocking;
        let write = move || {
            // What was gathered before a reset went with it.
            if let Some(reset) = parts.iter().rposition(|(key, _)| *key == PartKey::All) {
                parts.drain(..reset);
            }
            // In order, because neighbors in the file are then written together. Of a part that was taken twice the
            // later one counts.
            parts.reverse();
            parts.sort_by(|(a, _), (b, _)| a.cmp(b));
            parts.dedup_by(|(a, _), (b, _)| a == b);
            let mut write = || {
                let mut changes = parts
                    .iter()
                    .map(|(key, part)| (key.to_string(), part.as_ref().map(Part::encode)));
                checkpoints.write(seq, &mut changes)
            };
            let result = if is_urgent || !is_blocking {
                write()
            } else {
                aside(write)
            };
            Written {
                checkpoints,
                seq,
                changed: parts.into_iter().map(|(key, _)| key).collect(),
                result,
            }
        };
        if is_blocking {
            self.writing = Some(tokio::task::spawn_blocking(write));
        } else {
            self.note(engine, write());
        }
    }

    /// Takes what became of a checkpoint.
    fn note(&mut self, engine: &mut Engine, written: Written) {
        self.checkpoints = Some(written.checkpoints);
        // After a failure the next attempt comes after as many entries more, not at once.
        self.last_seq = written.seq;
        self.left = 0;
        if let Err(error) = written.result {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a checkpoint could not be written; the entries are kept"
            );
            engine.mark_dirty(written.changed);
            self.left = engine.dirty();
        }
    }

    async fn written(&mut self, engine: &mut Engine) {
        let Some(writing) = self.writing.take() else {
            return;
        };
        match writing.await {
            Ok(written) => self.note(engine, written),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "writing a checkpoint panicked; there will be no more of them until a restart"
            ),
        }
    }
}

/// Does that on a thread that gives way to all others: on a busy core what is due is not late because of it.
fn aside<T: marker::Send>(mut work: impl FnMut() -> T + marker::Send) -> T {
    let done = thread::scope(|scope| {
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            give_way();
            work()
        });
        let done = thread.ok()?.join();
        Some(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    // Without room for one more thread it is done here.
    done.unwrap_or_else(work)
}

/// Lets this thread have a tenth of what another gets. Elsewhere than on Linux it would be the whole process that gives
/// way.
fn give_way() {
    #[cfg(target_os = "linux")]
    if !is_confined() {
        // Where the system refuses it, it is as it was.
        let _refused = rustix::process::nice(10);
    }
}

/// Whether a filter of system calls that can't be lifted is in force. It may end a process that asks for a priority,
/// and doesn't say so before.
#[cfg(target_os = "linux")]
fn is_confined() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let has = |line: &str| status.lines().any(|found| found == line);
    has("Seccomp:\t2") && has("NoNewPrivs:\t1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use abide_engine::delivery::CreateEndpoint;
    use abide_engine::{Cancel, Create, Defaults, Delete, Entry, JobKey, Owner, Policy, Reset};
    use abide_wire::{NewJob, Timestamp, Worker};

    use super::*;
    use crate::journal::{MemoryJournal, PartChange};

    /// What keeps nothing.
    #[derive(Debug)]
    struct Nowhere;

    impl Checkpoints for Nowhere {
        fn is_kept(&self) -> bool {
            false
        }

        fn write(
            &mut self,
            _: u64,
            _: &mut dyn Iterator<Item = PartChange>,
        ) -> Result<(), JournalError> {
            unreachable!("nothing is gathered for it")
        }
    }

    fn create(engine: &mut Engine) -> JobKey {
        let create = Create {
            owner: Owner::ANYONE,
            new: NewJob {
                worker: Some(Worker::External),
                ..NewJob::default()
            },
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        carry_out(engine, &create).job.key
    }

    /// One that has written nothing, to which a checkpoint is due after that many entries.
    fn checkpointer(
        checkpoints: impl Checkpoints + 'static,
        entries: u64,
        is_blocking: bool,
    ) -> Checkpointer {
        Checkpointer {
            checkpoints: Some(Box::new(checkpoints)),
            entries,
            is_blocking,
            last_seq: 0,
            left: 0,
            gathering: None,
            writing: None,
        }
    }

    /// What a checkpoint of it has.
    fn all_parts(engine: &Engine) -> BTreeMap<String, Vec<u8>> {
        let parts = engine.all_parts().into_iter();
        parts
            .map(|(key, part)| (key.to_string(), part.encode()))
            .collect()
    }

    /// What has been written to it.
    fn parts_of(journal: &MemoryJournal) -> BTreeMap<String, Vec<u8>> {
        let mut parts = BTreeMap::new();
        let loaded = journal.clone().load(&mut |key, body| {
            parts.insert(key.to_owned(), body.to_vec());
            Ok(())
        });
        loaded.unwrap();
        parts
    }

    fn reset() -> Reset {
        Reset {
            defaults: Defaults::default(),
            seed: None,
            default_job: None,
        }
    }

    fn carry_out<C: abide_engine::Command>(engine: &mut Engine, command: &C) -> C::Answer {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut entries = Vec::<Entry>::new();
        let answer = engine.carry_out(command, now, &mut entries, &mut Vec::new());
        answer.expect("nothing refuses it")
    }

    #[tokio::test]
    async fn what_is_kept_nowhere_is_not_gathered() {
        let mut engine = Engine::new(Policy::default());
        let mut checkpointer = checkpointer(Nowhere, 50, false);
        for seq in 1..=1_000 {
            create(&mut engine);
            checkpointer.write_if_due(&mut engine, seq, true).await;
            assert!(engine.dirty() < 60 * 3, "{} names at {seq}", engine.dirty());
        }
        checkpointer.finish(&mut engine, 1_001).await;
    }

    #[tokio::test]
    async fn under_load_a_checkpoint_waits_for_as_many_entries_as_there_are_jobs() {
        let mut engine = Engine::new(Policy::default());
        let mut checkpointer = checkpointer(MemoryJournal::new(), 1, false);
        let mut written = Vec::new();
        for seq in 1..=110 {
            if seq <= 20 || seq > 80 {
                create(&mut engine);
            }
            let before = checkpointer.last_seq;
            checkpointer.write_if_due(&mut engine, seq, false).await;
            if checkpointer.last_seq > before {
                written.push((seq, engine.jobs().len()));
            }
        }
        assert_eq!(written, [(8, 8), (28, 20), (48, 20), (68, 20), (98, 38)]);
    }

    #[tokio::test]
    async fn under_load_the_names_of_jobs_that_come_and_go_make_a_checkpoint_due() {
        let mut engine = Engine::new(Policy::default());
        let mut checkpointer = checkpointer(MemoryJournal::new(), 10, false);
        let mut most = 0;
        for seq in (3..=900).step_by(3) {
            let (owner, job) = (Owner::ANYONE, create(&mut engine));
            carry_out(&mut engine, &Cancel { owner, job });
            carry_out(&mut engine, &Delete { owner, job });
            most = most.max(engine.dirty());
            checkpointer.write_if_due(&mut engine, seq, false).await;
        }
        assert!(most < 40, "{most} names");
    }

    #[tokio::test]
    async fn entries_that_change_very_many_parts_make_one_due_however_few_they_are() {
        const ENDPOINTS: usize = 300;
        let mut engine = Engine::new(Policy::default());
        let mut checkpointer = checkpointer(MemoryJournal::new(), 200, false);
        for n in 0..ENDPOINTS {
            let endpoint = CreateEndpoint {
                owner: Owner::ANYONE,
                url: format!("http://receiver.example/{n}"),
                events: Some(vec!["job.*".to_owned()]),
                secret: None,
                description: None,
                ordered: false,
                rendering: None,
                kinds: None,
            };
            carry_out(&mut engine, &endpoint);
        }
        for seq in 1..=100 {
            create(&mut engine);
            checkpointer
                .write_if_due(&mut engine, seq, seq % 2 == 0)
                .await;
            assert!(engine.dirty() < 4_000, "{} at {seq}", engine.dirty());
        }
    }

    #[tokio::test]
    async fn a_reset_while_parts_are_gathered_leaves_nothing_of_what_was_before() {
        let mut engine = Engine::new(Policy::default());
        let kept = MemoryJournal::new();
        let mut checkpointer = checkpointer(kept.clone(), 1, true);
        for seq in 1..=3 {
            for _ in 0..3 * PARTS_PER_PASS {
                create(&mut engine);
            }
            checkpointer.write_if_due(&mut engine, seq, true).await;
            assert!(checkpointer.is_gathering());
            carry_out(&mut engine, &reset());
            create(&mut engine);
            while checkpointer.is_gathering() {
                checkpointer.write_if_due(&mut engine, seq, true).await;
            }
            checkpointer.written(&mut engine).await;
            assert_eq!(parts_of(&kept), all_parts(&engine));
        }
    }

    #[tokio::test]
    async fn parts_that_change_while_they_are_gathered_are_written_as_they_are_at_the_end() {
        let mut engine = Engine::new(Policy::default());
        // An engine begins with these, and no entry has told of them.
        engine.mark_dirty([PartKey::Policy, PartKey::Simulator]);
        let jobs: Vec<_> = (0..5 * PARTS_PER_PASS)
            .map(|_| create(&mut engine))
            .collect();
        let kept = MemoryJournal::new();
        let mut checkpointer = checkpointer(kept.clone(), 1, true);
        let mut passes = 0;
        while checkpointer.writing.is_none() {
            checkpointer.write_if_due(&mut engine, 1, true).await;
            if checkpointer.writing.is_none() {
                // Some that were gathered already, and some that weren't.
                for job in jobs.iter().skip(passes).step_by(1_000).copied() {
                    let owner = Owner::ANYONE;
                    carry_out(&mut engine, &Cancel { owner, job });
                }
                create(&mut engine);
                passes += 1;
            }
        }
        assert!((3..50).contains(&passes), "{passes} passes");
        assert!(!checkpointer.is_gathering());
        checkpointer.written(&mut engine).await;
        assert_eq!(parts_of(&kept), all_parts(&engine));
        assert_eq!(engine.dirty(), 0);
    }
}
