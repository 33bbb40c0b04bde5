//! What is counted for operators, in the text form of OpenMetrics and in the one before it.
//!
//! A metric is a row of one table. [`Metrics`] counts what happens; [`Levels`] are read at the moment at which all of
//! it is shown.

mod count;
mod levels;
mod rows;
mod text;

pub use count::Metrics;
pub use levels::{ClusterLevels, Exchange, Forwarded, Levels};
pub use text::{OPENMETRICS, PLAIN, plain};
