//! Changes of files that a running server takes.

use crate::config::Config;
use crate::http::AppState;
#[cfg(feature = "tls")]
use crate::net::{Tls, TlsError};
#[cfg(feature = "tls")]
use std::sync::Arc;

/// Takes what was changed in files, while the server runs.
#[derive(Clone, Debug)]
pub struct Reload {
    pub(super) state: AppState,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<Tls>>,
}

/// Why nothing was reloaded. What was in use before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The first key came, or the last one went.
    #[error("whether keys are needed can't change while the server runs; start it again")]
    Openness,
    /// The certificate can't be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Reload {
    /// Takes that configuration's API keys, and reads the files of the certificate again.
    ///
    /// # Errors
    ///
    /// The certificate can't be used, or the keys would let every client in. What was in use before stays.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        if config.api_keys.is_empty() != self.state.access.is_open() {
            return Err(ReloadError::Openness);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        self.state.access.reload(&config.api_keys);
        Ok(())
    }
}
