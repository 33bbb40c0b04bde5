//! The body of a request, within its limits of size and time.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_immediate;
use http::{HeaderMap, header};

use super::answer::{Body, CollectError};
use super::error::ApiError;
use super::form;

/// How long a body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a form with files may take to come.
const FORM_TIME_MAX: Duration = Duration::from_mins(10);

/// The length that the head announces for its body.
pub(super) fn announced(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// The whole body, within its limits of size and time.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    // What is announced as too large isn't read at all.
    if announced(headers).is_some_and(|length| length > bytes_max) {
        return Err(ApiError::too_large(bytes_max));
    }
    let mut collected = pin!(body.collect(bytes_max));
    // Most bodies have come with their head, and need no timer.
    let collected = match poll_immediate(&mut collected).await {
        Some(collected) => Ok(collected),
        None => Box::pin(tokio::time::timeout(BODY_TIME_MAX, collected)).await,
    };
    match collected {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(CollectError::TooLarge)) => Err(ApiError::too_large(bytes_max)),
        // The client is gone and won't read this; it only ends the request.
        Ok(Err(CollectError::Broken(error))) => Err(ApiError::invalid_json(error.to_string())),
        Err(_elapsed) => Err(ApiError::slow_body(BODY_TIME_MAX)),
    }
}

/// A form with files as JSON, or the beginning of a file, within their limits of size and time.
pub(super) async fn read_upload(
    headers: &mut HeaderMap,
    body: Body,
    is_form: bool,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    if announced(headers).is_some_and(|length| length > bytes_max) {
        return Err(ApiError::too_large(bytes_max));
    }
    let read = async {
        match is_form {
            true => form::read(headers, body, bytes_max).await,
            false => form::head(body, bytes_max).await,
        }
    };
    let read = tokio::time::timeout(FORM_TIME_MAX, read).await;
    read.unwrap_or_else(|_elapsed| Err(ApiError::slow_body(FORM_TIME_MAX)))
}
