//! Why there was no answer.

use crate::error::Source;

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
    pub(super) fn through(mut self, proxy: &str) -> Self {
        self.what = format!("{} (through the proxy {proxy})", self.what);
        self
    }

    pub(super) fn too_large(limit: usize) -> Self {
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
