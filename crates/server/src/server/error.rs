//! Why a server doesn't start, or ends badly.

use tokio::task::JoinError;

#[cfg(feature = "postgres")]
use crate::database::DatabaseSetupError;
use crate::driver::{DriverError, Failure};
use crate::journal::JournalError;
use crate::net::BindError;
#[cfg(feature = "tls")]
use crate::net::TlsError;

/// Why a server doesn't start, or ends badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It can't listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its jobs can't be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The loop failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The loop refused its settings.
    #[error("the settings were refused: {0}")]
    Settings(#[from] Failure),
    /// No vendor's interface has that name.
    #[error("no dialect is named {name:?}; there are {}", known.join(", "))]
    Dialect {
        /// What was configured.
        name: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// The settings of the database can't be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Database(#[from] DatabaseSetupError),
    /// A database was configured, and this build has no client for one.
    #[cfg(not(feature = "postgres"))]
    #[error("--database needs a build with the feature `postgres`")]
    NoPostgres,
    /// The certificate can't be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system has no randomness to make secrets of.
    #[error("the system's source of randomness failed")]
    NoRandomness,
    /// A task panicked or was canceled.
    #[error("a task of the server's failed")]
    Task(#[from] JoinError),
}
