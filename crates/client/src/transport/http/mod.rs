//! The default transport: HTTP over TCP and TLS.
//!
//! It is made of hyper and not of a client above it, because Cargo gives a program one copy of a crate with the
//! features of all who want it: which TLS another client speaks, and whether it starts at all, would change by our
//! choice.

mod dial;
mod stack;
mod tls;

pub use self::dial::Connector;
pub use self::stack::Http;
