//! The client against a server in memory, on virtual time.

mod faults;
mod foreign;
mod many;
mod rules;
mod world;
