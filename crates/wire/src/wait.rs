//! One held request for many jobs: `POST /v1/jobs/wait`.

use crate::{Job, JobId, Json, Problem, Revision, Span};
use serde::{Deserialize, Serialize};

/// What a held request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Until {
    /// Any change beyond the revision that the client has seen.
    #[default]
    Any,
    /// The end of the job.
    Done,
}

/// One job of a set, and what the client has seen of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitItem {
    /// The job.
    pub id: JobId,
    /// The newest revision that the client has; without it every revision is news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Revision>,
}

/// Waits for the first change among up to 1,000 jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitRequest {
    /// The jobs, at most 1,000.
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub jobs: Vec<WaitItem>,
    /// How long to hold, clamped by the server; zero answers at once.
    #[serde(default)]
    pub wait: Span,
    /// What to wait for; any change by default.
    #[serde(default)]
    pub until: Until,
}

/// An id of a set that can't be waited for. It says nothing about the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitFailure {
    /// The id, as it was sent.
    pub id: JobId,
    /// What is wrong with it.
    pub error: Problem,
}

/// The jobs of a set that have news, with at most 4 MiB of them or a single one: the others are in the next answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "J: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitResponse<J = Json> {
    /// The jobs with news, in order of their last change; empty where the hold ran out.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Job>))]
    pub jobs: Vec<Job<J>>,
    /// The ids that can't be waited for, each with its reason.
    #[serde(default)]
    pub errors: Vec<WaitFailure>,
}
