//! Webhooks: endpoints, deliveries, attempts.
//!
//! A change of a job makes its deliveries due in the same entry: [`Engine::apply`](crate::Engine::apply) puts them
//! into the [`queue`] when it applies the change, so there is no moment at which the one is durable and the other
//! isn't. That is the outbox, and it needs no table of its own. A delivery that is [`due`] waits in its receiver's
//! lane ([`lanes`]) and is handed out as an effect, after the append like every effect; what became of it returns as
//! a command ([`attempt`]) and is journaled as [`Fact::Attempted`]. Until then it is due, and after a restart it is
//! handed out again, under the same id. So every event arrives at least once, by construction.
//!
//! ```text
//!             ┌── the predecessor ended ──┐
//!  queued ────┘                           ▼
//!  (ordered)        change ──────────► pending ──── 2xx ──────────► delivered
//!                                       ▲  │ │
//!                    RetryAt ───────────┘  │ └── schedule at its end, 410 ──► failed
//!                       replay, retry ▲    ▼
//!                                     └── held   (the endpoint is disabled)
//! ```
//!
//! The entries don't hold how many exchanges are under way, nor how fast each receiver may be called: that is learned
//! anew after a restart. A delivery holds the native event; an endpoint that is told in another form has a word for it
//! ([`Endpoint::rendering`]), and the edge translates when it sends.
//!
//! | module | what it is about |
//! |---|---|
//! | [`endpoint`], [`events`] | the record of one endpoint, and what it is told of |
//! | [`delivery`] | the record of one delivery and its attempts |
//! | [`fact`] | what is written down |
//! | [`state`] | the state, and which fact changes it how |
//! | [`endpoints`] | the endpoints, and which are told of what |
//! | [`queue`] | the deliveries, and what is found by what |
//! | [`manage`] | commands of those who own endpoints |
//! | [`subscribe`] | endpoints of a name's jobs |
//! | [`tell`] | from a change of a job to deliveries |
//! | [`due`] | from a deadline to a lane, and to the courier |
//! | [`lanes`] | who is called next: windows, breakers, fairness |
//! | [`attempt`] | the report of an attempt, and what comes of it |
//! | [`schedule`] | when to try again, and when to give an endpoint up |
//! | [`sweep`] | what concerns all deliveries of an endpoint, step by step |
//! | [`snapshot`] | the deliveries' parts of a checkpoint |

pub mod attempt;
#[expect(
    clippy::module_inception,
    reason = "the record that the others are about"
)]
pub mod delivery;
pub mod due;
pub mod endpoint;
pub mod endpoints;
pub mod events;
pub mod fact;
pub mod lanes;
pub mod manage;
pub mod queue;
pub mod schedule;
pub mod snapshot;
pub mod state;
pub mod subscribe;
pub mod sweep;
pub mod tell;

pub use attempt::ReportAttempt;
pub use delivery::{Attempt, Delivery, Next, Standing};
pub use due::Send;
pub use endpoint::{Disabled, Endpoint, OldSecret, Reason, Scope};
pub use events::Events;
pub use fact::{Attempted, Fact, Replayed};
pub use lanes::Breaker;
pub use manage::{
    ChangeEndpoint, CreateEndpoint, DeleteEndpoint, NamedSecret, ReplayDeliveries, RetryDelivery,
    RotateSecret, SetMasterSecret, TestEndpoint,
};
pub use schedule::RetryPolicy;
pub use state::Deliveries;
pub use subscribe::{Subscribe, Unsubscribe};
pub use tell::Notice;
