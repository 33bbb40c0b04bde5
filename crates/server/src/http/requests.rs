//! What clients asked and were answered, for tests.

use abide_wire::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::Outcome;
use super::call::Call;
use super::described::Response;
use super::door::Door;
use super::error::ApiError;
use super::id::spellings;
use super::json;
use super::paging;
use super::route::Row;
use super::state::AppState;
use crate::requests::Asked;

/// How many requests are shown by default.
const LIMIT: usize = 100;

/// The routes.
pub(super) const ROUTES: &[Row] = &[Row::get("/v1/requests", read)
    .door(Door::Operator)
    .about("Report card", "listRequests", "What clients asked")
    .text(
        "The last requests of clients, the oldest first, with what they were answered. Probes, pages and \
         requests of operators aren't among them.",
    )
    .query::<Wanted>()
    .answers(&[Response::json::<Requests>(200, "The requests.")])];

/// Which requests to show.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only requests about that job: its id, in our form or a vendor's, is in the path or the query, or the request
    /// made it.
    job: Option<String>,
    /// Only requests of clients whose name contains this text: the program in `User-Agent`, or the address.
    client: Option<String>,
    /// Only requests after that number.
    after: u64,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            job: None,
            client: None,
            after: 0,
            limit: LIMIT,
        }
    }
}

/// Requests, the oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Requests {
    requests: Vec<RequestShown>,
    /// The number of the last one, for `after`.
    last: u64,
}

/// A request and its answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AskedRequest)]
struct RequestShown {
    /// Its number since the server started.
    n: u64,
    /// When it was answered.
    at: Timestamp,
    method: String,
    /// Path and query.
    target: String,
    status: u16,
    /// From its head to its answer, in milliseconds of real time; a held request's hold included.
    took_ms: u64,
    /// The program, and where it runs.
    client: String,
    /// The faults that the simulator played on the answer; `null` for none.
    fault: Option<String>,
}

impl From<Asked> for RequestShown {
    fn from(asked: Asked) -> Self {
        let fault = asked.fault.as_ref().and_then(|fault| fault.to_str().ok());
        Self {
            n: asked.n,
            at: asked.at,
            method: asked.method.to_string(),
            target: asked.target.into(),
            status: asked.status.as_u16(),
            took_ms: u64::try_from(asked.took.as_millis()).unwrap_or(u64::MAX),
            client: asked.client.to_string(),
            fault: fault.map(str::to_owned),
        }
    }
}

/// `GET /v1/requests`
fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let wanted: Wanted = call.query()?;
    let limit = paging::limit(Some(wanted.limit), wanted.limit)?;
    let ids = wanted.job.as_deref().map(spellings);
    let found = state.requests.after(wanted.after, limit, |asked| {
        let is_about = |ids: &Vec<String>| asked.is_about(ids);
        let is_by = |client: &String| asked.client.to_string().contains(client.as_str());
        ids.as_ref().is_none_or(is_about) && wanted.client.as_ref().is_none_or(is_by)
    });
    let shown = Requests {
        last: found.last().map_or(wanted.after, |asked| asked.n),
        requests: found.into_iter().map(RequestShown::from).collect(),
    };
    Ok(json::ok(&shown).into())
}
