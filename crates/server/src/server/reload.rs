//! Changes of files that a running server takes.

use crate::config::{ApiKey, Config};
use crate::http::access::Access;
#[cfg(feature = "tls")]
use crate::net::{Tls, TlsError};
#[cfg(feature = "tls")]
use rustls::ServerConfig;
use std::sync::Arc;

/// Takes what was changed in files, while the server runs. It keeps none from ending.
#[derive(Clone, Debug)]
pub struct Reload {
    pub(super) access: Arc<Access>,
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

/// What was read, for [`Reload::take`].
#[derive(Debug)]
pub struct Reread {
    keys: Vec<ApiKey>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<ServerConfig>>,
}

impl Reload {
    /// Takes that configuration's API keys, and reads the files of the certificate again. Nothing is used yet. Blocks
    /// for as long as the files do.
    ///
    /// # Errors
    ///
    /// The certificate can't be used, or the keys would let every client in.
    pub fn read(&self, config: &Config) -> Result<Reread, ReloadError> {
        if config.api_keys.is_empty() != self.access.is_open() {
            return Err(ReloadError::Openness);
        }
        Ok(Reread {
            keys: config.api_keys.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.as_ref().map(|tls| tls.read()).transpose()?,
        })
    }

    /// Uses what was read from now on.
    pub fn take(&self, read: Reread) {
        #[cfg(feature = "tls")]
        if let Some((tls, read)) = self.tls.as_ref().zip(read.tls) {
            tls.take(read);
        }
        self.access.reload(&read.keys);
    }
}
