//! Wait for long-running jobs without wasting a request or a second.

mod call;
mod client;
mod clock;
mod drive;
mod error;
mod exchange;
mod inbox;
mod job;
mod luck;
mod memory;
mod native;
mod origin;
mod report;
mod resume;
mod retry;
pub mod schedule;
pub mod simulate;
mod sse;
pub mod strategy;
#[cfg(test)]
mod testing;
mod transport;
mod wait;

pub use abide_wire::{Job, JobId, NewJob, Outcome, Problem, Progress, Revision, Status, Timestamp};

pub use client::{Client, ClientBuilder, Create};
pub use error::Error;
pub use inbox::Inbox;
pub use job::JobHandle;
pub use report::{Channel, Report};
pub use resume::ResumeToken;
pub use retry::RetryPolicy;
pub use transport::{Body, BoxFuture, Http, Transport, TransportError};
pub use wait::{Finished, OnDeadline, Wait};
