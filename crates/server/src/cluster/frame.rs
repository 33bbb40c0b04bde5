//! What nodes say to each other over a link.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gather::Told;
use crate::driver::{AnsweredElsewhere, CommandText};
use crate::journal::{Batch, Position};

/// The most bytes of batches that a link has on their way to a slow follower.
pub(super) const LINK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// From a follower to the leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    /// Carry out that command. It has a form of its own, because the command is JSON already.
    #[serde(skip)]
    Ask {
        /// What the answer is told under.
        id: u64,
        /// The command.
        command: CommandText,
    },
    /// How far is the log?
    Now {
        /// What the answer is told under.
        id: u64,
    },
    /// Ask all nodes but this one.
    Gather {
        /// What the answers are told under.
        id: u64,
        /// What to ask.
        question: Value,
    },
    /// The answer to the leader's question.
    Told {
        /// The question's.
        id: u64,
        /// The answer.
        told: Told,
    },
}

/// A batch on its way. It takes room in its link until it has gone out.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The batch; without its entries where they are packed.
    pub batch: Arc<Batch>,
    /// How many entries, and these as the log has them.
    pub(super) packed: Option<(usize, Arc<[u8]>)>,
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

impl Pushed {
    /// That batch, whose entries are packed.
    pub(super) fn packed(batch: Batch, count: usize, entries: Arc<[u8]>) -> Self {
        Self {
            packed: Some((count, entries)),
            ..batch.into()
        }
    }

    /// The same in a link that has this room; `None` if it has too little.
    pub(super) fn within(&self, room: &Arc<Semaphore>) -> Option<Self> {
        let bytes = match &self.packed {
            Some((_, entries)) => entries.len(),
            None => self.batch.entries.iter().map(Vec::len).sum::<usize>(),
        };
        let bytes = u32::try_from(bytes.min(LINK_BYTES_MAX)).ok()?;
        let room = room.clone().try_acquire_many_owned(bytes).ok()?;
        Some(Self {
            _room: Some(Arc::new(room)),
            ..self.clone()
        })
    }
}

impl From<Batch> for Pushed {
    fn from(batch: Batch) -> Self {
        Self {
            batch: Arc::new(batch),
            packed: None,
            _room: None,
        }
    }
}

/// From the leader to a follower.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// A batch that is durable. It has a form of its own, because entries are bytes.
    #[serde(skip)]
    Batch(Pushed),
    /// The log is this far. Told once a link stands, and at times after that.
    Committed {
        /// Its end.
        at: Position,
        /// The last entry that a checkpoint of this leader covers; 0 if it has written none.
        checkpoint: u64,
    },
    /// What came of commands.
    Answered {
        /// What names each answer, or why there is none, under the command's number.
        answers: Vec<AnsweredElsewhere>,
        /// The answers can be read from a state that has come at least this far.
        at: Position,
    },
    /// Everything that had been acknowledged when it was asked is up to here.
    Now {
        /// The question's.
        id: u64,
        /// The place; `None` if the leader isn't certain that it still leads.
        at: Option<Position>,
    },
    /// Answer that question.
    Tell {
        /// What the answer is told under.
        id: u64,
        /// The question.
        question: Value,
    },
    /// What the other nodes have answered.
    Gathered {
        /// The question's.
        id: u64,
        /// Their answers, the leader's among them.
        told: Vec<Told>,
    },
}
