//! Repeats of creates: how a vendor knows that a create was sent before, and what it answers.

use abide_wire::{Code, headers};

use crate::http::call::Call;
use crate::http::error::ApiError;

/// How a repeat of a create is known, and what it gives.
#[derive(Debug)]
pub(super) struct Repeat {
    /// The name that the client gave the create, as no other vendor's client and no other route has it.
    pub key: String,
    /// Whether a repeat is answered as the first create was although it says something else; if not, it is refused.
    pub may_differ: bool,
}

/// How a vendor's `Idempotency-Key` may be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRule {
    /// The vendor and the route.
    pub place: &'static str,
    /// Its longest.
    pub bytes_max: usize,
    /// The signs that it may have, beside letters and digits.
    pub signs: &'static [u8],
    /// See [`Repeat::may_differ`].
    pub may_differ: bool,
}

impl KeyRule {
    /// The name that the header gives the create, if it is there.
    ///
    /// # Errors
    ///
    /// It is there several times, or isn't as it may be.
    pub(super) fn read(&self, call: &Call) -> Result<Option<Repeat>, ApiError> {
        let mut lines = call.headers.get_all(headers::IDEMPOTENCY_KEY).iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || self.signs.contains(byte);
        let key = line.to_str().unwrap_or_default();
        let has_length = (1..=self.bytes_max).contains(&key.len());
        if lines.next().is_some() || !has_length || !key.as_bytes().iter().all(is_sign) {
            let detail = format!(
                "the header `Idempotency-Key` may have 1 to {} letters, digits and `{}`, once",
                self.bytes_max,
                String::from_utf8_lossy(self.signs)
            );
            let code = Code::new("invalid_idempotency_key");
            return Err(ApiError::of(400, code, "The idempotency key is none").detail(detail));
        }
        Ok(Some(Repeat {
            key: format!("{} {key}", self.place),
            may_differ: self.may_differ,
        }))
    }
}
