//! One page of a list.

use crate::{Job, Json};
use serde::{Deserialize, Serialize};

/// One page of `GET /v1/jobs`, the newest job first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "J: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobPage<J = Json> {
    /// The jobs that pass the filter. There may be few of them, or none, and yet be a next page.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Job>))]
    pub jobs: Vec<Job<J>>,
    /// What `page_token` must be for the next page; `null` on the last.
    #[serde(default)]
    pub next_page_token: Option<String>,
}
