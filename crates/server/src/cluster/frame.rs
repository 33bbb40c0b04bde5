//! What nodes say to each other over a link.

use std::sync::Arc;

use abide_engine::AnyCommand;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::driver::Failure;
use crate::journal::{Batch, Position};

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
}

/// From the leader to a follower.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// A batch that is durable. It has a form of its own, because entries are bytes.
    #[serde(skip)]
    Batch(Arc<Batch>),
    /// The log is this far. Told once a link stands, and at times after that.
    Committed(Position),
    /// What came of a command.
    Answered {
        /// The command's.
        id: u64,
        /// What names the answer, or why there is none.
        answer: Result<Value, Failure>,
        /// The answer can be read from a state that has come at least this far.
        at: Position,
    },
    /// Everything that had been acknowledged when it was asked is up to here.
    Now {
        /// The question's.
        id: u64,
        /// The place; `None` if the leader isn't certain that it still leads.
        at: Option<Position>,
    },
}
