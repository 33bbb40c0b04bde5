//! The client against a server in memory, on virtual time.

#![expect(
    clippy::print_stdout,
    reason = "a history that failed is printed for the one who plays it again"
)]

mod asleep;
mod drops;
mod examples;
mod faults;
mod foreign;
mod goals;
mod histories;
mod learning;
mod many;
mod real;
mod rules;
mod sockets;
mod telemetry;
mod unpolled;
mod vendors;
mod world;
