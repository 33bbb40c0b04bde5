//! The promises, and whether a history keeps them.
//!
//! | module | what it judges |
//! |---|---|
//! | `judge` | who accuses, and what of |
//! | `state` | what was told stays: no job is lost, none changes after its end, revisions come in order |
//! | `news` | every event comes to every endpoint, every change to every follower |
//! | `time` | deadlines, lengths, clocks |
//! | `leases` | one worker at a time has a job, the oldest that waits, and none waits beside a worker |
//! | `fits` | instants, progress, inputs and results of a job fit together |
//! | `lists` | a list has all jobs, what is deleted is gone, and odd requests are answered right |
//! | `rules` | keys, owners, limits, and that the world comes to rest |

mod fits;
mod judge;
mod leases;
mod lists;
mod news;
mod rules;
mod state;
mod time;

pub use judge::{Promise, Violation, check};
