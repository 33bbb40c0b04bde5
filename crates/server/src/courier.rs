//! The courier: carries deliveries to their receivers.
//!
//! It writes no state. What becomes of a delivery goes back into the loop as a command and is journaled like any
//! other fact; until then the delivery counts as not sent, and after a restart it is sent again under the same id.

pub mod connect;
pub mod send;

pub use send::{Answered, Carrier, HttpCarrier, Post, SendError};
