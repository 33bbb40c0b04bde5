//! Jobs: from a create to the removal of the record.
//!
//! [`Jobs`] is the state: the records, what is found by what, and what outlives a record. A command ([`create`],
//! [`change`], [`named`], [`simulator`]) becomes entries; `Jobs::apply` turns an entry into a new record and returns
//! it, so that the deliveries can tell of it. What a simulated job will do is drawn once, as its [`plan`], when it is
//! created; [`due`] only reads it. Ends teach how long jobs of a kind take ([`learn`]).
//!
//! | module | what it is about |
//! |---|---|
//! | [`job`] | the record of one job |
//! | `seen` | a job as clients see it, and its JSON |
//! | [`table`] | the state, and which entry changes it how |
//! | [`create`] | from a request to a job, once per idempotency key |
//! | `request` | what the request of a create must be, and its digests |
//! | [`change`] | cancel, delete, a worker's report, and every later change |
//! | [`lease`] | which worker has which external job, and until when |
//! | [`named`] | jobs under a fixed name that start again after their end |
//! | `shares` | how many records each owner has, and which goes first |
//! | [`simulator`] | the seed and the defaults of simulated jobs |
//! | [`plan`] | duration, outcome, stages and faults, drawn once |
//! | [`due`] | from a deadline to entries |
//! | [`learn`] | how long jobs of a kind take |
//! | [`snapshot`] | the jobs' parts of a checkpoint |

pub mod change;
pub mod create;
pub mod due;
pub mod job;
pub mod learn;
pub mod lease;
pub mod named;
pub mod plan;
mod request;
mod seen;
mod shares;
pub mod simulator;
pub mod snapshot;
pub mod table;

pub use change::{Cancel, Delete, Finished, Report, Work};
pub use create::{Create, CreateAll, CreateDigested, Created, Idempotency};
pub use job::{ByKey, Change, Extra, Job, Rare, State};
pub use learn::{Cohort, Curve, Step};
pub use lease::{Claim, Claimed, Lease, Token};
pub use named::{Named, PlayNamed};
pub use plan::{Defaults, Plan, Planned};
pub(crate) use simulator::set;
pub use simulator::{ChangeSimulator, Reset, SetSeed};
pub use table::{Jobs, REMOVED_MAX};

pub(crate) use table::News;
