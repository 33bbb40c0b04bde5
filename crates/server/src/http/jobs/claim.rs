//! `POST /v1/jobs/claim`: a worker takes the oldest pending external job, or waits for one.

use http::StatusCode;

use abide_engine::{Claim, Claimed};
use abide_wire::ClaimRequest;

use crate::board::{CLAIM_KIND_BYTES, Channel};
use crate::http::answer::{Answer, Outcome, empty};
use crate::http::call::Call;
use crate::http::error::{ApiError, held};
use crate::http::hold::Hold;
use crate::http::represent::{add_preference, show_lease};
use crate::http::state::AppState;

/// `POST /v1/jobs/claim`
pub(super) fn claim(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request: ClaimRequest = call.optional_json()?;
    request.validate().map_err(ApiError::invalid_member)?;
    let caller = call.caller;
    let hold = Hold::grant(state, &caller, Channel::LongPoll, request.wait.get())?;
    let bytes = request.kinds.len() * CLAIM_KIND_BYTES;
    let held_bytes = state.inflight.take(caller.client, bytes);
    let held_bytes = held_bytes.map_err(ApiError::too_many_bytes)?;
    // A worker is real and its time isn't scaled: on a clock that runs faster its lease is longer.
    let lease = request.lease() * state.clock.speed().unwrap_or(1);
    let claim = Claim {
        owner: caller.owner,
        kinds: request.kinds,
        lease,
    };
    let state = state.clone();
    held(async move {
        let claimed = next(&state, claim, &hold).await?;
        drop(held_bytes);
        let mut answer = match claimed {
            Some(claimed) => show_lease(&state, &claimed, state.clock.now())?,
            None => empty(StatusCode::NO_CONTENT),
        };
        add_preference(answer.headers_mut(), hold.length());
        Ok::<Answer, ApiError>(answer)
    })
}

/// Claims the next job within the hold.
///
/// # Cancel safety
///
/// Dropping it gives up the wait. A claim that is on its way to the loop then is carried out, and its lease runs out.
async fn next(state: &AppState, claim: Claim, hold: &Hold) -> Result<Option<Claimed>, ApiError> {
    let mut place = state.board.claim_place(claim.owner, &claim.kinds);
    let mut expiry = std::pin::pin!(state.clock.hold(hold.stretched(state)));
    loop {
        let claimed = state.commands.ask(claim.clone()).await?;
        place.asked();
        if claimed.is_some() || hold.length().is_zero() {
            return Ok(claimed);
        }
        tokio::select! {
            () = place.rung() => {}
            () = &mut expiry => return Ok(None),
            () = state.stop.cancelled() => return Ok(None),
        }
    }
}
