//! The learned schedule: near the best that any polling client can do, from the history of a kind of job.
//!
//! # The idea
//!
//! If the law of a job's duration is known, the best schedule can be computed exactly: each poll costs a price, each
//! second of undetected completion costs a second, and the sum has a minimum that a [linear pass](planner) finds. What
//! is left is to know the law. A kind of job remembers up to 128 durations (known exactly where the server tells,
//! enclosed between two polls where it doesn't, or bounded below where a wait was given up), a [fair sample](past) even
//! of jobs that run at once: those under way are evidence, too. [Experts](experts) turn them into laws by the [rate of
//! ends](risk) at each age, and a [mixture](model) trusts those that have predicted best lately and notices when
//! everything has changed. Durations that are [multiples of a period](lattice) are recognized. A prior always keeps a
//! share, so that a history of five untypical jobs can't mislead for long.
//!
//! # What was tried and lost
//!
//! - Learning in the order of *ends*: up to 4.5 times the optimum in batches, since what ends first is short.
//! - Holding results back until all jobs accepted before have ended: as good, but one job that hangs stalls it.
//! - Fading by the number of newer ends whatever their age: the short jobs of a batch wiped out what was known of the
//!   long ones, and a third batch cost more than the second.
//! - Spreading enclosures from the prior anew each time, in three rounds: where all ends are seen by one late poll it
//!   didn't come to an end, and constant jobs in a batch cost seven times the optimum. From what was believed before,
//!   two rounds do.
//! - Levels and exact kernels as experts of equal first weight: the first twenty jobs cost up to 7 % more.
//! - Levels from the middles of enclosures, or from no more than 1.2 standard deviations around what was expected: of
//!   own polls alone, durations that drift cost 1.19 times the least, and AR(1) 1.11, instead of 1.10 and 1.07.
//! - The same share of every expert's weight for the others after each job: each wide expert then keeps enough for
//!   polls against its own tails, which are dear where jobs are long.
//! - Multiples of a period whose enclosures share a bin: the likeliest law has all its ends in what is shared, and
//!   ticks of 10 s cost 1.6 times the least instead of 1.07.
//! - A fiftieth of the ends expected between ticks: it is worth polls of its own (ticks of 60 s: 1.23 instead of 1.06).
//! - Weight shared out by every expert that expected a job less than the best did: jobs of 90 min within 1 % cost 1.22
//!   times the least, instead of 1.13 where experts that expected it half as much share nothing. Where a fourth counts
//!   as good, too, regimes of 30 jobs a factor of 12 apart cost 1.32 to 1.34 instead of 1.30.
//! - Ticks by own polls without scouts until they are believed: enclosures of 7 s hardly tell ticks of 5 s, which cost
//!   1.34 times the least instead of 1.18. As many scouts once they are sure: ticks of 60 s cost 0.07 of it more.
//! - A prior that is worth less with every job in the short memory, too: bimodal jobs cost 2 % more while five are known.
//!
//! # What is used beside durations
//!
//! - a job's **size** ([`Start::size`](super::Start::size)): how durations scale with it is learned, too;
//! - a server's **estimate** or **progress** ([`Seen`](super::Seen)): distributions with a learned error, used if they
//!   have predicted better than the durations did;
//! - **pushes** ([`Push`](super::Push)): polls become a safety net, planned for the share that is lost;
//! - `Retry-After`: a floor, around which the rest is planned anew.
//!
//! # What it costs
//!
//! Well under a millisecond per finished job, well under a tenth per plan, about four kilobytes of memory per kind that
//! must be kept (and some hundred derived from it for kinds in use). All waits of a process share one learner per kind.

mod effects;
mod experts;
mod file;
mod forecast;
mod grid;
mod hint;
mod history;
mod kind;
mod lattice;
mod model;
mod parametric;
mod past;
mod plan;
pub mod planner;
mod punctual;
mod ring;
mod risk;
mod schedule;
mod walk;

pub use self::history::History;
pub(crate) use self::history::hash;
pub use self::schedule::{Dial, Learned};
