//! What every request to the listener goes through.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::IgnoredAny;

use abide_wire::limits::EVENT_BYTES_MAX;

use crate::inbox::Inbox;
use crate::rt::timeout;
use crate::telemetry;
use crate::webhook::{Delivery, GuardFull, ReplayGuard, Verifier, now};

/// How long a body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// What is asked whether a delivery has been dealt with.
pub(super) type Taker =
    Arc<dyn Fn(Delivery) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// What every request is taken to.
pub(super) struct Intake {
    pub(super) verifier: Verifier,
    pub(super) seen: Mutex<SeenIds>,
    pub(super) inbox: Inbox,
    pub(super) taker: Option<Taker>,
}

/// Which deliveries have been taken, and which are being dealt with; of the latter there are never more than
/// connections.
pub(super) struct SeenIds {
    guard: ReplayGuard,
    under_way: HashSet<String>,
}

impl SeenIds {
    /// For deliveries that are accepted within that tolerance: each id is remembered for as long.
    pub(super) fn within(tolerance: Duration) -> Self {
        Self {
            guard: ReplayGuard::default().tolerance(tolerance),
            under_way: HashSet::new(),
        }
    }
}

impl Intake {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, why) = match self.take(request).await {
            Ok(()) => (StatusCode::NO_CONTENT, String::new()),
            Err((status, why)) => {
                telemetry::turned_away(status.as_u16(), &why);
                (status, why)
            }
        };
        let mut response = Response::new(Full::new(why.into()));
        *response.status_mut() = status;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = header::HeaderValue::from_static("POST");
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }

    async fn take(&self, request: Request<Incoming>) -> Result<(), (StatusCode, String)> {
        let refuse = |status, why: &str| Err((status, why.to_owned()));
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "webhooks are posted");
        }
        if !is_json(request.headers()) {
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "webhooks are JSON");
        }
        let (head, body) = request.into_parts();
        let body = Limited::new(body, EVENT_BYTES_MAX).collect();
        let body = match timeout(BODY_TIME_MAX, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
            }
            Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the body broke off"),
            Err(_elapsed) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body was too slow"),
        };
        let delivery = Delivery::verified(&self.verifier, &head.headers, &body)
            .map_err(|error| (StatusCode::UNAUTHORIZED, error.to_string()))?;
        if !holds_json(&body) {
            return refuse(StatusCode::BAD_REQUEST, "the body is no JSON");
        }
        let undo = match self.note(&delivery.id) {
            Ok(Note::New(undo)) => undo,
            Ok(Note::Taken) => return Ok(()),
            Err(full) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &full.to_string()),
            // To acknowledge it would lose it, should the one that is being dealt with come to nothing.
            Ok(Note::UnderWay) => {
                return refuse(StatusCode::SERVICE_UNAVAILABLE, "it is being dealt with");
            }
        };
        if let Some(taker) = &self.taker
            && !taker(delivery.clone()).await
        {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "it can't be taken now");
        }
        undo.keep();
        if let Some(job) = delivery.job() {
            self.inbox.deliver(job);
        }
        Ok(())
    }

    /// Notes the delivery as seen.
    fn note(&self, id: &str) -> Result<Note<'_>, GuardFull> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.guard.is_new(id, now())? {
            seen.under_way.insert(id.to_owned());
            return Ok(Note::New(Undo {
                intake: self,
                id: id.to_owned(),
                is_kept: false,
            }));
        }
        Ok(match seen.under_way.contains(id) {
            true => Note::UnderWay,
            false => Note::Taken,
        })
    }
}

/// What is known of a delivery's id.
enum Note<'a> {
    /// It was not seen before.
    New(Undo<'a>),
    /// It is being dealt with by another request.
    UnderWay,
    /// It has been dealt with before.
    Taken,
}

/// Takes the note of a delivery back when it is dropped, unless the delivery was taken: also where the sender gives up
/// half way and the future is dropped.
struct Undo<'a> {
    intake: &'a Intake,
    id: String,
    is_kept: bool,
}

impl Undo<'_> {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let seen = self.intake.seen.lock();
        let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
        seen.under_way.remove(&self.id);
        if !self.is_kept {
            seen.guard.forget(&self.id);
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// Whether a body is JSON. `IgnoredAny` doesn't check that strings are UTF-8, so that is checked first.
fn holds_json(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body);
    text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use abide_wire::Timestamp;
    use abide_wire::webhook::REPLAY_IDS;

    use super::*;

    #[test]
    fn what_is_json_to_some_alone_is_none() {
        for (body, expected) in [
            (&b"{\"data\": 1}"[..], true),
            (b"{\"data\": NaN}", false),
            (b"\xef\xbb\xbf{}", false),
            (b"{\"data\": \"\xff\"}", false),
            (b"", false),
        ] {
            assert_eq!(holds_json(body), expected, "{body:?}");
        }
    }

    #[test]
    fn a_delivery_is_known_for_as_long_as_it_is_believed() {
        let mut seen = SeenIds::within(Duration::from_secs(3_600));
        let mut is_new = |id: &str, second: i64| {
            let at = Timestamp::from_millis(second * 1_000);
            seen.guard.is_new(id, at).unwrap()
        };
        assert!(is_new("first", 0));
        for other in 0..REPLAY_IDS {
            is_new(&other.to_string(), 1_000);
        }
        assert!(!is_new("first", 1_000));
    }
}
