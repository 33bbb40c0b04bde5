//! Attendance: which clients read which jobs, when, and what each read was good for.
//!
//! A read is an answer about one job: to a poll or a held request, to a create that waits, to a set of jobs, or an
//! event of the job's own stream. It is written down twice by one call, [`Attendance::read`]:
//!
//! - on the job's [timeline](Timeline), which keeps single reads, for the jobs that were read first most recently;
//! - on the client's [report](ClientReport), which keeps sums, so that a client that polls a thousand times a second is
//!   counted whole.
//!
//! Requests that aren't reads, creates and failures, are counted on the report alone. All of it is kept in memory,
//! bounded, and costs a read two short locks, each one of sixteen.

mod client;
mod client_report;
mod create;
mod grade;
mod store;
mod timeline;

pub use client::{Agent, Client};
pub use client_report::{AnsweredCreate, ClientReport, FailedRequest};
pub use create::{PendingCreate, body_digest};
pub use grade::Grade;
pub use store::{Attendance, Read};
pub use timeline::{JOBS_MAX, READS_PER_JOB_MAX, Timeline, TimelineRead};

#[cfg(test)]
mod tests;
