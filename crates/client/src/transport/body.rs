//! The body of an answer.

use std::fmt;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::TransportError;

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
