//! What a wait cost, and how late the news was.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The channel by which a wait learned something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Channel {
    /// A request that was answered at once.
    Poll,
    /// A request that the server held for this wait alone.
    LongPoll,
    /// A request that the server held for many waits together.
    Shared,
    /// A stream of events.
    Stream,
    /// A webhook.
    Push,
}

impl Channel {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::LongPoll => "long_poll",
            Self::Shared => "shared",
            Self::Stream => "stream",
            Self::Push => "push",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one wait cost, and how late the news was.
///
/// Every [`Finished`](crate::Finished) and every error of a wait has one; the same numbers are fields of the `tracing`
/// span `abide.wait`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Requests that were sent for this wait, failed ones too. A request for many waits together counts as one for
    /// each of them.
    pub requests: u32,
    /// This wait's part of them, where a request for `n` waits counts as `1/n`. It adds up over waits to what the
    /// server saw.
    pub requests_share: f64,
    /// How many of the requests brought no answer, or none but "not now".
    pub failures: u32,
    /// Bytes of bodies that were received for this wait alone.
    pub bytes_received: u64,
    /// The channel by which the end was learned, or the latest news if it wasn't.
    pub channel: Option<Channel>,
    /// The strategy.
    pub strategy: &'static str,
    /// How long the wait took.
    pub elapsed: Duration,
    /// How old the end was when this process learned of it; none while the job runs, and none where the server tells no
    /// times.
    pub detection: Option<Duration>,
    /// The round trip, where one was measured.
    pub rtt: Option<Duration>,
}

impl Report {
    /// The requests beyond the first, which is unavoidable.
    #[must_use]
    pub const fn excess_requests(&self) -> u32 {
        self.requests.saturating_sub(1)
    }

    /// How much later than half a round trip, which no client can do without; none where the detection delay or the
    /// round trip isn't known.
    #[must_use]
    pub fn excess_delay(&self) -> Option<Duration> {
        Some(self.detection?.saturating_sub(self.rtt? / 2))
    }
}

/// What `Server-Timing: since-end;dur=<ms>` says.
pub(crate) fn since_end(header: &str) -> Option<Duration> {
    header.split(',').find_map(|metric| {
        let mut parts = metric.split(';').map(str::trim);
        if parts.next()? != "since-end" {
            return None;
        }
        let millis = parts.find_map(|part| part.strip_prefix("dur="))?;
        let millis: f64 = millis.trim_matches('"').parse().ok()?;
        Duration::try_from_secs_f64(millis / 1_000.0).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_the_news_is_read_among_other_metrics() {
        for (header, expected) in [
            ("since-end;dur=1500", Some(1_500)),
            ("db;dur=3, since-end;dur=\"0.4\"", Some(0)),
            ("since-end ; desc=x ; dur=7", Some(7)),
            ("since-end", None),
            ("since-end;dur=-3", None),
            ("since-end;dur=NaN", None),
            ("since-end;dur=1e300", None),
            ("", None),
        ] {
            let millis = since_end(header).map(|age| age.as_millis());
            assert_eq!(millis, expected, "{header}");
        }
    }
}
