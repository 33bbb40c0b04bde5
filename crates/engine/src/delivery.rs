//! Telling others: endpoints, deliveries, attempts.
//!
//! A change of a job makes its deliveries due in the same entry: [`Engine::apply`](crate::Engine::apply) puts them into the
//! [`book`] when it applies the change, so there is no moment at which the one is durable and the other isn't. That is the
//! outbox, and it needs no table of its own. A delivery that is due is handed out as an effect, after the append like every
//! effect; what became of it returns as a command and is journaled as [`Fact::Attempted`]. Until then it is due, and after a
//! restart it is handed out again, under the same id. So every event arrives at least once, by construction.
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
//! What is not in the entries is how many exchanges are under way, and how fast each receiver may be called: that is
//! learned anew after a restart ([`lanes`]).
//!
//! | module | what it is about |
//! |---|---|
//! | [`key`] | names of endpoints and deliveries |
//! | [`endpoint`] | who is told, of what, in which words |
//! | [`message`] | one delivery and its attempts |
//! | [`fact`] | what is written down |
//! | [`payload`] | the bytes of a delivery, per dialect |
//! | [`schedule`] | when to try again, and when to give an endpoint up |
//! | [`lanes`] | who is called next: windows, breakers, fairness |
//! | [`book`] | the state |
//! | [`wish`] | the commands, and what facts they become |

pub mod book;
pub mod endpoint;
pub mod fact;
pub mod key;
pub mod lanes;
pub mod message;
pub mod payload;
pub mod schedule;
pub mod wish;

mod tell;

pub use book::Book;
pub use endpoint::{Dialect, Disabled, Endpoint, Events, OldSecret, Reason, Scope};
pub use fact::{Attempted, Fact, Next, Replayed};
pub use key::{DeliveryKey, EndpointKey};
pub use lanes::Breaker;
pub use message::{Attempt, Delivery, Standing};
pub use schedule::RetryPolicy;
pub use wish::{
    ChangeEndpoint, CreateEndpoint, DeleteEndpoint, Register, ReplayDeliveries, ReportAttempt,
    RetryDelivery, RotateSecret, SetMasterSecret, TestEndpoint, Unregister,
};

use std::sync::Arc;

use abide_wire::Timestamp;

/// What the world must be told of webhooks once an entry is durable.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An endpoint is new or has changed.
    Endpoint(Arc<Endpoint>),
    /// An endpoint is gone.
    EndpointGone(EndpointKey),
    /// A delivery is new or has changed.
    Delivery(Arc<Delivery>),
    /// A delivery's record is gone.
    DeliveryGone(DeliveryKey),
    /// A delivery is to be sent now.
    Send(Box<Send>),
    /// How an endpoint is being called has changed.
    Breaker(EndpointKey, Breaker),
}

/// A delivery that is to be sent now.
#[derive(Clone, Debug)]
pub struct Send {
    /// The delivery.
    pub delivery: Arc<Delivery>,
    /// To whom, as of now.
    pub endpoint: Arc<Endpoint>,
    /// Which attempt this is, counted from 1; the report of it must say so too.
    pub attempt: u32,
    /// By the clock that drives the schedule.
    pub at: Timestamp,
}
