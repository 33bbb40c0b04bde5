//! abide

pub mod schedule;
