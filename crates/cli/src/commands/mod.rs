//! One file per command.

pub(crate) mod attack;
pub(crate) mod backup;
pub(crate) mod cancel;
pub(crate) mod check;
#[cfg(feature = "postgres")]
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod deliveries;
pub(crate) mod demo;
pub(crate) mod dialects;
pub(crate) mod healthcheck;
pub(crate) mod list;
pub(crate) mod listen;
pub(crate) mod pool;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod trigger;
pub(crate) mod wait;
pub(crate) mod watch;
pub(crate) mod work;
