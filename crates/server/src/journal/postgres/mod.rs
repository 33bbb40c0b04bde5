//! The journal in PostgreSQL: a [`SharedLog`](super::SharedLog), so that a server restarts on any machine and several
//! servers may share one log.
//!
//! - [`Database`] is where: the address, the schema and the key of sealed bodies; `tls` is which certificates it
//!   trusts.
//! - `link` is one connection. Calls block on a small runtime of its own; a leader's appends wait on the loop's. The connection is opened when it is needed and opened again after any error. Nothing is cancelled at the
//!   database: a canceled statement that waits for a synchronous standby counts as committed there.
//! - `log` is the journal; `append` has the one statement of one round trip: `INSERT … WHERE EXISTS (the batch before,
//!   with our nonce) ON CONFLICT DO NOTHING`. [`shared`](super::shared) tells what its outcomes mean.
//! - `rows` is the form of a batch; `seal` encrypts bodies.
//! - `parts` has the checkpoints. A transaction first locks the checkpoint's row and compares the term, so that a
//!   leader that was superseded can't write over its successor's.
//! - `lease` and `tail` are the doors for nodes.
//! - `admin` is what `abide cluster` does.
//!
//! The tables are in `tables.sql`. Only `INSERT … ON CONFLICT`, `UPDATE`, `SELECT` and `DELETE` are used: no advisory
//! locks, no `LISTEN`, no replication slots.

mod admin;
mod append;
mod database;
mod lease;
mod link;
mod log;
mod parts;
mod rows;
mod seal;
mod tail;
mod tls;

pub use admin::{Admin, Health, Standing};
pub use database::{Database, DatabaseError};
pub use log::PostgresJournal;
#[cfg(test)]
pub(crate) use rows::packed;
pub(crate) use rows::unpacked;
pub use seal::SealKey;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::journal) use tests::TestSchema;
