//! The benchmark's clock: what it measures with.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Now, by the machine's time.
#[expect(clippy::disallowed_methods, reason = "this is the benchmark's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// This thread's processor time: what work costs, whatever else the machine does.
pub(crate) fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Lets time pass between two looks at something.
#[expect(
    clippy::disallowed_methods,
    reason = "the load generator has its core for itself and nothing else to do"
)]
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// The wall's time, in milliseconds since the epoch: what the server's instants are compared with.
#[expect(clippy::disallowed_methods, reason = "this is the benchmark's clock")]
pub(crate) fn wall_ms() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

/// The wall's time.
#[expect(clippy::disallowed_methods, reason = "this is the benchmark's clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
