//! The seam to the network: what sends a request and brings an answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use ::http::{Request, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

#[cfg(feature = "http")]
mod http;

#[cfg(feature = "http")]
pub use self::http::{Connector, Http};

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
    /// No connection could be made: nothing listens, the name is unknown, or the handshake failed.
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

    /// The same, with the name of the proxy that the request was sent through.
    #[cfg(feature = "http")]
    fn through(mut self, proxy: &::http::Uri) -> Self {
        let host = proxy.host().unwrap_or_default();
        let port = proxy.port().map(|port| format!(":{port}"));
        let port = port.unwrap_or_default();
        self.what = format!("{} (through the proxy {host}{port})", self.what);
        self
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
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the body, and the exchange with it.
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
}
