//! Counts requests where they are sent, and pushes where they arrive.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use abide::{Body, BoxFuture, Http, Receiver, ReceiverError, Transport, TransportError};
use bytes::Bytes;
use http::{Method, Request, Response};

/// A transport that counts what waiting costs. Creating a job is no part of waiting for it. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    http: Arc<Http>,
    requests: Arc<AtomicU32>,
    pushes: Arc<AtomicU32>,
}

impl Meter {
    /// How many requests have been sent.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many pushes have arrived.
    pub(super) fn pushes(&self) -> u32 {
        self.pushes.load(Ordering::Relaxed)
    }

    /// A receiver of webhooks that counts what arrives.
    pub(super) async fn receiver(&self) -> Result<Receiver, ReceiverError> {
        let pushes = Arc::clone(&self.pushes);
        let counting = Receiver::builder().on_delivery(move |_| {
            pushes.fetch_add(1, Ordering::Relaxed);
            std::future::ready(true)
        });
        counting.bind((Ipv4Addr::LOCALHOST, 0)).await
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            http: Arc::new(Http::new(Duration::from_secs(5))),
            requests: Arc::default(),
            pushes: Arc::default(),
        }
    }
}

impl Transport for Meter {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        let creates = request.method() == Method::POST && request.uri().path() == "/v1/jobs";
        if !creates {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        self.http.send(request)
    }
}
