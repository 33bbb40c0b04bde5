//! Signing and verifying webhooks, as [Standard Webhooks] has it.
//!
//! A sender signs `id.timestamp.body` with HMAC-SHA256 and sends three headers; a receiver recomputes the signature
//! from the bytes it received, before it parses them. What goes wrong in practice is everything around that: a body
//! that was parsed and written again, a timestamp that isn't checked, a comparison that leaks, a secret that can't be
//! changed without an outage, a delivery that is taken twice. So here is the whole of it:
//!
//! - [`Secret`] is a key that knows its own bounds and never shows itself in a log.
//! - [`sign`] signs with several secrets at once, which is how one is replaced without losing a delivery.
//! - [`Verifier`] takes any of several secrets, any of several signatures, compares in constant time and refuses what
//!   is older or newer than its tolerance. It takes `now`, because this crate has no clock.
//! - [`ReplayGuard`] remembers the ids it has seen, in bounded memory.
//!
//! ```
//! use abide_wire::{Timestamp, webhook::{Secret, Signed, Verifier, sign}};
//!
//! let secret = Secret::generate([7; 32]);
//! let now = Timestamp::from_millis(1_795_306_956_000);
//! let signature = sign([&secret], "msg_1", now, b"{}");
//!
//! let headers = Signed { id: "msg_1", timestamp: "1795306956", signature: &signature };
//! assert!(Verifier::new([secret]).verify_at(headers, b"{}", now).is_ok());
//! ```
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::{Timestamp, headers};

/// How far a delivery's timestamp may lie from now, either way, by default.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// The fewest bytes of a secret.
pub const SECRET_BYTES_MIN: usize = 24;
/// The most bytes of a secret.
pub const SECRET_BYTES_MAX: usize = 64;
/// The longest `webhook-id` that is looked at, in bytes.
pub const ID_BYTES_MAX: usize = 256;
/// The most signatures of one delivery that are looked at; the rest is not compared.
pub const SIGNATURES_MAX: usize = 16;
/// How many ids a [`ReplayGuard`] remembers by default.
pub const REPLAY_IDS: usize = 65_536;
/// How many times its capacity a [`ReplayGuard`] remembers at most, while their signatures may still be good.
pub const REPLAY_GROWTH_MAX: usize = 16;

/// What a secret's text begins with.
const SECRET_PREFIX: &str = "whsec_";
/// What a symmetric signature begins with.
const SIGNATURE_PREFIX: &str = "v1,";

/// A key for signing: 24 to 64 bytes, written `whsec_` and base64.
///
/// `Debug` shows nothing of it, and two are compared in constant time. Serializing writes the text, so serialize it
/// only where it is meant to be kept or shown once.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

/// Why a text or some bytes are not a secret. It never repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not base64.
    #[error("a secret must be `whsec_` followed by base64")]
    NotBase64,
    /// Too short to be safe, or too long to be a key.
    #[error(
        "a secret must be {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes long before base64, but is {0}"
    )]
    Length(usize),
}

impl Secret {
    /// A secret of those random bytes. They must come from a generator fit for keys.
    #[must_use]
    pub fn generate(random: [u8; 32]) -> Self {
        Self(Box::new(random))
    }

    /// Another secret that follows from this one and the label: knowing it tells nothing of this one or its other
    /// children.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(label.as_bytes());
        Self::generate(mac.finalize().into_bytes().into())
    }

    /// The secret of those bytes.
    ///
    /// # Errors
    ///
    /// Where they are fewer than [`SECRET_BYTES_MIN`] or more than [`SECRET_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(SecretError::Length(bytes.len()))
        }
    }

    /// The text, `whsec_…`. Anyone who has it can sign: show it once, to the endpoint's owner.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{SECRET_PREFIX}{}", BASE64.encode(&self.0))
    }

    /// One signature, `v1,` and base64, over `id.timestamp.body`; the timestamp in whole seconds, rounded down.
    ///
    /// The id must be the sender's own and hold no `.`, or the three parts could be divided in another way.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: Timestamp, body: &[u8]) -> String {
        let seconds = seconds_of(timestamp).to_string();
        let mac = self.mac(id, &seconds, body);
        format!("{SIGNATURE_PREFIX}{}", BASE64.encode(mac))
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    /// Takes the text with or without its prefix, as the official libraries do.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
        let bytes = BASE64.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        Self::from_bytes(&bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What `webhook-signature` says: one signature per secret, separated by spaces.
#[must_use]
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    timestamp: Timestamp,
    body: &[u8],
) -> String {
    let mut header = String::new();
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str(&secret.sign(id, timestamp, body));
    }
    header
}

