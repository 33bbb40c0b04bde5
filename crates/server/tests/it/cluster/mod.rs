//! Several nodes on one log.

mod broken;
mod client;
mod clocks;
mod judge;
#[cfg(feature = "postgres")]
mod links;
mod nodes;
mod receiver;
mod seeds;
mod together;
mod world;
