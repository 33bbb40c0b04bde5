//! The loop of a node of a cluster, which follows as long as another node leads.
//!
//! The [cluster](crate::cluster) says when to do what. A follower [absorbs](Driver::absorb) what others have written; a
//! leader makes [passes](Driver::lead) as a server alone does, until it no longer leads. Both have the same engine, the
//! same board and the same door.

use std::future::Future;
use std::sync::Arc;

use abide_engine::snapshot::PartKey;
use abide_engine::{Engine, Entry, Policy};

use super::commands::{Commands, Request};
use super::restore::load;
use super::run::{Driver, DriverError};
use crate::board::Board;
use crate::clock::Clock;
use crate::journal::{Batch, Journal, JournalError, Position, SharedLog, may_block};

/// Why a node leads no more.
#[derive(Debug)]
pub(crate) enum Led {
    /// Another node leads, or shall. All that this one decided is in the log, and these requests it didn't.
    Deposed(Vec<Request>),
    /// There will be no more commands.
    Ended,
}

impl Driver {
    /// Reads the journal, and decides nothing. Blocks as [`Driver::open`] does.
    ///
    /// # Errors
    ///
    /// The journal can't be read, or is of a newer version.
    pub(crate) fn follower(
        mut journal: Box<dyn Journal>,
        clock: Clock,
        policy: Policy,
    ) -> Result<(Self, Commands, Arc<Board>), DriverError> {
        let loaded = load(journal.as_mut(), policy)?;
        Ok(Self::of(journal, clock, loaded))
    }

    /// The state, up to what was absorbed or decided.
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the journal can do because several nodes share it.
    pub(crate) fn shared(&mut self) -> &mut dyn SharedLog {
        let journal = self.journal.as_mut();
        journal
            .and_then(|journal| journal.shared())
            .expect("a node's log is shared, and back after every call")
    }

    /// Applies a batch that another node wrote, and shows it.
    ///
    /// # Errors
    ///
    /// An entry means nothing to this program.
    pub(crate) fn absorb(&mut self, batch: &Batch) -> Result<(), JournalError> {
        let mut effects = Vec::new();
        for (seq, bytes) in (batch.first..).zip(&batch.entries) {
            let entry = Entry::decode(bytes)
                .map_err(|error| JournalError::unreadable(format!("entry {seq}"), &error))?;
            self.engine.apply(&entry, &mut effects);
        }
        self.board.publish(&effects);
        self.board.show_stored_bytes(self.engine.stored().all());
        Ok(())
    }

    /// The next request; `None` when there will be no more.
    pub(crate) async fn request(&mut self) -> Option<Request> {
        self.requests.recv().await
    }

    /// Writes the mark of a new leader after that place. What others wrote in between is [`JournalError::Superseded`].
    pub(crate) async fn mark(
        &mut self,
        after: Position,
        term: u64,
    ) -> Result<Result<Position, JournalError>, DriverError> {
        self.on_journal(move |journal| {
            let shared = journal.shared().expect("a node's log is shared");
            shared.stand_at(after);
            shared.mark(term)
        })
        .await
    }

    /// Decides, until `deposed` or until there will be no more commands. The first pass takes `requests`.
    ///
    /// # Errors
    ///
    /// As for [`Driver::run`]; [`JournalError::Superseded`] if another node has written, of which this one's state
    /// knows nothing.
    pub(crate) async fn lead(
        &mut self,
        mut requests: Vec<Request>,
        deposed: impl Future<Output = ()>,
    ) -> Result<Led, DriverError> {
        self.clock.raise_to(self.engine.latest());
        self.resumes = true;
        let clock = self.clock.clone();
        let mut follow = std::pin::pin!(clock.follow());
        let mut deposed = std::pin::pin!(deposed);
        loop {
            self.pass(&mut requests).await?;
            let is_over = tokio::select! {
                biased;
                () = &mut deposed => true,
                () = &mut follow => false,
                gathered = self.gather(&mut requests), if requests.is_empty() => {
                    if gathered.is_none() {
                        return Ok(Led::Ended);
                    }
                    false
                }
                () = std::future::ready(()), if !requests.is_empty() => false,
            };
            if is_over {
                return Ok(Led::Deposed(requests));
            }
        }
    }

    /// The names of the parts that have changed since the last call, for as long as they aren't in a checkpoint.
    pub(crate) fn take_changed(&mut self) -> Vec<PartKey> {
        self.engine.take_dirty_names().collect()
    }

    /// Has these parts written with the next checkpoint.
    pub(crate) fn put_changed(&mut self, keys: impl IntoIterator<Item = PartKey>) {
        self.engine.mark_dirty(keys);
    }

    /// Gives up a checkpoint that isn't being written yet, because another node leads: what was gathered for it may be
    /// older than what that one writes.
    pub(crate) fn give_up_checkpoint(&mut self) {
        self.checkpointer.give_up(&mut self.engine);
    }

    /// Writes a checkpoint of all that has been written.
    pub(crate) async fn checkpoint(&mut self) {
        let seq = self.last_seq();
        self.checkpointer.finish(&mut self.engine, seq).await;
    }

    /// Closes the journal, and leaves the last checkpoint: another node may lead already.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::close`].
    pub(crate) async fn close(mut self) -> Result<(), DriverError> {
        if let Some(journal) = self.journal.take() {
            may_block(journal.is_blocking(), move || journal.close()).await??;
        }
        Ok(())
    }
}