/// What `webhook-timestamp` says: whole seconds since the epoch.
#[must_use]
pub const fn seconds_of(timestamp: Timestamp) -> i64 {
    timestamp.as_millis().div_euclid(1_000)
}

/// The three headers of a delivery, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

impl<'a> Signed<'a> {
    /// Reads them by a function that finds a header by its lower-case name.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Missing`] where one isn't there or is empty.
    pub fn read(find: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, VerifyError> {
        let need = |name| match find(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(VerifyError::Missing(name)),
        };
        Ok(Self {
            id: need(headers::WEBHOOK_ID)?,
            timestamp: need(headers::WEBHOOK_TIMESTAMP)?,
            signature: need(headers::WEBHOOK_SIGNATURE)?,
        })
    }
}

/// Why a delivery is not to be believed. Answer any of them with `400` or `401`, and do nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header isn't there.
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    /// The id is too long, or holds a `.` and so could be part of the signed timestamp.
    #[error("the header `webhook-id` is not an id")]
    Id,
    /// The timestamp isn't a number of seconds.
    #[error("the header `webhook-timestamp` is not a number of seconds")]
    Timestamp,
    /// Signed too long ago: a replay, or a receiver's clock that runs ahead.
    #[error("the delivery was signed too long ago")]
    TooOld,
    /// Signed in the future: a forgery, or a receiver's clock that lags.
    #[error("the delivery was signed in the future")]
    TooNew,
    /// No signature is that of a secret of ours over these bytes.
    #[error("no signature matches")]
    Signature,
}

/// Decides whether the sender of a delivery has the secret.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// All that are good at the moment: the new one and, while it is being replaced, the old one.
    secrets: Vec<Secret>,
    tolerance: Duration,
}

impl Verifier {
    /// Accepts signatures made with any of these. Without a secret it accepts none.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self {
            secrets: secrets.into_iter().collect(),
            tolerance: TOLERANCE,
        }
    }

    /// How far a timestamp may lie from now, either way; [`TOLERANCE`] by default.
    #[must_use]
    pub const fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Whether these headers and exactly these bytes are to be believed at `now`.
    ///
    /// The body must be what came over the wire, not what a parser made of it. A delivery that passes may still be a
    /// repetition: ask a [`ReplayGuard`] next.
    ///
    /// # Errors
    ///
    /// Why not, see [`VerifyError`].
    pub fn verify_at(
        &self,
        signed: Signed<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        if signed.id.is_empty() || signed.id.len() > ID_BYTES_MAX || signed.id.contains('.') {
            return Err(VerifyError::Id);
        }
        self.check_age(signed.timestamp, now)?;
        let given: Vec<[u8; 32]> = signed
            .signature
            .split(' ')
            .filter_map(|part| part.strip_prefix(SIGNATURE_PREFIX))
            .take(SIGNATURES_MAX)
            .filter_map(decode_mac)
            .collect();
        // Every pair is compared, so that the time taken says nothing about which one matched.
        let mut matched = Choice::from(0);
        for secret in &self.secrets {
            let expected = secret.mac(signed.id, signed.timestamp, body);
            for mac in &given {
                matched |= expected.ct_eq(mac);
            }
        }
        if matched.into() {
            Ok(())
        } else {
            Err(VerifyError::Signature)
        }
    }

    fn check_age(&self, timestamp: &str, now: Timestamp) -> Result<(), VerifyError> {
        // Digits alone: a sign, a space or a fraction would be signed as text and read as another number elsewhere.
        if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(VerifyError::Timestamp);
        }
        let sent: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
        let now = seconds_of(now);
        let tolerance = i64::try_from(self.tolerance.as_secs()).unwrap_or(i64::MAX);
        if now.saturating_sub(sent) > tolerance {
            Err(VerifyError::TooOld)
        } else if sent.saturating_sub(now) > tolerance {
            Err(VerifyError::TooNew)
        } else {
            Ok(())
        }
    }
}

