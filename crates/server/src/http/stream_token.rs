//! Short-lived tokens for event streams: what a page's `EventSource` puts into the URL, since it can send no header.
//!
//! A token says whose streams it opens, until when, and of which job. It opens streams and nothing else. It is signed
//! with the API key that made it, and so ends with that key, and with a secret that all nodes of a cluster have; a
//! server alone makes another at each start. Nothing is stored.

use std::time::Duration;

use abide_engine::{JobKey, Owner};
use abide_wire::webhook::{Secret, sign};
use abide_wire::{JobId, Span, Timestamp};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::access::Pass;
use super::answer::Outcome;
use super::call::Call;
use super::described::{Request, Response};
use super::error::ApiError;
use super::find::{find, key_of};
use super::json;
use super::route::Row;
use super::state::AppState;
use crate::config::Role;

/// How long a token opens streams by default.
const TTL: Duration = Duration::from_secs(60);
/// The shortest and the longest time that a token opens streams; what is asked for is clamped to them.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_mins(10);
/// What the signature is for, so that it is no other's.
const PURPOSE: &str = "stream-token";
/// The parameter that carries it.
pub(super) const PARAMETER: &str = "token";

/// The routes.
pub(super) const ROUTES: &[Row] = &[Row::post("/v1/stream-tokens", create)
    .about("Jobs", "createStreamToken", "Make a token for an event stream")
    .text("For pages: `EventSource` can send no key, so it sends `?token=`. The token only opens event streams, and ends \
        with the key that made it.")
    .body(Request::optional_json::<NewToken>())
    .answers(&[
        Response::json::<Token>(201, "The token."),
        Response::problem(404, "The job doesn't exist, or it belongs to another owner."),
        Response::problem(410, "The job's record has been deleted."),
    ])];

/// What the token opens.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = NewStreamToken)]
struct NewToken {
    /// The one job whose stream it opens; without it all streams of the caller.
    #[schema(value_type = Option<String>)]
    job: Option<String>,
    /// How long it opens streams: 60 s by default, clamped to 1 s to 10 min. A stream that is open stays open.
    ttl: Option<Span>,
}

/// A token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StreamToken)]
struct Token {
    /// What goes into `?token=`.
    token: String,
    /// When it ceases to open streams.
    expires_at: Timestamp,
}

/// `POST /v1/stream-tokens`
fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let new: NewToken = call.optional_json()?;
    let ttl = new.ttl.map_or(TTL, Span::get).clamp(TTL_MIN, TTL_MAX);
    let job = new.job.as_deref().map(key_of).transpose()?;
    if let Some(job) = job {
        find(state, &call.caller, job)?;
    }
    let claims = Claims {
        owner: call.caller.owner,
        until: state.clock.system() + ttl,
        job,
    };
    let key = state.access.key(&call.headers);
    let key = key.as_ref().map_or("", |key| key.reveal());
    let token = Token {
        token: claims.sign(&state.stream_secret, key),
        expires_at: claims.until,
    };
    Ok(json::answer(StatusCode::CREATED, &token).into())
}

/// What the token in the query opens; `None` if there is none.
///
/// # Errors
///
/// It isn't one of ours, is expired, or is another job's.
pub(super) fn pass(
    state: &AppState,
    query: Option<&str>,
    job: Option<&str>,
) -> Option<Result<Pass, ApiError>> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    let (_, token) = pairs.find(|(name, _)| name == PARAMETER)?;
    let claims = Claims::read(&token, &state.stream_secret, |owner, is_signed| {
        state.access.any_key(owner, is_signed)
    });
    let now = state.clock.system();
    Some(match claims {
        Some(claims) if claims.until <= now => Err(ApiError::unauthorized("the token is expired")),
        Some(claims) if claims.opens(job) => Ok(Pass {
            owner: claims.owner,
            role: Role::Read,
        }),
        Some(_) => Err(ApiError::unauthorized("the token is another job's")),
        None => Err(ApiError::unauthorized("the token is none of this server's")),
    })
}

