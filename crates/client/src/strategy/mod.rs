//! Strategies: *how* to learn of a job's end.
//!
//! A [`Strategy`] is a value; for every wait it [begins](Strategy::begin) a [`Plan`]. A plan is pure: it is told what
//! has been [`Observed`] and returns one [`Move`], and the loop of the wait performs that move, under the deadline, the
//! retry policy and the request budget, and asks again. So a plan can be tested by a table, without a server, a clock
//! or an `await`.
//!
//! | strategy | how | when |
//! |---|---|---|
//! | [`Auto`] | the best of the others that the server has been seen to be able to do | always; the default |
//! | [`LongPoll`] | requests that the server holds until there is news | one answer, at once, for one or two requests |
//! | [`Stream`] | a stream of events, resumed by revision, with a watchdog | many updates |
//! | [`Poll`] | one request now and then, as a [`Schedule`](crate::schedule::Schedule) says | servers that hold nothing |
//! | [`Webhook`] | a push first, with polls as a safety net; the first of the two wins | a public address |
//!
//! What holds for all of them is the loop's business, so that no plan can break it: the deadline and the last look
//! before it, the pause after a failure, the least turnaround, a stream that fell silent, revisions that never go back.

mod auto;
mod long_poll;
mod plan;
mod poll;
mod stream;
#[cfg(test)]
mod testing;
mod webhook;

pub use self::auto::Auto;
pub use self::long_poll::LongPoll;
pub use self::plan::{Abilities, Ability, Begin, Happened, Move, Observed, Plan, Strategy};
pub use self::poll::Poll;
pub use self::stream::Stream;
pub use self::webhook::Webhook;
