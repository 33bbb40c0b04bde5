//! Server and client together.

mod seeds;
mod virtual_time;
mod webhooks;
