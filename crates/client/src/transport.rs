//! The seam to the network: what sends a request and brings an answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{Request, Response};

use crate::error::Source;

/// A future behind a pointer, as a seam needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends requests. The default one is HTTP over TCP and TLS; implement it for a middleware, another stack, or a test
/// that plays a server in memory.
///
/// A transport makes one exchange and nothing more: it neither retries nor follows redirects nor limits time, because
/// the waits above it do. The future resolves when the head of the answer has come; the body follows as it comes.
///
/// # Cancel safety
///
/// Both the future and the [`Body`] may be dropped at any time, and the exchange must then be over.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request with an absolute URL.
    ///
    /// # Errors
    ///
    /// Where no answer came: see [`TransportError`]. An answer with an error status is an answer.
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>>;
}

/// Why there was no answer, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TransportError {
    what: String,
    kind: TransportErrorKind,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransportErrorKind {
    Connect,
    Broken,
    TooLarge,
    Unsendable,
}

impl TransportError {
    /// No connection could be made: nobody listens, the name is unknown, the handshake failed.
    pub fn connect(source: impl Into<Source>) -> Self {
        Self::of(
            TransportErrorKind::Connect,
            "no connection could be made",
            source,
        )
    }

    /// The connection broke, or what came over it wasn't HTTP.
    pub fn broken(source: impl Into<Source>) -> Self {
        Self::of(TransportErrorKind::Broken, "the connection broke", source)
    }

    /// The request can't be sent by this transport, now or ever.
    pub fn unsendable(source: impl Into<Source>) -> Self {
        Self::of(
            TransportErrorKind::Unsendable,
            "the request can't be sent",
            source,
        )
    }

    fn too_large(limit: usize) -> Self {
        Self {
            what: format!("the answer is larger than {limit} bytes"),
            kind: TransportErrorKind::TooLarge,
            source: None,
        }
    }

    fn of(kind: TransportErrorKind, what: &str, source: impl Into<Source>) -> Self {
        let source = source.into();
        Self {
            what: format!("{what}: {}", innermost(source.as_ref())),
            kind,
            source: Some(source),
        }
    }

    /// Whether the request surely never reached the server.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.kind == TransportErrorKind::Connect
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.kind == TransportErrorKind::TooLarge
    }

    /// Whether the same request will fail again, whatever the network does.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind == TransportErrorKind::Unsendable
    }
}

/// What a chain of errors is about in the end, for a message of one line.
fn innermost(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The body of an answer, as it comes.
pub struct Body(Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>);

impl Body {
    /// A body that comes in parts.
    pub fn stream(
        parts: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(parts))
    }

    /// A body that is there at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::stream(futures_util::stream::once(async move { Ok(bytes) }))
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    ///
    /// Where the connection broke.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, TransportError>> {
        self.0.next().await
    }

    /// All of it, but never more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// Where the connection broke, or the body is larger.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, TransportError> {
        let mut all = BytesMut::new();
        while let Some(part) = self.chunk().await {
            let part = part?;
            if all.len().saturating_add(part.len()) > limit {
                return Err(TransportError::too_large(limit));
            }
            all.extend_from_slice(&part);
        }
        Ok(all.freeze())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

/// HTTP/1.1 and HTTP/2 over TCP and TLS, with pooled connections.
///
/// Certificates are checked as the operating system would. Nothing is set up before the first request needs it: plain
/// `http` never loads a certificate, and a machine without any can still use it.
pub struct Http {
    connect_timeout: Duration,
    plain: OnceLock<Result<reqwest::Client, String>>,
    secure: OnceLock<Result<reqwest::Client, String>>,
}

/// How long a connection that nobody uses is kept.
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

    #[tokio::test]
    async fn a_body_is_never_read_beyond_its_limit() {
        let endless = futures_util::stream::repeat_with(|| Ok(Bytes::from_static(&[0; 1_000])));
        let error = Body::stream(endless).collect(4_096).await.unwrap_err();
        assert!(error.to_string().contains("4096"), "{error}");
        assert_eq!(Body::full("abc").collect(3).await.unwrap(), "abc");
    }

    #[test]
    fn both_stacks_can_be_built_without_a_global_provider() {
        let http = Http::new(Duration::from_secs(1));
        http.client(Some("http")).unwrap();
        http.client(Some("https")).unwrap();
        assert!(http.client(Some("ftp")).unwrap_err().is_final());
    }

    #[tokio::test]
    async fn nobody_listening_is_a_connect_error() {
        // A port that was just given back: nobody listens on it.
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
