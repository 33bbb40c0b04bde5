//! A job-status server, its client and a virtual clock in one process, for tests.
//!
//! A [`TestServer`] is the whole server on a free port, with nothing but its memory to keep jobs in. A test chooses
//! by which door to enter and whose time it is:
//!
//! | door | time | for |
//! |---|---|---|
//! | [`in_process`](TestServer::in_process): no socket | tokio's, paused (`start_paused = true`) | laws of waiting: ten minutes pass in a millisecond, to the millisecond |
//! | [`client`](TestServer::client): real sockets | the server's, [by hand](TestServer::by_hand) | the protocol itself, and clients that can't be paused |
//! | either | real | examples, and what is about real time |
//!
//! Sockets and a paused clock don't go together: the runtime would skip ahead while bytes are on their way.
//!
//! ```
//! use std::time::Duration;
//! use abide::NewJob;
//! use abide_testkit::{TestServer, lasting};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start(TestServer::config()).await?;
//! let client = server.in_process();
//! let job = client.create(lasting(Duration::from_secs(600))).await?;
//! let done = job.wait().await?;
//! assert!(done.is_completed());
//! assert_eq!(done.report().detection, Some(Duration::ZERO));
//! # Ok(())
//! # }
//! ```

mod in_process;
mod server;
pub mod world;

pub use in_process::InProcess;
pub use server::{TestServer, lasting};

/// The Rust of the front pages and of the pages that have some, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../../client/README.md")]
#[doc = include_str!("../../../docs/webhooks.md")]
#[doc = include_str!("../../../docs/workers.md")]
#[derive(Debug)]
pub struct Readme;
