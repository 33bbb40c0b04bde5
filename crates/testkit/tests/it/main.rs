//! Server and client together.

mod corpora;
mod reads;
mod seeds;
mod virtual_time;
mod webhooks;
mod workers;
mod world;
