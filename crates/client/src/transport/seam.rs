//! What a transport is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::{Body, TransportError};

/// A future behind a pointer, as a seam needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// On a request that must not be sent twice: it goes out on a connection of its own, because the server may just have
/// closed one that was kept, and then it is unknown whether the request was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh;

/// On an answer that came through a proxy: its host and port.
#[derive(Clone, Debug)]
pub(crate) struct Through(pub(crate) Arc<str>);

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
