//! Waiting: for the end of one job, for its changes, for many jobs, for everything of one's own, and for anything at
//! all.
//!
//! [`driver`] is the one loop under all of them but the feed. It asks the strategy's plan for the next move, makes it
//! through a [`Target`](crate::target::Target), and returns whenever there is news. Its parts are structs of their own:
//! [`findings`] is what the answers have shown, [`Trouble`](crate::trouble::Trouble) the failures since the last one,
//! [`deadline`] the instant of the last look, [`listening`] the open stream; the longer moves are in [`hold`],
//! [`listen`] and [`last_look`]. [`begin`] makes a loop for a job from the settings of its wait.

mod begin;
mod deadline;
mod driver;
mod end;
mod feed;
mod findings;
mod hold;
mod last_look;
mod listen;
mod listening;
mod poll_until;
mod set;
mod watch;

pub use self::end::{Finished, OnDeadline, Wait};
pub use self::feed::{Change, Feed, FeedPlace, NoPlace};
pub use self::poll_until::{PollUntil, poll_until};
pub use self::set::JobSet;
pub use self::watch::Watch;
