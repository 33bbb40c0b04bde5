//! Plays a wait for a plan.

use std::sync::Arc;
use std::time::Duration;

use super::{Begin, Happened, Observed};
use crate::schedule::{self, Schedule, Start};

pub(crate) fn begin(schedule: impl Schedule) -> Begin {
    Begin::new(Arc::new(schedule), Start::new(1))
}

pub(crate) fn seen(seconds: f64, happened: Happened) -> Observed {
    let time = schedule::Seen::at(Duration::from_secs_f64(seconds));
    Observed::began(time).after(happened)
}
