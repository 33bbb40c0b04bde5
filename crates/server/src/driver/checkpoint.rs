//! Checkpoints: the engine's parts as of an entry, so that a restart replays only the entries after it.
//!
//! They are written beside the appends, the parts that have changed since the last one.

use std::marker;
use std::thread;

use tokio::task::JoinHandle;

use abide_engine::Engine;
use abide_engine::snapshot::{Part, PartKey};

use crate::journal::{Checkpoints, Journal, JournalError};

/// How many times the entries that make a checkpoint due on an idle loop make it due under load too.
const UNDER_LOAD: u64 = 8;

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
    writing: Option<JoinHandle<Written>>,
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
            writing: None,
        }
    }

    /// Begins a checkpoint as of that entry, if enough have come since the last. Under load it waits longer: a job that
    /// changes often is then written once instead of many times, and the load has the disk for itself.
    pub(super) async fn write_if_due(&mut self, engine: &mut Engine, seq: u64, is_idle: bool) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.written(engine).await;
        }
        let enough = if is_idle {
            self.entries
        } else {
            self.entries * UNDER_LOAD
        };
        if seq.saturating_sub(self.last_seq) >= enough {
            self.start(engine, seq);
        }
    }

    /// Waits for the checkpoint that is being written, and writes what has come since.
    pub(super) async fn close(mut self, engine: &mut Engine, seq: u64) {
        self.written(engine).await;
        if seq > self.last_seq {
            self.start(engine, seq);
            self.written(engine).await;
        }
    }

    fn start(&mut self, engine: &mut Engine, seq: u64) {
        let Some(mut checkpoints) = self.checkpoints.take() else {
            return;
        };
        let mut parts = engine.take_dirty();
        // This late it must not fall further behind.
        let is_urgent = seq.saturating_sub(self.last_seq) >= self.entries * UNDER_LOAD;
        let is_blocking = self.is_blocking;
        let write = move || {
            // In order, because neighbors in the file are then written together.
            parts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
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
        if let Err(error) = written.result {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a checkpoint could not be written; the entries are kept"
            );
            engine.mark_dirty(written.changed);
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
    // Where the system refuses it, it is as it was.
    let _refused = rustix::process::nice(10);
}
