//! Faults put in on purpose, so that a simulation that must find them can be seen to find them.
//!
//! Only with the feature `sabotage`, which no program turns on, and only once they are asked for.

use std::cell::Cell;
use std::time::Duration;

/// How much later than it should a waiter registers.
pub(crate) const LATE: Duration = Duration::from_millis(20);

thread_local! {
    static REGISTERS_LATE: Cell<bool> = const { Cell::new(false) };
}

/// Whether waiters of this thread register after they have looked.
pub fn register_late(is_late: bool) {
    REGISTERS_LATE.set(is_late);
}

pub(crate) fn registers_late() -> bool {
    REGISTERS_LATE.get()
}