fn decode_mac(text: &str) -> Option<[u8; 32]> {
    // 32 bytes are 44 characters; anything else needn't be decoded to be refused.
    if text.len() != 44 {
        return None;
    }
    BASE64.decode(text).ok()?.try_into().ok()
}

/// Remembers which deliveries have been taken, so that each is taken once.
///
/// A sender that gets no answer sends again with the same id, and an attacker who overheard a delivery can repeat it
/// within the tolerance. Ask after verifying, so that only senders with a secret can fill the memory: an id takes 16
/// bytes of a hash however long it is. Beyond the capacity the oldest is forgotten, once it is older than twice the
/// tolerance: till then its signature may still be good. If [`REPLAY_GROWTH_MAX`] times the capacity don't suffice for
/// that, further ones are refused.
///
/// It forgets with the process. Where a delivery must have its effect once across restarts, keep the ids with the
/// effect.
#[derive(Clone, Debug)]
pub struct ReplayGuard {
    seen: HashSet<SeenId>,
    /// In order of arrival, for forgetting the oldest.
    order: VecDeque<(SeenId, Timestamp)>,
    capacity: usize,
    tolerance: Duration,
}

/// A [`ReplayGuard`] has no room for another delivery. Ask the sender to come back, for instance with `503`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more deliveries have come within their tolerance than can be remembered")]
pub struct GuardFull;

/// The first 16 bytes of the hash of an id.
type SeenId = [u8; 16];

impl Default for ReplayGuard {
    fn default() -> Self {
        Self::new(REPLAY_IDS)
    }
}

impl ReplayGuard {
    /// Remembers that many ids, at least one; some 60 bytes each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            seen: HashSet::new(),
            order: VecDeque::new(),
            capacity: capacity.max(1),
            tolerance: TOLERANCE,
        }
    }

    /// The tolerance of the [`Verifier`] before it; [`TOLERANCE`] by default.
    #[must_use]
    pub const fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Notes the id at `now`; `true` the first time it is seen.
    ///
    /// # Errors
    ///
    /// There is no room for it. It isn't noted.
    pub fn is_new(&mut self, id: &str, now: Timestamp) -> Result<bool, GuardFull> {
        let id = seen_id(id);
        if self.seen.contains(&id) {
            return Ok(false);
        }
        // A timestamp may lie ahead by the tolerance and is good until it lies behind by as much.
        let kept = self.tolerance.saturating_mul(2);
        while self.order.len() >= self.capacity
            && let Some((oldest, at)) = self.order.front()
            && now.since(*at) > kept
        {
            self.seen.remove(oldest);
            self.order.pop_front();
        }
        if self.order.len() >= self.capacity.saturating_mul(REPLAY_GROWTH_MAX) {
            return Err(GuardFull);
        }
        self.seen.insert(id);
        self.order.push_back((id, now));
        Ok(true)
    }

    /// Takes the note back, for a delivery that could not be dealt with and that the sender will repeat.
    pub fn forget(&mut self, id: &str) {
        let id = seen_id(id);
        if self.seen.remove(&id)
            && let Some(at) = self.order.iter().rposition(|(other, _)| *other == id)
        {
            self.order.remove(at);
        }
    }

    /// How many ids it remembers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether it remembers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

fn seen_id(id: &str) -> SeenId {
    let hash: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

#[cfg(test)]
mod tests;
