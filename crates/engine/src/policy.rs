//! What the server allows: the limits and lengths that decisions follow.

use std::time::Duration;

use abide_wire::Span;
use serde::{Deserialize, Serialize};

use crate::delivery::RetryPolicy;

/// What the server allows. It comes from the configuration as an entry ([`Configure`](crate::Configure)), so that a
/// replay follows the policy that was in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How long the record of an ended job is kept; 24 hours by default.
    pub retention: Span,
    /// The most jobs, ended ones included; 2,000,000 by default.
    pub jobs_max: usize,
    /// The most bytes that all records take together; no limit by default.
    #[serde(skip_serializing_if = "is_unlimited")]
    pub stored_bytes_max: usize,
    /// The most bytes that the records of one owner take; no limit by default.
    #[serde(skip_serializing_if = "is_unlimited")]
    pub stored_bytes_per_owner: usize,
    /// When, how often and for how long a delivery is attempted.
    pub webhooks: RetryPolicy,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_unlimited(bytes: &usize) -> bool {
    *bytes == usize::MAX
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Span::new(Duration::from_secs(24 * 3600)),
            jobs_max: 2_000_000,
            stored_bytes_max: usize::MAX,
            stored_bytes_per_owner: usize::MAX,
            webhooks: RetryPolicy::default(),
        }
    }
}
