//! The webhook registrations of the classic systems. What they say and how they say it is theirs; what is done is ours.
//!
//! Two of the systems have them. One says `{"url"}` to `/webhooks/register` and gets a message, wants to be told
//! `{"result", "timestamp"}`, and unregisters by a `DELETE` with a body. The other says `{"url"}` to
//! `/register-webhook`, wants exactly `200` with nothing in it, and to be told `{"status"}` and nothing that isn't a
//! string. Both mean the default job. Their clients send whatever content type their library sends.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use abide_engine::Command;
use abide_engine::delivery::{Subscribe, Unsubscribe};

use super::webhooks::{RESULT, STATUS};
use crate::config::DEFAULT_JOB;
use crate::guard::Target;
use crate::http::answer::{Answer, Outcome, empty, text};
use crate::http::call::Call;
use crate::http::described::Request;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// What is registered. Other members are theirs to send.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Registration {
    /// Where to post.
    #[schema(pattern = "^https?://[!-~]+$")]
    url: String,
}

/// What is registered no longer, whatever it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Unregistration {
    /// The URL that was posted to.
    url: String,
}

/// That it was done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Message {
    message: &'static str,
}

/// Why it was not.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Complaint {
    error: String,
}

/// The body of a registration, for the description.
pub(super) const REGISTRATION: Request = Request {
    is_strict: false,
    ..Request::json::<Registration>()
};
/// The same of what ends one.
pub(super) const UNREGISTRATION: Request = Request {
    is_strict: false,
    ..Request::json::<Unregistration>()
};

/// `POST /webhooks/register`
pub(super) fn register_result(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    match url_of(state, call) {
        Ok(url) => carry_out(state, subscribe(call, RESULT, url), registered),
        Err(error) => Ok(json::answer(StatusCode::BAD_REQUEST, &Complaint { error }).into()),
    }
}

/// `DELETE /webhooks/unregister`, with the URL in a body.
pub(super) fn unregister(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let Ok(Unregistration { url }) = serde_json::from_slice(&call.body) else {
        let error = "the body must be JSON with a member `url`".to_owned();
        return Ok(json::answer(StatusCode::BAD_REQUEST, &Complaint { error }).into());
    };
    // As it was written when it was registered. What can't have been registered needs no unregistering.
    match Target::parse(&url, &state.guard) {
        Ok(target) => {
            let unsubscribe = Unsubscribe {
                owner: call.caller.owner,
                name: DEFAULT_JOB.into(),
                renderings: vec![RESULT.into(), STATUS.into()],
                url: target.as_str().to_owned(),
            };
            carry_out(state, unsubscribe, unregistered)
        }
        Err(_) => Ok(Outcome::Now(unregistered())),
    }
}

/// `POST /register-webhook`
pub(super) fn register_status(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    match url_of(state, call) {
        Ok(url) => carry_out(state, subscribe(call, STATUS, url), || {
            empty(StatusCode::OK)
        }),
        Err(why) => {
            let mut answer = text(why);
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            Ok(Outcome::Now(answer))
        }
    }
}

fn subscribe(call: &Call, rendering: &'static str, url: String) -> Subscribe {
    Subscribe {
        owner: call.caller.owner,
        name: DEFAULT_JOB.into(),
        rendering: rendering.into(),
        url,
    }
}

/// Has that done, and says so in that way.
fn carry_out(
    state: &AppState,
    command: impl Command,
    done: fn() -> Answer,
) -> Result<Outcome, ApiError> {
    state.ask(command, move |_, _| Ok(done()))
}

fn registered() -> Answer {
    let message = "Webhook registered";
    json::ok(&Message { message })
}

fn unregistered() -> Answer {
    let message = "Webhook unregistered";
    json::ok(&Message { message })
}

/// The URL that is registered, or why it can't be.
fn url_of(state: &AppState, call: &Call) -> Result<String, String> {
    let Registration { url } = serde_json::from_slice(&call.body)
        .map_err(|error| format!("the body must be JSON with a member `url`: {error}"))?;
    match Target::parse(&url, &state.guard) {
        Ok(target) => Ok(target.as_str().to_owned()),
        Err(refused) => Err(refused.to_string()),
    }
}
