//! The seam to the network: what sends a request and brings an answer.

mod body;
mod error;
#[cfg(feature = "http")]
mod http;
mod nodes;
mod seam;

pub use self::body::Body;
pub use self::error::TransportError;
#[cfg(feature = "http")]
pub use self::http::{Connector, Http};
pub(crate) use self::nodes::Nodes;
pub use self::seam::{BoxFuture, Transport};
pub(crate) use self::seam::{Fresh, Through};
