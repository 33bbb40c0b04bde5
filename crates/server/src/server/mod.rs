//! From a configuration to a running server, and to its end.
//!
//! [`Server::start`] opens the journal, binds the listeners and has an [`Assembly`] made of the loop, the state that
//! handlers reach, and the courier; [`Server::run`] serves with it until it is told to stop.

mod assembly;
mod error;
mod reload;
mod start;

pub use assembly::{Assembly, Fresh};
pub use error::ServerError;
pub use reload::{Reload, ReloadError, Reread};
pub use start::Server;
#[cfg(feature = "postgres")]
pub(crate) use start::{VIEWS, random_bytes};
