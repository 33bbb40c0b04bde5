//! How often shared requests may be sent.

use std::time::Duration;

use crate::rt::{Instant, after};

/// The most requests in a second, for few jobs and for many. What lies between is shared out: [`PACE`] job-requests.
const RATE_MAX: f64 = 10.0;
const RATE_MIN: f64 = 1.8;
const PACE: f64 = 500.0;
/// How many requests may follow each other without a pause.
const BURST: f64 = 3.0;
/// Seconds after which a crowd that is gone counts for a third. It keeps the last jobs of a thousand from being asked
/// about ten times a second.
const CROWD_FADE: f64 = 60.0;

/// Tokens that come at a rate, one for each request.
///
/// With [`ALONE_MAX`](super::ALONE_MAX) requests of single waits, all waits of a thousand jobs send at most
/// 8 + 3 + 10 × 1.8 = 29 requests in any ten seconds, however their ends fall; looks at a deadline are beyond it.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    filled: Option<Instant>,
    /// How many jobs there are, or were not long ago.
    crowd: f64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            tokens: BURST,
            filled: None,
            crowd: 0.0,
        }
    }
}

impl Bucket {
    /// When there will be a token, with that number of jobs.
    pub(super) fn ready(&mut self, now: Instant, jobs: usize) -> Instant {
        let since = self
            .filled
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let faded = self.crowd * (-since.as_secs_f64() / CROWD_FADE).exp();
        self.crowd = faded.max(jobs as f64).max(1.0);
        let rate = (PACE / self.crowd).clamp(RATE_MIN, RATE_MAX);
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
