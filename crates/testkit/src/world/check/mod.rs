//! The promises, and whether a history keeps them.
//!
//! | module | what it judges |
//! |---|---|
//! | `judge` | who accuses, and what of |
//! | `state` | what was told stays: no job is lost, none changes after its end, revisions come in order |
//! | `news` | every event comes to every endpoint, every change to every follower |
//! | `time` | deadlines, lengths, clocks |
//! | `leases` | one worker at a time has a job, and none waits beside a worker |
//! | `rules` | keys, owners, limits, and that the world comes to rest |

mod judge;
mod leases;
mod news;
mod rules;
mod state;
mod time;

pub use judge::{Promise, Violation, check};
