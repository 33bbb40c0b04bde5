//! Several nodes on one log.

mod broken;
mod judge;
#[cfg(feature = "postgres")]
mod links;
mod nodes;
mod seeds;
mod world;
