//! A worker's claim of a job: `POST /v1/jobs/claim`.

use serde::{Deserialize, Serialize};

use crate::{Span, Timestamp, limits};

/// Claims the oldest pending external job of the caller's owner, or waits for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimRequest {
    /// The kinds to claim, at most 50. Default: every kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub kinds: Vec<String>,
    /// How long to hold until there is a job, clamped by the server; zero answers at once.
    #[serde(default)]
    pub wait: Span,
    /// How long the worker may be silent before it has lost the job, 30 s by default; 1 s to 24 hours of real time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<Span>,
}

impl ClaimRequest {
    /// How long the lease is.
    #[must_use]
    pub fn lease(&self) -> std::time::Duration {
        self.lease_s.map_or(limits::LEASE_DEFAULT, Span::get)
    }

    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// The member that is out of its bound, and the bound.
    pub fn validate(&self) -> Result<(), String> {
        let (min, max) = (limits::LEASE_MIN, limits::LEASE_MAX);
        if !(min..=max).contains(&self.lease()) {
            return Err(format!(
                "`lease_s` must be between {} and {}, but is {}",
                min.as_secs(),
                max.as_secs(),
                self.lease().as_secs_f64()
            ));
        }
        let count = self.kinds.len();
        if count > limits::CLAIM_KINDS_MAX {
            return Err(format!(
                "`kinds` must have at most {} members, but has {count}",
                limits::CLAIM_KINDS_MAX,
            ));
        }
        let is_word = |kind: &String| (1..=limits::WORD_CHARS_MAX).contains(&kind.chars().count());
        if !self.kinds.iter().all(is_word) {
            return Err(format!(
                "each of `kinds` must be 1 to {} characters long",
                limits::WORD_CHARS_MAX
            ));
        }
        Ok(())
    }
}

/// A worker's hold on a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// Names it: reports carry it in the header `Lease-Token`. Opaque.
    pub token: String,
    /// When it is lost unless a report renews it, by the server's clock.
    pub expires_at: Timestamp,
}
