//! A transport that notes when it sends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide::{Body, BoxFuture, Http, Transport, TransportError};
use bytes::Bytes;
use http::{Request, Response};

/// The default transport, and the instants of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    inner: Arc<Http>,
    sent: Arc<Mutex<Vec<Instant>>>,
}

impl Counted {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Http::new(Duration::from_secs(5))),
            sent: Arc::default(),
        }
    }

    pub(crate) fn sent(&self) -> Vec<Instant> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clone()
    }
}

impl Transport for Counted {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(Instant::now());
        drop(sent);
        self.inner.send(request)
    }
}
