//! `POST /v1/jobs/claim`: a worker takes the oldest pending external job, or waits for one.

use abide_engine::rng::digest;
use abide_engine::{Claim, Claimed, Owner, Report, Token, Work};
use abide_wire::ClaimRequest;
use futures_util::future::BoxFuture;
use http::StatusCode;

use super::idempotency;
use crate::board::{CLAIM_KIND_BYTES, Channel};
use crate::driver::{Commands, Failure};
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
    let key = idempotency::key(&call.headers)?;
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
        token: key.map(|key| Token(digest(&[key.as_bytes()]))),
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
/// Dropping it gives up the wait. A claim that is on its way to the loop then is carried out, and taken back.
async fn next(state: &AppState, claim: Claim, hold: &Hold) -> Result<Option<Claimed>, ApiError> {
    let board = &state.board;
    let mut place = board.claim_place(claim.owner, &claim.kinds, claim.token);
    let mut expiry = std::pin::pin!(state.clock.hold(hold.stretched(state)));
    loop {
        let claimed = Asking::begin(&state.commands, claim.clone())
            .answer()
            .await?;
        if claimed.is_some() {
            drop(place);
            if let Some(token) = claim.token {
                board.claimed(claim.owner, token);
            }
            return Ok(claimed);
        }
        place.found_none();
        if hold.length().is_zero() {
            return Ok(None);
        }
        tokio::select! {
            () = place.rung() => {}
            () = &mut expiry => return Ok(None),
            () = state.stop.cancelled() => return Ok(None),
        }
    }
}

/// A claim on its way to the loop. Dropped before the answer, the worker has gone: the job is given back, unless it has
/// sent its claim again.
struct Asking {
    commands: Commands,
    owner: Owner,
    answer: Option<BoxFuture<'static, Result<Option<Claimed>, Failure>>>,
}

impl Asking {
    fn begin(commands: &Commands, claim: Claim) -> Self {
        Self {
            owner: claim.owner,
            answer: Some(Box::pin(commands.ask(claim))),
            commands: commands.clone(),
        }
    }

    async fn answer(mut self) -> Result<Option<Claimed>, Failure> {
        let Some(answer) = &mut self.answer else {
            return Ok(None);
        };
        let answer = answer.await;
        self.answer = None;
        answer
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        let (commands, owner) = (self.commands.clone(), self.owner);
        tokio::spawn(async move {
            let Ok(Some(claimed)) = answer.await else {
                return;
            };
            // Refused, it is canceled, over, or the worker's all the same; then there is nothing to give back.
            let _ended = commands
                .ask(Report {
                    owner,
                    job: claimed.job.key,
                    if_match: None,
                    lease: claimed.lease.map(|lease| lease.token),
                    work: Work::Abandon,
                })
                .await;
        });
    }
}
