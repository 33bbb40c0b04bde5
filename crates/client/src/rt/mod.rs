//! The runtime: the only module that names one or reads a clock.
//!
//! Everything that waits asks here for [`sleep_until`], [`timeout`] and [`Instant`]; the one task that outlives a call,
//! that of shared requests, is [`spawn`]ed here; time is read from a [`Clock`]. What comes from `tokio::sync` runs on any
//! runtime and is used where it is needed. So another host, which brings the time and turns the futures by itself, has
//! this folder to replace and nothing else.

#[cfg(feature = "blocking")]
pub(crate) mod blocking;
mod clock;
#[cfg(any(feature = "http", feature = "inbox"))]
pub(crate) mod net;
mod skew;
mod slept;

pub(crate) use tokio::task::spawn;
pub(crate) use tokio::time::{Instant, sleep_until, timeout, timeout_at};

pub(crate) use self::clock::{Clock, after, system_time};
pub(crate) use self::skew::Skew;
pub(crate) use self::slept::{AWAKE, in_time, overslept};

#[cfg(test)]
mod tests;
