//! The driver: the one loop that owns the engine. It decides, applies, journals, tells.
//!
//! [`Commands`] come in by a channel, deadlines by the clock. A pass takes all that has gathered, turns it into
//! entries, makes them durable with one append, and only then tells of them: the board, the waiters, the callers. While
//! the disk syncs one batch the next one gathers in the channel, so group commit costs nothing and an idle server
//! answers after a single sync.
//!
//! The engine is ahead of the disk while an append is under way, which no reader sees. If an append fails and may
//! succeed later (a full disk), the batch is kept and tried again. Until it is written every command is refused with
//! [`Failure::Storage`] and the board stays as it was, so nothing is told that may be lost.
//!
//! If more commands come than the loop can carry out, those that would wait too long are refused before anything is
//! done for them: the loop says by its pace how many may be under way ([`Commands::places`]), and the gate holds others
//! back or refuses them. What has come in is carried out. So no answer is late by much, and no work is thrown away.
//!
//! A checkpoint is written beside the appends, so that a restart replays few entries.

mod aside;
mod checkpoint;
mod commands;
mod follow;
mod restore;
mod run;

pub use commands::{CommandText, Commands, Failure, WeakCommands};
#[cfg(feature = "postgres")]
pub(crate) use restore::load;
pub use run::{Driver, DriverError};

pub(crate) use commands::{AnsweredElsewhere, Asked, Request};
pub(crate) use follow::Led;
pub(crate) use run::adapt;
