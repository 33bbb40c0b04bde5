//! What all handles of one client share.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use url::Url;

use crate::budget::Budget;
use crate::memory::Memory;
use crate::retry::{RetryBudget, RetryPolicy};
use crate::rng::Rng;
use crate::rt::Clock;
use crate::transport::{Body, BoxFuture, Transport, TransportError};

/// The most that one exchange may take where nothing else is said.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that one call may take where nothing else is said.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The address of what has none.
static NOWHERE: LazyLock<Url> =
    LazyLock::new(|| Url::parse("http://nowhere.invalid/").expect("this text is a URL"));

/// The transport of what sends nothing.
#[derive(Debug)]
struct NoTransport;

impl Transport for NoTransport {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async { Err(TransportError::unsendable("there is no server")) })
    }
}

/// One server as one client sees it.
pub(crate) struct Origin {
    /// Where the server's paths begin; never with credentials, a query or a fragment.
    pub(crate) base: Url,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) memory: Memory,
    pub(crate) retry: RetryPolicy,
    pub(crate) retry_budget: RetryBudget,
    /// What all waits may send together.
    pub(crate) budget: Budget,
    /// The most that one exchange may take that isn't held.
    pub(crate) attempt_timeout: Duration,
    /// The most that one call may take, its retries included.
    pub(crate) timeout: Duration,
}

impl Origin {
    /// The surroundings of a wait that has nothing to do with a client.
    pub(crate) fn nowhere() -> Self {
        Self {
            base: NOWHERE.clone(),
            headers: HeaderMap::new(),
            transport: Arc::new(NoTransport),
            clock: Clock::start(),
            rng: Rng::new(None),
            memory: Memory::default(),
            retry: RetryPolicy::default(),
            retry_budget: RetryBudget::default(),
            budget: Budget::default(),
            attempt_timeout: ATTEMPT_TIMEOUT,
            timeout: TIMEOUT,
        }
    }

    /// The surroundings of a wait of this client for something that isn't on its server.
    pub(crate) fn elsewhere(&self) -> Self {
        Self {
            clock: self.clock,
            rng: self.rng.split(),
            retry: self.retry.clone(),
            budget: self.budget.clone(),
            attempt_timeout: self.attempt_timeout,
            timeout: self.timeout,
            ..Self::nowhere()
        }
    }

    /// A path below the base.
    pub(crate) fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The server's address, for tokens and messages.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("base", &self.base.as_str())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
