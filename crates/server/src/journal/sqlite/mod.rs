//! The journal in SQLite, in a directory of its own.
//!
//! Two files rather than one. SQLite lets one writer into a file at a time, and a checkpoint writes many pages at
//! random: in one file, appends would wait for it, or it would have to be cut into pieces, and pieces need a second
//! format that says which of them are valid after a crash. With two files neither is needed:
//!
//! - `journal.db` has the entries. Only the appending connection writes it, in ascending order, one transaction and one
//!   `fsync` a batch. A batch is one row, or a few if it is large: a row costs SQLite more than the bytes in it. The
//!   same transaction forgets a few old rows that a checkpoint has covered, so that there is no other writer and no
//!   second `fsync`. The last row always stays, so the numbering survives in the entries themselves.
//! - `state.db` has the parts. A checkpoint is a single transaction; SQLite makes it all or nothing, and a person who
//!   looks at the file with `sqlite3` sees the last whole one.
//!
//! The order between the files is simple: a checkpoint is durable in `state.db` before the first entry it covers leaves
//! `journal.db`. A crash in between leaves entries that are older than the checkpoint, and replay begins after it.
//!
//! # Damage
//!
//! SQLite notices a broken page, not a changed byte in it, and takes a broken write-ahead file for one that ends there.
//! So every row and every part has a checksum ([`sums`](super::sums)): a row's covers the row before it too, and a
//! checkpoint has the sum of its parts' sums. Both files name the *life* they belong to, so that files of different
//! directories aren't mixed. And [`end`] notes how far the log went, so that a log that is too short is noticed. What
//! doesn't fit is refused at the start.
//!
//! # Disks that are full or read-only
//!
//! If the files can't be opened for writing for such a reason, they are opened for reading, and each append tries to
//! open them anew.
//!
//! `abide.lock` is held locked while the journal is open. The system lets go of that lock when the process ends,
//! however it ends.

mod backup;
mod check;
mod checkpoints;
mod end;
mod log;
mod place;
mod rows;
mod slices;
mod state;
mod tidy;

pub use backup::backup;
pub use check::check;
pub use log::{SqliteJournal, View};

#[cfg(all(test, unix))]
mod access;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
