//! The default transport: HTTP over TCP and TLS.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};

use super::{Body, BoxFuture, Transport, TransportError, innermost};

/// HTTP/1.1 and HTTP/2 over TCP and TLS, with pooled connections.
///
/// Certificates are checked as the operating system would. Nothing is set up before the first request needs it: plain
/// `http` never loads a certificate, and a machine without any can still use it.
pub struct Http {
    connect_timeout: Duration,
    plain: OnceLock<Result<reqwest::Client, String>>,
    secure: OnceLock<Result<reqwest::Client, String>>,
}

/// How long an idle connection is kept.
const IDLE_KEPT: Duration = Duration::from_secs(90);

impl Http {
    /// HTTP that spends at most `connect_timeout` on making a connection.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }
    }

    fn client(&self, scheme: Option<&str>) -> Result<&reqwest::Client, TransportError> {
        let client = match scheme {
            Some("http") => self.plain.get_or_init(|| self.build(without_roots)),
            Some("https") => self
                .secure
                .get_or_init(|| self.build(with_the_systems_roots)),
            _ => return Err(TransportError::unsendable("only http and https are spoken")),
        };
        client
            .as_ref()
            .map_err(|why| TransportError::unsendable(why.clone()))
    }

    /// The stack itself, for what the seam has no words for.
    #[doc(hidden)]
    pub fn stack(&self, scheme: &str) -> Result<&reqwest::Client, TransportError> {
        self.client(Some(scheme))
    }

    fn build(
        &self,
        tls: fn() -> Result<rustls::ClientConfig, rustls::Error>,
    ) -> Result<reqwest::Client, String> {
        let mut tls = tls().map_err(|error| format!("TLS can't be set up: {error}"))?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_KEPT)
            .build()
            .map_err(|error| format!("HTTP can't be set up: {}", innermost(&error)))
    }
}

/// The provider is named, so that no global one is needed and none is set.
fn tls_builder()
-> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
}

/// For plain `http`, where a configuration is asked for and never used.
fn without_roots() -> Result<rustls::ClientConfig, rustls::Error> {
    Ok(tls_builder()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn with_the_systems_roots() -> Result<rustls::ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt;
    Ok(tls_builder()?
        .with_platform_verifier()?
        .with_no_client_auth())
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Transport for Http {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            let client = self.client(request.uri().scheme_str())?;
            let request =
                reqwest::Request::try_from(request).map_err(TransportError::unsendable)?;
            let answer = client.execute(request).await.map_err(translate)?;
            let mut head = Response::new(());
            *head.status_mut() = answer.status();
            *head.version_mut() = answer.version();
            *head.headers_mut() = answer.headers().clone();
            let body = Body::stream(
                answer
                    .bytes_stream()
                    .map(|part| part.map_err(TransportError::broken)),
            );
            Ok(head.map(|()| body))
        })
    }
}

fn translate(error: reqwest::Error) -> TransportError {
    // The address is in the errors above; here it would only repeat a query.
    let error = error.without_url();
    if error.is_builder() {
        TransportError::unsendable(error)
    } else if error.is_connect() {
        TransportError::connect(error)
    } else {
        TransportError::broken(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stacks_can_be_built_without_a_global_provider() {
        let http = Http::new(Duration::from_secs(1));
        http.client(Some("http")).unwrap();
        http.client(Some("https")).unwrap();
        assert!(http.client(Some("ftp")).unwrap_err().is_final());
    }

    #[tokio::test]
    async fn nobody_listening_is_a_connect_error() {
        // A port that was just given back: nothing listens on it.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let request = Request::get(format!("http://127.0.0.1:{port}/"))
            .body(Bytes::new())
            .unwrap();
        let error = Http::new(Duration::from_secs(1))
            .send(request)
            .await
            .unwrap_err();
        assert!(error.is_connect(), "{error}");
    }
}
