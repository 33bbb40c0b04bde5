//! The only file of this crate that reads a clock.
//!
//! Everything is timed by the monotonic clock of the runtime, which a test can pause. The wall clock is read once, when
//! a client is made, and carried on by the monotonic one, so that on a paused clock both stand still together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use abide_wire::Timestamp;

use super::Instant;

/// A clock of a client: monotonic instants for timing, wall instants for comparing with a server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    wall: Timestamp,
}

/// The host's time of day, if one turns the client, or else the system's.
#[cfg(feature = "host")]
fn wall() -> Timestamp {
    match super::host::wall() {
        Some(wall) => Timestamp::default() + wall,
        None => system_time(),
    }
}

#[cfg(not(feature = "host"))]
use self::system_time as wall;

impl Clock {
    /// Reads both clocks.
    pub(crate) fn start() -> Self {
        Self {
            began: now(),
            wall: wall(),
        }
    }

    /// A clock that shows that now: another machine's, in a simulation.
    pub(crate) fn showing(wall: Timestamp) -> Self {
        Self { began: now(), wall }
    }

    /// Now, for timing.
    #[expect(
        clippy::unused_self,
        reason = "the caller must have been given a clock"
    )]
    pub(crate) fn now(&self) -> Instant {
        now()
    }

    /// Now, for comparing with what a server wrote. It may be off by as much as this machine's clock was, and by any
    /// time it was asleep; `Skew` corrects for both.
    pub(crate) fn wall(&self) -> Timestamp {
        self.wall + self.now().saturating_duration_since(self.began)
    }

    /// The same as the file system has it.
    pub(crate) fn time_of_day(&self) -> SystemTime {
        let millis = u64::try_from(self.wall().as_millis()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(millis)
    }
}

#[cfg_attr(
    not(feature = "host"),
    expect(
        clippy::disallowed_methods,
        reason = "this is the client's twin of the clock"
    )
)]
fn now() -> Instant {
    Instant::now()
}

/// The system's time, read anew: what the timestamp of a webhook is compared with.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the client's twin of the clock"
)]
pub(crate) fn system_time() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::default() + since_epoch.unwrap_or_default()
}

/// `instant` plus that duration, or an instant too far away to matter.
pub(crate) fn after(instant: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    instant.checked_add(span).unwrap_or_else(|| instant + FAR)
}
