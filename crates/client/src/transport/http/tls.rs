//! TLS, by the crate's features.

use crate::error::Source;

#[cfg(feature = "tls")]
pub(super) use self::with::{Secured, secured};
#[cfg(not(feature = "tls"))]
pub(super) use self::without::{Secured, secured};

#[cfg(feature = "tls")]
mod with {
    use std::sync::Arc;

    use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
    use rustls::ClientConfig;
    use rustls::crypto::CryptoProvider;
    use rustls_platform_verifier::BuilderVerifierExt as _;

    use super::Source;

    /// A connector that speaks TLS.
    pub(in super::super) type Secured<C> = HttpsConnector<C>;

    /// Speaks TLS where a URL wants it, HTTP/2 where the server does. Certificates are checked as the operating system
    /// would.
    pub(in super::super) fn secured<C>(connector: C) -> Result<Secured<C>, Source> {
        let config = ClientConfig::builder_with_provider(provider()?)
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        Ok(HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector))
    }

    /// The program's provider of cryptography, else ours. None is ever made the program's.
    fn provider() -> Result<Arc<CryptoProvider>, Source> {
        if let Some(provider) = CryptoProvider::get_default() {
            return Ok(Arc::clone(provider));
        }
        #[cfg(feature = "tls-ring")]
        return Ok(Arc::new(rustls::crypto::ring::default_provider()));
        #[cfg(not(feature = "tls-ring"))]
        Err("https needs a provider of cryptography: install the program's, by rustls's `CryptoProvider::install_default`, \
             or take the one of abide's feature `tls-ring`"
            .into())
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use super::Source;

    /// A connector that would speak TLS.
    pub(in super::super) type Secured<C> = C;

    pub(in super::super) fn secured<C>(_: C) -> Result<Secured<C>, Source> {
        Err("https needs abide's feature `tls-ring`, or `tls` beside a provider of cryptography of your own".into())
    }
}
