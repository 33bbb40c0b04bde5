//! Several nodes on one log.

mod nodes;
mod world;
