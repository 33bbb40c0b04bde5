//! Wait for long-running jobs without wasting a request or a second.

mod budget;
mod call;
mod client;
mod clock;
mod drive;
mod error;
mod exchange;
mod foreign;
mod hub;
mod inbox;
mod job;
mod list;
mod luck;
mod memory;
mod native;
mod origin;
mod poll_until;
mod remote;
mod report;
mod resume;
mod retry;
pub mod schedule;
mod set;
pub mod simulate;
mod sse;
pub mod strategy;
#[cfg(test)]
mod testing;
mod transport;
mod wait;
mod watch;

pub use abide_wire::{Job, JobId, NewJob, Outcome, Problem, Progress, Revision, Status, Timestamp};

pub use budget::Budget;
pub use client::{Client, ClientBuilder, Create};
pub use error::Error;
pub use inbox::{Inbox, REMEMBERED_MAX};
pub use job::JobHandle;
pub use list::List;
pub use poll_until::{Look, PollUntil, poll_until};
pub use remote::Remote;
pub use report::{Channel, Report};
pub use resume::ResumeToken;
pub use retry::RetryPolicy;
pub use set::{JobSet, WaitAll};
pub use transport::{Body, BoxFuture, Http, Transport, TransportError};
pub use wait::{Finished, OnDeadline, Wait};
pub use watch::Watch;
