//! abide

pub mod schedule;
pub mod simulate;
