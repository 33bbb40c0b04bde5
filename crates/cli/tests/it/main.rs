//! The binary, as people and scripts meet it.

mod advertised;
mod answers;
mod bench;
mod crash;
mod demo;
mod docs;
mod edges;
mod figures;
mod files;
mod front;
#[cfg(feature = "otel")]
mod otel;
mod pipes;
mod proxies;
mod starts;
mod stop;
mod suite;
mod terminal;
#[cfg(unix)]
mod tls;
mod vendors;
mod waits;
mod webhook_crash;
mod webhooks;
#[cfg(unix)]
mod work;