/// The query without its token, for what is kept of a request.
pub(super) fn without_token(query: &str) -> String {
    let is_kept = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        !percent_decode_str(name).eq(PARAMETER.bytes())
    };
    query
        .split('&')
        .filter(is_kept)
        .collect::<Vec<_>>()
        .join("&")
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claims {
    owner: Owner,
    /// By the system's time, which all nodes have.
    until: Timestamp,
    job: Option<JobKey>,
}

impl Claims {
    fn opens(&self, job: Option<&str>) -> bool {
        self.job
            .is_none_or(|own| job.and_then(|job| job.parse().ok()) == Some(own))
    }

    fn text(&self) -> String {
        let job = self.job.map(|job| JobId::new(job.to_string()));
        let job = job.as_ref().map_or("", |job| job.as_str());
        format!("{:x}.{}.{job}", self.owner.0, self.until.as_millis())
    }

    fn sign(&self, secret: &Secret, key: &str) -> String {
        let text = self.text();
        let signed = BASE64_URL_SAFE_NO_PAD.encode(signature(&text, secret, key));
        format!("{}.{signed}", BASE64_URL_SAFE_NO_PAD.encode(text))
    }

    /// What the token says, if `any_key` of the owner's signed it.
    fn read(
        token: &str,
        secret: &Secret,
        any_key: impl FnOnce(Owner, &dyn Fn(&str) -> bool) -> bool,
    ) -> Option<Self> {
        let (text, signed) = token.split_once('.')?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let (text, signed) = (String::from_utf8(decode(text)?).ok()?, decode(signed)?);
        let mut parts = text.split('.');
        let owner = Owner(u64::from_str_radix(parts.next()?, 16).ok()?);
        let is_signed = |key: &str| -> bool {
            let wanted = signature(&text, secret, key);
            signed.ct_eq(wanted.as_bytes()).into()
        };
        if !any_key(owner, &is_signed) {
            return None;
        }
        let until = Timestamp::from_millis(parts.next()?.parse().ok()?);
        let job = match parts.next()? {
            "" => None,
            job => Some(job.parse().ok()?),
        };
        Some(Self { owner, until, job })
    }
}

/// The HMAC that also signs webhooks, over a purpose that no webhook has.
fn signature(text: &str, secret: &Secret, key: &str) -> String {
    let text = format!("{text}\n{key}");
    sign(
        [secret],
        PURPOSE,
        Timestamp::from_millis(0),
        text.as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_any_other_byte_makes_it_none() {
        let secret = Secret::generate([7; 32]);
        let claims = Claims {
            owner: Owner(0xabc),
            until: Timestamp::from_millis(61_000),
            job: Some(JobKey::from_u128(5)),
        };
        let token = claims.sign(&secret, "key");
        let read_by = |token: &str, secret: &Secret, keys: &[&str]| {
            Claims::read(token, secret, |owner, is_signed| {
                owner == claims.owner && keys.iter().any(|key| is_signed(key))
            })
        };
        let read = |token: &str| read_by(token, &secret, &["other", "key"]);
        assert_eq!(read(&token), Some(claims));
        assert_eq!(read_by(&token, &secret, &["other"]), None);
        assert_eq!(read_by(&token, &Secret::generate([8; 32]), &["key"]), None);
        for n in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[n] ^= 1;
            let altered = String::from_utf8_lossy(&bytes).into_owned();
            assert!(read(&altered).is_none_or(|read| read == claims), "{n}");
        }
        let job = JobKey::from_u128(5).to_string();
        assert!(claims.opens(Some(&job)) && !claims.opens(None));
        assert!(!claims.opens(Some(&JobKey::from_u128(6).to_string())));
        assert_eq!(
            without_token("after=1&token=x&%74oke%6E=x&token&tokens=2"),
            "after=1&tokens=2"
        );
    }
}
