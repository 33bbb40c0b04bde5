//! The leader's end: what is durable goes to all links, and what comes up is carried out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::frame::{Down, LINK_BYTES_MAX, Pushed, Up};
use super::network::Inbound;
use super::status::Status;
use crate::driver::WeakCommands;
use crate::journal::{
    Batch, Checkpoints, EachEntry, EachPart, Files, Journal, JournalError, PartChange, Position,
    SharedLog,
};

/// How often a link without batches says how far the log is.
const COMMITTED_EVERY: Duration = Duration::from_millis(100);
/// Commands of one link that may be in the loop.
const CARRIED_OUT_MAX: usize = 4_096;

/// All links of a leader. A follower's has none.
#[derive(Debug, Default)]
pub(super) struct Hub {
    links: Mutex<Links>,
    /// What the node has applied: what it has written too.
    pub(super) applied: Arc<Mutex<Position>>,
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
    fn committed(&self) -> Position {
        self.links.lock().committed
    }

    /// Says that the log is that far, and sends what was written to every link. A link without room is let go: its
    /// follower reads the log, and links again.
    pub(super) fn push(&self, at: Position, batch: impl FnOnce() -> Batch) {
        let mut links = self.links.lock();
        links.committed = at;
        *self.applied.lock() = at;
        if links.down.is_empty() {
            return;
        }
        let batch = Arc::new(batch());
        links.down.retain(|link| {
            let pushed = Pushed::within(&link.room, &batch);
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
    fn add(&self, link: &mpsc::Sender<Down>) {
        let mut links = self.links.lock();
        if link.try_send(links.committed()).is_ok() {
            links.down.push(Link {
                down: link.clone(),
                room: Arc::new(Semaphore::new(LINK_BYTES_MAX)),
            });
        }
    }

    /// Tells a link how far the log is; `false` if it has been let go.
    fn tell(&self, link: &mpsc::Sender<Down>) -> bool {
        let links = self.links.lock();
        let mut all = links.down.iter();
        all.any(|other| other.down.same_channel(link)) && link.try_send(links.committed()).is_ok()
    }

    fn remove(&self, link: &mpsc::Sender<Down>) {
        let mut links = self.links.lock();
        links.down.retain(|other| !other.down.same_channel(link));
    }

    /// Lets all links go.
    pub(super) fn close(&self) {
        self.links.lock().down.clear();
    }
}

/// Serves the links that come, as long as it is polled.
pub(super) async fn serve(
    incoming: &mut mpsc::Receiver<Inbound>,
    hub: &Arc<Hub>,
    commands: &WeakCommands,
    status: &Arc<Status>,
) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            inbound = incoming.recv() => match inbound {
                Some(inbound) => {
                    let (hub, commands) = (hub.clone(), commands.clone());
                    links.spawn(serve_one(inbound, hub, commands, status.clone()));
                }
                None => break,
            },
            Some(_ended) = links.join_next() => {}
        }
    }
    while links.join_next().await.is_some() {}
    std::future::pending::<()>().await;
}

/// Serves one link, until it breaks or the loop ends.
async fn serve_one(inbound: Inbound, hub: Arc<Hub>, commands: WeakCommands, status: Arc<Status>) {
    let Inbound { down, mut up } = inbound;
    hub.add(&down);
    carry_out(&down, &mut up, &hub, &commands, &status).await;
    hub.remove(&down);
}

async fn carry_out(
    down: &mpsc::Sender<Down>,
    up: &mut mpsc::Receiver<Up>,
    hub: &Hub,
    commands: &WeakCommands,
    status: &Arc<Status>,
) {
    let mut tick = tokio::time::interval(COMMITTED_EVERY);
    let (mut answers, mut places) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        let sent = tokio::select! {
            frame = up.recv(), if answers.len() < CARRIED_OUT_MAX => {
                match frame {
                    Some(Up::Ask { id, command }) => {
                        let Some(commands) = commands.upgrade() else {
                            return;
                        };
                        let answer = commands.ask_any(command);
                        answers.push(async move { (id, answer.await) });
                    }
                    Some(Up::Now { id }) => {
                        let Some(commands) = commands.upgrade() else {
                            return;
                        };
                        let (settled, status) = (commands.catch_up(), status.clone());
                        places.push(async move {
                            // Others may read in the log what is being written, and show it.
                            let is_settled = settled.await.is_ok();
                            // What is acknowledged after this needn't be seen.
                            let at = hub.committed();
                            let is_certain = is_settled && status.leads_for_certain().await;
                            (id, is_certain.then_some(at))
                        });
                    }
                    None => return,
                }
                true
            }
            Some((id, answer)) = answers.next() => {
                // Whatever it did is behind this place, and was pushed before it was answered.
                let at = hub.committed();
                down.try_send(Down::Answered { id, answer, at }).is_ok()
            }
            Some((id, at)) = places.next() => down.try_send(Down::Now { id, at }).is_ok(),
            _ = tick.tick() => hub.tell(down),
        };
        if !sent {
            return;
        }
    }
}

/// A journal that tells the hub of every batch.
#[derive(Debug)]
pub(super) struct Pushing {
    pub(super) journal: Box<dyn Journal>,
    pub(super) hub: Arc<Hub>,
}

impl Pushing {
    fn position(&mut self) -> (Position, u64) {
        let shared = self.journal.shared().expect("a node's log is shared");
        (shared.position(), shared.term())
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
        let (before, _) = self.position();
        let seq = self.journal.append(entries)?;
        let (after, term) = self.position();
        if after != before {
            self.hub.push(after, || Batch {
                number: after.batch,
                term,
                nonce: after.nonce,
                before: before.nonce,
                first: before.seq + 1,
                entries: entries.to_vec(),
            });
        }
        Ok(seq)
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
            hub.push(at, || Batch {
                number,
                term: 1,
                nonce: number,
                before: number - 1,
                first: number,
                entries: vec![vec![0; LINK_BYTES_MAX / 2]],
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
