//! What nodes say to each other over a link.

use std::sync::Arc;

use abide_engine::AnyCommand;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gather::Told;
use crate::driver::AnsweredElsewhere;
use crate::journal::{Batch, Position};

/// The most bytes of batches that a link has on their way to a slow follower.
pub(super) const LINK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// From a follower to the leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    /// Carry out that command.
    Ask {
        /// What the answer is told under.
        id: u64,
        /// The command.
        command: AnyCommand,
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
    /// The batch.
    pub batch: Arc<Batch>,
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

impl Pushed {
    /// That batch, in a link that has this room; `None` if it has too little.
    pub(super) fn within(room: &Arc<Semaphore>, batch: &Arc<Batch>) -> Option<Self> {
        let bytes = batch.entries.iter().map(Vec::len).sum::<usize>();
        let bytes = u32::try_from(bytes.min(LINK_BYTES_MAX)).ok()?;
        let room = room.clone().try_acquire_many_owned(bytes).ok()?;
        Some(Self {
            batch: batch.clone(),
            _room: Some(Arc::new(room)),
        })
    }
}

impl From<Batch> for Pushed {
    fn from(batch: Batch) -> Self {
        Self {
            batch: Arc::new(batch),
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
