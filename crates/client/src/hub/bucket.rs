//! How often shared requests may be sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::after;

/// The most requests in a second, for few jobs and for many. What lies between is shared out: [`PACE`] job-requests.
const RATE_MAX: f64 = 10.0;
const RATE_MIN: f64 = 2.0;
const PACE: f64 = 500.0;
/// How many requests may follow each other without a pause.
const BURST: f64 = 3.0;

/// Tokens that come at a rate, one for each request.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    filled: Option<Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            tokens: BURST,
            filled: None,
        }
    }
}

impl Bucket {
    /// When there will be a token, with so many jobs.
    pub(super) fn ready(&mut self, now: Instant, jobs: usize) -> Instant {
        let rate = (PACE / jobs.max(1) as f64).clamp(RATE_MIN, RATE_MAX);
        let since = self
            .filled
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.tokens = (self.tokens + since.as_secs_f64() * rate).min(BURST);
        self.filled = Some(now);
        if self.tokens >= 1.0 {
            return now;
        }
        // A little later than computed, so that rounding never finds a token that is almost there.
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / rate);
        after(now, wait + Duration::from_millis(1))
    }

    /// Takes a token out.
    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }
}
