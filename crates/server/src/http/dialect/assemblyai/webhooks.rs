//! Webhooks: id and status, with the header that the create has chosen.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use super::transcript::TRANSCRIPT;
use super::wire::WORDS;
use crate::http::dialect::hook::{ENDS, told};
use crate::http::dialect::job::Hook;
use crate::http::dialect::thing::text;
use crate::http::error::ApiError;
use crate::telling::{Telling, Told};

/// The headers that are the courier's own.
const TAKEN: &[HeaderName] = &[
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

/// Where to tell of the transcript of that request.
///
/// # Errors
///
/// The header that is to come along can't be sent.
pub(super) fn hook(request: &Value) -> Result<Option<Hook>, ApiError> {
    if text(request, "webhook_auth_header_name").is_some() && chosen(request).is_none() {
        return Err(ApiError::invalid_member(
            "`webhook_auth_header_name`: with its value it must be a header that may be sent",
        ));
    }
    Ok(text(request, "webhook_url").map(|url| Hook {
        url: url.to_owned(),
        events: Some(ENDS.into()),
        secret: None,
    }))
}

/// The header that the request wants webhooks to have.
fn chosen(request: &Value) -> Option<(HeaderName, HeaderValue)> {
    let name = text(request, "webhook_auth_header_name")?;
    let name = HeaderName::try_from(name).ok()?;
    let value = text(request, "webhook_auth_header_value")?;
    let value = HeaderValue::try_from(value).ok()?;
    (!TAKEN.contains(&name)).then_some((name, value))
}

/// Says that a transcript has ended.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |_, seen, _| {
        let body = json!({"transcript_id": TRANSCRIPT.id_of(seen), "status": seen.word(&WORDS)});
        Told {
            has_titles: true,
            body: body.to_string(),
            headers: Some(HeaderMap::from_iter(chosen(&seen.input()))),
        }
    })
}
