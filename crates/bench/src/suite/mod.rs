//! What is measured, a file for each question.

pub(crate) mod cluster;
pub(crate) mod creates;
pub(crate) mod deliveries;
pub(crate) mod dialects;
pub(crate) mod goodput;
pub(crate) mod jobs;
pub(crate) mod learned;
pub(crate) mod overload;
pub(crate) mod parked;
pub(crate) mod probe;
pub(crate) mod reads;
pub(crate) mod restart;
pub(crate) mod timers;
