//! How to wait: from flags to a strategy and a schedule.
//!
//! A flag that would do nothing is refused, because its user believes that it does something.

mod flags;
mod schedule;

pub(crate) use self::flags::{How, Place, Plan};
pub(crate) use self::schedule::{FORMS, Recipe};
