//! The webhook registrations of the classic systems. What they say and how they say it is theirs; what is done is ours.
//!
//! Two of the systems have them. One says `{"url"}` to `/webhooks/register` and gets a message, wants to be told
//! `{"result", "timestamp"}`, and unregisters by a `DELETE` with a body. The other says `{"url"}` to `/register-webhook`, wants exactly `200` with nothing in it, and to be told
//! `{"status"}` and nothing that isn't a string. Both mean the job of the routes that name none.

use axum::Json as Respond;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use abide_engine::delivery::{Dialect, Register, Unregister};

use super::error::ApiError;
use super::extract::read_body;
use super::state::AppState;
use crate::guard::Target;

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
    /// Where was posted.
    url: String,
}

/// That it was done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Message {
    message: &'static str,
}

/// Why it was not.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Complaint {
    error: String,
}

/// `POST /webhooks/register`
#[utoipa::path(
    post,
    path = "/webhooks/register",
    tag = "Classic",
    operation_id = "registerResultWebhook",
    summary = "Be told of the default job, as a result",
    description = "Posts `{\"result\", \"timestamp\"}` at each change of state.",
    request_body(content = Registration),
    responses(
        (status = 200, description = "Registered.", body = Message),
        (status = 400, description = "There is no URL in it that may be called.", body = Complaint)
    )
)]
pub(super) async fn register_result(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let dialect = Dialect::Result;
    match url_of(&state, &headers, body).await? {
        Ok(url) => {
            state.commands.ask(Register { dialect, url }).await?;
            Ok(Respond(Message {
                message: "Webhook registered",
            })
            .into_response())
        }
        Err(why) => {
            Ok((StatusCode::BAD_REQUEST, Respond(Complaint { error: why })).into_response())
        }
    }
}

/// `DELETE /webhooks/unregister`, with the URL in a body.
#[utoipa::path(
    delete,
    path = "/webhooks/unregister",
    tag = "Classic",
    operation_id = "unregisterWebhook",
    summary = "Be told no longer",
    description = "The URL comes in the body. One that was never registered is as good.",
    request_body(content = Unregistration),
    responses(
        (status = 200, description = "Not registered.", body = Message),
        (status = 400, description = "There is no URL in it.", body = Complaint)
    )
)]
pub(super) async fn unregister_result(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = read_body(&headers, body).await?;
    let Ok(Unregistration { url }) = serde_json::from_slice(&bytes) else {
        let error = "the body must be JSON with a member `url`".to_owned();
        return Ok((StatusCode::BAD_REQUEST, Respond(Complaint { error })).into_response());
    };
    // As it was written when it was registered. What can't have been registered needs no unregistering.
    if let Ok(target) = Target::parse(&url, &state.guard) {
        let url = target.as_str().to_owned();
        state.commands.ask(Unregister { url }).await?;
    }
    Ok(Respond(Message {
        message: "Webhook unregistered",
    })
    .into_response())
}

/// `POST /register-webhook`
#[utoipa::path(
    post,
    path = "/register-webhook",
    tag = "Classic",
    operation_id = "registerStatusWebhook",
    summary = "Be told of the default job, as a status",
    description = "Posts `{\"status\"}` at the end.",
    request_body(content = Registration),
    responses(
        (status = 200, description = "Registered; there is nothing in the body."),
        (status = 400, description = "There is no URL in it that may be called.", body = String, content_type = "text/plain")
    )
)]
pub(super) async fn register_status(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let dialect = Dialect::Status;
    match url_of(&state, &headers, body).await? {
        Ok(url) => {
            state.commands.ask(Register { dialect, url }).await?;
            Ok(StatusCode::OK.into_response())
        }
        Err(why) => Ok((StatusCode::BAD_REQUEST, why).into_response()),
    }
}

/// The URL that is registered, or why it can't be. These clients send whatever content type their library sends.
async fn url_of(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<Result<String, String>, ApiError> {
    let bytes = read_body(headers, body).await?;
    let registration: Registration = match serde_json::from_slice(&bytes) {
        Ok(registration) => registration,
        Err(error) => {
            return Ok(Err(format!(
                "the body must be JSON with a member `url`: {error}"
            )));
        }
    };
    Ok(match Target::parse(&registration.url, &state.guard) {
        Ok(target) => Ok(target.as_str().to_owned()),
        Err(refused) => Err(refused.to_string()),
    })
}
