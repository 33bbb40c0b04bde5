//! Wait for long-running jobs without wasting a request or a second.
//!
//! A job takes seconds or hours, and a server says how it stands. A client that asks too often pays for requests; one
//! that asks too rarely learns late. If the server can hold a request or push, this crate learns of the end when it
//! happens. If it can't, this crate comes within a few percent of the best that any polling client could do. It
//! survives restarts and outages, keeps deadlines, and never mistakes a failed request for a failed job, or the
//! reverse.
//!
//! ```no_run
//! use std::time::Duration;
//! use abide::{Client, NewJob};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), abide::Error> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let job = client
//!     .create(NewJob::new("video_translation").input(json!({"video_url": "https://example.com/a.mp4"})))
//!     .await?;
//! let done = job.wait().deadline(Duration::from_secs(600)).await?;
//! let result: serde_json::Value = done.result()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is in it
//!
//! | to | use |
//! |---|---|
//! | create a job, once however often it is sent | [`Client::create`] |
//! | wait for its end | [`JobHandle::wait`] |
//! | see every change | [`JobHandle::watch`], or [`Wait::on_update`] |
//! | see every change of all jobs | [`Client::feed`] |
//! | wait for many jobs with one request, in order of completion | [`Client::set`] |
//! | go on in another process | [`JobHandle::resume_token`], [`Client::resume`] |
//! | wait on an API that isn't ours, by configuration | [`ClientBuilder::remote`] |
//! | wait for anything that a closure can look at | [`poll_until`](poll_until()) |
//! | hear of webhooks | [`Inbox`] with [`strategy::Webhook`]; the listener `Receiver` with the feature `inbox` |
//! | work on jobs: claim one, report, end it | [`Client::claim`], [`Lease`] |
//! | check webhooks in a server of your own | [`webhook`] |
//! | register webhook endpoints, and see what became of deliveries | [`Client::webhooks`] |
//! | keep all waits of a process under one limit | [`Budget`] |
//! | know what a wait cost and how late it was | [`Report`] |
//! | try a schedule on your own past before using it | the crate `abide-simulate`, or `abide simulate` |
//!
//! # Strategies
//!
//! *How* to learn of the end; [`Wait::strategy`] chooses. None of them can break a deadline, the retry policy or the
//! budget.
//!
//! | strategy | how | when |
//! |---|---|---|
//! | [`Auto`](strategy::Auto) | the best of the others that the server can do, found out by using it | the default |
//! | [`LongPoll`](strategy::LongPoll) | requests that the server holds until there is news | one answer, at once |
//! | [`Stream`](strategy::Stream) | a stream of events, resumed by revision, with a watchdog | many updates |
//! | [`Poll`](strategy::Poll) | one request now and then, by a [`schedule`] | servers that hold nothing |
//! | [`Webhook`](strategy::Webhook) | a push first, polls as a safety net | a public address |
//!
//! # Outcomes and errors
//!
//! A wait gives [`Finished`] for every job that ended, well or not: the wait has done its work. Its
//! [`outcome`](Finished::outcome) tells, and [`result`](Finished::result) makes an error of a job that didn't complete.
//! An [`Error`] means that the end wasn't learned, and tells by its predicates whether the job is *still running*, or
//! the server *unreachable*, or it *refused*. Every one of them carries the job's id, or the key of the create, and a
//! token to go on with.
//!
//! # Cancel safety
//!
//! Every future and stream of this crate may be dropped at any `await`. The request in flight is given up with it,
//! nothing goes on in the background, the job is not harmed, and the handle can be used again. What a call that changes
//! something (create, cancel, delete) may have done by then is said where it is documented.
//!
//! # Defaults
//!
//! No deadline unless you set one, on the wait or on the [client](ClientBuilder::deadline). A request may take 10 s,
//! beside the time that it is held. Failures are retried after random pauses of up to 200 ms, 400 ms … 10 s; a wait
//! goes on for 30 s without any answer. All waits of a client together send at most 50 requests a second. See
//! [`ClientBuilder`] and [`RetryPolicy`].
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `http` | yes | [`Http`], the transport that is used unless another is given: HTTP/1.1, with proxies |
//! | `tls-ring` | no | `https` and HTTP/2, by rustls with ring |
//! | `tls` | no | the same with the provider of cryptography that the program has installed in rustls |
//! | `tracing` | yes | a span for every wait and an event for every failure |
//! | `metrics` | no | requests by purpose, waits, retries and lateness, for the program's recorder: see `describe_metrics` |
//! | `blocking` | no | `blocking`: the same without async |
//! | `host` | no | `Loop`: waits that take their time and their turns from a program in another language |
//! | `inbox` | no | `Receiver`: a listener that verifies webhooks, drops duplicates and wakes the waits |
//!
//! Nothing that the crate turns on in others changes what they do for the rest of the program: it doesn't use reqwest,
//! and only `tls-ring` turns a provider of rustls on.
//!
//! The crate needs a tokio runtime with its timer enabled (and I/O, for the default transport). It logs by `tracing`,
//! at `debug`, and never prints; every wait is a span `abide.wait` whose fields are those of its [`Report`]. It sets up
//! neither a subscriber nor a recorder: that is the program's business.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
#[cfg(feature = "blocking")]
pub mod blocking;
mod budget;
mod builder;
mod call;
mod client;
mod complaint;
mod create;
mod error;
mod exchange;
mod hub;
mod inbox;
mod job;
mod list;
mod memory;
mod options;
mod origin;
#[cfg(feature = "inbox")]
mod receiver;
mod remote;
mod report;
mod resume;
mod retry;
mod rng;
mod rt;
pub mod schedule;
mod sse;
pub mod strategy;
mod stream_token;
mod target;
mod telemetry;
#[cfg(test)]
mod testing;
mod transport;
mod trouble;
mod wait;
pub mod webhook;
pub mod webhooks;
mod worker;

pub use abide_wire::{
    Code, Event, EventKind, Job, JobId, Json, NewJob, Outcome, Problem, Progress, Revision,
    Simulate, Status, Timestamp,
};

pub use budget::Budget;
pub use builder::ClientBuilder;
pub use client::Client;
pub use create::Create;
pub use error::Error;
pub use inbox::Inbox;
pub use job::JobHandle;
pub use list::List;
#[cfg(feature = "inbox")]
pub use receiver::{Receiver, ReceiverBuilder, ReceiverError};
pub use remote::Remote;
pub use report::{Channel, Report};
pub use resume::ResumeToken;
pub use retry::RetryPolicy;
#[cfg(feature = "host")]
pub use rt::host::{Loop, LoopDone, LoopWork};
pub use stream_token::StreamToken;
pub use target::Look;
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;
#[doc(hidden)]
#[cfg(feature = "http")]
pub use transport::Connector;
#[cfg(feature = "http")]
pub use transport::Http;
pub use transport::{Body, BoxFuture, Transport, TransportError};
pub use wait::{
    Change, Feed, FeedPlace, Finished, JobSet, NoPlace, OnDeadline, PollUntil, Wait, Watch,
    poll_until,
};
pub use worker::{Claim, Lease};

/// The guide, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/waiting.md")]
#[derive(Debug)]
pub struct Guide;
