//! The leader's end of all links: what is durable goes to each.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::frame::{Down, LINK_BYTES_MAX, Pushed};
use super::gather::{Questions, TOLD_WAIT, Told};
use crate::journal::{
    Batch, Checkpoints, EachEntry, EachPart, Files, Journal, JournalError, PartChange, Position,
    SharedLog,
};

/// All links of a leader. A follower's has none.
#[derive(Debug, Default)]
pub(super) struct Hub {
    links: Mutex<Links>,
    /// What the node has applied: what it has written too.
    pub(super) applied: Arc<Mutex<Position>>,
    /// What other nodes are asked; a follower asks too.
    pub(super) questions: Questions,
}

#[derive(Debug, Default)]
struct Links {
    down: Vec<Link>,
    committed: Position,
    /// The last entry that a checkpoint of this node covers.
    checkpoint: u64,
}

#[derive(Debug)]
struct Link {
    down: mpsc::Sender<Down>,
    room: Arc<Semaphore>,
}

impl Links {
    fn committed(&self) -> Down {
        Down::Committed {
            at: self.committed,
            checkpoint: self.checkpoint,
        }
    }
}

impl Hub {
    /// How far the log is, by this node's own appends.
    pub(super) fn committed(&self) -> Position {
        self.links.lock().committed
    }

    /// Says that the log is that far, and sends what was written to every link. A link without room is let go: its
    /// follower reads the log, and links again.
    pub(super) fn push(&self, at: Position, batch: impl FnOnce() -> Pushed) {
        let mut links = self.links.lock();
        links.committed = at;
        *self.applied.lock() = at;
        if links.down.is_empty() {
            return;
        }
        let batch = batch();
        links.down.retain(|link| {
            let pushed = batch.within(&link.room);
            pushed.is_some_and(|pushed| link.down.try_send(Down::Batch(pushed)).is_ok())
        });
    }

    /// A checkpoint covers the log up to that entry.
    fn note_checkpoint(&self, seq: u64) {
        self.links.lock().checkpoint = seq;
    }

    /// Whether a follower is linked.
    pub(super) fn has_links(&self) -> bool {
        !self.links.lock().down.is_empty()
    }

    /// Begins to send to that link.
    pub(super) fn add(&self, link: &mpsc::Sender<Down>) {
        let mut links = self.links.lock();
        if link.try_send(links.committed()).is_ok() {
            links.down.push(Link {
                down: link.clone(),
                room: Arc::new(Semaphore::new(LINK_BYTES_MAX)),
            });
        }
    }

    /// Tells a link how far the log is; `false` if it has been let go.
    pub(super) fn tell(&self, link: &mpsc::Sender<Down>) -> bool {
        let links = self.links.lock();
        let mut all = links.down.iter();
        all.any(|other| other.down.same_channel(link)) && link.try_send(links.committed()).is_ok()
    }

    /// What the nodes answer that are linked, but for the one at that link.
    pub(super) async fn gather(
        &self,
        question: &Value,
        but: Option<&mpsc::Sender<Down>>,
    ) -> Vec<Told> {
        let ask = |id| {
            let links = self.links.lock();
            let others = links.down.iter().map(|link| &link.down);
            let others = others.filter(|link| but.is_none_or(|but| !link.same_channel(but)));
            let question = || Down::Tell {
                id,
                question: question.clone(),
            };
            let asked = others.filter(|link| link.try_send(question()).is_ok());
            asked.count()
        };
        self.questions.ask(TOLD_WAIT, ask).await
    }

    pub(super) fn remove(&self, link: &mpsc::Sender<Down>) {
        let mut links = self.links.lock();
        links.down.retain(|other| !other.down.same_channel(link));
    }

    /// Lets all links go.
    pub(super) fn close(&self) {
        self.links.lock().down.clear();
    }
}

/// A journal that tells the hub of every batch.
#[derive(Debug)]
pub(super) struct Pushing {
    pub(super) journal: Box<dyn Journal>,
    pub(super) hub: Arc<Hub>,
}

impl Pushing {
    fn log(&mut self) -> &mut dyn SharedLog {
        self.journal.shared().expect("a node's log is shared")
    }

    /// Tells the hub of these entries, if they were written after that place.
    fn push(&mut self, before: Position, entries: &[Vec<u8>]) {
        let hub = self.hub.clone();
        let log = self.log();
        let after = log.position();
        if after == before {
            return;
        }
        hub.push(after, || {
            let packed = log.packed();
            let batch = Batch {
                number: after.batch,
                term: log.term(),
                nonce: after.nonce,
                before: before.nonce,
                first: before.seq + 1,
                entries: packed
                    .as_ref()
                    .map_or_else(|| entries.to_vec(), |_| Vec::new()),
            };
            match packed {
                Some(packed) => Pushed::packed(batch, entries.len(), packed),
                None => batch.into(),
            }
        });
    }
}

impl Journal for Pushing {
    fn is_blocking(&self) -> bool {
        self.journal.is_blocking()
    }

    fn life(&self) -> u64 {
        self.journal.life()
    }

    fn last_seq(&self) -> u64 {
        self.journal.last_seq()
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        let before = self.log().position();
        let seq = self.journal.append(entries)?;
        self.push(before, entries);
        Ok(seq)
    }

    fn appends_here(&self, entries: &[Vec<u8>]) -> bool {
        self.journal.appends_here(entries)
    }

    fn append_here<'a>(
        &'a mut self,
        entries: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<u64, JournalError>> {
        let append = async move {
            let before = self.log().position();
            let seq = self.journal.append_here(entries).await?;
            self.push(before, entries);
            Ok(seq)
        };
        append.boxed()
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        self.journal.load(each)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        self.journal.replay(after, each)
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(Noting {
            checkpoints: self.journal.checkpoints(),
            hub: self.hub.clone(),
        })
    }

    fn shared(&mut self) -> Option<&mut dyn SharedLog> {
        self.journal.shared()
    }

    fn files(&self) -> Arc<Files> {
        self.journal.files()
    }

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.journal.close()
    }
}

/// Checkpoints that tell the hub how far they are.
#[derive(Debug)]
struct Noting {
    checkpoints: Box<dyn Checkpoints>,
    hub: Arc<Hub>,
}

impl Checkpoints for Noting {
    fn entries(&self) -> u64 {
        self.checkpoints.entries()
    }

    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        self.checkpoints.write(seq, changes)?;
        self.hub.note_checkpoint(seq);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_whose_follower_is_slow_holds_no_more_than_so_many_bytes() {
        let hub = Hub::default();
        let (down, mut slow) = mpsc::channel(100);
        hub.add(&down);
        let push = |number| {
            let at = Position {
                batch: number,
                ..Position::default()
            };
            hub.push(at, || {
                let batch = Batch {
                    number,
                    term: 1,
                    nonce: number,
                    before: number - 1,
                    first: number,
                    entries: vec![vec![0; LINK_BYTES_MAX / 2]],
                };
                batch.into()
            });
        };
        push(1);
        push(2);
        assert!(hub.has_links());
        // What has gone out makes room.
        assert!(matches!(slow.try_recv(), Ok(Down::Committed { .. })));
        assert!(matches!(slow.try_recv(), Ok(Down::Batch(_))));
        push(3);
        assert!(hub.has_links());
        push(4);
        assert!(!hub.has_links(), "it reads the log from there");
    }
}
