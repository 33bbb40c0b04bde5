//! The life of jobs, without a clock, a disk or a socket.
//!
//! A job's life is a list of facts. Whatever clock, luck or a caller decides is decided once ([`Command::decide`],
//! [`Engine::fire`]), written down as an [`Entry`], and from then on only applied ([`Engine::apply`]): the same entries
//! in the same order give the same state after a restart, on a replica, in a test.
//!
//! | module | what it is about |
//! |---|---|
//! | [`entry`] | the facts, in their stored form |
//! | [`engine`] | the state, and the one function that changes it |
//! | [`compact`] | what a million jobs have, in little room |
//! | [`command`] | what callers ask, and are answered |
//! | [`decide`] | the commands about jobs, and what entries they become |
//! | [`delivery`] | webhooks: endpoints, deliveries, attempts |
//! | [`due`] | the deadline set, and from a due deadline to facts |
//! | [`job`] | the record of one job |
//! | [`model`] | duration laws, outcomes and stages, drawn once |
//! | [`luck`] | every random draw, by a hash of what it is for |
//! | [`fault`] | whether a fault meets the n-th occasion |
//! | [`learn`] | how long jobs of a kind take |
//! | [`snapshot`] | the state in parts, for checkpoints |

pub mod command;
pub mod compact;
pub mod decide;
pub mod delivery;
pub mod due;
pub mod engine;
pub mod entry;
pub mod fault;
pub mod hash;
pub mod job;
pub mod json;
pub mod key;
pub mod learn;
pub mod luck;
pub mod model;
pub mod snapshot;

pub use command::{Command, Created, Refusal};
pub use decide::{
    Cancel, ChangeDefaults, Create, DefaultJob, Delete, Report, SetDefaults, SetSeed, Work,
};
pub use delivery::{Delivery, DeliveryKey, Endpoint, EndpointKey};
pub use engine::{Effect, Engine, Policy};
pub use entry::Entry;
pub use job::{Change, Job, State};
pub use json::Json;
pub use key::{JobKey, Owner};
pub use learn::{Cohort, Curve};
pub use luck::Luck;
