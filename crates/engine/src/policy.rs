//! What the server allows: the limits and lengths that decisions follow.

use std::time::Duration;

use crate::delivery::RetryPolicy;

/// What the server allows, from its configuration. Its consequences are written into entries, so that a later change of
/// the policy changes nothing that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long the record of an ended job is kept; 24 hours by default.
    pub retention: Duration,
    /// The most jobs, ended ones included; 2,000,000 by default.
    pub jobs_max: usize,
    /// When, how often and for how long a delivery is attempted.
    pub webhooks: RetryPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(24 * 3600),
            jobs_max: 2_000_000,
            webhooks: RetryPolicy::default(),
        }
    }
}
