//! A shared log in memory: for tests of several servers in one process.
//!
//! | module | what it is about |
//! |---|---|
//! | `log` | the log, with the append rule of [`SharedLog`](super::SharedLog) |
//! | `doors` | every other door: checkpoints, the tail, the lease |
//! | `held` | what all handles share, and the faults that meet their calls |

mod doors;
mod held;
mod log;

pub use held::{Call, Fault};
pub use log::SharedMemoryJournal;
