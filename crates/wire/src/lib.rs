//! The vocabulary that abide's server and clients share, and its JSON.
//!
//! Everything that crosses the wire has its name here: the [`Job`] and what may be asked of it, the [`Problem`] that
//! answers carry when something is wrong, the [`headers`] and [`limits`] that both sides rely on. The crate knows no
//! clock, no I/O and no async; it may be used by a server, a client or a test alike.
//!
//! | module | what it names |
//! |---|---|
//! | [`job`] | the job as clients see it: status, outcome, progress, revision |
//! | [`json`] | free-form JSON, passed through as it came |
//! | [`new_job`] | what a create may say, the simulator's settings among it |
//! | [`law`] | laws of random durations: JSON, text form, bounds, mathematics |
//! | [`fault`] | the asynchronous faults that the simulator can play |
//! | [`claim`] | a worker's claim of a job, and its lease |
//! | [`wait`] | one held request for many jobs |
//! | [`event`] | what streams and webhooks tell |
//! | [`endpoint`] | webhook endpoints, deliveries, attempts |
//! | [`webhook`] | signing deliveries and verifying them |
//! | [`page`] | one page of a list |
//! | [`problem`] | errors, as RFC 9457 has them |
//! | [`time`] | instants and spans as they are written |
//! | [`headers`], [`limits`] | names and bounds |
//! | [`hidden`] | a text that stays out of logs |

pub mod claim;
pub mod endpoint;
pub mod event;
pub mod fault;
pub mod headers;
pub mod hidden;
pub mod job;
pub mod json;
pub mod law;
pub mod limits;
pub mod new_job;
pub mod page;
pub mod problem;
pub mod time;
pub mod wait;
pub mod webhook;

pub use claim::{ClaimRequest, Lease};
pub use event::{Event, EventKind};
pub use fault::{Fault, FaultKind, FaultTarget};
pub use hidden::Hidden;
pub use job::{Job, JobId, Links, Outcome, Progress, Remaining, Revision, Status};
pub use json::Json;
pub use law::DurationLaw;
pub use new_job::{NewJob, OnWorkerLost, OutcomePlan, Simulate, Stage, WebhookTarget, Worker};
pub use page::JobPage;
pub use problem::{Code, Problem, ProblemInput};
pub use time::{Span, Timestamp};
pub use wait::{Until, WaitFailure, WaitItem, WaitRequest, WaitResponse};
