//! The client against a server in memory, on virtual time.

mod faults;
mod many;
mod rules;
mod world;
