//! What all handles of one client share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use url::Url;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::luck::Luck;
use crate::memory::Memory;
use crate::retry::{RetryBudget, RetryPolicy};
use crate::transport::Transport;

/// One server as one client sees it.
pub(crate) struct Origin {
    /// Where the server's paths begin; never with credentials, a query or a fragment.
    pub(crate) base: Url,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Clock,
    pub(crate) luck: Luck,
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
