//! Names of creates, so that one that is sent again makes no second job.

use abide_wire::{headers, limits};
use http::HeaderMap;

use crate::http::call::only;
use crate::http::error::ApiError;

/// What the description says of the header's value.
pub(super) const PATTERN: &str = r#"^([!#-~]([ -~]*[!-~])?|"[ -~]+")$"#;

/// The idempotency key, if there is one.
///
/// # Errors
///
/// The header has a value that is none.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = only(headers, headers::IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    // Surrounding whitespace isn't part of the value.
    match key_in(value.as_bytes().trim_ascii()) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::invalid_member(format!(
            "the header `Idempotency-Key` must be 1 to {} visible ASCII characters, with spaces between \
                them or a string in double quotes",
            limits::IDEMPOTENCY_KEY_BYTES_MAX
        ))),
    }
}

/// The key in the header's value: a bare word or words, or what a string in quotes has in it.
///
/// The description says the same as a pattern, so what is taken here is taken by it too.
fn key_in(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_plain || value.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
        return None;
    }
    let key = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None => value,
    };
    std::str::from_utf8(key).ok().filter(|key| !key.is_empty())
}
