//! What is counted for operators, in the text form of OpenMetrics.
//!
//! A metric is a row of one table. [`Metrics`] counts what happens; [`Levels`] are read at the moment at which all of it
//! is shown.

mod count;
mod levels;
mod rows;

pub use count::{CONTENT_TYPE, Metrics};
pub use levels::{ClusterLevels, Exchange, Forwarded, Levels};
