//! The life of jobs, without a clock, a disk or a socket.
//!
//! A job's life is a list of facts. Whatever the clock, the seed or a caller decides is decided once
//! ([`Command::decide`], [`Engine::fire`]), written down as an [`Entry`], and from then on only applied
//! ([`Engine::apply`]): the same entries in the same order give the same state after a restart, on a replica, in a
//! test.
//!
//! | module | what it is about |
//! |---|---|
//! | [`engine`] | the state, and the one function that changes it |
//! | [`policy`] | the limits and lengths that decisions follow |
//! | [`jobs`] | the one half: jobs, from create to removal |
//! | [`delivery`] | the other half: webhook endpoints and what they are told |
//! | [`command`] | what callers ask, and are answered |
//! | [`any`] | every command in one type, for another process |
//! | [`entry`] | the facts, in their stored form |
//! | [`meta`] | what the log says of itself, and what a start adds |
//! | [`effect`] | what readers are told |
//! | [`due`] | the deadline set |
//! | [`snapshot`] | the state in parts, for checkpoints |
//! | [`stored`] | how many bytes the records take |
//! | [`fault`] | whether a fault meets the n-th occasion |
//! | [`rng`] | every random draw, by a hash of what it is for |
//! | `same` | when two JSON texts say the same |
//! | [`key`], [`intern`], [`hash`], [`sorted`] | names, shared texts, quick maps, small sorted sets |

pub mod any;
pub mod command;
pub mod delivery;
pub mod due;
pub mod effect;
pub mod engine;
pub mod entry;
pub mod fault;
pub mod hash;
pub mod intern;
pub mod jobs;
pub mod key;
pub mod meta;
pub mod policy;
pub mod rng;
mod same;
pub mod snapshot;
pub mod sorted;
pub mod stored;

pub use abide_wire::Json;
pub use any::AnyCommand;
pub use command::{Command, Created, Refusal};
pub use delivery::{Delivery, Endpoint};
pub use effect::Effect;
pub use engine::Engine;
pub use entry::Entry;
pub use jobs::{
    Cancel, Change, ChangeSimulator, Claim, Claimed, Cohort, Create, CreateAll, CreateDigested,
    Curve, Defaults, Delete, Job, Lease, PlayNamed, Report, Reset, SetSeed, State, Token, Work,
};
pub use key::{DeliveryKey, EndpointKey, JobKey, Owner};
pub use meta::Configure;
pub use policy::Policy;
pub use rng::Rng;
pub use stored::Stored;
