//! The runtime: the only module that names one or reads a clock.
//!
//! Everything that waits asks here for [`sleep_until`], [`timeout`] and [`Instant`]; the one task that outlives a call,
//! that of shared requests, is [`spawn`]ed here; time is read from a [`Clock`]. What comes from `tokio::sync` runs on
//! any runtime and is used where it is needed. With the feature `host` the time is that of a loop that a host in
//! another language turns, wherever one turns: see [`host`].

#[cfg(feature = "blocking")]
pub(crate) mod blocking;
mod clock;
#[cfg(feature = "host")]
pub(crate) mod host;
#[cfg(any(feature = "http", feature = "inbox"))]
pub(crate) mod net;
mod skew;
mod slept;
mod unblock;

#[cfg(not(feature = "host"))]
pub(crate) use tokio::{
    task::spawn,
    time::{Instant, sleep_until, timeout, timeout_at},
};

pub(crate) use self::clock::{Clock, after, system_time};
#[cfg(feature = "host")]
pub(crate) use self::host::{Instant, sleep_until, spawn, timeout, timeout_at};
pub(crate) use self::skew::Skew;
pub(crate) use self::slept::{AWAKE, before, in_time, overslept};
pub(crate) use self::unblock::unblock;

/// Work that may wait for a disk. It takes no lock; what it returns puts in what it has found.
pub(crate) type Work = Box<dyn FnOnce() -> Box<dyn FnOnce() + Send> + Send>;

#[cfg(test)]
mod tests;
