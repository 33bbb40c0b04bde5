//! A listener that receives webhooks, and wakes the waits.
//!
//! `listener` has the sockets, `intake` what every request goes through.

mod intake;
mod listener;

pub use self::listener::{Receiver, ReceiverBuilder, ReceiverError};

#[cfg(test)]
mod tests;
