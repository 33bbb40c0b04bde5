//! The shell around the engine: what a job-status server needs beside the life of jobs itself.

pub mod attendance;
pub mod board;
pub mod check;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod courier;
mod course;
#[cfg(feature = "postgres")]
pub mod database;
pub mod driver;
pub mod guard;
pub mod http;
pub mod journal;
pub mod metrics;
pub mod net;
mod recent;
pub mod requests;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod scenario;
pub mod server;
mod sharded;
pub mod telling;
#[cfg(feature = "postgres")]
pub mod transfer;

pub use config::Config;
pub use server::{Assembly, Fresh, Reload, ReloadError, Reread, Server, ServerError};
