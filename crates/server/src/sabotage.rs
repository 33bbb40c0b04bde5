//! Faults put in on purpose, so that a simulation that must find them can be seen to find them.
//!
//! Only with the feature `sabotage`, which no program turns on, and only once they are asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How much later than it should a waiter registers.
pub(crate) const LATE: Duration = Duration::from_millis(20);

static REGISTERS_LATE: AtomicBool = AtomicBool::new(false);

/// From now on waiters register after they have looked, for as long as the process lives.
pub fn register_late() {
    REGISTERS_LATE.store(true, Ordering::Relaxed);
}

pub(crate) fn registers_late() -> bool {
    REGISTERS_LATE.load(Ordering::Relaxed)
}
