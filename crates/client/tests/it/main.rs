//! The client against a server in memory, on virtual time.

mod faults;
mod rules;
mod world;
