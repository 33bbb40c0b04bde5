//! A worker's side of a job: [`claim`] takes one, [`lease`] holds it, reports on it and ends it.

mod claim;
mod lease;

pub use self::claim::Claim;
pub use self::lease::Lease;
