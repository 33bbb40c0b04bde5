//! Several nodes on one log.

#[cfg(feature = "postgres")]
mod links;
mod nodes;
mod world;
